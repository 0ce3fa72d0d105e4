//! Whole updates, from the dataset's images to the new weights.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::{median, peak_memory_mib};
use crate::Result;
use crate::augment::views::ViewMaker;
use crate::config::{Config, OptimizerConfig, Precision};
use crate::data::Images;
use crate::executor::Device;
use crate::loader::{Loader, LoaderPlan, ViewBatch, epoch_order};
use crate::train::{Learner, PREFETCH, Rates, Views};

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

/// `steps` updates under `config` on `images`, as a run does them: views made beside the
/// computation, equations 6 and 9, both optimisers.
///
/// # Errors
/// [`crate::Error::Broken`] when too many images cannot be read.
///
/// # Panics
/// If there are fewer images than a batch.
pub fn train(
    config: &Config,
    images: &Images,
    steps: usize,
    device: &Device,
) -> Result<TrainBench> {
    let mut learner = Learner::new(config, device)?;
    let (rates, accumulate) = (Rates::full(config), config.optimizer.accumulate);
    let mut batches = (0..).zip(endless_batches(config, images));
    let [mut waits, mut updates] = [Vec::new(), Vec::new()];
    let mut pending = None;
    for step in 0..WARM_UP + steps.max(1) {
        let start = Instant::now();
        let taken: Vec<_> = batches.by_ref().take(accumulate).collect();
        let waited = start.elapsed().as_secs_f64();
        let views = taken
            .into_iter()
            .map(|(number, batch)| batch.map(|batch| Views::of_batch(batch, config, number)));
        let begun = learner.submit(views.collect::<Result<Vec<_>>>()?, rates)?;
        // A run reads an update's numbers when the next is begun.
        if let Some(before) = pending.replace(begun) {
            before.scalars()?;
        }
        if step >= WARM_UP {
            waits.push(waited);
            updates.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(TrainBench {
        batch: config.optimizer.images_per_update(),
        sizes: [config.views.global.size, config.views.local.size],
        precision: config.compute.precision,
        images_per_second: config.optimizer.images_per_update() as f64 / median(updates),
        views_wait_seconds: median(waits),
        peak_memory_mib: peak_memory_mib(),
    })
}

fn endless_batches(config: &Config, images: &Images) -> impl Iterator<Item = Result<ViewBatch>> {
    let maker = Arc::new(ViewMaker::of_config(config));
    let (images, seed) = (images.clone(), config.seed);
    let OptimizerConfig { batch_size, accumulate, .. } = config.optimizer;
    let prefetch = PREFETCH * accumulate;
    assert!(batch_size <= images.len(), "fewer images than a batch");
    (0..).flat_map(move |epoch| {
        let plan = LoaderPlan {
            order: epoch_order(seed, epoch, images.len()),
            batch_size,
            epoch,
            first_batch: 0,
            workers: 1,
            prefetch,
        };
        Loader::start(images.clone(), Arc::clone(&maker), plan)
    })
}
