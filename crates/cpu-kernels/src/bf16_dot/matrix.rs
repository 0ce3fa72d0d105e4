//! Products of plain matrices, rounded to bfloat16. Both operands are packed as tiles, whole; a task then has a
//! part of the result's rows and columns, and takes the depth block by block, so that what it reads again
//! stays near the processor.
//!
//! Every number of the result is one chain of sums in the order of its depth, however the work is cut. So the
//! bytes do not depend on the threads.

use half::bf16;
use rayon::prelude::*;

use super::operands::Step;
use super::tiles::{Block, DEPTH, OPERAND, Product, SUMS, TILE, store_pairs};
use crate::level::{Kernel, Level};
use crate::matmul::{Matrix, assert_sizes};
use crate::part::{Part, Place};
use crate::simd::Vector;
use crate::workspace::{Buffer, Workspace};

/// Rows and columns of the result that a task has at most.
const TASK: [usize; 2] = [512, 128];
/// Steps of depth that are multiplied before the next.
const STEPS: usize = 16;

/// `c = a·b` on rayon's threads, where both operands are rounded to bfloat16 and sums are f32; a is m × k, b is
/// k × n, and c is m × n, row by row.
///
/// It is fast on levels that [multiply bfloat16](Level::multiplies_bf16), and right on all.
///
/// # Panics
/// If an operand is of another size.
pub fn matmul_bf16(
    level: Level,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    workspace: &Workspace,
) {
    assert_sizes([m, n, k], a, b, c);
    if m * n == 0 {
        return;
    }
    let side = |numbers, along_depth, lines| Side { numbers, along_depth, lines, depth: k };
    let a = side(a.numbers, !a.transposed, m).pack(level, Pairs::OfALine, workspace);
    let b = side(b.numbers, b.transposed, n).pack(level, Pairs::Across, workspace);
    let steps: Vec<Step> =
        (0..k.div_ceil(DEPTH)).map(|step| Step::new(step * OPERAND, step * OPERAND)).collect();
    let packed = Packed { level, steps: &steps, a: &a, b: &b, workspace };
    let mut tasks = vec![];
    cut(Place::whole(Part::of(c, n)), &mut tasks);
    tasks.into_par_iter().with_max_len(1).for_each(|place| packed.run(place));
}

/// Cuts a place into tasks.
fn cut<'a>(place: Place<'a>, tasks: &mut Vec<Place<'a>>) {
    let [first, second] = if place.part.rows() > TASK[0] {
        place.split_rows(TASK[0])
    } else if place.part.columns() > TASK[1] {
        place.split_columns(TASK[1])
    } else {
        return tasks.push(place);
    };
    cut(first, tasks);
    cut(second, tasks);
}

/// Both operands in tiles, `[lines / TILE, steps, OPERAND]`.
struct Packed<'a> {
    level: Level,
    steps: &'a [Step],
    a: &'a [bf16],
    b: &'a [bf16],
    workspace: &'a Workspace,
}

impl Packed<'_> {
    fn run(&self, mut place: Place<'_>) {
        let start = [place.row / TILE, place.column / TILE];
        let size = [place.part.rows(), place.part.columns()].map(|size| size.div_ceil(TILE));
        let [rows, columns] = size;
        let mut sums = self.workspace.take::<f32>(rows * columns * SUMS);
        if self.steps.is_empty() {
            sums.fill(0.0);
        }
        for (at, steps) in self.steps.chunks(STEPS).enumerate() {
            let (a, b, c) = (self.a, self.b, &mut sums[..]);
            let product = Product { steps, a, a_row: DEPTH, b, c, accumulate: at > 0 };
            product.run(self.level, self.blocks(start, size));
        }
        store(&sums, columns, &mut place.part);
    }

    /// The blocks of 2 × 2 tiles, the last ones again where they run out.
    fn blocks(
        &self,
        [row, column]: [usize; 2],
        [rows, columns]: [usize; 2],
    ) -> impl Iterator<Item = Block<2, 2>> {
        let line = self.steps.len() * OPERAND;
        let pairs = |count: usize| (0..count).step_by(2).map(move |i| [i, (i + 1).min(count - 1)]);
        pairs(columns).flat_map(move |across| {
            pairs(rows).map(move |down| Block {
                a: down.map(|i| (row + i) * line),
                b: across.map(|j| (column + j) * line),
                c: down.map(|i| across.map(|j| (i * columns + j) * SUMS)),
            })
        })
    }
}

