//! The residual network, forward and back, on the CPU kernels.
//!
//! Activations stay channels last, and batch norm, ReLU and residual sums never take a pass of their own
//! where a convolution reads or writes anyway.

mod backward;
mod forward;

use cpu_kernels::{Element, bf16};
use graph::Plan;

use self::backward::Backward;
use self::forward::{Forward, Images, Outcome, Statistics, Tape};
use crate::Engine;

/// What a pass leaves for the way back, in either precision.
#[derive(Debug)]
pub(crate) struct AnyTape(Either);

#[derive(Debug)]
enum Either {
    F32(Tape<f32>),
    Bf16(Tape<bf16>),
}

/// A network with its operands.
#[derive(Clone, Copy)]
pub(crate) struct Residual<'a> {
    pub engine: &'a Engine,
    pub plan: &'a Plan,
    /// `[batch, channels, height, width]`
    pub images: &'a [f32],
    pub batch: usize,
    pub size: [usize; 2],
    /// As the plan lays them out.
    pub parameters: &'a [f32],
}

impl<'a> Residual<'a> {
    /// Features and the batch's statistics, written where they belong, and the tape.
    pub(crate) fn train(&self, features: &mut [f32], statistics: Option<&mut [f32]>) -> AnyTape {
        AnyTape(match self.plan.precision {
            graph::Element::Bf16 => Either::Bf16(self.forward(features, statistics)),
            _ => Either::F32(self.forward(features, statistics)),
        })
    }

    /// Features under running statistics.
    pub(crate) fn evaluate(&self, running: &[f32], features: &mut [f32]) {
        let statistics = Statistics::Running(running);
        let found = match self.plan.precision {
            graph::Element::Bf16 => self.pass::<bf16>(statistics).features,
            _ => self.pass::<f32>(statistics).features,
        };
        features.copy_from_slice(&found);
    }

    /// The gradients of all parameters, from that of the features and the tape.
    pub(crate) fn gradient(&self, tape: AnyTape, features: &[f32], gradients: &mut [f32]) {
        match tape.0 {
            Either::F32(tape) => self.backward(tape, features, gradients),
            Either::Bf16(tape) => self.backward(tape, features, gradients),
        }
    }

    fn images(&self) -> Images<'a> {
        Images { data: self.images, batch: self.batch, size: self.size }
    }

    fn pass<E: Element>(&self, statistics: Statistics<'_>) -> Outcome<E> {
        let &Self { engine, plan, parameters, .. } = self;
        Forward { engine, plan, parameters, statistics }.run(self.images())
    }

    fn forward<E: Element>(&self, features: &mut [f32], statistics: Option<&mut [f32]>) -> Tape<E> {
        let found = self.pass(Statistics::Batch);
        features.copy_from_slice(&found.features);
        if let Some(statistics) = statistics {
            statistics.copy_from_slice(&found.statistics);
        }
        found.tape
    }

    fn backward<E: Element>(&self, tape: Tape<E>, features: &[f32], gradients: &mut [f32]) {
        let &Self { engine, plan, parameters, .. } = self;
        Backward { engine, plan, parameters, tape, images: self.images() }.run(features, gradients);
    }
}
