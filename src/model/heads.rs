//! What stands on the backbone: SimSiam's projector and predictor (Chen and He, 2021).

use graph::Node;

use super::layers::{Compute, Linear, LinearNorm, Norm, Phase};
use super::params::{Declaration, Weights};
use crate::config::{ProjectorConfig, ProjectorNorm};

/// Features to embedding: Linear-BN-ReLU again and again, then a last linear layer. Which of them
/// have a batch norm is [`ProjectorNorm`]'s.
#[derive(Clone, Debug)]
pub struct Projector {
    layers: Vec<LinearNorm>,
}

impl Projector {
    /// From `input` features through `config.layers >= 1` layers.
    pub fn new(input: usize, config: &ProjectorConfig, declare: &mut Declaration) -> Self {
        let last = config.layers.saturating_sub(1);
        let mut layer = |i: usize| {
            let from = if i == 0 { input } else { config.hidden };
            let (to, norm) = match (i == last, config.norm) {
                (false, ProjectorNorm::None) => (config.hidden, Norm::Absent),
                (false, _) => (config.hidden, Norm::Affine),
                (true, ProjectorNorm::All) => (config.dim, Norm::Plain),
                (true, _) => (config.dim, Norm::Absent),
            };
            declare.within(i, |d| LinearNorm::new(from, to, norm, d))
        };
        Self { layers: (0..=last).map(&mut layer).collect() }
    }

    /// Features `[batch, in]` to embeddings z `[batch, dim]`, not normalised.
    pub fn forward<'g>(
        &self,
        features: Node<'g>,
        weights: &Weights<'g>,
        phase: Phase,
        compute: Compute,
    ) -> Node<'g> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(features, |x, (i, layer)| {
            let x = layer.forward(x, weights, phase, compute);
            if i == last { x } else { x.relu() }
        })
    }
}

/// h of SimSiam and BYOL: dim → hidden (BN, ReLU) → dim.
#[derive(Clone, Debug)]
pub struct Predictor {
    hidden: LinearNorm,
    output: Linear,
}

impl Predictor {
    /// A bottleneck of `hidden` units.
    pub fn new(dim: usize, hidden: usize, declare: &mut Declaration) -> Self {
        Self {
            hidden: declare.within("hidden", |d| LinearNorm::new(dim, hidden, Norm::Affine, d)),
            output: declare.within("output", |d| Linear::new(hidden, dim, d)),
        }
    }

    /// Embeddings z `[batch, dim]` to predictions h(z) `[batch, dim]`.
    pub fn forward<'g>(
        &self,
        z: Node<'g>,
        weights: &Weights<'g>,
        phase: Phase,
        compute: Compute,
    ) -> Node<'g> {
        let hidden = self.hidden.forward(z, weights, phase, compute).relu();
        self.output.forward(hidden, weights, compute)
    }
}
