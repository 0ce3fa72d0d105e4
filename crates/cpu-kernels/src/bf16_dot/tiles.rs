//! The one product behind convolutions and matrix products in bfloat16: sums of products of tiles.
//!
//! A tile of A is 16 rows of 16 pairs, a tile of B 16 pairs by 16 columns, each pair's two numbers side by
//! side; a tile of C is 16 × 16 f32 in a row. Which tiles meet is a list of steps, so that neither a
//! convolution's input patches nor the pixels of a weight's gradient are ever gathered.

use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::operands::{Operands, Step};
use crate::level::{Kernel, Level};
use crate::simd::Vector;
#[cfg(target_arch = "x86_64")]
use crate::tile_registers::TileRegisters;

/// How many rows and columns a tile of C has.
pub(crate) const TILE: usize = 16;
/// How many numbers one step has along its depth.
pub(crate) const DEPTH: usize = 32;
/// How many numbers a tile of C has.
pub(crate) const SUMS: usize = TILE * TILE;
/// How many numbers a tile of A or B has that lies in one piece.
pub(crate) const OPERAND: usize = TILE * DEPTH;

/// Writes pairs, the first number in the lower half of each, as a tile of A or B that lies in one piece.
#[inline(always)]
pub(super) fn store_pairs(pairs: &[[u32; TILE]; TILE], tile: &mut [bf16]) {
    for (pair, numbers) in pairs.as_flattened().iter().zip(tile.chunks_exact_mut(2)) {
        numbers[0] = bf16::from_bits(*pair as u16);
        numbers[1] = bf16::from_bits((*pair >> 16) as u16);
    }
}

/// `NA` × `NB` tiles of C and where their rows of A, columns of B and they themselves start, in numbers. Two
/// tiles may be the same: all are read before any is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<const NA: usize, const NB: usize> {
    pub a: [usize; NA],
    pub b: [usize; NB],
    pub c: [[usize; NB]; NA],
}

/// A product that computes for every block: C = Σ A·B over all steps, or += with `accumulate`.
pub(crate) struct Product<'a> {
    pub steps: &'a [Step],
    pub a: &'a [bf16],
    /// How far a row of A is from the next, in numbers.
    pub a_row: usize,
    pub b: &'a [bf16],
    pub c: &'a mut [f32],
    pub accumulate: bool,
}

impl Product<'_> {
    /// # Panics
    /// If a block reaches beyond an operand, or has a shape that is not 2×2, 4×1, 1×3 or 2×3.
    pub fn run<const NA: usize, const NB: usize>(
        self,
        level: Level,
        blocks: impl Iterator<Item = Block<NA, NB>>,
    ) {
        let furthest = |of: fn(Step) -> usize| self.steps.iter().map(|s| of(*s)).max();
        let a_reach = furthest(Step::a).map_or(0, |a| a + (TILE - 1) * self.a_row + DEPTH);
        let b_reach = furthest(Step::b).map_or(0, |b| b + OPERAND);
        let (a, b, c) = (self.a, self.b, self.c);
        let (a_at, b_at, c_at) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let (a_len, b_len, c_len) = (a.len(), b.len(), c.len());
        let a_row = self.a_row * size_of::<bf16>();
        let places = blocks.map(|block| {
            assert!(block.a.iter().all(|a| a + a_reach <= a_len), "A is too short");
            assert!(block.b.iter().all(|b| b + b_reach <= b_len), "B is too short");
            assert!(block.c.iter().flatten().all(|c| c + SUMS <= c_len), "C is too short");
            Operands {
                a: block.a.map(|at| a_at.wrapping_add(at).cast()),
                b: block.b.map(|at| b_at.wrapping_add(at).cast()),
                c: block.c.map(|row| row.map(|at| c_at.wrapping_add(at))),
                a_row,
            }
        });
        // SAFETY: bases, rows and steps of every block lie within the slices, as was just asserted.
        unsafe { run(level, places, self.steps, self.accumulate) };
    }
}

/// # Safety
/// Bases, rows and steps of every place must lie within their operands.
unsafe fn run<const NA: usize, const NB: usize>(
    level: Level,
    places: impl Iterator<Item = Operands<NA, NB>>,
    steps: &[Step],
    accumulate: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if level == Level::Amx {
        let tiles = TileRegisters::configure();
        // SAFETY: `Product::run` has checked the bounds of every block.
        places.for_each(|place| unsafe { by_tiles(&tiles, &place, steps, accumulate) });
        return;
    }
    level.run(ByVectors { places, steps, accumulate });
}

