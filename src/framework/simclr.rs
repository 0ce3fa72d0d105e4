//! SimCLR (Chen et al., 2020): contrast within the batch. The other view of an image is its positive,
//! both views of the batch's other images are its negatives.

use burn::tensor::Tensor;

use super::Framework;
use crate::model::Embedding;
use crate::objective;

/// ℓ_s is NT-Xent, one direction of it.
pub(super) struct SimClr {
    /// τ
    pub(super) temperature: f64,
}

impl Framework for SimClr {
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1> {
        objective::nt_xent(query.p.clone(), target.z.clone(), self.temperature)
    }
}
