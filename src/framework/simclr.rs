//! SimCLR (Chen et al., 2020): contrast within the batch. The other view of an image is its positive,
//! both views of the batch's other images are its negatives.

use graph::Node;

use super::{Framework, Kind, Memory, Needs};
use crate::model::Embedding;
use crate::objective::{self, Contrast};

/// `simclr` by name.
pub(super) static KIND: Kind = Kind {
    name: "simclr",
    of_config: |config| Box::new(SimClr { contrast: config.framework.contrast() }),
};

/// ℓ_s is NT-Xent, one direction of it.
#[derive(Clone, Copy, Debug)]
pub struct SimClr {
    /// How cosines are weighed.
    pub contrast: Contrast,
}

impl Framework for SimClr {
    fn needs(&self) -> Needs {
        Needs { momentum_encoder: false, predictor: false }
    }

    fn similarity<'g>(
        &self,
        query: Embedding<'g>,
        target: Embedding<'g>,
        _memory: &Memory<'g>,
    ) -> Node<'g> {
        objective::nt_xent(query.p, target.z, self.contrast)
    }
}
