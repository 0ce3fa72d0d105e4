//! SGD with momentum and weight decay, as PyTorch's `optim.SGD` (no dampening, no Nesterov).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::engine::{self, MomentumStep};
use crate::model::params::{self, State};

/// Gradients by parameter name, each flattened to one axis.
pub type NamedGradients = BTreeMap<String, Tensor<1>>;

/// The optimiser of one module: v ← μ v + g + w θ; θ ← θ - lr v.
#[derive(Clone, Debug)]
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// Velocities start at zero.
    pub fn new(momentum: f64, weight_decay: f64) -> Self {
        Self { momentum, weight_decay, velocity: BTreeMap::new() }
    }

    /// One update of every parameter of `module` that has a gradient. Names are behind `prefix`,
    /// as [`params::gradients`] gives them.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        prefix: &str,
        gradients: &NamedGradients,
        lr: f64,
    ) -> M {
        params::update(module, prefix, |name, value| {
            let Some(gradient) = gradients.get(name).cloned() else {
                return value;
            };
            let velocity = self.velocity.remove(name).unwrap_or_else(|| gradient.zeros_like());
            let (value, velocity) = self.update(value, gradient, velocity, lr);
            self.velocity.insert(name.to_owned(), velocity);
            value
        })
    }

    /// One parameter's new value and velocity.
    fn update(
        &self,
        value: Tensor<1>,
        gradient: Tensor<1>,
        velocity: Tensor<1>,
        lr: f64,
    ) -> (Tensor<1>, Tensor<1>) {
        let Self { momentum, weight_decay, .. } = *self;
        if engine::runs_on(&value.device()) {
            return MomentumStep { lr, momentum, weight_decay }.apply(value, gradient, velocity);
        }
        let velocity = velocity * momentum + (gradient + value.clone() * weight_decay);
        (value - velocity.clone() * lr, velocity)
    }

    /// The velocities by parameter name.
    pub fn state(&self) -> State {
        self.velocity.iter().map(|(name, v)| (name.clone(), v.to_data())).collect()
    }

    /// Continues from velocities that [`Sgd::state`] gave.
    pub fn load(&mut self, state: State, device: &Device) {
        self.velocity =
            state.into_iter().map(|(name, v)| (name, Tensor::from_data(v, device))).collect();
    }
}

/// √Σ‖g‖² over all gradients.
pub fn gradient_norm(gradients: &NamedGradients) -> f64 {
    let squares = gradients.values().map(|g| {
        if engine::runs_on(&g.device()) {
            return engine::squared_norm(g.clone());
        }
        let squared: f32 = g.clone().square().sum().into_scalar();
        f64::from(squared)
    });
    squares.sum::<f64>().sqrt()
}

/// The gradients scaled to a common norm of `most`, if theirs is greater; as PyTorch's
/// `clip_grad_norm_`.
pub fn clipped(gradients: NamedGradients, most: f64) -> NamedGradients {
    /// What PyTorch adds to the norm it divides by.
    const MARGIN: f64 = 1e-6;
    let scale = most / (gradient_norm(&gradients) + MARGIN);
    if scale >= 1.0 {
        return gradients;
    }
    gradients.into_iter().map(|(name, gradient)| (name, gradient * scale)).collect()
}
