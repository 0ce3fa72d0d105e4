//! Vectors of f32 of the width the processor has, behind one trait.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

/// A register of f32 lanes.
///
/// Values exist only inside [`Level::run`](crate::Level::run), which has checked that the processor
/// has the instructions behind them. All methods are `#[inline(always)]`, and kernels use no closures
/// around them: only so does the code end up in the one function compiled for those instructions.
pub(crate) trait Vector: Copy {
    /// How many f32 one register holds; divides 16.
    const LANES: usize;
    /// How many rows a matrix product's register tile has: with as many columns as suit them,
    /// the accumulators, one row of B and one element of A fill the register file.
    const TILE_ROWS: usize;

    /// The vector whose lanes are all `x`.
    fn splat(x: f32) -> Self;
    /// Reads `LANES` numbers.
    ///
    /// # Safety
    /// `from` must be readable for `LANES` numbers; any alignment will do.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes `LANES` numbers.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` numbers; any alignment will do.
    unsafe fn store(self, to: *mut f32);
    /// Writes `LANES` numbers that nobody reads soon: past the caches, where there is such an
    /// instruction, which spares reading the lines first.
    ///
    /// # Safety
    /// As for [`Vector::store`].
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.store(to) }
    }
    /// Orders what [`Vector::stream`] has written before what follows.
    #[inline(always)]
    fn fence() {}
    /// Reads `LANES` bfloat16, which are f32 without their low halves.
    ///
    /// # Safety
    /// `from` must be readable for `LANES` numbers.
    unsafe fn load_bf16(from: *const u16) -> Self;
    /// Reads `LANES` numbers, `step` apart.
    ///
    /// # Safety
    /// All of them must be readable, and their distance at most 2³¹ bytes.
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize) -> Self {
        let mut lanes = [0.0f32; 16];
        for (lane, number) in lanes.iter_mut().enumerate().take(Self::LANES) {
            // SAFETY: the caller's promise.
            *number = unsafe { *from.add(lane * step) };
        }
        // SAFETY: no vector has more than 16 lanes.
        unsafe { Self::load(lanes.as_ptr()) }
    }
    /// Writes `LANES` bfloat16, rounded to nearest, ties to even.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` numbers.
    unsafe fn store_bf16(self, to: *mut u16);
    /// Writes `LANES` pairs of bfloat16, rounded likewise: `low` in the lower half of each.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` pairs.
    unsafe fn store_pairs(low: Self, high: Self, to: *mut u32);
    /// Has the line that holds `at` fetched into the second-level cache, where there is such an
    /// instruction. Any address will do.
    fn prefetch(_at: *const f32) {}

    /// self + other
    fn add(self, other: Self) -> Self;
    /// self - other
    fn sub(self, other: Self) -> Self;
    /// self · other
    fn mul(self, other: Self) -> Self;
    /// self · factor + term, fused where the processor can.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// term - self · factor, fused where the processor can.
    fn neg_mul_add(self, factor: Self, term: Self) -> Self;
    /// The larger of each pair of lanes.
    fn max(self, other: Self) -> Self;
    /// Lanes that hold pairs of bfloat16 to the lower of each pair, widened.
    fn low_halves(self) -> Self;
    /// The same to the upper of each pair.
    fn high_halves(self) -> Self;
    /// self + both products of the pairs of bfloat16 that `a` and `b` hold.
    #[inline(always)]
    fn add_products(self, a: Self, b: Self) -> Self {
        let first = a.low_halves().mul_add(b.low_halves(), self);
        a.high_halves().mul_add(b.high_halves(), first)
    }
    /// `to[i][j] = from[j][i]`, 16 × 16.
    #[inline(always)]
    fn transpose(from: &[[u32; 16]; 16], to: &mut [[u32; 16]; 16]) {
        for i in 0..16 {
            for j in 0..16 {
                to[i][j] = from[j][i];
            }
        }
    }
    /// From rows of pairs to columns of pairs: `to[i][j]` is the pair `(even[j][i], odd[j][i])`.
    ///
    /// # Safety
    /// Each of `even` and `odd` must be readable for 16 numbers, `to` writable for 256 pairs.
    #[inline(always)]
    unsafe fn transpose_pairs(even: [*const u16; 16], odd: [*const u16; 16], to: *mut u32) {
        for j in 0..16 {
            for i in 0..16 {
                // SAFETY: the caller's promise.
                unsafe {
                    let pair = u32::from(*even[j].add(i)) | u32::from(*odd[j].add(i)) << 16;
                    to.add(i * 16 + j).write(pair);
                }
            }
        }
    }
    /// self where `gate` > 0, else 0. This is the backward pass of ReLU.
    fn where_positive(self, gate: Self) -> Self;
}
