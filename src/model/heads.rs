//! What stands on the backbone: SimSiam's projector and predictor (Chen and He, 2021).

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

use super::layers::{Initializer, Linear, LinearNorm, Phase};
use crate::config::{ProjectorConfig, ProjectorNorm};

/// Features to embedding: Linear-BN-ReLU again and again, then a last linear layer. Which of them
/// have a batch norm is [`ProjectorNorm`]'s.
#[derive(Module, Debug)]
pub struct Projector {
    layers: Vec<LinearNorm>,
}

impl Projector {
    /// From `input` features through `config.layers >= 1` layers.
    pub fn new(input: usize, config: &ProjectorConfig, init: &mut Initializer<'_>) -> Self {
        let last = config.layers.saturating_sub(1);
        let layer = |i| {
            let from = if i == 0 { input } else { config.hidden };
            match (i == last, config.norm) {
                (false, ProjectorNorm::None) => LinearNorm::without_norm(from, config.hidden, init),
                (false, _) => LinearNorm::new(from, config.hidden, init),
                (true, ProjectorNorm::All) => LinearNorm::without_affine(from, config.dim, init),
                (true, _) => LinearNorm::without_norm(from, config.dim, init),
            }
        };
        Self { layers: (0..=last).map(layer).collect() }
    }

    /// Features `[batch, in]` to embeddings z `[batch, dim]`, not normalised.
    pub fn forward(&self, features: Tensor<2>, phase: Phase) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(features, |x, (i, layer)| {
            let x = layer.forward(x, phase);
            if i == last { x } else { relu(x) }
        })
    }
}

/// h of SimSiam and BYOL: dim → hidden (BN, ReLU) → dim.
#[derive(Module, Debug)]
pub struct Predictor {
    hidden: LinearNorm,
    output: Linear,
}

impl Predictor {
    /// A bottleneck of `hidden` units.
    pub fn new(dim: usize, hidden: usize, init: &mut Initializer<'_>) -> Self {
        Self { hidden: LinearNorm::new(dim, hidden, init), output: Linear::new(hidden, dim, init) }
    }

    /// Embeddings z `[batch, dim]` to predictions h(z) `[batch, dim]`.
    pub fn forward(&self, z: Tensor<2>, phase: Phase) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(z, phase)))
    }
}
