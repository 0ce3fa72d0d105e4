//! Batch normalisation (Ioffe and Szegedy, 2015) around convolutions: statistics, what the next
//! reader applies, and the gradient back.

use crate::element::Element;
use crate::gemm::PANEL;
use crate::level::{Kernel, Level};
use crate::simd::Vector;

/// ε of every batch norm, PyTorch's.
pub const EPSILON: f64 = 1e-5;

/// Mean and variance of each stored channel over a batch.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// How many numbers each channel has.
    pub count: usize,
    /// The mean of each channel, `[stored channels]`.
    pub mean: Vec<f64>,
    /// The sum of squared deviations from the mean of each channel, `[stored channels]`.
    pub deviation: Vec<f64>,
}

impl Moments {
    /// The moments of a batch from those of its parts, combined in their order (Chan et al., 1979).
    pub(crate) fn combine(parts: impl IntoIterator<Item = Moments>) -> Moments {
        parts.into_iter().reduce(Moments::join).unwrap_or_default()
    }

    fn join(mut self, other: Moments) -> Moments {
        let (n, m) = (self.count as f64, other.count as f64);
        let pairs = self.mean.iter_mut().zip(&mut self.deviation);
        for ((mean, deviation), (om, od)) in pairs.zip(other.mean.iter().zip(&other.deviation)) {
            let difference = om - *mean;
            *mean += difference * m / (n + m);
            *deviation += od + difference * difference * n * m / (n + m);
        }
        self.count += other.count;
        self
    }

    /// The biased variance of channel `c`, by which the batch is normalised.
    pub fn variance(&self, c: usize) -> f64 {
        self.deviation[c] / self.count as f64
    }

    /// The unbiased variance of channel `c`, which the running variance is updated with.
    pub fn unbiased_variance(&self, c: usize) -> f64 {
        self.deviation[c] / (self.count.max(2) - 1) as f64
    }
}

/// A normalisation ready to be applied: y ↦ (y - mean) · scale + shift for each stored channel.
#[derive(Clone, Debug)]
pub struct Normalisation {
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    /// 1/σ, for the way back.
    inverse_std: Vec<f64>,
    count: usize,
}

impl Normalisation {
    /// The normalisation by the batch's own moments, as in training. `gamma` and `beta` are `[channels]`, without
    /// the channels that storage adds.
    pub fn of_batch(moments: &Moments, gamma: &[f32], beta: &[f32]) -> Self {
        let variance = |c: usize| moments.variance(c);
        Self::build(moments.count, gamma, beta, |c| moments.mean[c], variance)
    }

    /// The normalisation by running statistics, as in evaluation. All four are `[channels]`, without the channels
    /// that storage adds.
    ///
    /// # Panics
    /// If they are not equally many.
    pub fn of_running(mean: &[f32], variance: &[f32], gamma: &[f32], beta: &[f32]) -> Self {
        assert!(mean.len() == gamma.len() && variance.len() == gamma.len(), "channels differ");
        Self::build(1, gamma, beta, |c| f64::from(mean[c]), |c| f64::from(variance[c]))
    }

    fn build(
        count: usize,
        gamma: &[f32],
        beta: &[f32],
        mean: impl Fn(usize) -> f64,
        variance: impl Fn(usize) -> f64,
    ) -> Self {
        assert_eq!(gamma.len(), beta.len(), "γ and β have one number a channel");
        let stored = gamma.len().next_multiple_of(PANEL);
        let per_channel = |f: &dyn Fn(usize) -> f64| -> Vec<f32> {
            (0..stored).map(|c| if c < gamma.len() { f(c) as f32 } else { 0.0 }).collect()
        };
        let inverse_std: Vec<f64> = (0..stored)
            .map(|c| if c < gamma.len() { 1.0 / (variance(c) + EPSILON).sqrt() } else { 0.0 })
            .collect();
        Self {
            mean: per_channel(&mean),
            scale: per_channel(&|c| f64::from(gamma[c]) * inverse_std[c]),
            shift: per_channel(&|c| f64::from(beta[c])),
            inverse_std,
            count,
        }
    }

