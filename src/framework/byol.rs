//! BYOL (Grill et al., 2020): predict a momentum encoder's embedding of the other view.

use graph::Node;

use super::{Framework, Kind, Memory, Needs};
use crate::model::Embedding;
use crate::objective;

/// `byol` by name.
pub(super) static KIND: Kind = Kind { name: "byol", of_config: |_| Box::new(Byol) };

/// ℓ_s is the squared distance of unit vectors, 2 - 2 cos (BYOL, equation 2).
#[derive(Clone, Copy, Debug)]
pub struct Byol;

impl Framework for Byol {
    fn needs(&self) -> Needs {
        Needs { momentum_encoder: true, predictor: true }
    }

    fn similarity<'g>(
        &self,
        query: Embedding<'g>,
        target: Embedding<'g>,
        _memory: &Memory<'g>,
    ) -> Node<'g> {
        objective::cosine(query.p, target.z) * 2.0 + 2.0
    }
}
