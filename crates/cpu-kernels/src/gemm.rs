//! The two matrix products everything rests on, with register tiles and no copies of A.
//!
//! [`Rows`] is C = A·B, where a row of A is gathered from several contiguous segments of memory: a
//! convolution's input patches where they lie (implicit GEMM), or one plain row. [`Outer`] is
//! C += Aᵀ·D over many pixels: the gradients of weights.

use crate::level::{Kernel, Level};
use crate::part::Part;
use crate::simd::Vector;

/// How many columns a packed panel of B has; channels are padded to a multiple of it.
pub(crate) const PANEL: usize = 16;

/// Steps of the innermost loop that are written out. With one, Zen 3 reached 72 % of its peak on
/// operands in the first-level cache; with four, 96 %.
const UNROLL: usize = 4;

/// Where one row of the product lies, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Start of A's row; segments count from here.
    pub a: u32,
    /// Start of C's row.
    pub c: u32,
}

/// The rows of a product and the furthest of them, against which bounds are checked once.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowTable {
    rows: Vec<Row>,
}

impl RowTable {
    /// A table of rows that start at these offsets of A and C, in elements.
    ///
    /// # Panics
    /// If an offset exceeds 2³² elements.
    pub fn new(offsets: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let narrow = |x: usize| u32::try_from(x).expect("a slab holds fewer than 2^32 numbers");
        let rows = offsets.into_iter().map(|(a, c)| Row { a: narrow(a), c: narrow(c) }).collect();
        Self { rows }
    }

    /// A table of `count` rows at constant distances in A and C, in elements.
    pub(crate) fn strided(count: usize, a: usize, c: usize) -> Self {
        Self::new((0..count).map(|row| (row * a, row * c)))
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// A contiguous part of every row of A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it begins, counted from the row's start, in elements.
    pub offset: usize,
    /// How long it is, in elements.
    pub len: usize,
}

/// A product whose result is computed by register tiles.
trait Tiled {
    /// What the tiles under one group of columns hand on from one to the next.
    type Carried;

    /// How many rows C has.
    fn rows(&self) -> usize;
    /// How many columns C has, a multiple of [`PANEL`].
    fn columns(&self) -> usize;
    /// What the first tile under `width` columns from `column` on begins with.
    fn column(&self, column: usize, width: usize) -> Self::Carried;
    /// Computes one tile.
    ///
    /// # Safety
    /// The product's operands must have been checked; rows `row..row + ROWS` and `VECTORS` vectors of columns
    /// from `column` on must exist.
    unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
        carried: &mut Self::Carried,
    );
}

/// Computes all tiles of a product, in shapes whose sums, with a row of B and a number of A, fill the registers.
///
/// # Safety
/// The product's operands must have been checked.
#[inline(always)]
unsafe fn all_tiles<V: Vector, P: Tiled>(product: &mut P) {
    // SAFETY: the caller's promise.
    unsafe {
        match V::LANES {
            16 => {
                // A pointer for each row: twelve are more than the general registers hold.
                let rest = columns_of_tiles::<V, P, 6, 4>(product, 0);
                let rest = columns_of_tiles::<V, P, 12, 2>(product, rest);
                columns_of_tiles::<V, P, 12, 1>(product, rest)
            }
            8 if V::TILE_ROWS == 6 => columns_of_tiles::<V, P, 6, 2>(product, 0),
            8 => columns_of_tiles::<V, P, 2, 2>(product, 0),
            _ => columns_of_tiles::<V, P, 6, 4>(product, 0),
        };
    }
}

/// Computes all tiles of `ROWS` × `VECTORS` from column `first` on, and returns where the columns begin that do not
/// fill one.
///
/// # Safety
/// The product's operands must have been checked.
#[inline(always)]
unsafe fn columns_of_tiles<V: Vector, P: Tiled, const ROWS: usize, const VECTORS: usize>(
    product: &mut P,
    first: usize,
) -> usize {
    let width = VECTORS * V::LANES;
    let mut column = first;
    while column + width <= product.columns() {
        // SAFETY: the columns named exist; the rest is the caller's promise.
        unsafe { column_of_tiles::<V, P, ROWS, VECTORS>(product, column) };
        column += width;
    }
    column
}

/// Computes the tiles under one group of columns, from the first row to the last; where fewer than `ROWS` are left, tiles
/// of 4, 2 and 1.
///
/// # Safety
/// The product's operands must have been checked, and `VECTORS` vectors of columns from `column` on exist.
#[inline(always)]
unsafe fn column_of_tiles<V: Vector, P: Tiled, const ROWS: usize, const VECTORS: usize>(
    product: &mut P,
    column: usize,
) {
    let rows = product.rows();
    let mut carried = product.column(column, VECTORS * V::LANES);
    let mut row = 0;
    // SAFETY: each call takes rows that are there.
    unsafe {
        while row + ROWS <= rows {
            product.tile::<V, ROWS, VECTORS>(row, column, &mut carried);
            row += ROWS;
        }
        while ROWS > 4 && row + 4 <= rows {
            product.tile::<V, 4, VECTORS>(row, column, &mut carried);
            row += 4;
        }
        while ROWS > 2 && row + 2 <= rows {
            product.tile::<V, 2, VECTORS>(row, column, &mut carried);
            row += 2;
        }
        while row < rows {
            product.tile::<V, 1, VECTORS>(row, column, &mut carried);
            row += 1;
        }
    }
}

