//! What one update sees.

use burn::tensor::{Device, Tensor, TensorData};

use crate::config::Config;
use crate::data::loader::ViewBatch;
use crate::framework::logo;
use crate::rng::{Stream, generator};

/// The views of one batch. Views come in pairs: the first `batch` rows are every image's first
/// view, the last `batch` rows its second.
pub struct Views {
    /// `[2 batch, 3, size, size]`
    pub global: Tensor<4>,
    /// `[2 batch, 3, size, size]`; read with LoGo alone.
    pub local: Option<Tensor<4>>,
    /// For each image, which other one's local crop is its negative; read with LoGo alone.
    pub negatives: Vec<usize>,
}

impl Views {
    /// What a loader made for update number `step`, on `device`, with negatives drawn.
    pub fn of_batch(batch: ViewBatch, config: &Config, step: u64, device: &Device) -> Self {
        let images = batch.indices.len();
        let tensor = |views: Vec<f32>, size: usize| {
            let data = TensorData::new(views, [2 * images, 3, size, size]);
            Tensor::from_data(data, device)
        };
        let mut rng = generator(config.seed, Stream::Negative, step, 0, 0);
        let negatives = match config.seed_code.self_negatives {
            true => logo::permutation(images, &mut rng),
            false => logo::derangement(images, &mut rng),
        };
        Self {
            global: tensor(batch.global, config.views.global.size),
            local: Some(tensor(batch.local, config.views.local.size)),
            negatives,
        }
    }
}
