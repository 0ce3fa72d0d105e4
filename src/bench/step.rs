//! One training step of a backbone.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use serde::Serialize;

use super::{Rate, median_seconds, peak_memory_mib};
use crate::engine::{Plan, Precision};
use crate::model::{Initializer, Phase, ResNet, params};
use crate::rng::{Stream, generator};
use crate::train::Optimizer;

const WARM_UP: usize = 2;
const RUNS: usize = 7;
/// Side of the crops, pixels.
const SIZE: usize = 32;

/// How fast a ResNet-18 with the CIFAR stem trains.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepBench {
    /// Channels of the first stage.
    pub width: usize,
    /// Crops a step.
    pub batch: usize,
    /// Of the activations.
    pub precision: Precision,
    /// Crops of 32 × 32 pixels a second.
    pub crops_per_second: f64,
    /// Of the convolutions.
    pub rate: Rate,
    /// Most memory the process held.
    pub peak_memory_mib: Option<f64>,
}

/// Forward, backward and SGD on random crops; the loss is the features' mean square.
pub fn step(width: usize, batch: usize, precision: Precision) -> StepBench {
    let device = Device::flex().autodiff();
    let mut network = ResNet::cifar([2, 2, 2, 2], width, &mut Initializer::new(0, &device))
        .with_precision(precision);
    let flop = batch as f64 * training_flop(network.plan(), SIZE);
    let mut rng = generator(0, Stream::Init, 1, 0, 0);
    let pixels = (0..batch * 3 * SIZE * SIZE).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    let crops = TensorData::new::<f32, _>(pixels, [batch, 3, SIZE, SIZE]);
    let crops = Tensor::<4>::from_data(crops, &device);
    let mut optimizer = Optimizer::sgd(0.9, 1e-4);
    let seconds = median_seconds(WARM_UP, RUNS, || {
        let loss = network.forward(crops.clone(), Phase::Train).square().mean();
        let gradients = params::gradients(&network, "", &loss.backward());
        network = optimizer.step(network.clone(), "", &gradients, |_| 0.01);
    });
    StepBench {
        width,
        batch,
        precision,
        crops_per_second: batch as f64 / seconds,
        rate: Rate::of(flop, seconds, precision),
        peak_memory_mib: peak_memory_mib(),
    }
}

/// Operations of one crop's convolutions by the direct method, there and back. The images need no
/// gradient, so the stem is passed twice and every other convolution three times.
fn training_flop(plan: &Plan, size: usize) -> f64 {
    let passes =
        |side: usize, weights: usize, times: usize| 2.0 * (side * side * weights * times) as f64;
    let mut side = size;
    let mut flop = passes(side, plan.stem.weight().len(), 2);
    for block in &plan.blocks {
        let mut inner = side;
        for unit in &block.main {
            inner = inner.div_ceil(unit.stride);
            flop += passes(inner, unit.weight().len(), 3);
        }
        if let Some(unit) = &block.shortcut {
            flop += passes(inner, unit.weight().len(), 3);
        }
        side = inner;
    }
    flop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_operations_of_a_resnet18() {
        let device = Device::flex();
        let network = ResNet::cifar([2, 2, 2, 2], 64, &mut Initializer::new(0, &device));
        // 555.4 million multiply-adds forward, of which the stem has 1.8 million.
        let forward = (training_flop(network.plan(), 32) + 2.0 * 1_769_472.0) / 6.0;
        assert_eq!(forward, 555_417_600.0);
    }
}
