//! f_d, the learned affinity of two local embeddings (LoGo, section 3.2).

use burn::module::Module;
use burn::tensor::{
    Tensor,
    activation::{relu, softplus},
};

use super::layers::{Initializer, Linear, LinearNorm, Phase};

/// An MLP over the concatenation of two embeddings:
/// (Linear-BN-ReLU) × depth, Linear → 1, softplus. The higher, the more similar.
#[derive(Module, Debug)]
pub struct Affinity {
    blocks: Vec<LinearNorm>,
    output: Linear,
}

impl Affinity {
    /// For embeddings of `dim` dimensions, with `depth >= 1` hidden layers of `width` units.
    pub fn new(dim: usize, width: usize, depth: usize, init: &mut Initializer<'_>) -> Self {
        let blocks = (0..depth)
            .map(|i| LinearNorm::new(if i == 0 { 2 * dim } else { width }, width, init))
            .collect();
        Self { blocks, output: Linear::new(width, 1, init) }
    }

    /// Two embeddings `[batch, dim]` to affinities `[batch]`, each above 0.
    pub fn forward(&self, a: Tensor<2>, b: Tensor<2>, phase: Phase) -> Tensor<1> {
        let pair = Tensor::cat(vec![a, b], 1);
        let hidden = self.blocks.iter().fold(pair, |x, block| relu(block.forward(x, phase)));
        softplus(self.output.forward(hidden), 1.0).flatten(0, 1)
    }

    /// The same function with its weights as constants: gradients pass through to the embeddings
    /// and leave no trace on f_d, as equation 9 has it.
    pub fn frozen(&self) -> Self {
        self.clone().no_grad()
    }
}
