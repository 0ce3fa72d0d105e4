//! Made-up runs for the tests of whoever reads records.

use super::scalars::*;
use super::{Knn, KnnResult, Record, Source};

const STEPS_PER_EPOCH: u64 = 40;

/// The metrics of a healthy run of `epochs` epochs, with or without LoGo.
pub fn records(epochs: usize, logo: bool) -> Vec<Record> {
    let mut records = vec![
        knn(0, Source::Pixels, [0.232, 0.241, 0.238]),
        knn(0, Source::Untrained, [0.321, 0.316, 0.297]),
    ];
    let total = epochs as u64 * STEPS_PER_EPOCH;
    for epoch in 0..epochs {
        let first = epoch as u64 * STEPS_PER_EPOCH;
        for step in first + 1..=first + STEPS_PER_EPOCH {
            let noise = wobble(step);
            records.push(Record::Step { step, epoch, scalars: scalars(step, total, noise, logo) });
        }
        let middle = first + STEPS_PER_EPOCH / 2;
        let (done, step) = (epoch + 1, first + STEPS_PER_EPOCH);
        let scalars = scalars(middle, total, 0.0, logo);
        records.push(Record::Epoch { epoch: done, step, scalars });
        if done % 2 == 0 || done == epochs {
            let top1 = 0.63 - 0.26 * (-3.0 * done as f64 / epochs as f64).exp();
            records.push(knn(done, Source::Trained, [top1, top1 + 0.031, top1 + 0.018]));
        }
    }
    records
}

/// The timings of a run of `epochs` epochs.
pub fn timings(epochs: usize) -> Vec<Record> {
    let timing = |epoch: usize| {
        let step_ms = if epoch == 0 { 240.0 } else { 206.0 + 4.0 * wobble(epoch as u64) };
        Record::Timing {
            epoch,
            step: (epoch as u64 + 1) * STEPS_PER_EPOCH,
            images_per_second: 256_000.0 / step_ms,
            step_ms,
            views_wait_ms: 3.1,
            bookkeeping_ms: 0.4,
            views_cpu_ms: (epoch > 0).then_some(58.0),
        }
    };
    let evaluation = Record::Evaluation { epoch: epochs, seconds: 4.2 };
    (0..epochs).map(timing).chain([evaluation]).collect()
}

fn scalars(step: u64, total: u64, noise: f64, logo: bool) -> Scalars {
    let left = (-5.0 * step as f64 / total as f64).exp();
    let global_global = -0.88 + 0.8 * left + 0.05 * noise;
    let local_global = -2.9 + 2.6 * left + 0.15 * noise;
    let local_local = 0.74 + 0.5 * left + 0.04 * noise;
    let of_local = if logo { local_global + 1e-4 * local_local } else { 0.0 };
    let plain = [
        (LR, 0.03 * (1.0 + (std::f64::consts::PI * step as f64 / total as f64).cos()) / 2.0),
        (LOSS, global_global + of_local),
        (GLOBAL_GLOBAL, global_global),
        (Z_STD, 0.079 - 0.034 * left + 0.0015 * noise),
        (COS_GG, 0.86 - 0.5 * left + 0.02 * noise),
        (GRAD_NORM, 1.2 + 0.3 * noise),
    ];
    let with_logo = [
        (LOCAL_GLOBAL, local_global),
        (LOCAL_LOCAL, local_local),
        (AFFINITY_SAME, 0.79 + 0.02 * noise),
        (AFFINITY_DIFFERENT, 0.61 - 0.02 * noise),
        (OMEGA, 0.18 + 0.04 * noise),
        (COS_LG, 0.71 - 0.45 * left + 0.03 * noise),
        (COS_LL, 0.58 - 0.4 * left + 0.03 * noise),
    ];
    plain.into_iter().chain(with_logo.into_iter().filter(|_| logo)).collect()
}

fn knn(epoch: usize, source: Source, top1: [f64; 3]) -> Record {
    let result = |(k, top1): (usize, f64)| {
        let top5 = if k == 1 { top1 } else { (top1 + 0.3).min(1.0) };
        KnnResult { k, weighted: k > 1, top1, top5 }
    };
    let results = [1, 20, 200].into_iter().zip(top1).map(result).collect();
    Record::Knn(Knn { epoch, source, train_images: 4_000, test_images: 1_000, results })
}

/// Noise between -1.5 and 1.5, the same for the same `step`.
fn wobble(step: u64) -> f64 {
    let mix = |salt: u64| (step * salt % 1_009) as f64 / 1_009.0 - 0.5;
    mix(7_919) + mix(104_729) + mix(611_953)
}
