//! NEON: four f32 a register, thirty-two registers.
//!
//! SAFETY of every block below: every aarch64 processor has these instructions; pointers are as the
//! trait's caller grants them.
#![allow(clippy::undocumented_unsafe_blocks)]

use std::arch::aarch64::*;

use super::Vector;

/// Four f32.
#[derive(Clone, Copy)]
pub(crate) struct Neon(float32x4_t);

/// Four f32 to bfloat16 in the lower halves of the lanes, rounded to nearest, ties to even.
#[inline(always)]
unsafe fn round(x: float32x4_t) -> uint32x4_t {
    unsafe {
        let bits = vreinterpretq_u32_f32(x);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
        let rounded = vbslq_u32(vceqq_f32(x, x), rounded, vdupq_n_u32(0x7fc0_0000));
        vshrq_n_u32::<16>(rounded)
    }
}

impl Vector for Neon {
    const LANES: usize = 4;
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(unsafe { vdupq_n_f32(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { vld1q_f32(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        Self(unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from))) })
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        unsafe { vst1_u16(to, vmovn_u32(round(self.0))) }
    }
    #[inline(always)]
    unsafe fn store_pairs(low: Self, high: Self, to: *mut u32) {
        unsafe { vst1q_u32(to, vorrq_u32(round(low.0), vshlq_n_u32::<16>(round(high.0)))) }
    }
    #[inline(always)]
    fn low_halves(self) -> Self {
        Self(unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(self.0))) })
    }
    #[inline(always)]
    fn high_halves(self) -> Self {
        let mask = unsafe { vdupq_n_u32(0xffff_0000) };
        Self(unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), mask)) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(unsafe { vfmaq_f32(term.0, self.0, factor.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        Self(unsafe { vfmsq_f32(term.0, self.0, factor.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { vmaxq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn where_positive(self, gate: Self) -> Self {
        Self(unsafe {
            let positive = vcgtq_f32(gate.0, vdupq_n_f32(0.0));
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0), positive))
        })
    }
}
