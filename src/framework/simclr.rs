//! Contrast within the batch, after SimCLR (Chen et al., 2020): the other view of an image is its
//! positive, the other views of the batch's other images are its negatives.

use burn::tensor::Tensor;

use super::Framework;
use crate::model::Embedding;
use crate::objective;

/// ℓ_s is equation 1 with in-batch negatives.
pub(super) struct SimClr {
    /// τ
    pub(super) temperature: f64,
}

impl Framework for SimClr {
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1> {
        objective::info_nce_in_batch(query.p.clone(), target.z.clone(), self.temperature)
    }
}
