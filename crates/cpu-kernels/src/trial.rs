//! How fast levels are at what a residual network does, by a short trial.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::conv::Conv;
use crate::element::Element;
use crate::epilogue::{BackwardEpilogue, Gate};
use crate::level::Level;
use crate::norm::{GradientOf, GradientSums, Normalisation};
use crate::shape::{ConvShape, stored_channels};
use crate::slab::{Input, InputGradient, OutputGradient};
use crate::workspace::{Buffer, Workspace};

/// How many rounds count at most. The one before them fills caches and buffers.
const ROUNDS: usize = 5;
/// How many rounds count at least, however slow the machine.
const LEAST_ROUNDS: usize = 2;
/// The time after which no further round begins.
const ENOUGH: Duration = Duration::from_millis(100);
/// Threads that have images of their own; with more, fresh memory would take longer than the trial.
const THREADS: usize = 32;

/// Side, channels in and out, kernel and stride, and images a thread: convolutions such as ResNets are made
/// of, those of 3×3 and stride 1 the most.
const SHAPES: [Sizes; 4] = [
    (32, [64, 64], [3, 1], 2),
    (16, [128, 128], [3, 1], 4),
    (16, [128, 256], [3, 2], 4),
    (16, [256, 64], [1, 1], 4),
];

type Sizes = (usize, [usize; 2], [usize; 2], usize);

/// Measures how fast each level is on this machine with activations stored as `E`, on all of rayon's threads: in
/// GFLOP/s of the direct method over a few convolutions, forward and backward.
///
/// Levels take turns, and of each convolution's times the shortest counts: whatever else the machine does
/// strikes all alike. On most machines this takes one or two tenths of a second.
///
/// # Panics
/// If the processor lacks one of the levels.
pub fn trial<E: Element>(levels: &[Level]) -> Vec<(Level, f64)> {
    // On a thread of the pool, as a pass through a network is.
    rayon::scope(|_| trial_of::<E>(levels, &SHAPES))
}

fn trial_of<E: Element>(levels: &[Level], shapes: &[Sizes]) -> Vec<(Level, f64)> {
    let threads = rayon::current_num_threads().clamp(1, THREADS);
    let workspace = Workspace::default();
    let layer = |sizes: &Sizes| Layer::<E>::new(*sizes, threads, &workspace);
    let mut layers: Vec<Layer<E>> = shapes.iter().map(layer).collect();
    let mut entrants: Vec<Entrant> =
        levels.iter().map(|&level| Entrant::new::<E>(level, &layers)).collect();
    entrants.iter_mut().for_each(|entrant| entrant.run(&mut layers, &workspace));
    entrants.iter_mut().for_each(|entrant| entrant.seconds.fill(f64::INFINITY));
    let start = Instant::now();
    for round in 0..ROUNDS {
        if round < LEAST_ROUNDS || start.elapsed() < ENOUGH {
            entrants.iter_mut().for_each(|entrant| entrant.run(&mut layers, &workspace));
        }
    }
    let flop: f64 = layers.iter().map(Layer::flop).sum();
    let rate = |entrant: &Entrant| flop / entrant.seconds.iter().sum::<f64>() / 1e9;
    entrants.iter().map(|entrant| (entrant.level, rate(entrant))).collect()
}

/// A level with its tables, and its shortest times so far.
struct Entrant {
    level: Level,
    convolutions: Vec<Conv>,
    seconds: Vec<f64>,
}

impl Entrant {
    fn new<E: Element>(level: Level, layers: &[Layer<E>]) -> Self {
        let convolutions = layers.iter().map(|layer| Conv::new::<E>(layer.shape, level)).collect();
        Self { level, convolutions, seconds: vec![f64::INFINITY; layers.len()] }
    }

    fn run<E: Element>(&mut self, layers: &mut [Layer<E>], workspace: &Workspace) {
        let times = self.seconds.iter_mut().zip(&self.convolutions);
        for (layer, (seconds, convolution)) in layers.iter_mut().zip(times) {
            let start = Instant::now();
            layer.run(convolution, workspace);
            *seconds = seconds.min(start.elapsed().as_secs_f64());
        }
    }
}

/// The operands of one convolution between two batch norms.
struct Layer<E> {
    shape: ConvShape,
    batch: usize,
    before: Normalisation,
    through: GradientOf,
    weight: Vec<f32>,
    weight_gradient: Vec<f32>,
    x: Buffer<E>,
    x_gradient: Buffer<E>,
    y: Buffer<E>,
}

impl<E: Element> Layer<E> {
    fn new(
        (side, [in_channels, out_channels], [kernel, stride], images): Sizes,
        threads: usize,
        workspace: &Workspace,
    ) -> Self {
        let (height, width) = (side, side);
        let shape =
            ConvShape { height, width, in_channels, out_channels, kernel, stride, images: false };
        let batch = images * threads;
        let mut x = workspace.take::<E>(batch * shape.input_len());
        let number = |at: usize| (at % 17) as f32 * 0.1 - 0.7;
        let numbers = x.par_iter_mut().with_min_len(1 << 14).enumerate();
        numbers.for_each(|(at, x)| *x = E::from_f32(number(at)));
        let weight: Vec<f32> = (0..shape.weight_len()).map(|at| number(at) * 0.02).collect();
        Self {
            shape,
            batch,
            before: standard(in_channels),
            through: standard(out_channels).gradient(&sums(out_channels), 0, out_channels).through,
            weight_gradient: vec![0.0; weight.len()],
            weight,
            x,
            x_gradient: workspace.zeroed(batch * shape.input_len()),
            y: workspace.zeroed(batch * shape.output_len()),
        }
    }

    /// How many operations of the direct method [`Layer::run`] does.
    fn flop(&self) -> f64 {
        let [height, width] = self.shape.output_size();
        6.0 * (self.batch * height * width * self.shape.weight_len()) as f64
    }

    fn run(&mut self, convolution: &Conv, workspace: &Workspace) {
        let input = Input::Normalised(&self.x, &self.before);
        convolution.forward(input, &self.weight, &mut self.y, workspace);
        let gradient = OutputGradient { g: &self.y, y: &self.y, through: &self.through };
        let epilogue = BackwardEpilogue {
            residual: None,
            gate: Gate::Input(&self.x, &self.before),
            norms: [Some((&self.x[..], &self.before)), None],
        };
        let wanted = InputGradient { epilogue, to: &mut self.x_gradient };
        let to = &mut self.weight_gradient;
        convolution.backward(input, gradient, &self.weight, Some(wanted), to, workspace);
    }
}

/// A batch norm of numbers that have mean 0 and variance 1 already.
fn standard(channels: usize) -> Normalisation {
    let [zeros, ones] = [0.0, 1.0].map(|number| vec![number; channels]);
    Normalisation::of_running(&zeros, &ones, &ones, &zeros)
}

fn sums(channels: usize) -> GradientSums {
    let some = || vec![0.1; stored_channels(channels)];
    GradientSums { sum: some(), dots: [some(), vec![]] }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn every_level_has_a_rate() {
        let levels = Level::available();
        // Small, for levels that are slow, in a build that is slower.
        let shapes = SHAPES.map(|(_, _, kernel, _)| (8, [16, 32], kernel, 1));
        for rates in [trial_of::<f32>(&levels, &shapes), trial_of::<bf16>(&levels, &shapes)] {
            assert!(rates.iter().map(|(level, _)| level).eq(&levels));
            assert!(rates.iter().all(|(_, rate)| rate.is_finite() && *rate > 0.0), "{rates:?}");
        }
    }
}
