//! The means of what an epoch's steps report, or an update's batches.

use serde::{Deserialize, Serialize};

use crate::record::Scalars;
use crate::record::scalars::{COS_GG, GLOBAL_GLOBAL, GRAD_NORM, LOSS, LR, Z_STD};

/// Sums over steps or batches, exact enough to survive a checkpoint bit by bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Means {
    steps: u64,
    sums: Scalars,
}

impl Default for Means {
    /// Zeros for what every update reports, as checkpoints between two epochs have them.
    fn default() -> Self {
        let names = [LR, LOSS, GLOBAL_GLOBAL, Z_STD, COS_GG, GRAD_NORM];
        Self { steps: 0, sums: names.map(|name| (name, 0.0)).into_iter().collect() }
    }
}

impl Means {
    /// Counts one step in. A scalar that it lacks is lacking in the sums from then on.
    pub fn add(&mut self, step: &Scalars) {
        self.steps += 1;
        self.sums = step.map(|name, value| self.sums.get(name).unwrap_or(0.0) + value);
    }

    /// The means so far; zeros before the first step.
    pub fn mean(&self) -> Scalars {
        let count = self.steps.max(1) as f64;
        self.sums.map(|_, sum| sum / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_between_two_epochs_holds_zeros() {
        let zeros = r#"{"steps":0,"sums":{"lr":0.0,"loss":0.0,"global_global":0.0,"z_std":0.0,"cos_gg":0.0,"grad_norm":0.0}}"#;
        assert_eq!(serde_json::to_string(&Means::default()).unwrap(), zeros);
        assert_eq!(serde_json::from_str::<Means>(zeros).unwrap(), Means::default());
    }

    #[test]
    fn means_are_taken_name_by_name() {
        let mut means = Means::default();
        for loss in [1.0, 3.0] {
            means.add(&[(LOSS, loss), ("mine", 10.0 * loss)].into_iter().collect());
        }
        assert_eq!(means.mean().iter().collect::<Vec<_>>(), [(LOSS, 2.0), ("mine", 20.0)]);
    }
}