/// C[row][column] = Σ A[row][k] B[k][column], or += with `accumulate`.
pub(crate) struct Rows<'a> {
    pub rows: &'a [Row],
    pub segments: &'a [Segment],
    pub a: &'a [f32],
    /// `panels` panels, each `[depth, PANEL]`, `panel_stride` apart.
    pub b: &'a [f32],
    pub panel_stride: usize,
    pub panels: usize,
    pub c: Part<'a>,
    pub accumulate: bool,
}

impl Rows<'_> {
    /// # Panics
    /// If an operand is shorter than the rows, segments and panels say.
    pub fn run(self, level: Level) {
        if self.rows.is_empty() || self.panels == 0 {
            return;
        }
        let depth: usize = self.segments.iter().map(|s| s.len).sum();
        let reach = self.segments.iter().map(|s| s.offset + s.len).max().unwrap_or(0);
        let furthest = |of: fn(&Row) -> u32| self.rows.iter().map(of).max().unwrap_or(0) as usize;
        assert!(furthest(|row| row.a) + reach <= self.a.len(), "A ends before its last row");
        assert!(self.has_all_of_c(furthest(|row| row.c)), "C is too short");
        assert!((self.panels - 1) * self.panel_stride + depth * PANEL <= self.b.len(), "B");
        level.run(self);
    }

    /// Where C is one stretch of memory the furthest row tells.
    fn has_all_of_c(&self, furthest: usize) -> bool {
        let has = |start: usize| self.c.has(start, self.panels * PANEL);
        match self.c.rows() {
            1 => has(furthest),
            _ => self.rows.iter().all(|row| has(row.c as usize)),
        }
    }
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        // SAFETY: `Rows::run` has checked that all rows, segments and panels lie within A, B and C.
        unsafe { all_tiles::<V, Self>(&mut self) }
    }
}

impl Tiled for Rows<'_> {
    type Carried = Prefetch;

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn columns(&self) -> usize {
        self.panels * PANEL
    }

    /// The first tiles fetch a share each of the panel behind this column; B is often read from beyond the
    /// second-level cache, and the first tile under a panel would wait for all of it.
    #[inline(always)]
    fn column(&self, column: usize, width: usize) -> Prefetch {
        let depth: usize = self.segments.iter().map(|s| s.len).sum();
        let share = depth.div_ceil(UNROLL) * PANEL;
        let behind = (column + width).div_ceil(PANEL);
        let next = self.b.as_ptr().wrapping_add(behind * self.panel_stride);
        Prefetch { next, last: next.wrapping_add((UNROLL - 1) * share), share }
    }

    #[inline(always)]
    unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
        prefetch: &mut Prefetch,
    ) {
        let rows = &self.rows[row..row + ROWS];
        // SAFETY: the caller's promise.
        unsafe { tile::<V, ROWS, VECTORS>(self, rows, column / PANEL, prefetch.share()) }
    }
}

/// What the tiles under one panel fetch of the next.
struct Prefetch {
    next: *const f32,
    last: *const f32,
    /// How much a tile fetches, in numbers.
    share: usize,
}

impl Prefetch {
    /// Where the next tile's share begins; the last share again where they run out.
    #[inline(always)]
    fn share(&mut self) -> *const f32 {
        let next = self.next;
        if next != self.last {
            self.next = next.wrapping_add(self.share);
        }
        next
    }
}

/// Computes one tile, accumulated in registers over the whole depth. On the way, a line from `ahead` on is
/// fetched for each [`UNROLL`] steps; `ahead` is never read.
///
/// # Safety
/// As [`Rows::run`] checks; `rows` must have `ROWS` entries.
#[inline(always)]
unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
    product: &mut Rows<'_>,
    rows: &[Row],
    panel: usize,
    mut ahead: *const f32,
) {
    // SAFETY: all offsets are within what `Rows::run` has checked.
    unsafe {
        let c = product.c.start().add(panel * PANEL);
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        if product.accumulate {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    sums[i][j] = V::load(c.add(rows[i].c as usize + j * V::LANES));
                }
            }
        }
        let mut b = product.b.as_ptr().add(panel * product.panel_stride);
        for segment in product.segments {
            let mut a = [product.a.as_ptr(); ROWS];
            for i in 0..ROWS {
                a[i] = a[i].add(rows[i].a as usize + segment.offset);
            }
            let mut k = 0;
            while k + UNROLL <= segment.len {
                V::prefetch(ahead);
                ahead = ahead.wrapping_add(PANEL);
                for step in 0..UNROLL {
                    multiply_row(&mut sums, a, k + step, b, product.panel_stride);
                    b = b.add(PANEL);
                }
                k += UNROLL;
            }
            while k < segment.len {
                multiply_row(&mut sums, a, k, b, product.panel_stride);
                b = b.add(PANEL);
                k += 1;
            }
        }
        for i in 0..ROWS {
            for j in 0..VECTORS {
                sums[i][j].store(c.add(rows[i].c as usize + j * V::LANES));
            }
        }
    }
}

