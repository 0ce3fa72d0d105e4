//! The epilogues of convolutions and pools in f32: what is done with their results on the way to memory.
//!
//! Going forward, outputs are stored and their moments taken. Going back, the gradient of an input is taken past
//! what lies between two convolutions, stored, and summed for the normalisations before.

use crate::element::Element;
use crate::level::{Kernel, Level};
use crate::norm::{GradientSums, Moments, Normalisation, block};
use crate::simd::Vector;

/// The forward epilogue: stores a slab of convolution outputs `[pixels, channels]` and takes their moments on the way, of
/// the numbers as stored.
pub(crate) fn epilogue<E: Element>(
    level: Level,
    channels: usize,
    y: &[f32],
    out: &mut [E],
) -> Moments {
    assert_eq!(y.len(), out.len(), "the slab and its place differ");
    assert_eq!(y.len() % channels, 0, "whole pixels");
    level.run(Epilogue { channels, y, out })
}

struct Epilogue<'a, E> {
    channels: usize,
    y: &'a [f32],
    out: &'a mut [E],
}

impl<E: Element> Kernel for Epilogue<'_, E> {
    type Output = Moments;

    #[inline(always)]
    fn run<V: Vector>(self) -> Moments {
        let Epilogue { channels, y, out } = self;
        let count = y.len() / channels;
        let mut totals = vec![[[0.0; 16]; 4]; channels / V::LANES];
        let block = block(channels);
        for start in (0..y.len()).step_by(block) {
            let end = y.len().min(start + block);
            for (at, totals) in totals.iter_mut().enumerate() {
                let channel = at * V::LANES;
                // SAFETY: the block is of whole pixels within both slices, which are equally long;
                // 16 lanes are the widest vector.
                unsafe {
                    // Deviations from the first pixel, so that a large mean costs no digits; two
                    // chains of sums, so that additions overlap and errors stay small.
                    let first: V = V::load(y.as_ptr().add(channel));
                    let [s0, s1, q0, q1] = totals;
                    let mut sums = [V::load(s0.as_ptr()), V::load(s1.as_ptr())];
                    let mut squares = [V::load(q0.as_ptr()), V::load(q1.as_ptr())];
                    for (pixel, at) in (start + channel..end).step_by(channels).enumerate() {
                        let to = out.as_mut_ptr().add(at);
                        let difference = E::put(to, V::load(y.as_ptr().add(at))).sub(first);
                        sums[pixel % 2] = sums[pixel % 2].add(difference);
                        squares[pixel % 2] = difference.mul_add(difference, squares[pixel % 2]);
                    }
                    for (total, sum) in totals.iter_mut().zip(sums.into_iter().chain(squares)) {
                        sum.store(total.as_mut_ptr());
                    }
                }
            }
        }
        V::fence();
        let mut moments =
            Moments { count, mean: vec![0.0; channels], deviation: vec![0.0; channels] };
        for channel in 0..channels {
            let lane = channel % V::LANES;
            let [s0, s1, q0, q1] = totals[channel / V::LANES].map(|lanes| lanes[lane]);
            let (first, sum) = (f64::from(y[channel]), f64::from(s0 + s1));
            moments.mean[channel] = first + sum / count as f64;
            let deviation = f64::from(q0 + q1) - sum * sum / count as f64;
            moments.deviation[channel] = deviation.max(0.0);
        }
        moments
    }
}

/// What the gradient of a convolution's input passes before it is stored: the addition of the residual's
/// gradient, a ReLU's gate, and the sums that the normalisations before that ReLU need.
#[derive(Clone, Copy, Debug)]
pub struct BackwardEpilogue<'a, E> {
    /// Another gradient of the same activations, which is added first.
    pub residual: Option<&'a [E]>,
    /// The gate of the ReLU that made the activations.
    pub gate: Gate<'a, E>,
    /// The normalisations before that ReLU, each with the convolution's output that it normalised. Where there
    /// is one, it comes first.
    pub norms: [Option<(&'a [E], &'a Normalisation)>; 2],
}

/// Where a ReLU let its input pass, and therefore lets the gradient.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a, E> {
    /// Everywhere, for there was no ReLU.
    Open,
    /// Where its output is positive.
    Output(&'a [E]),
    /// Where its input, the normalised output of a convolution, is positive.
    Input(&'a [E], &'a Normalisation),
}

