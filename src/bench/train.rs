//! Whole updates, from the dataset's images to the new weights.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use serde::Serialize;

use super::{median, peak_memory_mib};
use crate::augment::views::ViewMaker;
use crate::config::{Config, OptimizerConfig};
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
    let (rates, accumulate) = (Rates::full(config), config.optimizer.accumulate);
    let mut batches = (0..).zip(endless_batches(config, dataset));
    let [mut waits, mut updates] = [Vec::new(), Vec::new()];
    for step in 0..WARM_UP + steps.max(1) {
        let start = Instant::now();
        let taken: Vec<_> = batches.by_ref().take(accumulate).collect();
        let waited = start.elapsed().as_secs_f64();
        let views = taken.into_iter();
        let views = views.map(|(number, batch)| Views::of_batch(batch, config, number, &device));
        learner.update(&views.collect::<Vec<_>>(), rates);
        if step >= WARM_UP {
            waits.push(waited);
            updates.push(start.elapsed().as_secs_f64());
        }
    }
    TrainBench {
        batch: config.optimizer.images_per_update(),
        sizes: [config.views.global.size, config.views.local.size],
        precision: config.compute.precision,
        images_per_second: config.optimizer.images_per_update() as f64 / median(updates),
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
    let OptimizerConfig { batch_size, accumulate, .. } = config.optimizer;
    let prefetch = PREFETCH * accumulate;
    assert!(batch_size <= dataset.len(), "fewer images than a batch");
    (0..).flat_map(move |epoch| {
        let plan = LoaderPlan {
            order: epoch_order(seed, epoch, dataset.len()),
            batch_size,
            epoch,
            first_batch: 0,
            workers: LOADER_THREADS,
            prefetch,
        };
        Loader::start(Arc::clone(&dataset), Arc::clone(&maker), plan)
    })
}
