//! Updates alone: the same views, which lie on the device, again and again.

use std::time::Instant;

use serde::Serialize;

use super::median;
use crate::Result;
use crate::config::{Config, Precision};
use crate::executor::Device;
use crate::framework::logo;
use crate::model::params::TensorData;
use crate::record::scalars::LOSS;
use crate::train::{Learner, Rates, Views};
use logo_ssl_base::rng::{Stream, generator};
use rand::RngExt;

/// Updates before those that count, the first of which is compiled.
const WARM_UP: usize = 3;
/// Groups of updates, of whose times the median counts.
const GROUPS: usize = 5;

/// How fast a device computes updates.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UpdateBench {
    /// Images an update.
    pub batch: usize,
    /// Sides of the global and the local views, pixels.
    pub sizes: [usize; 2],
    /// Of the activations.
    pub precision: Precision,
    /// Images a second, each with all of its views.
    pub images_per_second: f64,
    /// From nothing to the end of the first updates, compilation included.
    pub warm_up_seconds: f64,
    /// The last loss, which shows that something was computed.
    pub loss: f64,
}

/// Updates under `config` on random views that lie on `device`, in groups of `steps`.
///
/// # Errors
/// [`crate::Error::Device`] where the device fails.
pub fn update(config: &Config, steps: usize, device: &Device) -> Result<UpdateBench> {
    let started = Instant::now();
    let mut learner = Learner::new(config, device)?;
    let accumulate = config.optimizer.accumulate as u64;
    let batches = (0..accumulate).map(|number| learner.upload(views(config, number)));
    let batches = batches.collect::<Result<Vec<_>>>()?;
    let rates = Rates::full(config);
    let group = |learner: &mut Learner, steps: usize| {
        let mut last = None;
        for _ in 0..steps.max(1) {
            last = Some(learner.submit_uploaded(&batches, rates)?);
        }
        last.expect("there is at least one update").scalars()
    };
    group(&mut learner, WARM_UP)?;
    let warm_up_seconds = started.elapsed().as_secs_f64();
    let (mut times, mut loss) = (vec![], 0.0);
    for _ in 0..GROUPS {
        let started = Instant::now();
        loss = group(&mut learner, steps)?.get_or_nan(LOSS);
        times.push(started.elapsed().as_secs_f64() / steps.max(1) as f64);
    }
    Ok(UpdateBench {
        batch: config.optimizer.images_per_update(),
        sizes: [config.views.global.size, config.views.local.size],
        precision: config.compute.precision,
        images_per_second: config.optimizer.images_per_update() as f64 / median(times),
        warm_up_seconds,
        loss,
    })
}

/// Views of noise, as a run's batch of this number has them.
fn views(config: &Config, number: u64) -> Views {
    let images = config.optimizer.batch_size;
    let noise = |count: usize, size: usize, kind: u64| {
        let mut rng = generator(config.seed, Stream::View, number, kind, 0);
        let shape = [count * images, 3, size, size];
        let pixels = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0f32)).collect();
        TensorData::new(pixels, shape)
    };
    let (global, local) = (&config.views.global, &config.views.local);
    let mut rng = generator(config.seed, Stream::Negative, number, 0, 0);
    Views {
        global: noise(global.count, global.size, 0),
        local: config.framework.logo.then(|| noise(local.count, local.size, 1)),
        negatives: logo::derangement(images, &mut rng),
        noise: None,
        key_order: None,
        labels: None,
    }
}