    /// The mean that is taken off each channel, `[stored channels]`.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    pub(crate) fn assert_channels(&self, channels: usize) {
        assert_eq!(self.mean.len(), channels, "the normalisation is of other channels");
    }

    /// # Safety
    /// `V::LANES` channels from `c` on must exist.
    #[inline(always)]
    pub(crate) unsafe fn load<V: Vector>(&self, c: usize) -> [V; 3] {
        // SAFETY: the three have equal length, and the caller's promise.
        unsafe {
            [
                V::load(self.mean.as_ptr().add(c)),
                V::load(self.scale.as_ptr().add(c)),
                V::load(self.shift.as_ptr().add(c)),
            ]
        }
    }

    /// The gradient through this normalisation, where it was by the batch's own moments, and the gradients of γ and
    /// β, `[channels]` each. `sums` are those of the gradient behind the normalisation, and `which` says whether it
    /// was the first or the second of their [`BackwardEpilogue`](crate::BackwardEpilogue).
    pub fn gradient(&self, sums: &GradientSums, which: usize, channels: usize) -> NormGradient {
        let count = self.count as f64;
        let dots = &sums.dots[which];
        let stored = self.mean.len();
        let mut through = GradientOf {
            mean: self.mean.clone(),
            scale: self.scale.clone(),
            slope: vec![0.0; stored],
            shift: vec![0.0; stored],
        };
        let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
        for c in 0..channels {
            let (scale, inverse) = (f64::from(self.scale[c]), self.inverse_std[c]);
            gamma[c] = (dots[c] * inverse) as f32;
            beta[c] = sums.sum[c] as f32;
            through.slope[c] = (-scale * inverse * inverse * dots[c] / count) as f32;
            through.shift[c] = (-scale * sums.sum[c] / count) as f32;
        }
        NormGradient { through, gamma, beta }
    }
}

/// What [`Normalisation::gradient`] gives.
#[derive(Clone, Debug)]
pub struct NormGradient {
    /// The way from the gradient behind batch norm to that of the convolution's output.
    pub through: GradientOf,
    /// The gradient of γ, `[channels]`.
    pub gamma: Vec<f32>,
    /// The gradient of β, `[channels]`.
    pub beta: Vec<f32>,
}

/// Batch norm's gradient ready to be applied: (g, y) ↦ g · scale + (y - mean) · slope + shift for each stored
/// channel, where g is the gradient behind batch norm and y its input.
#[derive(Clone, Debug)]
pub struct GradientOf {
    mean: Vec<f32>,
    scale: Vec<f32>,
    slope: Vec<f32>,
    shift: Vec<f32>,
}

impl GradientOf {
    pub(crate) fn assert_channels(&self, channels: usize) {
        assert_eq!(self.mean.len(), channels, "the gradient is of other channels");
    }

    /// # Safety
    /// `V::LANES` channels from `c` on must exist.
    #[inline(always)]
    pub(crate) unsafe fn load<V: Vector>(&self, c: usize) -> [V; 4] {
        // SAFETY: the four have equal length, and the caller's promise.
        unsafe {
            [
                V::load(self.mean.as_ptr().add(c)),
                V::load(self.scale.as_ptr().add(c)),
                V::load(self.slope.as_ptr().add(c)),
                V::load(self.shift.as_ptr().add(c)),
            ]
        }
    }
}

/// How many numbers make a block of whole pixels of a few kilobytes. Passes over activations go through them vector by
/// vector of channels, with what belongs to those channels in registers, while the block stays in the
/// first-level cache.
pub(crate) fn block(channels: usize) -> usize {
    (2048 / channels).max(8) * channels
}

/// What a normalisation's gradient needs of the gradient behind it: sums over a batch for each stored channel.
#[derive(Clone, Debug, Default)]
pub struct GradientSums {
    /// The sum of the gradient, Σ g, `[stored channels]`.
    pub sum: Vec<f64>,
    /// The sum of its products with the deviations from the mean, Σ g (y - mean), for either normalisation,
    /// `[stored channels]` each.
    pub dots: [Vec<f64>; 2],
}

