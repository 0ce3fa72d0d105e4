//! What the processor could do at most.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::level::{Kernel, Level};
use crate::simd::Vector;

/// Multiply-adds of each chain in one timed run: long enough for sleeping threads to wake.
const ROUNDS: usize = 2_000_000;
/// Independent chains: more than latency × units of any processor, fewer than its registers.
const CHAINS: usize = 12;
/// Runs, of which the best counts: a ceiling is what the machine can do when left alone.
const RUNS: usize = 7;

/// f32 multiply-adds in registers on all of rayon's threads at once, in GFLOP/s (two operations
/// each). No kernel of this level can be faster; bfloat16 too is computed in f32.
pub fn ceiling(level: Level) -> f64 {
    let threads = rayon::current_num_threads();
    let run = || {
        let start = Instant::now();
        let flop: usize =
            (0..threads).into_par_iter().with_max_len(1).map(|_| level.run(Registers)).sum();
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
        let mut lanes = [0.0f32; 16];
        for sum in sums {
            // SAFETY: no vector has more than 16 lanes.
            unsafe { sum.store(lanes.as_mut_ptr()) };
            black_box(&lanes);
        }
        2 * V::LANES * CHAINS * ROUNDS
    }
}
