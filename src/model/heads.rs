//! What stands on the backbone: SimSiam's projector and predictor (Chen and He, 2021).

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

use super::layers::{Initializer, Linear, LinearNorm, Phase};

/// Features to embedding: (Linear-BN-ReLU) × (layers - 1), then Linear-BN without affine part.
#[derive(Module, Debug)]
pub struct Projector {
    layers: Vec<LinearNorm>,
}

impl Projector {
    /// `layers >= 1` layers from `input` through `hidden` to `dim`.
    pub fn new(
        input: usize,
        hidden: usize,
        dim: usize,
        layers: usize,
        init: &mut Initializer<'_>,
    ) -> Self {
        let inner = layers.saturating_sub(1);
        let mut built: Vec<LinearNorm> = (0..inner)
            .map(|i| LinearNorm::new(if i == 0 { input } else { hidden }, hidden, init))
            .collect();
        let last_input = if inner == 0 { input } else { hidden };
        built.push(LinearNorm::without_affine(last_input, dim, init));
        Self { layers: built }
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

/// SimSiam's h: dim → hidden (BN, ReLU) → dim.
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
