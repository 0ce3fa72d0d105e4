//! From gradients to new weights: SGD, LARS, AdamW or Muon, over all parameters at once.

mod adamw;
mod lars;
mod muon;
mod sgd;

use graph::Node;

use crate::config::{OptimizerConfig, OptimizerName, Precision};
use crate::model::params::{Entry, Layout};

/// The optimiser of one module: a function from its parameters and gradient to new ones.
#[derive(Clone, Debug)]
pub struct Optimizer {
    name: OptimizerName,
    momentum: f64,
    betas: [f64; 2],
    weight_decay: f64,
    decay_norm_and_bias: bool,
    precision: Precision,
}

/// What an optimiser remembers between its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// One number for each of the parameters', under this name.
    Each(&'static str),
    /// One number for all of them, under this name.
    Once(&'static str),
}

/// What a step is taken with: the parameters as they lie in flat vectors, and their gradient.
#[derive(Clone, Copy, Debug)]
struct Moving<'a, 'g> {
    layout: &'a Layout,
    value: Node<'g>,
    gradient: Node<'g>,
    /// The learning rate: a scalar, or one number for each parameter's.
    lr: Node<'g>,
    /// The weight decay, likewise.
    decay: Node<'g>,
}

impl Optimizer {
    /// The one that `config` names.
    pub fn new(config: &OptimizerConfig) -> Self {
        Self {
            name: config.name,
            momentum: config.momentum,
            betas: config.betas,
            weight_decay: config.weight_decay,
            decay_norm_and_bias: config.decay_norm_and_bias,
            precision: Precision::F32,
        }
    }

    /// The same with matrices multiplied in this precision, where its rule multiplies any.
    pub fn in_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// SGD that decays every parameter.
    pub fn sgd(momentum: f64, weight_decay: f64) -> Self {
        let (name, betas) = (OptimizerName::Sgd, [0.0; 2]);
        let precision = Precision::F32;
        Self { name, momentum, betas, weight_decay, decay_norm_and_bias: true, precision }
    }

    /// What it remembers, in the order in which [`Optimizer::step`] takes it. All start at zero.
    pub fn remembers(&self) -> &'static [Remembered] {
        match self.name {
            OptimizerName::Sgd | OptimizerName::Lars | OptimizerName::Muon => &sgd::STATE,
            OptimizerName::AdamW => &adamw::STATE,
        }
    }

    /// New values of parameters that lie as `layout` says, after one step by `gradient` at the rate that
    /// `lr` gives each. What is remembered goes from `memory` into it.
    pub fn step<'g>(
        &self,
        layout: &Layout,
        [value, gradient]: [Node<'g>; 2],
        memory: &mut [Node<'g>],
        lr: impl Fn(&Entry) -> Node<'g>,
    ) -> Node<'g> {
        let graph = value.graph();
        let decay = layout.spread(|entry| {
            let decays = self.decay_norm_and_bias || !entry.is_norm_or_bias();
            graph.scalar(if decays { self.weight_decay } else { 0.0 })
        });
        let moving = Moving { layout, value, gradient, lr: layout.spread(lr), decay };
        match self.name {
            OptimizerName::Sgd => sgd::step(moving, memory, self.momentum),
            OptimizerName::Lars => lars::step(moving, memory, self.momentum),
            OptimizerName::AdamW => adamw::step(moving, memory, self.betas),
            OptimizerName::Muon => {
                let rounded = self.precision == Precision::Bf16;
                muon::step(moving, memory, self.momentum, rounded)
            }
        }
    }
}
