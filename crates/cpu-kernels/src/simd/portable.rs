//! Plain arrays, for every processor; the compiler makes of them what its baseline has.

use half::bf16;

use super::Vector;

/// Eight f32.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for (lane, other) in lanes.iter_mut().zip(other.0) {
            *lane = f(*lane, other);
        }
        Self(lanes)
    }
}

impl Vector for Portable {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller grants eight readable numbers.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller grants eight writable numbers.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        // SAFETY: the caller grants eight readable numbers.
        let halves = unsafe { from.cast::<[u16; 8]>().read_unaligned() };
        let mut lanes = [0.0; 8];
        for (lane, half) in lanes.iter_mut().zip(halves) {
            *lane = f32::from_bits(u32::from(half) << 16);
        }
        Self(lanes)
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        let mut halves = [0; 8];
        for (half, lane) in halves.iter_mut().zip(self.0) {
            *half = bf16::from_f32(lane).to_bits();
        }
        // SAFETY: the caller grants eight writable numbers.
        unsafe { to.cast::<[u16; 8]>().write_unaligned(halves) }
    }
    #[inline(always)]
    unsafe fn store_pairs(low: Self, high: Self, to: *mut u32) {
        let mut pairs = [0; 8];
        for (pair, (low, high)) in pairs.iter_mut().zip(low.0.into_iter().zip(high.0)) {
            let [low, high] = [low, high].map(|x| u32::from(bf16::from_f32(x).to_bits()));
            *pair = low | high << 16;
        }
        // SAFETY: the caller grants eight writable pairs.
        unsafe { to.cast::<[u32; 8]>().write_unaligned(pairs) }
    }
    #[inline(always)]
    fn low_halves(self) -> Self {
        Self(self.0.map(|x| f32::from_bits(x.to_bits() << 16)))
    }
    #[inline(always)]
    fn high_halves(self) -> Self {
        Self(self.0.map(|x| f32::from_bits(x.to_bits() & 0xffff_0000)))
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    // Not `f32::mul_add`: without the instruction that is a slow library call.
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        self.mul(factor).add(term)
    }
    #[inline(always)]
    fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        term.sub(self.mul(factor))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn where_positive(self, gate: Self) -> Self {
        self.zip(gate, |a, g| if g > 0.0 { a } else { 0.0 })
    }
}
