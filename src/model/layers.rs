//! The layers that heads are built of, with PyTorch's names, layouts and initialisation.

use graph::{Dot, Node};

use super::params::{Declaration, Slot, Start, Weights};

/// Whether batch norm uses the batch's statistics (and updates the running ones) or the running ones.
///
/// This is separate from differentiability: the affinity is differentiated in [`Phase::Eval`] when
/// L_ll is taken through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The statistics of this batch; the running ones take a step towards them.
    Train,
    /// The running statistics, unchanged.
    Eval,
}

/// How a module computes, whatever its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// Whether matrices may be rounded to bfloat16 before they are multiplied.
    pub rounded: bool,
    /// Over how many replicas' batches a batch norm takes its statistics; 1 is each replica's own.
    pub replicas: usize,
}

impl Compute {
    /// In single precision, on one device.
    pub const PLAIN: Self = Self { rounded: false, replicas: 1 };
}

/// An affine map.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`, as PyTorch stores it.
    weight: Slot,
    /// `[out]`
    bias: Slot,
}

impl Linear {
    /// Both uniform in ±1/√in, as PyTorch's `nn.Linear`.
    pub fn new(input: usize, output: usize, declare: &mut Declaration) -> Self {
        let start = Start::Uniform(1.0 / (input as f32).sqrt());
        let weight = declare.trained("weight", &[output, input], start);
        Self { weight, bias: declare.trained("bias", &[output], start) }
    }

    /// `[batch, in]` to `[batch, out]`.
    pub fn forward<'g>(&self, x: Node<'g>, weights: &Weights<'g>, compute: Compute) -> Node<'g> {
        let contracting = [vec![1], vec![1]];
        let dot = Dot { contracting, batch: [vec![], vec![]], rounded: compute.rounded };
        let y = x.dot_general(weights.get(self.weight), dot);
        y + weights.get(self.bias).broadcast(&[1], &y.shape())
    }
}

/// Batch normalisation of `[batch, channels]` (Ioffe and Szegedy, 2015), to PyTorch's conventions:
/// ε = 1e-5, running statistics with momentum 0.1 and the unbiased variance.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// γ and β, `[channels]` each; absent where the normalisation has no affine part.
    affine: Option<[Slot; 2]>,
    /// `[channels]`
    running_mean: Slot,
    /// `[channels]`
    running_var: Slot,
}

/// ε of every batch norm.
const EPSILON: f64 = 1e-5;
/// What the running statistics take of a batch's.
const MOMENTUM: f64 = 0.1;

impl BatchNorm {
    /// γ = 1, β = 0.
    pub fn new(channels: usize, declare: &mut Declaration) -> Self {
        let weight = declare.trained("weight", &[channels], Start::Constant(1.0));
        let bias = declare.trained("bias", &[channels], Start::Constant(0.0));
        Self { affine: Some([weight, bias]), ..Self::without_affine(channels, declare) }
    }

    /// No γ and β, as at the end of SimSiam's projector.
    pub fn without_affine(channels: usize, declare: &mut Declaration) -> Self {
        Self {
            affine: None,
            running_mean: declare.running("running_mean", &[channels], Start::Constant(0.0)),
            running_var: declare.running("running_var", &[channels], Start::Constant(1.0)),
        }
    }

    /// `[batch, channels]`, the same shape out.
    pub fn forward<'g>(
        &self,
        x: Node<'g>,
        weights: &Weights<'g>,
        phase: Phase,
        compute: Compute,
    ) -> Node<'g> {
        let [mean, variance] = match phase {
            Phase::Train => self.observe(x, weights, compute.replicas),
            Phase::Eval => [self.running_mean, self.running_var].map(|of| weights.statistics(of)),
        };
        let shape = x.shape();
        let across = |of_channel: Node<'g>| of_channel.broadcast(&[1], &shape);
        let normalised = (x - across(mean)) * across((variance + EPSILON).rsqrt());
        match self.affine {
            Some(affine) => {
                let [gamma, beta] = affine.map(|slot| across(weights.get(slot)));
                normalised * gamma + beta
            }
            None => normalised,
        }
    }

    /// The batch's mean and biased variance, after the running ones took a step towards it.
    fn observe<'g>(&self, x: Node<'g>, weights: &Weights<'g>, replicas: usize) -> [Node<'g>; 2] {
        let [rows, _] = x.dims();
        let samples = rows * replicas;
        let over_batch = |x: Node<'g>| x.sum(&[0]).all_reduce(replicas) * (1.0 / samples as f64);
        let mean = over_batch(x);
        // The variance does not change with the mean to first order, so no gradient need pass there.
        let centred = x - mean.stop_gradient().broadcast(&[1], &x.shape());
        let variance = over_batch(centred.square());
        let unbiased = variance * (samples as f64 / (samples - 1).max(1) as f64);
        step_towards(weights, self.running_mean, mean);
        step_towards(weights, self.running_var, unbiased);
        [mean, variance]
    }
}

/// Takes the running statistics at `slot` a step towards a batch's.
pub(super) fn step_towards<'g>(weights: &Weights<'g>, slot: Slot, batch: Node<'g>) {
    let kept = weights.statistics(slot) * (1.0 - MOMENTUM);
    weights.observe(slot, (kept + batch * MOMENTUM).stop_gradient());
}

/// A linear layer and the batch norm over its outputs, the unit of every head.
#[derive(Clone, Debug)]
pub struct LinearNorm {
    /// The affine map.
    linear: Linear,
    /// Over its outputs; absent where the layer has none.
    norm: Option<BatchNorm>,
}

/// The batch norm of a [`LinearNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// With γ and β.
    Affine,
    /// Without them.
    Plain,
    /// None at all.
    Absent,
}

impl LinearNorm {
    /// From `input` to `output` units.
    pub fn new(input: usize, output: usize, norm: Norm, declare: &mut Declaration) -> Self {
        let linear = declare.within("linear", |d| Linear::new(input, output, d));
        let norm = match norm {
            Norm::Affine => Some(declare.within("norm", |d| BatchNorm::new(output, d))),
            Norm::Plain => Some(declare.within("norm", |d| BatchNorm::without_affine(output, d))),
            Norm::Absent => None,
        };
        Self { linear, norm }
    }

    /// `[batch, in]` to `[batch, out]`.
    pub fn forward<'g>(
        &self,
        x: Node<'g>,
        weights: &Weights<'g>,
        phase: Phase,
        compute: Compute,
    ) -> Node<'g> {
        let x = self.linear.forward(x, weights, compute);
        match &self.norm {
            Some(norm) => norm.forward(x, weights, phase, compute),
            None => x,
        }
    }
}
