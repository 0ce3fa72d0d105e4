//! f_d, the learned affinity of two local embeddings (LoGo, section 3.2).

use graph::{Node, concatenate};

use super::layers::{Compute, Linear, LinearNorm, Norm, Phase};
use super::params::{Declaration, Layout, Weights};
use crate::config::{AffinityConfig, AffinityForm};
use crate::objective::normalise;

/// The affinity of two embeddings: the higher, the more similar. Where it is learned, an MLP over
/// their concatenation, (Linear-BN-ReLU) × depth and a last linear layer.
#[derive(Clone, Debug)]
pub struct Affinity {
    blocks: Vec<LinearNorm>,
    output: Option<Linear>,
    form: AffinityForm,
    normalise: bool,
    trained: Layout,
    running: Layout,
}

impl Affinity {
    /// For embeddings of `dim` dimensions.
    pub fn new(dim: usize, config: &AffinityConfig) -> Self {
        let &AffinityConfig { form, width, depth, normalise, .. } = config;
        let mut declare = Declaration::default();
        let inputs = |layer| if layer == 0 { 2 * dim } else { width };
        let (blocks, output) = match form {
            AffinityForm::Cosine => (vec![], None),
            AffinityForm::Mlp | AffinityForm::CosineMlp => {
                let block = |i: usize, d: &mut Declaration| {
                    d.within(i, |d| LinearNorm::new(inputs(i), width, Norm::Affine, d))
                };
                let blocks =
                    declare.within("blocks", |d| (0..depth).map(|i| block(i, d)).collect());
                let outputs = if form == AffinityForm::Mlp { 1 } else { dim };
                let output = declare.within("output", |d| Linear::new(inputs(depth), outputs, d));
                (blocks, Some(output))
            }
        };
        let Declaration { trained, running, .. } = declare;
        Self { blocks, output, form, normalise, trained, running }
    }

    /// Whether there is anything to learn.
    pub(crate) fn is_learned(&self) -> bool {
        self.output.is_some()
    }

    /// Where its trained tensors and its running statistics lie.
    pub fn layouts(&self) -> [&Layout; 2] {
        [&self.trained, &self.running]
    }

    /// Two embeddings `[batch, dim]` to affinities `[batch]`: above 0 for an MLP, in [-1, 1] for
    /// cosines.
    pub fn forward<'g>(
        &self,
        [a, b]: [Node<'g>; 2],
        weights: &Weights<'g>,
        phase: Phase,
    ) -> Node<'g> {
        let inputs = [a, b].map(|z| self.input(z));
        self.activate(self.score_inputs(inputs, weights, phase))
    }

    /// An embedding as f_d takes it: normalised, where the config has it so.
    pub fn input<'g>(&self, z: Node<'g>) -> Node<'g> {
        if self.normalise { normalise(z) } else { z }
    }

    /// [`Affinity::forward`] of two inputs, and before its softplus, where it ends in one.
    pub(crate) fn score_inputs<'g>(
        &self,
        [a, b]: [Node<'g>; 2],
        weights: &Weights<'g>,
        phase: Phase,
    ) -> Node<'g> {
        // f_d is small and sees whole batches on every device: single precision, statistics its own.
        let compute = Compute::PLAIN;
        let made = match &self.output {
            None => a,
            Some(output) => {
                let layers = self.blocks.iter();
                let hidden = layers.fold(concatenate(&[a, b], 1), |x, block| {
                    block.forward(x, weights, phase, compute).relu()
                });
                output.forward(hidden, weights, compute)
            }
        };
        match self.form {
            AffinityForm::Mlp => made.flatten(),
            _ => (normalise(made) * normalise(b)).sum(&[1]),
        }
    }

    /// Scores, `[batch]`, to affinities.
    pub(crate) fn activate<'g>(&self, score: Node<'g>) -> Node<'g> {
        match self.form {
            AffinityForm::Mlp => score.softplus(),
            _ => score,
        }
    }
}
