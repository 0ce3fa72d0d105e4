//! BYOL (Grill et al., 2020): predict a momentum encoder's embedding of the other view.

use burn::tensor::Tensor;

use super::Framework;
use crate::model::Embedding;
use crate::objective;

/// ℓ_s is the squared distance of unit vectors, 2 - 2 cos (BYOL, equation 2).
pub(super) struct Byol;

impl Framework for Byol {
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1> {
        objective::cosine(query.p.clone(), target.z.clone()) * 2.0 + 2.0
    }
}