/// Takes tiles of sums, `[rows, columns, SUMS]`, to the rows of the result.
fn store(sums: &[f32], columns: usize, c: &mut Part<'_>) {
    for row in 0..c.rows() {
        let tiles = sums[row / TILE * columns * SUMS..].chunks(SUMS);
        for (to, tile) in c.row(row).chunks_mut(TILE).zip(tiles) {
            to.copy_from_slice(&tile[row % TILE * TILE..][..to.len()]);
        }
    }
}

/// Which way the pairs of a packed tile lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairs {
    /// As A has them: `[TILE lines, DEPTH / 2 pairs]`.
    OfALine,
    /// As B has them: `[DEPTH / 2 pairs, TILE lines]`.
    Across,
}

/// An operand: A with its rows as lines, or B with its columns.
#[derive(Clone, Copy)]
struct Side<'a> {
    numbers: &'a [f32],
    /// Whether the numbers of a line lie next to each other.
    along_depth: bool,
    lines: usize,
    depth: usize,
}

impl Side<'_> {
    /// The tiles in bfloat16, `[lines / TILE, steps, OPERAND]`, filled with zeros.
    fn pack(self, level: Level, wanted: Pairs, workspace: &Workspace) -> Buffer<bf16> {
        let panel = self.depth.div_ceil(DEPTH) * OPERAND;
        let mut packed = workspace.take(self.lines.div_ceil(TILE) * panel);
        packed.par_chunks_mut(panel.max(1)).enumerate().for_each(|(panel, tiles)| {
            level.run(PackPanel { side: self, line: panel * TILE, wanted, tiles });
        });
        packed
    }

    /// As many numbers as `to` holds from a place on, which counts along the memory's rows; zeros where there are
    /// none.
    #[inline(always)]
    fn read(&self, row: usize, column: usize, to: &mut [f32]) {
        let [rows, columns] = match self.along_depth {
            true => [self.lines, self.depth],
            false => [self.depth, self.lines],
        };
        let there = if row < rows { to.len().min(columns - column) } else { 0 };
        let (numbers, rest) = to.split_at_mut(there);
        if there > 0 {
            numbers.copy_from_slice(&self.numbers[row * columns + column..][..there]);
        }
        rest.fill(0.0);
    }
}

/// Packs the tiles of 16 lines.
struct PackPanel<'a> {
    side: Side<'a>,
    line: usize,
    wanted: Pairs,
    tiles: &'a mut [bf16],
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { side, line, wanted, tiles } = self;
        for (step, tile) in tiles.chunks_exact_mut(OPERAND).enumerate() {
            let (pairs, lie) = match side.along_depth {
                true => (pairs_of_lines::<V>(side, line, step * DEPTH), Pairs::OfALine),
                false => (pairs_across::<V>(side, line, step * DEPTH), Pairs::Across),
            };
            let mut turned = [[0; TILE]; TILE];
            let pairs = match lie == wanted {
                true => &pairs,
                false => {
                    V::transpose(&pairs, &mut turned);
                    &turned
                }
            };
            store_pairs(pairs, tile);
        }
    }
}

/// 16 lines of 16 pairs, from rows that are lines.
#[inline(always)]
fn pairs_of_lines<V: Vector>(side: Side<'_>, line: usize, depth: usize) -> [[u32; TILE]; TILE] {
    let mut pairs = [[0u32; TILE]; TILE];
    for (at, to) in pairs.iter_mut().enumerate() {
        let mut numbers = [0.0; DEPTH];
        side.read(line + at, depth, &mut numbers);
        for first in (0..DEPTH).step_by(V::LANES) {
            // SAFETY: lanes divide both the line's numbers and the 16 pairs, which are as many bfloat16.
            unsafe {
                let to = to.as_mut_ptr().cast::<u16>().add(first);
                V::load(numbers.as_ptr().add(first)).store_bf16(to);
            }
        }
    }
    pairs
}

/// 16 pairs of 16 lines, from rows that lie across the lines.
#[inline(always)]
fn pairs_across<V: Vector>(side: Side<'_>, line: usize, depth: usize) -> [[u32; TILE]; TILE] {
    let mut pairs = [[0u32; TILE]; TILE];
    for (at, to) in pairs.iter_mut().enumerate() {
        let mut numbers = [[0.0; TILE]; 2];
        numbers.iter_mut().enumerate().for_each(|(i, to)| side.read(depth + 2 * at + i, line, to));
        for lane in (0..TILE).step_by(V::LANES) {
            // SAFETY: lanes divide the 16 numbers of each row and the 16 pairs.
            unsafe {
                let [even, odd] = numbers.each_ref().map(|row| V::load(row.as_ptr().add(lane)));
                V::store_pairs(even, odd, to.as_mut_ptr().add(lane));
            }
        }
    }
    pairs
}