impl GradientSums {
    /// The sums over a batch from those over its parts, added up in their order.
    pub(crate) fn combine(parts: impl IntoIterator<Item = GradientSums>) -> GradientSums {
        let add = |mut a: Vec<f64>, b: Vec<f64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        let join = |a: GradientSums, b: GradientSums| {
            let ([a0, a1], [b0, b1]) = (a.dots, b.dots);
            GradientSums { sum: add(a.sum, b.sum), dots: [add(a0, b0), add(a1, b1)] }
        };
        parts.into_iter().reduce(join).unwrap_or_default()
    }
}

/// What a residual block adds to its last normalised convolution.
#[derive(Clone, Copy, Debug)]
pub enum Shortcut<'a, E> {
    /// Nothing, as at the stem.
    None,
    /// The block's input.
    Identity(&'a [E]),
    /// The normalised output of the shortcut's convolution.
    Projection(&'a [E], &'a Normalisation),
}

/// out = ReLU(normalised y + shortcut), all `[batch, height, width, channels]`.
///
/// # Panics
/// If the slices differ in length.
pub fn join<E: Element>(
    level: Level,
    y: &[E],
    norm: &Normalisation,
    shortcut: Shortcut<'_, E>,
    out: &mut [E],
) {
    let channels = norm.mean.len();
    assert!(y.len() == out.len() && y.len().is_multiple_of(channels), "sizes differ");
    match shortcut {
        Shortcut::None => {}
        Shortcut::Identity(x) => assert_eq!(x.len(), y.len(), "sizes differ"),
        Shortcut::Projection(x, norm) => {
            assert_eq!(x.len(), y.len(), "sizes differ");
            norm.assert_channels(channels);
        }
    }
    use rayon::prelude::*;
    let chunk = channels * PIXELS_A_TASK;
    out.par_chunks_mut(chunk).enumerate().for_each(|(at, out)| {
        let span = at * chunk..at * chunk + out.len();
        let shortcut = match shortcut {
            Shortcut::None => Shortcut::None,
            Shortcut::Identity(x) => Shortcut::Identity(&x[span.clone()]),
            Shortcut::Projection(x, norm) => Shortcut::Projection(&x[span.clone()], norm),
        };
        level.run(Join { y: &y[span], norm, shortcut, out });
    });
}

/// Work small enough to balance and large enough to be worth a task.
const PIXELS_A_TASK: usize = 1024;

struct Join<'a, E> {
    y: &'a [E],
    norm: &'a Normalisation,
    shortcut: Shortcut<'a, E>,
    out: &'a mut [E],
}

impl<E: Element> Kernel for Join<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let (channels, len) = (self.norm.mean.len(), self.y.len());
        let block = block(channels);
        for start in (0..len).step_by(block) {
            let end = len.min(start + block);
            for channel in (0..channels).step_by(V::LANES) {
                // SAFETY: `join` has checked that all slices are equally long and of these channels.
                unsafe { self.block::<V>(start..end, channel) };
            }
        }
        V::fence();
    }
}

impl<E: Element> Join<'_, E> {
    /// One vector of channels of the pixels in `span`.
    ///
    /// # Safety
    /// All slices must be as long as `y`, `span` of whole pixels within them, and `V::LANES` channels
    /// from `channel` on exist.
    #[inline(always)]
    unsafe fn block<V: Vector>(&mut self, span: std::ops::Range<usize>, channel: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let [mean, scale, shift] = self.norm.load::<V>(channel);
            let other = match self.shortcut {
                Shortcut::Projection(_, norm) => norm.load::<V>(channel),
                _ => [V::splat(0.0); 3],
            };
            let mut at = span.start + channel;
            while at < span.end {
                let y: V = E::load(self.y.as_ptr().add(at));
                let y = y.sub(mean).mul_add(scale, shift);
                let sum = match self.shortcut {
                    Shortcut::None => y,
                    Shortcut::Identity(x) => y.add(E::load(x.as_ptr().add(at))),
                    Shortcut::Projection(x, _) => {
                        let [mean, scale, shift] = other;
                        let x: V = E::load(x.as_ptr().add(at));
                        y.add(x.sub(mean).mul_add(scale, shift))
                    }
                };
                E::put(self.out.as_mut_ptr().add(at), sum.max(V::splat(0.0)));
                at += self.norm.mean.len();
            }
        }
    }
}
