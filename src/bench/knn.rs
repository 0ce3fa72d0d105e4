//! Exact nearest neighbours.

use cpu_kernels::Bank;
use rand::RngExt;
use serde::Serialize;

use super::{Rate, median_seconds};
use crate::config::Precision;
use crate::instructions;
use logo_ssl_base::rng::{Stream, generator};

const WARM_UP: usize = 1;
const RUNS: usize = 3;

/// How fast neighbours are found, packing the bank included.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct KnnBench {
    /// Vectors searched for.
    pub queries: usize,
    /// Vectors searched among.
    pub bank: usize,
    /// Their dimensions.
    pub dim: usize,
    /// Neighbours each.
    pub k: usize,
    /// For all queries.
    pub seconds: f64,
    /// Of the inner products.
    pub rate: Rate,
}

/// The `k` nearest among `bank` random vectors, for each of `queries`.
pub fn knn(queries: usize, bank: usize, dim: usize, k: usize) -> KnnBench {
    let mut rng = generator(0, Stream::Init, 2, 0, 0);
    let mut random = |count: usize| -> Vec<f32> {
        (0..count * dim).map(|_| rng.random_range(-1.0..1.0f32)).collect()
    };
    let (rows, asked) = (random(bank), random(queries));
    let search = || {
        let packed = Bank::new(instructions::level(), &rows, dim);
        std::hint::black_box(packed.nearest(&asked, k, |_, nearest| nearest.len()));
    };
    let seconds = median_seconds(WARM_UP, RUNS, || {
        search();
        Ok(())
    });
    let seconds = seconds.expect("a search among numbers cannot fail");
    let flop = 2.0 * (queries * bank) as f64 * dim as f64;
    KnnBench { queries, bank, dim, k, seconds, rate: Rate::of(flop, seconds, Precision::F32) }
}
