//! LARS (You, Gitman and Ginsburg, 2017), as MoCo v3 and VICReg have it.

use burn::tensor::{Device, Tensor};

use super::Rate;
use super::sgd::Sgd;
use crate::model::params::{Parameter, State};
use crate::train::gradients::squared_norm;

/// η, the share of its own norm that a weight moves by at lr = 1: both codes' default.
const TRUST: f64 = 0.001;

/// SGD on (g + w θ) × η ‖θ‖ / ‖g + w θ‖: every weight moves in proportion to itself, whatever the
/// size of its gradient. Biases and the γ and β of batch norms take the plain step.
#[derive(Clone, Debug)]
pub(super) struct Lars {
    sgd: Sgd,
}

impl Lars {
    pub(super) fn new(momentum: f64) -> Self {
        Self { sgd: Sgd::new(momentum) }
    }

    /// The parameter's new value.
    pub(super) fn update(
        &mut self,
        parameter: Parameter<'_>,
        gradient: Tensor<1>,
        rate: Rate,
    ) -> Tensor<1> {
        if parameter.is_norm_or_bias() {
            return self.sgd.update(parameter, gradient, rate);
        }
        let direction = gradient + parameter.value.clone() * rate.weight_decay;
        let trusted = direction.clone() * trust_ratio(&parameter.value, &direction);
        self.sgd.update(parameter, trusted, Rate { weight_decay: 0.0, ..rate })
    }

    pub(super) fn state(&self) -> State {
        self.sgd.state()
    }

    pub(super) fn load(&mut self, velocity: State, device: &Device) {
        self.sgd.load(velocity, device);
    }
}

/// η ‖θ‖ / ‖direction‖; 1 where either is 0, which has no scale to keep to.
fn trust_ratio(value: &Tensor<1>, direction: &Tensor<1>) -> f64 {
    let [value, direction] = [value, direction].map(|t| squared_norm(t).sqrt());
    if value > 0.0 && direction > 0.0 { TRUST * value / direction } else { 1.0 }
}