/// sums += A[.., k] · B[k, ..]
///
/// # Safety
/// Every row of A must reach beyond `k`, and `b` be the start of row k in the first of the panels.
#[inline(always)]
unsafe fn multiply_row<V: Vector, const ROWS: usize, const VECTORS: usize>(
    sums: &mut [[V; VECTORS]; ROWS],
    a: [*const f32; ROWS],
    k: usize,
    b: *const f32,
    panel_stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut right = [V::splat(0.0); VECTORS];
        for j in 0..VECTORS {
            let column = j * V::LANES;
            right[j] = V::load(b.add(column / PANEL * panel_stride + column % PANEL));
        }
        for i in 0..ROWS {
            let left = V::splat(*a[i].add(k));
            for j in 0..VECTORS {
                sums[i][j] = left.mul_add(right[j], sums[i][j]);
            }
        }
    }
}

/// A stretch of pixels at constant distances in A and D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where the first pixel starts in A and in D.
    pub a: usize,
    pub d: usize,
    /// How far the next pixel is in A and in D.
    pub a_step: usize,
    pub d_step: usize,
    /// How many pixels there are.
    pub count: usize,
}

/// C[i][column] = Σ over pixels of A[pixel][i] D[pixel][column] for `rows` values of i, or += with
/// `accumulate`.
pub(crate) struct Outer<'a> {
    pub stretches: &'a [Stretch],
    /// A and where in each pixel the first of the `rows` numbers lies.
    pub a: &'a [f32],
    pub a_offset: usize,
    pub rows: usize,
    pub d: &'a [f32],
    /// A multiple of [`PANEL`].
    pub columns: usize,
    /// `[rows, columns]`
    pub c: &'a mut [f32],
    pub accumulate: bool,
}

impl Outer<'_> {
    /// # Panics
    /// If an operand is shorter than the stretches, rows and columns say.
    pub fn run(self, level: Level) {
        assert_eq!(self.columns % PANEL, 0, "columns come in panels");
        assert!(self.c.len() >= self.rows * self.columns, "C is too short");
        for s in self.stretches.iter().filter(|s| s.count > 0) {
            let last = s.count - 1;
            assert!(s.a + last * s.a_step + self.a_offset + self.rows <= self.a.len(), "A");
            assert!(s.d + last * s.d_step + self.columns <= self.d.len(), "D");
        }
        level.run(self);
    }
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        // SAFETY: `Outer::run` has checked that all stretches lie within A and D, and C's size.
        unsafe { all_tiles::<V, Self>(&mut self) }
    }
}

impl Tiled for Outer<'_> {
    type Carried = ();

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    fn column(&self, _column: usize, _width: usize) {}

    #[inline(always)]
    unsafe fn tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        column: usize,
        (): &mut (),
    ) {
        // SAFETY: the caller's promise.
        unsafe { outer_tile::<V, ROWS, VECTORS>(self, row, column) }
    }
}

/// # Safety
/// As [`Outer::run`] checks; rows `row..row + ROWS` and `VECTORS` vectors of columns must exist.
#[inline(always)]
unsafe fn outer_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(
    product: &mut Outer<'_>,
    row: usize,
    column: usize,
) {
    // SAFETY: all offsets are within what `Outer::run` has checked.
    unsafe {
        let c = product.c.as_mut_ptr().add(row * product.columns + column);
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        if product.accumulate {
            for i in 0..ROWS {
                for j in 0..VECTORS {
                    sums[i][j] = V::load(c.add(i * product.columns + j * V::LANES));
                }
            }
        }
        for s in product.stretches {
            let mut a = product.a.as_ptr().wrapping_add(s.a + product.a_offset + row);
            let mut d = product.d.as_ptr().wrapping_add(s.d + column);
            for _ in 0..s.count {
                let mut right = [V::splat(0.0); VECTORS];
                for j in 0..VECTORS {
                    right[j] = V::load(d.add(j * V::LANES));
                }
                for i in 0..ROWS {
                    let left = V::splat(*a.add(i));
                    for j in 0..VECTORS {
                        sums[i][j] = left.mul_add(right[j], sums[i][j]);
                    }
                }
                // One step past the last pixel may lie outside; it is never read.
                a = a.wrapping_add(s.a_step);
                d = d.wrapping_add(s.d_step);
            }
        }
        for i in 0..ROWS {
            for j in 0..VECTORS {
                sums[i][j].store(c.add(i * product.columns + j * V::LANES));
            }
        }
    }
}
