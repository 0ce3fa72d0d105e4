//! Plain matrix products, for the heads. A task has a part of the result; block of depth by block of depth it
//! packs what it needs of the operands near the processor and multiplies.
//!
//! Every number of the result is one chain of multiply-adds in the order of its depth, however the work is
//! cut. So the bytes do not depend on the threads.

use rayon::prelude::*;

use crate::gemm::{PANEL, RowTable, Rows, Segment};
use crate::level::{Kernel, Level};
use crate::part::{Part, Place};
use crate::simd::Vector;
use crate::workspace::Workspace;

/// Depth that is multiplied before the next.
const DEPTH: usize = 512;
/// Columns of B that are packed at once.
const COLUMNS: usize = 128;
/// Rows of A that meet all of these before the next.
const ROWS: usize = 96;
/// What a part's rows and columns are cut at, so that register tiles are whole.
const WHOLE: [usize; 2] = [12, 4 * PANEL];
/// Parts a thread, of the least size that is worth one.
const PARTS: usize = 2;
const LEAST: [usize; 2] = [48, 4 * PANEL];

/// A matrix in memory, row by row without gaps.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// The numbers of the matrix, row by row.
    pub numbers: &'a [f32],
    /// Whether the transpose of what lies there takes part in the product.
    pub transposed: bool,
}

impl<'a> Matrix<'a> {
    /// The matrix as it lies in memory.
    pub fn plain(numbers: &'a [f32]) -> Self {
        Self { numbers, transposed: false }
    }

    /// The transpose of the matrix that lies in memory.
    pub fn transposed(numbers: &'a [f32]) -> Self {
        Self { numbers, transposed: true }
    }
}

/// `c = a·b`, or `c += a·b` with `accumulate`, on rayon's threads; a is m × k, b is k × n, and c is m × n, row by
/// row.
///
/// # Panics
/// If an operand is of another size.
pub fn matmul(
    level: Level,
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    accumulate: bool,
    workspace: &Workspace,
) {
    assert_sizes([m, n, k], a, b, c);
    match (m * n, k) {
        (0, _) => {}
        (_, 0) if accumulate => {}
        (_, 0) => c.fill(0.0),
        _ => {
            let product = Product { level, size: [m, n, k], a, b, accumulate, workspace };
            let whole = Place::whole(Part::of(c, n));
            let mut parts = vec![];
            product.cut(whole, PARTS * rayon::current_num_threads(), &mut parts);
            parts.into_par_iter().with_max_len(1).for_each(|part| product.run(part));
        }
    }
}

/// # Panics
/// If an operand of c = a·b is of another size.
pub(crate) fn assert_sizes([m, n, k]: [usize; 3], a: Matrix<'_>, b: Matrix<'_>, c: &[f32]) {
    assert_eq!(a.numbers.len(), m * k, "a is m × k");
    assert_eq!(b.numbers.len(), k * n, "b is k × n");
    assert_eq!(c.len(), m * n, "c is m × n");
}

struct Product<'a> {
    level: Level,
    size: [usize; 3],
    a: Matrix<'a>,
    b: Matrix<'a>,
    accumulate: bool,
    workspace: &'a Workspace,
}

impl Product<'_> {
    /// Cuts the place in `count` parts, as far as they are large enough.
    fn cut<'c>(&self, place: Place<'c>, count: usize, parts: &mut Vec<Place<'c>>) {
        let [rows, columns] = [place.part.rows(), place.part.columns()];
        let can = [rows >= 2 * LEAST[0], columns >= 2 * LEAST[1]];
        if count <= 1 || can == [false; 2] {
            parts.push(place);
            return;
        }
        // Every part packs its columns of B, and its rows of A if these lie transposed.
        let along_rows = match can {
            [true, true] => self.a.transposed && rows >= columns,
            [along_rows, _] => along_rows,
        };
        let [first, second] = match along_rows {
            true => place.split_rows((rows / 2).next_multiple_of(WHOLE[0])),
            false => place.split_columns((columns / 2).next_multiple_of(WHOLE[1])),
        };
        self.cut(first, count.div_ceil(2), parts);
        self.cut(second, count / 2, parts);
    }

    fn run(&self, mut place: Place<'_>) {
        let [_, _, k] = self.size;
        let (rows, columns) = (place.part.rows(), place.part.columns());
        let mut left = self.a.transposed.then(|| self.workspace.take(rows * DEPTH));
        let panels = columns.min(COLUMNS).div_ceil(PANEL);
        let mut right = self.workspace.take(panels * DEPTH * PANEL);
        for first in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - first);
            if let Some(left) = &mut left {
                self.pack_rows(place.row, [first, depth], left);
            }
            let (a, a_stride) = match &left {
                Some(left) => (&left[..], DEPTH),
                None => (&self.a.numbers[place.row * k + first..], k),
            };
            for column in (0..columns).step_by(COLUMNS) {
                let c = place.part.columns_in(column..columns.min(column + COLUMNS));
                self.pack_panels(place.column + column, c.columns(), [first, depth], &mut right);
                let accumulate = self.accumulate || first > 0;
                let block = Block { product: self, a, a_stride, b: &right, depth, accumulate };
                block.run(c);
            }
        }
    }

    /// Packs rows of A from its transpose, [`DEPTH`] apart.
    fn pack_rows(&self, row: usize, [first, depth]: [usize; 2], to: &mut [f32]) {
        let [m, _, _] = self.size;
        let from = &self.a.numbers[first * m + row..];
        let size = [depth, to.len() / DEPTH];
        self.level.run(Turn { from, from_stride: m, size, to, to_stride: DEPTH });
    }

    /// Packs columns of B as `[panels, depth, PANEL]`. What is missing to the last panel is left as it was.
    fn pack_panels(&self, column: usize, columns: usize, block: [usize; 2], to: &mut [f32]) {
        let ([_, n, k], [first, depth]) = (self.size, block);
        if !self.b.transposed {
            let rows = self.b.numbers[first * n + column..].chunks(n);
            return copy_panels(rows.map(|row| &row[..columns]).take(depth), depth, to);
        }
        let panels = to.chunks_mut(depth * PANEL);
        for (at, to) in (0..columns).step_by(PANEL).zip(panels) {
            let from = &self.b.numbers[(column + at) * k + first..];
            let size = [PANEL.min(columns - at), depth];
            self.level.run(Turn { from, from_stride: k, size, to, to_stride: PANEL });
        }
    }
}

