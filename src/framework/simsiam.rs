//! SimSiam (Chen and He, 2021): predict the other view's embedding, which is a constant.

use burn::tensor::Tensor;

use super::Framework;
use crate::model::Embedding;
use crate::objective;

/// ℓ_s is equation 2.
pub(super) struct SimSiam;

impl Framework for SimSiam {
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1> {
        objective::cosine(query.p.clone(), target.z.clone())
    }
}
