//! SGD with momentum and weight decay, as PyTorch's `optim.SGD` (no dampening, no Nesterov).

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use super::{Rate, named};
use crate::engine::{self, MomentumStep};
use crate::model::params::{Parameter, State};

/// What a velocity is called in a checkpoint.
pub(super) const VELOCITY: &str = "velocity";

/// v ← μ v + g + w θ; θ ← θ - lr v. Velocities start at zero.
#[derive(Clone, Debug)]
pub(super) struct Sgd {
    momentum: f64,
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    pub(super) fn new(momentum: f64) -> Self {
        Self { momentum, velocity: BTreeMap::new() }
    }

    /// The parameter's new value.
    pub(super) fn update(
        &mut self,
        parameter: Parameter<'_>,
        gradient: Tensor<1>,
        rate: Rate,
    ) -> Tensor<1> {
        let Parameter { name, value, .. } = parameter;
        let velocity = self.velocity.remove(name).unwrap_or_else(|| gradient.zeros_like());
        let (value, velocity) = self.moved(value, gradient, velocity, rate);
        self.velocity.insert(name.to_owned(), velocity);
        value
    }

    /// The new value and velocity.
    fn moved(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        velocity: Tensor<1>,
        rate: Rate,
    ) -> (Tensor<1>, Tensor<1>) {
        let (Rate { lr, weight_decay }, momentum) = (rate, self.momentum);
        if engine::runs_on(&value.device()) {
            return MomentumStep { lr, momentum, weight_decay }.apply(value, gradient, velocity);
        }
        let velocity = velocity * momentum + (gradient + value.clone() * weight_decay);
        (value - velocity.clone() * lr, velocity)
    }

    pub(super) fn state(&self) -> State {
        named(VELOCITY, self.velocity.iter())
    }

    pub(super) fn load(&mut self, velocity: State, device: &Device) {
        self.velocity =
            velocity.into_iter().map(|(name, v)| (name, Tensor::from_data(v, device))).collect();
    }
}