/// A strip of columns over one block of depth.
struct Block<'a> {
    product: &'a Product<'a>,
    a: &'a [f32],
    a_stride: usize,
    b: &'a [f32],
    depth: usize,
    accumulate: bool,
}

impl Block<'_> {
    fn run(&self, mut c: Part<'_>) {
        let (rows, columns) = (c.rows(), c.columns());
        let whole = columns / PANEL * PANEL;
        self.multiply(0, c.columns_in(0..whole));
        if whole == columns {
            return;
        }
        let mut c = c.columns_in(whole..columns);
        let mut sums = self.product.workspace.take::<f32>(rows * PANEL);
        for (row, sums) in sums.chunks_mut(PANEL).enumerate().filter(|_| self.accumulate) {
            sums[..columns - whole].copy_from_slice(c.row(row));
        }
        self.multiply(whole / PANEL, Part::of(&mut sums, PANEL));
        for (row, sums) in sums.chunks(PANEL).enumerate() {
            c.row(row).copy_from_slice(&sums[..columns - whole]);
        }
    }

    /// Into whole panels, of which `panel` is the first.
    fn multiply(&self, panel: usize, mut c: Part<'_>) {
        let table = RowTable::strided(c.rows(), self.a_stride, c.stride());
        let columns = c.columns();
        let panel_stride = self.depth * PANEL;
        for rows in table.rows().chunks(ROWS) {
            let product = Rows {
                rows,
                segments: &[Segment { offset: 0, len: self.depth }],
                a: self.a,
                b: &self.b[panel * panel_stride..],
                panel_stride,
                panels: columns / PANEL,
                c: c.columns_in(0..columns),
                accumulate: self.accumulate,
            };
            product.run(self.product.level);
        }
    }
}

/// Panels of `depth` from as many rows.
fn copy_panels<'a>(rows: impl Iterator<Item = &'a [f32]>, depth: usize, panels: &mut [f32]) {
    for (at, row) in rows.enumerate() {
        let (whole, rest) = row.as_chunks::<PANEL>();
        let mut to = at * PANEL;
        for numbers in whole {
            panels[to..][..PANEL].copy_from_slice(numbers);
            to += depth * PANEL;
        }
        if !rest.is_empty() {
            panels[to..][..rest.len()].copy_from_slice(rest);
        }
    }
}

/// Turns rows to columns: `to[j][i] = from[i][j]`.
struct Turn<'a> {
    from: &'a [f32],
    from_stride: usize,
    /// Rows and columns of `from`.
    size: [usize; 2],
    to: &'a mut [f32],
    to_stride: usize,
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { from, from_stride, size: [rows, columns], to, to_stride } = self;
        for i in (0..rows).step_by(PANEL) {
            for j in (0..columns).step_by(PANEL) {
                let from = &from[i * from_stride + j..];
                let to = &mut to[j * to_stride + i..];
                let there = [rows - i, columns - j];
                match there.iter().all(|size| *size >= PANEL) {
                    true => turn_block::<V>(from, from_stride, to, to_stride),
                    false => turn_part(from, from_stride, there, to, to_stride),
                }
            }
        }
    }
}

#[inline(always)]
fn turn_block<V: Vector>(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
    let mut block = [[0u32; PANEL]; PANEL];
    for (row, line) in block.iter_mut().enumerate() {
        let numbers = &from[row * from_stride..][..PANEL];
        line.iter_mut().zip(numbers).for_each(|(to, x)| *to = x.to_bits());
    }
    let mut turned = [[0u32; PANEL]; PANEL];
    V::transpose(&block, &mut turned);
    for (row, line) in turned.iter().enumerate() {
        let numbers = &mut to[row * to_stride..][..PANEL];
        numbers.iter_mut().zip(line).for_each(|(to, bits)| *to = f32::from_bits(*bits));
    }
}

/// Turns the part of a block that `size` says is there, in rows and columns.
#[inline(always)]
fn turn_part(from: &[f32], from_stride: usize, size: [usize; 2], to: &mut [f32], to_stride: usize) {
    let [rows, columns] = size.map(|size| size.min(PANEL));
    for i in 0..rows {
        for j in 0..columns {
            to[j * to_stride + i] = from[i * from_stride + j];
        }
    }
}