impl<E: Element> BackwardEpilogue<'_, E> {
    /// # Panics
    /// If not all that takes part has `len` numbers of `channels` channels, or a second normalisation is there
    /// without a first.
    pub(crate) fn check(&self, len: usize, channels: usize) {
        let whole =
            |other: usize| assert_eq!(other, len, "gradients and activations differ in size");
        self.residual.iter().for_each(|r| whole(r.len()));
        match self.gate {
            Gate::Open => {}
            Gate::Output(x) => whole(x.len()),
            Gate::Input(y, norm) => {
                whole(y.len());
                norm.assert_channels(channels);
            }
        }
        assert!(self.norms[0].is_some() || self.norms[1].is_none(), "a first normalisation");
        for (y, norm) in self.norms.iter().flatten() {
            whole(y.len());
            norm.assert_channels(channels);
        }
    }

    /// The part of this that belongs to the activations in `span`.
    pub(crate) fn part(&self, span: std::ops::Range<usize>) -> Self {
        BackwardEpilogue {
            residual: self.residual.map(|r| &r[span.clone()]),
            gate: match self.gate {
                Gate::Open => Gate::Open,
                Gate::Output(x) => Gate::Output(&x[span.clone()]),
                Gate::Input(y, norm) => Gate::Input(&y[span.clone()], norm),
            },
            norms: self.norms.map(|n| n.map(|(y, norm)| (&y[span.clone()], norm))),
        }
    }
}

/// Pixels at equal distances, of which a kernel takes one vector of channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelRun {
    pub pixels: usize,
    /// The first of the channels.
    pub channel: usize,
    /// Where the first pixel's gradient is read.
    pub from: *const f32,
    /// How far the next pixel's gradient is from there, in numbers.
    pub from_step: usize,
    /// Where the first pixel lies among the activations, at the first of the channels.
    pub at: usize,
    /// How far the next pixel is from there, in numbers.
    pub step: usize,
}

/// The sums over a gradient while it is stored: for each channel Σ g, and Σ g (y - mean) for either normalisation.
#[derive(Debug)]
pub(crate) struct GradientTotals([Vec<f32>; 3]);

impl GradientTotals {
    pub fn new(channels: usize) -> Self {
        Self(std::array::from_fn(|_| vec![0.0; channels]))
    }

    pub fn sums(self) -> GradientSums {
        let [sum, first, second] = self.0.map(|t| t.into_iter().map(f64::from).collect());
        GradientSums { sum, dots: [first, second] }
    }
}

impl<E: Element> BackwardEpilogue<'_, E> {
    /// Takes the gradients of a run of pixels past the residual and the gate, stores them to `to`, where all
    /// activations begin, and adds them to the totals. What does not change from pixel to pixel is decided
    /// before the loop.
    ///
    /// # Safety
    /// The run's gradients must be readable and its activations writable, [`BackwardEpilogue::check`] must have
    /// passed for these activations, and `V::LANES` channels from the run's on must exist.
    #[inline(always)]
    pub(crate) unsafe fn apply<V: Vector>(
        &self,
        run: PixelRun,
        to: *mut E,
        totals: &mut GradientTotals,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.norms {
                [None, _] => self.gated::<V, 0>(run, to, totals),
                [Some(_), None] => self.gated::<V, 1>(run, to, totals),
                [Some(_), Some(_)] => self.gated::<V, 2>(run, to, totals),
            }
        }
    }

    /// # Safety
    /// As for [`BackwardEpilogue::apply`]; the first `NORMS` normalisations must be there.
    #[inline(always)]
    unsafe fn gated<V: Vector, const NORMS: usize>(
        &self,
        run: PixelRun,
        to: *mut E,
        totals: &mut GradientTotals,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.gate {
                Gate::Open => self.pixels::<V, NORMS, _>(run, AlwaysOpen, to, totals),
                Gate::Output(x) => {
                    self.pixels::<V, NORMS, _>(run, OutputGate(x.as_ptr()), to, totals);
                }
                Gate::Input(y, norm) => {
                    let [mean, scale, shift] = norm.load::<V>(run.channel);
                    let gate = InputGate { y: y.as_ptr(), mean, scale, shift };
                    self.pixels::<V, NORMS, _>(run, gate, to, totals);
                }
            }
        }
    }

    /// # Safety
    /// As for [`BackwardEpilogue::gated`]; the gate must have as many numbers as the activations.
    #[inline(always)]
    unsafe fn pixels<V: Vector, const NORMS: usize, G: GateInput<V>>(
        &self,
        run: PixelRun,
        gate: G,
        to: *mut E,
        totals: &mut GradientTotals,
    ) {
        let PixelRun { pixels, channel, from, from_step, at: first, step } = run;
        let residual = self.residual;
        // SAFETY: the caller's promise; the totals are of all channels.
        unsafe {
            let totals = totals.0.each_mut().map(|totals| totals.as_mut_ptr().add(channel));
            let mut sums = [V::load(totals[0]), V::load(totals[1]), V::load(totals[2])];
            let mut means = [V::splat(0.0); NORMS];
            let mut ys = [to.cast_const(); NORMS];
            for (i, (y, norm)) in self.norms.iter().flatten().enumerate().take(NORMS) {
                means[i] = V::load(norm.mean().as_ptr().add(channel));
                ys[i] = y.as_ptr();
            }
            for pixel in 0..pixels {
                let at = first + pixel * step;
                let mut value = V::load(from.add(pixel * from_step));
                if let Some(residual) = residual {
                    value = value.add(E::load(residual.as_ptr().add(at)));
                }
                let to = to.add(at);
                E::store(to, value.where_positive(gate.at(at)));
                let value: V = E::load(to);
                sums[0] = sums[0].add(value);
                for i in 0..NORMS {
                    let y: V = E::load(ys[i].add(at));
                    sums[i + 1] = y.sub(means[i]).mul_add(value, sums[i + 1]);
                }
            }
            for (total, sum) in totals.into_iter().zip(sums) {
                sum.store(total);
            }
        }
    }
}

