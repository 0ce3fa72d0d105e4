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
    /// Rows of a matrix product's register tile: with as many columns as suit them,
    /// the accumulators, one row of B and one element of A fill the register file.
    const TILE_ROWS: usize;

    /// All lanes `x`.
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
    /// The same for numbers that nobody reads soon: past the caches, where there is such an
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
    /// Writes `LANES` bfloat16, rounded to nearest, ties to even.
    ///
    /// # Safety
    /// `to` must be writable for `LANES` numbers.
    unsafe fn store_bf16(self, to: *mut u16);
    /// self + other
    /// Has the line that holds `at` fetched into the second-level cache, where there is such an
    /// instruction. Any address will do.
    fn prefetch(_at: *const f32) {}

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
    /// self where `gate` > 0, else 0. This is the backward pass of ReLU.
    fn where_positive(self, gate: Self) -> Self;
}
