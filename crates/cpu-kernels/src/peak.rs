//! The arithmetic peak of the processor: what its registers could do if nothing ever waited for memory.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::level::{Kernel, Level};
use crate::simd::Vector;
#[cfg(target_arch = "x86_64")]
use crate::tile_registers::{TileRegisters, multiply_registers};

/// Multiply-adds of each chain in one timed run: long enough for sleeping threads to wake.
const ROUNDS: usize = 2_000_000;
/// Independent chains: more than latency × units of any processor, fewer than its registers.
const CHAINS: usize = 12;
/// Runs, of which the best counts: the peak is what the machine does when left alone.
const RUNS: usize = 7;

/// The peak of a level in f32, in GFLOP/s: multiply-adds in registers, of two operations each, on all of rayon's
/// threads at once. No kernel of this level can do more. Measuring takes some tenths of a second.
pub fn peak_gflops(level: Level) -> f64 {
    best(|| level.run(Registers))
}

/// The peak of a level in bfloat16, in GFLOP/s: dot products in registers, where the level has such. Elsewhere
/// bfloat16 is widened, and this is the peak in f32.
pub fn peak_gflops_bf16(level: Level) -> f64 {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Amx => best(|| multiply_registers(&TileRegisters::configure(), ROUNDS)),
        Level::Avx512Bf16 => best(|| level.run(Pairs)),
        _ => peak_gflops(level),
    }
}

/// The best of a few runs of `work` on all threads, each returning its operations.
fn best(work: impl Fn() -> usize + Sync) -> f64 {
    let threads = rayon::current_num_threads();
    let run = || {
        let start = Instant::now();
        let flop: usize = (0..threads).into_par_iter().with_max_len(1).map(|_| work()).sum();
        flop as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..RUNS).map(|_| run()).fold(0.0, f64::max)
}

struct Registers;

impl Kernel for Registers {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self) -> usize {
        let factor = V::splat(black_box(0.999_999));
        let term = V::splat(black_box(1e-6));
        let mut sums = [V::splat(black_box(1.0)); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, term);
            }
        }
        keep(sums);
        2 * V::LANES * CHAINS * ROUNDS
    }
}

struct Pairs;

impl Kernel for Pairs {
    type Output = usize;

    #[inline(always)]
    fn run<V: Vector>(self) -> usize {
        // Two bfloat16 of about 2⁻⁶⁴ a lane.
        let factor = V::splat(f32::from_bits(black_box(0x1f80_1f80)));
        let mut sums = [V::splat(black_box(1.0)); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.add_products(factor, factor);
            }
        }
        keep(sums);
        4 * V::LANES * CHAINS * ROUNDS
    }
}

/// Has the compiler believe that somebody reads the sums.
#[inline(always)]
fn keep<V: Vector>(sums: [V; CHAINS]) {
    let mut lanes = [0.0f32; 16];
    for sum in sums {
        // SAFETY: no vector has more than 16 lanes.
        unsafe { sum.store(lanes.as_mut_ptr()) };
        black_box(&lanes);
    }
}
