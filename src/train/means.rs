//! The means of what an epoch's steps report, or an update's batches.

use serde::{Deserialize, Serialize};

use crate::record::Health;

/// Sums over steps or batches, exact enough to survive a checkpoint bit by bit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Means {
    steps: u64,
    sums: Health,
}

impl Means {
    /// Counts one step in.
    pub fn add(&mut self, step: &Health) {
        self.steps += 1;
        self.sums = zip(&self.sums, step, |sum, value| sum + value);
    }

    /// The means so far; zeros before the first step.
    pub fn mean(&self) -> Health {
        let count = self.steps.max(1) as f64;
        zip(&self.sums, &self.sums, |sum, _| sum / count)
    }
}

/// Applies `f` field by field; a field that `b` lacks is lacking in the result.
fn zip(a: &Health, b: &Health, f: impl Fn(f64, f64) -> f64) -> Health {
    let both = |a: Option<f64>, b: Option<f64>| b.map(|b| f(a.unwrap_or(0.0), b));
    Health {
        lr: f(a.lr, b.lr),
        loss: f(a.loss, b.loss),
        global_global: f(a.global_global, b.global_global),
        local_global: both(a.local_global, b.local_global),
        local_local: both(a.local_local, b.local_local),
        affinity_same: both(a.affinity_same, b.affinity_same),
        affinity_different: both(a.affinity_different, b.affinity_different),
        omega: both(a.omega, b.omega),
        z_std: f(a.z_std, b.z_std),
        cos_gg: f(a.cos_gg, b.cos_gg),
        cos_lg: both(a.cos_lg, b.cos_lg),
        cos_ll: both(a.cos_ll, b.cos_ll),
        grad_norm: f(a.grad_norm, b.grad_norm),
    }
}
