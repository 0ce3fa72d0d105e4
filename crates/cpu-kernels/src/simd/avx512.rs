//! AVX-512: sixteen f32 a register, thirty-two registers. With `BF16`, the instructions for bfloat16.
//!
//! SAFETY of every block below: a value of this type exists only inside `Level::run`, which has
//! checked for the instructions; pointers are as the trait's caller grants them.
#![allow(clippy::undocumented_unsafe_blocks)]

use std::arch::x86_64::*;

use super::Vector;

/// Sixteen f32.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const BF16: bool>(__m512);

/// Sixteen f32 to bfloat16 in the lower halves of the lanes, rounded to nearest, ties to even.
#[inline(always)]
unsafe fn round(x: __m512) -> __m512i {
    unsafe {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        let rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0_0000));
        _mm512_srli_epi32::<16>(rounded)
    }
}

/// Sixteen bfloat16.
#[inline(always)]
unsafe fn narrow<const BF16: bool>(x: __m512) -> __m256i {
    unsafe {
        match BF16 {
            true => std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x)),
            false => _mm512_cvtepi32_epi16(round(x)),
        }
    }
}

/// Turns rows to columns.
///
/// # Safety
/// `to` must be writable for 256 numbers.
#[inline(always)]
unsafe fn transpose(rows: [__m512i; 16], to: *mut u32) {
    unsafe {
        // Within quarters of a register: 4×4 blocks, whose rows j..j + 4 end as columns.
        let mut blocks = rows;
        for j in (0..16).step_by(4) {
            let [a, b, c, d] = [rows[j], rows[j + 1], rows[j + 2], rows[j + 3]];
            let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            blocks[j] = _mm512_unpacklo_epi64(ab, cd);
            blocks[j + 1] = _mm512_unpackhi_epi64(ab, cd);
            let (ab, cd) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
            blocks[j + 2] = _mm512_unpacklo_epi64(ab, cd);
            blocks[j + 3] = _mm512_unpackhi_epi64(ab, cd);
        }
        // Quarters to their places: row 4 q + i is quarter q of blocks i, i + 4, i + 8, i + 12.
        for i in 0..4 {
            let [a, b, c, d] = [blocks[i], blocks[i + 4], blocks[i + 8], blocks[i + 12]];
            let even_low = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
            let odd_low = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
            let even_high = _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d);
            let odd_high = _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d);
            let row = |q: usize| to.add((4 * q + i) * 16).cast();
            let [q0, q2] = [
                _mm512_shuffle_i32x4::<0b10_00_10_00>(even_low, even_high),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(even_low, even_high),
            ];
            let [q1, q3] = [
                _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_low, odd_high),
                _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_low, odd_high),
            ];
            _mm512_storeu_si512(row(0), q0);
            _mm512_storeu_si512(row(1), q1);
            _mm512_storeu_si512(row(2), q2);
            _mm512_storeu_si512(row(3), q3);
        }
    }
}

impl<const BF16: bool> Vector for Avx512<BF16> {
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // The instruction takes whole lines only.
        match to.addr().is_multiple_of(64) {
            true => unsafe { _mm512_stream_ps(to, self.0) },
            false => unsafe { self.store(to) },
        }
    }
    #[inline(always)]
    fn fence() {
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves)))
        }
    }
    #[inline(always)]
    unsafe fn gather(from: *const f32, step: usize) -> Self {
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let places = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(step as i32));
            Self(_mm512_i32gather_ps::<4>(places, from))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut u16) {
        unsafe {
            _mm256_storeu_si256(to.cast(), narrow::<BF16>(self.0));
        }
    }
    #[inline(always)]
    unsafe fn store_pairs(low: Self, high: Self, to: *mut u32) {
        unsafe {
            let low = _mm512_cvtepu16_epi32(narrow::<BF16>(low.0));
            let high = _mm512_cvtepu16_epi32(narrow::<BF16>(high.0));
            _mm512_storeu_si512(to.cast(), _mm512_or_si512(low, _mm512_slli_epi32::<16>(high)));
        }
    }
    #[inline(always)]
    fn low_halves(self) -> Self {
        Self(unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0))) })
    }
    #[inline(always)]
    fn high_halves(self) -> Self {
        let mask = unsafe { _mm512_set1_epi32(0xffff_0000_u32 as i32) };
        let bits = unsafe { _mm512_and_si512(_mm512_castps_si512(self.0), mask) };
        Self(unsafe { _mm512_castsi512_ps(bits) })
    }
    #[inline(always)]
    fn add_products(self, a: Self, b: Self) -> Self {
        if BF16 {
            let bits = |x: __m512| unsafe { std::mem::transmute::<__m512, __m512bh>(x) };
            return Self(unsafe { _mm512_dpbf16_ps(self.0, bits(a.0), bits(b.0)) });
        }
        let first = a.low_halves().mul_add(b.low_halves(), self);
        a.high_halves().mul_add(b.high_halves(), first)
    }
    #[inline(always)]
    fn transpose(from: &[[u32; 16]; 16], to: &mut [[u32; 16]; 16]) {
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for j in 0..16 {
                rows[j] = _mm512_loadu_si512(from[j].as_ptr().cast());
            }
            transpose(rows, to.as_mut_ptr().cast());
        }
    }
    #[inline(always)]
    unsafe fn transpose_pairs(even: [*const u16; 16], odd: [*const u16; 16], to: *mut u32) {
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for j in 0..16 {
                let low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(even[j].cast()));
                let high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(odd[j].cast()));
                rows[j] = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
            }
            transpose(rows, to);
        }
    }
    #[inline(always)]
    fn prefetch(at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    fn neg_mul_add(self, factor: Self, term: Self) -> Self {
        Self(unsafe { _mm512_fnmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn where_positive(self, gate: Self) -> Self {
        Self(unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate.0, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(positive, self.0)
        })
    }
}
