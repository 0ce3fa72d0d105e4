//! AdamW (Loshchilov and Hutter, 2019), as PyTorch's `optim.AdamW`.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use super::{Rate, named};
use crate::model::params::{Parameter, State};

/// ε, PyTorch's default.
const EPSILON: f64 = 1e-8;

/// What [`Moments`] are called in a checkpoint, in their order.
pub(super) const STATE: [&str; 3] = ["first_moment", "second_moment", "updates"];

/// θ ← θ - lr (m̂ / (√v̂ + ε) + w θ), with m and v the running means of g and g², and m̂ and v̂ the
/// same without the pull of their start at zero.
#[derive(Clone, Debug)]
pub(super) struct AdamW {
    betas: [f64; 2],
    moments: BTreeMap<String, Moments>,
}

/// What is remembered of one parameter.
#[derive(Clone, Debug)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
    updates: i32,
}

impl AdamW {
    pub(super) fn new(betas: [f64; 2]) -> Self {
        Self { betas, moments: BTreeMap::new() }
    }

    /// The parameter's new value.
    pub(super) fn update(
        &mut self,
        parameter: Parameter<'_>,
        gradient: Tensor<1>,
        rate: Rate,
    ) -> Tensor<1> {
        let Parameter { name, value, .. } = parameter;
        let moments = self.moments.remove(name).unwrap_or_else(|| Moments::zero(&gradient));
        let moments = moments.observe(gradient, self.betas);
        let value =
            value * (1.0 - rate.lr * rate.weight_decay) - moments.direction(self.betas) * rate.lr;
        self.moments.insert(name.to_owned(), moments);
        value
    }

    pub(super) fn state(&self) -> State {
        let [first, second, updates] = STATE;
        let mut state = named(first, self.moments.iter().map(|(name, m)| (name, &m.first)));
        state.extend(named(second, self.moments.iter().map(|(name, m)| (name, &m.second))));
        // A checkpoint holds f32 alone: exact up to 16 million updates, and PyTorch's choice too.
        state.extend(self.moments.iter().map(|(name, m)| {
            (format!("{updates}.{name}"), TensorData::new(vec![m.updates as f32], [1]))
        }));
        state
    }

    pub(super) fn load(&mut self, kept: [State; 3], device: &Device) -> Result<(), String> {
        let [first, mut second, mut updates] = kept;
        let missing =
            |what: usize, name: &str| format!("it has no tensor `{}.{name}`", STATE[what]);
        let moments = first.into_iter().map(|(name, first)| {
            let second = second.remove(&name).ok_or_else(|| missing(1, &name))?;
            let updates = updates.remove(&name).and_then(|updates| updates.iter::<f32>().next());
            let updates = updates.ok_or_else(|| missing(2, &name))? as i32;
            let [first, second] = [first, second].map(|m| Tensor::from_data(m, device));
            Ok((name, Moments { first, second, updates }))
        });
        self.moments = moments.collect::<Result<_, String>>()?;
        Ok(())
    }
}

impl Moments {
    /// Before the first gradient.
    fn zero(gradient: &Tensor<1>) -> Self {
        Self { first: gradient.zeros_like(), second: gradient.zeros_like(), updates: 0 }
    }

    /// After one more.
    fn observe(self, gradient: Tensor<1>, [beta1, beta2]: [f64; 2]) -> Self {
        Self {
            first: self.first * beta1 + gradient.clone() * (1.0 - beta1),
            second: self.second * beta2 + gradient.square() * (1.0 - beta2),
            updates: self.updates + 1,
        }
    }

    /// m̂ / (√v̂ + ε)
    fn direction(&self, betas: [f64; 2]) -> Tensor<1> {
        let [first, second] = betas.map(|beta| 1.0 - beta.powi(self.updates));
        let deviation = self.second.clone().sqrt() / second.sqrt() + EPSILON;
        self.first.clone() / first / deviation
    }
}
