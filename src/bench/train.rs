//! Whole updates, from the dataset's images to the new weights.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use serde::Serialize;

use super::{median, peak_memory_mib};
use crate::augment::views::ViewMaker;
use crate::config::Config;
use crate::data::Dataset;
use crate::data::loader::{Loader, LoaderPlan, epoch_order};
use crate::engine::Precision;
use crate::train::{LOADER_THREADS, Learner, PREFETCH, Rates, Views};

const WARM_UP: usize = 2;

/// How fast images are trained on.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TrainBench {
    /// Images an update.
    pub batch: usize,
    /// Sides of the global and the local views, pixels.
    pub sizes: [usize; 2],
    /// Of the activations.
    pub precision: Precision,
    /// Images a second, each with all of its views.
    pub images_per_second: f64,
    /// Median wait of an update for its views, seconds.
    pub views_wait_seconds: f64,
    /// Most memory the process held.
    pub peak_memory_mib: Option<f64>,
}

/// `steps` updates under `config` on `dataset`'s images, as a run does them: views made beside the
/// computation, equations 6 and 9, both optimisers.
///
/// # Panics
/// If the dataset has fewer images than a batch.
pub fn train(config: &Config, dataset: &Arc<dyn Dataset>, steps: usize) -> TrainBench {
    let device = Device::flex().autodiff();
    let mut learner = Learner::new(config, &device);
    let rates = Rates {
        encoder: config.optimizer.lr,
        affinity: config.affinity.lr,
        momentum: config.framework.momentum.base,
    };
    let mut batches = endless_batches(config, dataset);
    let [mut waits, mut updates] = [Vec::new(), Vec::new()];
    for step in 0..WARM_UP + steps.max(1) {
        let start = Instant::now();
        let batch = batches.next().expect("a dataset of at least a batch has no last epoch");
        let waited = start.elapsed().as_secs_f64();
        let views = Views::of_batch(batch, config, step as u64, &device);
        learner.update(views, rates);
        if step >= WARM_UP {
            waits.push(waited);
            updates.push(start.elapsed().as_secs_f64());
        }
    }
    TrainBench {
        batch: config.optimizer.batch_size,
        sizes: [config.views.global.size, config.views.local.size],
        precision: config.compute.precision,
        images_per_second: config.optimizer.batch_size as f64 / median(updates),
        views_wait_seconds: median(waits),
        peak_memory_mib: peak_memory_mib(),
    }
}

fn endless_batches(
    config: &Config,
    dataset: &Arc<dyn Dataset>,
) -> impl Iterator<Item = crate::data::loader::ViewBatch> {
    let maker = Arc::new(ViewMaker::of_config(config));
    let (dataset, seed) = (Arc::clone(dataset), config.seed);
    let batch_size = config.optimizer.batch_size;
    assert!(batch_size <= dataset.len(), "fewer images than a batch");
    (0..).flat_map(move |epoch| {
        let plan = LoaderPlan {
            order: epoch_order(seed, epoch, dataset.len()),
            batch_size,
            epoch,
            first_batch: 0,
            workers: LOADER_THREADS,
            prefetch: PREFETCH,
        };
        Loader::start(Arc::clone(&dataset), Arc::clone(&maker), plan)
    })
}
