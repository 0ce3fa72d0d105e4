//! How fast this machine is: what `logo-ssl bench` prints.
//!
//! Every figure is a median over several runs after a few that do not count. Shares are of
//! [`peak_gflops`], so they mean something on any machine.

mod knn;
mod step;
mod train;
mod update;
mod views;

use std::time::Instant;

use serde::Serialize;

pub use knn::{KnnBench, knn};
pub use step::{StepBench, StepCase, step};
pub use train::{TrainBench, train};
pub use update::{UpdateBench, update};
pub use views::{ViewsBench, views};

use crate::Result;
use crate::config::Precision;
use crate::instructions;

/// Multiply-adds in registers on all threads, in GFLOP/s.
pub fn peak_gflops(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => cpu_kernels::peak_gflops(instructions::level()),
        Precision::Bf16 => cpu_kernels::peak_gflops_bf16(instructions::level_for(precision)),
    }
}

/// A speed in GFLOP/s beside what the machine could do.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rate {
    /// Operations of the direct method a second, a multiply-add being two. Winograd's needs fewer, so
    /// this can exceed the peak.
    pub gflops: f64,
    /// The peak of the machine's registers, as [`peak_gflops`] measures it.
    #[serde(rename = "ceiling_gflops")]
    pub peak_gflops: f64,
}

impl Rate {
    fn of(flop: f64, seconds: f64, precision: Precision) -> Self {
        Self { gflops: flop / seconds / 1e9, peak_gflops: peak_gflops(precision) }
    }

    /// The part of the peak that was reached, 1 being all of it.
    pub fn share(&self) -> f64 {
        self.gflops / self.peak_gflops
    }
}

/// The median time of `runs` calls, after `warm_up` that do not count, in seconds.
///
/// # Errors
/// The first call's that fails.
fn median_seconds(
    warm_up: usize,
    runs: usize,
    mut call: impl FnMut() -> Result<()>,
) -> Result<f64> {
    (0..warm_up).try_for_each(|_| call())?;
    let times = (0..runs.max(1)).map(|_| {
        let start = Instant::now();
        call().map(|()| start.elapsed().as_secs_f64())
    });
    times.collect::<Result<_>>().map(median)
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The most memory this process ever held, in MiB, where the system says so.
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