/// # Safety
/// Bases, rows and steps must lie within their operands.
#[cfg(target_arch = "x86_64")]
unsafe fn by_tiles<const NA: usize, const NB: usize>(
    tiles: &TileRegisters,
    o: &Operands<NA, NB>,
    steps: &[Step],
    accumulate: bool,
) {
    // SAFETY: the caller's promise; the casts are to the same type, which the match has found.
    unsafe {
        let o = &raw const *o;
        match (NA, NB) {
            (2, 2) => amx::block_2x2(tiles, &*o.cast(), steps, accumulate),
            (4, 1) => amx::block_4x1(tiles, &*o.cast(), steps, accumulate),
            (1, 3) => amx::block_1x3(tiles, &*o.cast(), steps, accumulate),
            (2, 3) => amx::block_2x3(tiles, &*o.cast(), steps, accumulate),
            _ => panic!("no block of {NA} × {NB} tiles"),
        }
    }
}

/// The product by vectors, for processors without tiles.
struct ByVectors<'a, I> {
    places: I,
    steps: &'a [Step],
    accumulate: bool,
}

impl<const NA: usize, const NB: usize, I> Kernel for ByVectors<'_, I>
where
    I: Iterator<Item = Operands<NA, NB>>,
{
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { places, steps, accumulate } = self;
        for place in places {
            for i in 0..NA {
                if i > 0 && place.c[i][0] == place.c[i - 1][0] {
                    // The same tiles again: their sums have been written already.
                    continue;
                }
                // SAFETY: `Product::run` has checked the bounds of every block.
                unsafe {
                    match V::LANES {
                        16 if NB == 1 => {
                            rows_of_tile::<V, NA, NB, TILE>(&place, i, steps, accumulate)
                        }
                        16 => rows_of_tile::<V, NA, NB, 8>(&place, i, steps, accumulate),
                        _ => rows_of_tile::<V, NA, NB, 4>(&place, i, steps, accumulate),
                    }
                }
            }
        }
    }
}

/// Computes row `i` of a block's tiles, `ROWS` rows of them at a time.
///
/// # Safety
/// As `by_tiles`; `ROWS` must divide [`TILE`].
#[inline(always)]
unsafe fn rows_of_tile<V: Vector, const NA: usize, const NB: usize, const ROWS: usize>(
    o: &Operands<NA, NB>,
    i: usize,
    steps: &[Step],
    accumulate: bool,
) {
    for row in (0..TILE).step_by(ROWS) {
        for lane in (0..TILE).step_by(V::LANES) {
            // SAFETY: rows, lanes and steps stay within tiles that the caller has promised.
            unsafe {
                let c = |r: usize, j: usize| o.c[i][j].add((row + r) * TILE + lane);
                let mut sums = [[V::splat(0.0); NB]; ROWS];
                for r in 0..ROWS {
                    for j in 0..NB {
                        if accumulate {
                            sums[r][j] = V::load(c(r, j));
                        }
                    }
                }
                for step in steps {
                    let a = o.a[i].byte_add(step.a as usize + row * o.a_row);
                    add_step(&mut sums, a, o, step.b as usize + lane * size_of::<f32>());
                }
                for r in 0..ROWS {
                    for j in 0..NB {
                        sums[r][j].store(c(r, j));
                    }
                }
            }
        }
    }
}

/// # Safety
/// `a` must be the first of the rows, and `b` the distance to a vector of columns, in bytes.
#[inline(always)]
unsafe fn add_step<V: Vector, const NA: usize, const NB: usize, const ROWS: usize>(
    sums: &mut [[V; NB]; ROWS],
    a: *const u16,
    o: &Operands<NA, NB>,
    b: usize,
) {
    for pair in 0..TILE {
        // SAFETY: the caller's promise.
        unsafe {
            let mut right = [V::splat(0.0); NB];
            for j in 0..NB {
                right[j] = V::load(o.b[j].byte_add(b + pair * TILE * size_of::<f32>()).cast());
            }
            for r in 0..ROWS {
                let left = a.byte_add(r * o.a_row).cast::<f32>().add(pair);
                let left = V::splat(left.read_unaligned());
                for j in 0..NB {
                    sums[r][j] = sums[r][j].add_products(left, right[j]);
                }
            }
        }
    }
}
