//! The three layers everything is built of, with PyTorch's names, layouts and initialisation.

use burn::module::{Module, Param, RunningState};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData, module};
use rand::RngExt;

use crate::engine::UnitShape;
use crate::rng::{self, Generator, Stream, generator};

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

/// Hands out initial weights. Parameter number `n` depends on the seed and `n` alone, so the same
/// network comes out on every device.
pub struct Initializer<'a> {
    seed: u64,
    next: u64,
    device: &'a Device,
}

impl<'a> Initializer<'a> {
    /// Weights under `seed`, created on `device`.
    pub fn new(seed: u64, device: &'a Device) -> Self {
        Self { seed, next: 0, device }
    }

    fn draw<const D: usize>(
        &mut self,
        shape: [usize; D],
        mut number: impl FnMut(&mut Generator) -> f32,
    ) -> Param<Tensor<D>> {
        let mut rng = generator(self.seed, Stream::Init, 0, self.next, 0);
        self.next += 1;
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| number(&mut rng)).collect();
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    /// Uniform in `[-bound, bound]`.
    fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        self.draw(shape, |rng| rng.random_range(-bound..=bound))
    }

    /// Normal with mean 0.
    fn normal<const D: usize>(&mut self, shape: [usize; D], std: f32) -> Param<Tensor<D>> {
        self.draw(shape, |rng| std * rng::normal(rng) as f32)
    }
}

/// A 2-d convolution with a square kernel, no bias, and the padding that keeps the size at stride 1.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out_channels, in_channels, kernel, kernel]`
    pub weight: Param<Tensor<4>>,
    stride: usize,
}

impl Conv2d {
    /// Kaiming-normal weights over the fan-out, as torchvision's ResNet.
    pub fn new(
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        init: &mut Initializer<'_>,
    ) -> Self {
        let [input, output] = channels;
        let fan_out = (output * kernel * kernel) as f32;
        Self {
            weight: init.normal([output, input, kernel, kernel], (2.0 / fan_out).sqrt()),
            stride,
        }
    }

    /// `[in, out]` channels, kernel and stride.
    pub(super) fn shape(&self) -> UnitShape {
        let [output, input, kernel, _] = self.weight.dims();
        ([input, output], kernel, self.stride)
    }

    /// `[batch, in, height, width]` to `[batch, out, height / stride, width / stride]`, rounded up.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, kernel, _] = self.weight.dims();
        let padding = kernel / 2;
        let options = ConvOptions::new([self.stride; 2], [padding; 2], [1, 1], 1);
        module::conv2d(x, self.weight.val(), None, options)
    }
}

/// An affine map.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`, as PyTorch stores it.
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// Both uniform in ±1/√in, as PyTorch's `nn.Linear`.
    pub fn new(input: usize, output: usize, init: &mut Initializer<'_>) -> Self {
        let bound = 1.0 / (input as f32).sqrt();
        Self { weight: init.uniform([output, input], bound), bias: init.uniform([output], bound) }
    }

    /// `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}

