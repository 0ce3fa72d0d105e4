//! From gradients to new weights: SGD, LARS or AdamW, each parameter on its own, by name.

mod adamw;
mod lars;
mod sgd;

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use self::adamw::AdamW;
use self::lars::Lars;
use self::sgd::Sgd;
use super::gradients::NamedGradients;
use crate::config::{OptimizerConfig, OptimizerName};
use crate::model::params::{self, State};

/// The optimiser of one module.
#[derive(Clone, Debug)]
pub struct Optimizer {
    algorithm: Algorithm,
    weight_decay: f64,
    decay_norm_and_bias: bool,
}

/// Each with what it remembers of every parameter.
#[derive(Clone, Debug)]
enum Algorithm {
    Sgd(Sgd),
    Lars(Lars),
    AdamW(AdamW),
}

/// How far one parameter goes.
#[derive(Clone, Copy, Debug)]
struct Rate {
    lr: f64,
    weight_decay: f64,
}

impl Optimizer {
    /// The one that `config` names, with nothing to remember yet.
    pub fn new(config: &OptimizerConfig) -> Self {
        let algorithm = match config.name {
            OptimizerName::Sgd => Algorithm::Sgd(Sgd::new(config.momentum)),
            OptimizerName::Lars => Algorithm::Lars(Lars::new(config.momentum)),
            OptimizerName::AdamW => Algorithm::AdamW(AdamW::new(config.betas)),
        };
        Self {
            algorithm,
            weight_decay: config.weight_decay,
            decay_norm_and_bias: config.decay_norm_and_bias,
        }
    }

    /// SGD that decays every parameter.
    pub fn sgd(momentum: f64, weight_decay: f64) -> Self {
        let algorithm = Algorithm::Sgd(Sgd::new(momentum));
        Self { algorithm, weight_decay, decay_norm_and_bias: true }
    }

    /// One update of every parameter of `module` that has a gradient, at the learning rate that `lr`
    /// gives its name. Names are behind `prefix`, as [`params::gradients`] gives them.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        prefix: &str,
        gradients: &NamedGradients,
        lr: impl Fn(&str) -> f64,
    ) -> M {
        params::update(module, prefix, |parameter| {
            let Some(gradient) = gradients.get(parameter.name).cloned() else {
                return parameter.value;
            };
            let decays = self.decay_norm_and_bias || !parameter.is_norm_or_bias();
            let weight_decay = if decays { self.weight_decay } else { 0.0 };
            let rate = Rate { lr: lr(parameter.name), weight_decay };
            match &mut self.algorithm {
                Algorithm::Sgd(sgd) => sgd.update(parameter, gradient, rate),
                Algorithm::Lars(lars) => lars.update(parameter, gradient, rate),
                Algorithm::AdamW(adamw) => adamw.update(parameter, gradient, rate),
            }
        })
    }

    /// What is remembered of each parameter: `velocity.<name>`, or AdamW's `first_moment.<name>`,
    /// `second_moment.<name>` and `updates.<name>`.
    pub fn state(&self) -> State {
        match &self.algorithm {
            Algorithm::Sgd(sgd) => sgd.state(),
            Algorithm::Lars(lars) => lars.state(),
            Algorithm::AdamW(adamw) => adamw.state(),
        }
    }

    /// Continues from what [`Optimizer::state`] gave, of the parameters that `owns` names.
    ///
    /// # Errors
    /// A sentence naming the first tensor that is missing.
    pub fn load(
        &mut self,
        state: &State,
        device: &Device,
        owns: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let remembered = |what: &str| {
            let mut remembered = params::within(what, state);
            remembered.retain(|name, _| owns(name));
            remembered
        };
        match &mut self.algorithm {
            Algorithm::Sgd(sgd) => sgd.load(remembered(sgd::VELOCITY), device),
            Algorithm::Lars(lars) => lars.load(remembered(sgd::VELOCITY), device),
            Algorithm::AdamW(adamw) => adamw.load(adamw::STATE.map(remembered), device)?,
        }
        Ok(())
    }
}

/// `tensors` by name, behind `what` they are.
fn named<'a>(
    what: &str,
    tensors: impl Iterator<Item = (&'a String, &'a Tensor<1>)>,
) -> BTreeMap<String, TensorData> {
    tensors.map(|(name, tensor)| (format!("{what}.{name}"), tensor.to_data())).collect()
}
