//! One training step of a backbone.

use graph::{Graph, Plan, Program, Type, flat_gradient};
use rand::RngExt;
use serde::Serialize;

use super::{Rate, median_seconds, peak_memory_mib};
use crate::Result;
use crate::config::{Backbone, Precision, Stem};
use crate::executor::{Array, Device};
use crate::model::params::{Declaration, Weights};
use crate::model::{Architecture, Phase, ResNet};
use crate::train::Optimizer;
use logo_ssl_base::rng::{Stream, generator};

const WARM_UP: usize = 2;
const RUNS: usize = 7;

/// What is trained, on what.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepCase {
    /// Which network.
    pub backbone: Backbone,
    /// What stands before its first stage.
    pub stem: Stem,
    /// Channels of the first stage.
    pub width: usize,
    /// Crops a step.
    pub batch: usize,
    /// Side of the crops, pixels.
    pub size: usize,
    /// Of the activations.
    pub precision: Precision,
}

/// How fast a backbone trains.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepBench {
    /// What was trained.
    #[serde(flatten)]
    pub case: StepCase,
    /// Crops a second.
    pub crops_per_second: f64,
    /// Of the convolutions.
    pub rate: Rate,
    /// Most memory the process held.
    pub peak_memory_mib: Option<f64>,
}

/// Forward, backward and SGD on random crops; the loss is the features' mean square.
///
/// # Errors
/// [`crate::Error::Device`] where the device fails.
pub fn step(case: StepCase, device: &Device) -> Result<StepBench> {
    let step = Step::new(case);
    let program = device.compile(&step.program())?;
    let flop = case.batch as f64 * training_flop(step.network.plan(), case.size);
    let mut state = Some(step.state(device)?);
    let crops = device.f32(step.crops(), &step.shape())?;
    let seconds = median_seconds(WARM_UP, RUNS, || {
        let mut inputs = state.take().expect("the last step left its state");
        inputs.push(crops.clone());
        let mut outputs = program.run(inputs)?;
        let loss = outputs.pop().expect("the loss is the last output");
        state = Some(outputs);
        loss.read().map(drop)
    })?;
    Ok(StepBench {
        case,
        crops_per_second: case.batch as f64 / seconds,
        rate: Rate::of(flop, seconds, case.precision),
        peak_memory_mib: peak_memory_mib(),
    })
}

/// A network with its tensors, and a batch.
struct Step {
    network: ResNet,
    declaration: Declaration,
    case: StepCase,
}

impl Step {
    fn new(case: StepCase) -> Self {
        let mut declaration = Declaration::default();
        let StepCase { backbone, stem, width, precision, .. } = case;
        let (block, blocks) = (backbone.block(), backbone.blocks());
        let architecture = Architecture { stem, block, blocks, width, zero_init_residual: false };
        let network = ResNet::new(&architecture, precision, &mut declaration);
        Self { network, declaration, case }
    }

    fn shape(&self) -> [usize; 4] {
        [self.case.batch, 3, self.case.size, self.case.size]
    }

    fn crops(&self) -> Vec<f32> {
        let mut rng = generator(0, Stream::Init, 1, 0, 0);
        (0..self.shape().iter().product()).map(|_| rng.random_range(-1.0..1.0f32)).collect()
    }

    /// Weights, running statistics and velocity.
    fn state(&self, device: &Device) -> Result<Vec<Array>> {
        let Declaration { trained, running, .. } = &self.declaration;
        let values = [trained.first_values(0), running.first_values(0), vec![0.0; trained.len()]];
        values.into_iter().map(|values| device.f32(values.clone(), &[values.len()])).collect()
    }

    fn program(&self) -> Program {
        let Declaration { trained, running, .. } = &self.declaration;
        let graph = Graph::new();
        let flat = |name, len| graph.parameter(name, Type::f32([len]));
        let value = flat("weights", trained.len());
        let statistics = flat("running", running.len());
        let velocity = flat("velocity", trained.len());
        let crops = graph.parameter("crops", Type::f32(self.shape()));
        let weights = Weights::of([trained, running], [Some(value), Some(statistics)]);
        let loss = self.network.forward(crops, &weights, Phase::Train).square().mean_all();
        let gradient = flat_gradient(loss, weights.trained());
        let mut memory = [velocity];
        let lr = graph.scalar(0.01);
        let next = Optimizer::sgd(0.9, 1e-4).step(trained, [value, gradient], &mut memory, |_| lr);
        let statistics_after = weights.all_statistics().expect("a network has batch norms");
        let inputs = [value, statistics, velocity, crops];
        let [velocity] = memory;
        let outputs = [
            ("weights", next),
            ("running", statistics_after),
            ("velocity", velocity),
            ("loss", loss),
        ];
        Program::new(&graph, &inputs, &outputs).expect("every parameter was listed, each once")
    }
}

/// Operations of one crop's convolutions by the direct method, there and back. The images need no
/// gradient, so the stem is passed twice and every other convolution three times.
fn training_flop(plan: &Plan, size: usize) -> f64 {
    let passes =
        |side: usize, weights: usize, times: usize| 2.0 * (side * side * weights * times) as f64;
    let mut side = size.div_ceil(plan.stem.stride);
    let mut flop = passes(side, plan.stem.weight().len(), 2);
    if plan.max_pool {
        side = side.div_ceil(2);
    }
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
        let (backbone, stem) = (Backbone::Resnet18, Stem::Cifar);
        let case =
            StepCase { backbone, stem, width: 64, batch: 1, size: 32, precision: Precision::F32 };
        let network = Step::new(case).network;
        // 555.4 million multiply-adds forward, of which the stem has 1.8 million.
        let forward = (training_flop(network.plan(), 32) + 2.0 * 1_769_472.0) / 6.0;
        assert_eq!(forward, 555_417_600.0);
    }
}