/// Batch normalisation over every axis but the second (Ioffe and Szegedy, 2015), to PyTorch's
/// conventions: ε = 1e-5, running statistics with momentum 0.1 and the unbiased variance.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// γ, `[channels]`; absent where the normalisation has no affine part.
    pub weight: Option<Param<Tensor<1>>>,
    /// β, `[channels]`; absent together with γ.
    pub bias: Option<Param<Tensor<1>>>,
    /// `[channels]`
    pub running_mean: RunningState<Tensor<1>>,
    /// `[channels]`
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    const EPSILON: f64 = 1e-5;
    const MOMENTUM: f64 = 0.1;

    /// γ = 1, β = 0.
    pub fn new(channels: usize, device: &Device) -> Self {
        let ones = TensorData::ones::<f32, _>([channels]);
        let zeros = TensorData::zeros::<f32, _>([channels]);
        Self {
            weight: Some(Param::from_data(ones, device)),
            bias: Some(Param::from_data(zeros, device)),
            ..Self::without_affine(channels, device)
        }
    }

    /// γ = β = 0: what it normalises adds nothing at first.
    pub fn silent(channels: usize, device: &Device) -> Self {
        let zeros = TensorData::zeros::<f32, _>([channels]);
        Self { weight: Some(Param::from_data(zeros, device)), ..Self::new(channels, device) }
    }

    /// No γ and β, as at the end of SimSiam's projector.
    pub fn without_affine(channels: usize, device: &Device) -> Self {
        Self {
            weight: None,
            bias: None,
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
        }
    }

    /// `[batch, channels, ...]`, the same shape out.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, phase: Phase) -> Tensor<D> {
        let channels = x.dims()[1];
        let device = x.device();
        let value = |p: &Option<Param<Tensor<1>>>| p.as_ref().map(Param::val);
        let weight = value(&self.weight).unwrap_or_else(|| Tensor::ones([channels], &device));
        let bias = value(&self.bias).unwrap_or_else(|| Tensor::zeros([channels], &device));
        if phase == Phase::Eval {
            let (mean, var) = (self.running_mean.value_sync(), self.running_var.value_sync());
            return module::batch_norm(x, weight, bias, mean, var, Self::EPSILON);
        }
        let samples = x.shape().num_elements() / channels;
        let normalised = module::batch_norm_train(x, weight, bias, Self::EPSILON);
        let unbiased = normalised.variance * (samples as f64 / (samples - 1).max(1) as f64);
        self.observe(normalised.mean, unbiased);
        normalised.output
    }

    /// Takes the running statistics a step towards a batch's, `[channels]` each; the variance is the
    /// unbiased one.
    pub(super) fn observe(&self, mean: Tensor<1>, unbiased_variance: Tensor<1>) {
        step_towards(&self.running_mean, mean);
        step_towards(&self.running_var, unbiased_variance);
    }

    /// Running mean and variance, `[channels]` each.
    pub(super) fn running(&self) -> [Tensor<1>; 2] {
        [&self.running_mean, &self.running_var].map(RunningState::value_sync)
    }
}

fn step_towards(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let kept = running.value_sync() * (1.0 - BatchNorm::MOMENTUM);
    running.update((kept + batch.detach() * BatchNorm::MOMENTUM).detach());
    // Burn shows an update only after the next read that synchronises; a checkpoint must see it.
    running.value_sync();
}

/// A linear layer and the batch norm over its outputs, the unit of every head.
#[derive(Module, Debug)]
pub struct LinearNorm {
    /// The affine map.
    pub linear: Linear,
    /// Over its outputs; absent where the layer has none.
    pub norm: Option<BatchNorm>,
}

impl LinearNorm {
    /// With γ and β.
    pub fn new(input: usize, output: usize, init: &mut Initializer<'_>) -> Self {
        let linear = Linear::new(input, output, init);
        Self { linear, norm: Some(BatchNorm::new(output, init.device)) }
    }

    /// A norm without γ and β.
    pub fn without_affine(input: usize, output: usize, init: &mut Initializer<'_>) -> Self {
        let linear = Linear::new(input, output, init);
        Self { linear, norm: Some(BatchNorm::without_affine(output, init.device)) }
    }

    /// The affine map alone.
    pub fn without_norm(input: usize, output: usize, init: &mut Initializer<'_>) -> Self {
        Self { linear: Linear::new(input, output, init), norm: None }
    }

    /// `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, x: Tensor<2>, phase: Phase) -> Tensor<2> {
        let x = self.linear.forward(x);
        match &self.norm {
            Some(norm) => norm.forward(x, phase),
            None => x,
        }
    }
}

impl Initializer<'_> {
    pub(super) fn batch_norm(&self, channels: usize) -> BatchNorm {
        BatchNorm::new(channels, self.device)
    }

    pub(super) fn silent_batch_norm(&self, channels: usize) -> BatchNorm {
        BatchNorm::silent(channels, self.device)
    }
}