/// What a gate looks at: positive where it is open.
trait GateInput<V> {
    /// # Safety
    /// There must be `V::LANES` numbers from `at` on.
    unsafe fn at(&self, at: usize) -> V;
}

struct AlwaysOpen;

impl<V: Vector> GateInput<V> for AlwaysOpen {
    #[inline(always)]
    unsafe fn at(&self, _at: usize) -> V {
        V::splat(1.0)
    }
}

/// The output of a ReLU.
struct OutputGate<E>(*const E);

impl<V: Vector, E: Element> GateInput<V> for OutputGate<E> {
    #[inline(always)]
    unsafe fn at(&self, at: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe { E::load(self.0.add(at)) }
    }
}

/// The input of a ReLU: the normalised output of a convolution.
struct InputGate<V, E> {
    y: *const E,
    mean: V,
    scale: V,
    shift: V,
}

impl<V: Vector, E: Element> GateInput<V> for InputGate<V, E> {
    #[inline(always)]
    unsafe fn at(&self, at: usize) -> V {
        // SAFETY: the caller's promise.
        let y: V = unsafe { E::load(self.y.add(at)) };
        y.sub(self.mean).mul_add(self.scale, self.shift)
    }
}

/// The backward epilogue: takes gradients `g` `[pixels, channels]` past what `epilogue` says, stores them, and
/// sums them for the normalisations before.
///
/// # Panics
/// If not all that takes part has as many numbers as `g`.
pub(crate) fn backward_epilogue<E: Element>(
    level: Level,
    channels: usize,
    g: &[f32],
    epilogue: BackwardEpilogue<'_, E>,
    out: &mut [E],
) -> GradientSums {
    assert_eq!(g.len() % channels, 0, "whole pixels");
    assert_eq!(out.len(), g.len(), "gradients and activations differ in size");
    epilogue.check(g.len(), channels);
    level.run(BackwardKernel { channels, g, epilogue, out })
}

struct BackwardKernel<'a, E> {
    channels: usize,
    g: &'a [f32],
    epilogue: BackwardEpilogue<'a, E>,
    out: &'a mut [E],
}

impl<E: Element> Kernel for BackwardKernel<'_, E> {
    type Output = GradientSums;

    #[inline(always)]
    fn run<V: Vector>(self) -> GradientSums {
        let Self { channels, g, epilogue, out } = self;
        let (step, block) = (channels, block(channels));
        let mut totals = GradientTotals::new(channels);
        for start in (0..g.len()).step_by(block) {
            let pixels = (g.len() - start).min(block) / channels;
            for channel in (0..channels).step_by(V::LANES) {
                // SAFETY: `backward_epilogue` has checked that all slices are as long as `g`; the block is of
                // whole pixels within it.
                unsafe {
                    let at = start + channel;
                    let from = g.as_ptr().add(at);
                    let run = PixelRun { pixels, channel, from, from_step: step, at, step };
                    epilogue.apply::<V>(run, out.as_mut_ptr(), &mut totals);
                }
            }
        }
        totals.sums()
    }
}
