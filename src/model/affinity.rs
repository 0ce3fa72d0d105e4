//! f_d, the learned affinity of two local embeddings (LoGo, section 3.2).

use burn::module::Module;
use burn::tensor::{
    Tensor,
    activation::{relu, softplus},
};

use super::layers::{Initializer, Linear, LinearNorm, Phase};
use crate::config::{AffinityConfig, AffinityForm};
use crate::objective::normalise;

/// The affinity of two embeddings: the higher, the more similar. Where it is learned, an MLP over
/// their concatenation, (Linear-BN-ReLU) × depth and a last linear layer.
#[derive(Module, Debug)]
pub struct Affinity {
    blocks: Vec<LinearNorm>,
    output: Option<Linear>,
    #[module(skip)]
    form: AffinityForm,
    #[module(skip)]
    normalise: bool,
}

impl Affinity {
    /// For embeddings of `dim` dimensions.
    pub fn new(dim: usize, config: &AffinityConfig, init: &mut Initializer<'_>) -> Self {
        let &AffinityConfig { form, width, depth, normalise, .. } = config;
        let outputs = match form {
            AffinityForm::Mlp => 1,
            AffinityForm::CosineMlp => dim,
            AffinityForm::Cosine => return Self { blocks: vec![], output: None, form, normalise },
        };
        let inputs = |layer| if layer == 0 { 2 * dim } else { width };
        let blocks = (0..depth).map(|i| LinearNorm::new(inputs(i), width, init)).collect();
        Self { blocks, output: Some(Linear::new(inputs(depth), outputs, init)), form, normalise }
    }

    /// Whether there is anything to learn.
    pub fn is_learned(&self) -> bool {
        self.output.is_some()
    }

    /// Two embeddings `[batch, dim]` to affinities `[batch]`: above 0 for an MLP, in [-1, 1] for
    /// cosines.
    pub fn forward(&self, a: Tensor<2>, b: Tensor<2>, phase: Phase) -> Tensor<1> {
        let [a, b] = [a, b].map(|z| self.input(z));
        self.activate(self.score_inputs(a, b, phase))
    }

    /// An embedding as f_d takes it: normalised, where the config has it so.
    pub fn input(&self, z: Tensor<2>) -> Tensor<2> {
        if self.normalise { normalise(z) } else { z }
    }

    /// [`Affinity::forward`] of two inputs, and before its softplus, where it ends in one.
    pub fn score_inputs(&self, a: Tensor<2>, b: Tensor<2>, phase: Phase) -> Tensor<1> {
        let made = match &self.output {
            None => a,
            Some(output) => {
                let pair = Tensor::cat(vec![a, b.clone()], 1);
                let layers = self.blocks.iter();
                output.forward(layers.fold(pair, |x, block| relu(block.forward(x, phase))))
            }
        };
        match self.form {
            AffinityForm::Mlp => made.flatten(0, 1),
            _ => (normalise(made) * normalise(b)).sum_dim(1).flatten(0, 1),
        }
    }

    /// Scores, `[batch]`, to affinities.
    pub fn activate(&self, score: Tensor<1>) -> Tensor<1> {
        match self.form {
            AffinityForm::Mlp => softplus(score, 1.0),
            _ => score,
        }
    }

    /// The same function with its weights as constants: gradients pass through to the embeddings
    /// and leave no trace on f_d, as equation 9 has it.
    pub fn frozen(&self) -> Self {
        self.clone().no_grad()
    }
}
