//! SimSiam (Chen and He, 2021): predict the other view's embedding, which is a constant.

use graph::Node;

use super::{Framework, Kind, Memory, Needs};
use crate::model::Embedding;
use crate::objective;

/// `simsiam` by name.
pub(super) static KIND: Kind = Kind { name: "simsiam", of_config: |_| Box::new(SimSiam) };

/// ℓ_s is equation 2.
#[derive(Clone, Copy, Debug)]
pub struct SimSiam;

impl Framework for SimSiam {
    fn needs(&self) -> Needs {
        Needs { momentum_encoder: false, predictor: true }
    }

    fn similarity<'g>(
        &self,
        query: Embedding<'g>,
        target: Embedding<'g>,
        _memory: &Memory<'g>,
    ) -> Node<'g> {
        objective::cosine(query.p, target.z)
    }
}
