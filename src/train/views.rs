//! What one update sees.

use crate::config::{AffinityPairs, Config};
use crate::framework::{self, logo};
use crate::loader::ViewBatch;
use crate::model::params::TensorData;
use logo_ssl_base::rng::{self, Stream, generator};

/// The views of one batch: the first `batch` rows are every image's first view, the next `batch` rows
/// its second, and so on.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// `[views batch, 3, size, size]`
    pub global: TensorData,
    /// `[views batch, 3, size, size]`; read with LoGo alone.
    pub local: Option<TensorData>,
    /// For each image, which other one's local crop is its negative; read with LoGo alone.
    pub negatives: Vec<usize>,
    /// What is added to f_d's inputs, `[batch, dim]` for each place; read with LoGo alone.
    pub noise: Option<[TensorData; 2]>,
    /// The order in which the rows of `global` pass a momentum encoder, where that is another.
    pub key_order: Option<Vec<usize>>,
    /// The class of each image that has one; read by an online probe alone.
    pub labels: Option<Vec<Option<usize>>>,
}

impl Views {
    /// Images in the batch.
    pub fn images(&self) -> usize {
        self.negatives.len()
    }

    /// What a loader made as the run's batch `number`, with negatives drawn.
    pub(crate) fn of_batch(batch: ViewBatch, config: &Config, number: u64) -> Self {
        let images = batch.indices.len();
        let tensor = |views: Vec<f32>, size: usize| {
            let rows = views.len() / (3 * size * size);
            TensorData::new(views, [rows, 3, size, size])
        };
        Self {
            global: tensor(batch.global, config.views.global.size),
            local: (!batch.local.is_empty()).then(|| tensor(batch.local, config.views.local.size)),
            negatives: negatives(config, number, images),
            noise: noise(config, number, images),
            key_order: key_order(config, number, images),
            labels: None,
        }
    }
}

fn negatives(config: &Config, number: u64, images: usize) -> Vec<usize> {
    let mut rng = generator(config.seed, Stream::Negative, number, 0, 0);
    match (config.affinity.pairs, config.seed_code.self_negatives) {
        (AffinityPairs::BothOrders, _) => logo::flipped(images),
        (AffinityPairs::OneOrder, true) => logo::permutation(images, &mut rng),
        (AffinityPairs::OneOrder, false) => logo::derangement(images, &mut rng),
    }
}

/// The authors' noise on the inputs of f_d: `affinity.noise` / √dim for each number.
fn noise(config: &Config, number: u64, images: usize) -> Option<[TensorData; 2]> {
    if !config.framework.logo || config.affinity.noise == 0.0 {
        return None;
    }
    let dim = config.model.projector.dim;
    let std = config.affinity.noise / (dim as f64).sqrt();
    Some([0, 1].map(|place| {
        let mut rng = generator(config.seed, Stream::Noise, number, place, 0);
        let values = (0..images * dim).map(|_| (std * rng::normal(&mut rng)) as f32).collect();
        TensorData::new(values, [images, dim])
    }))
}

/// A random order within each global view.
fn key_order(config: &Config, number: u64, images: usize) -> Option<Vec<usize>> {
    let momentum = &config.framework.momentum;
    if !framework::from_config(config).needs().momentum_encoder || momentum.norm_groups == 1 {
        return None;
    }
    let order = (0..config.views.global.count).flat_map(|view| {
        let mut rng = generator(config.seed, Stream::KeyOrder, number, view as u64, 0);
        let order = logo::permutation(images, &mut rng).into_iter();
        order.map(move |row| view * images + row)
    });
    Some(order.collect())
}
