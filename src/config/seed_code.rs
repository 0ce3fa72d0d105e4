//! The section `seed_code`: errors of the earlier SimSiam-LoGo code.

use serde::{Deserialize, Serialize};

/// Errors of the earlier SimSiam-LoGo code, each kept for the preset `cifar10-seed` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SeedCodeConfig {
    /// Whether L_gg goes from the first global view to the second only.
    pub one_sided_global_global: bool,
    /// Whether λ L_ll's gradient stays in f_d's buffers and is added to its next update.
    pub leak_local_local_gradient: bool,
    /// Whether an image can be its own negative.
    pub self_negatives: bool,
    /// Whether the kNN's bank loses its last partial batch, which becomes rows of zeros that keep their
    /// labels, and test images of the last partial batch are left out.
    pub drop_last_bank_batch: bool,
}

impl SeedCodeConfig {
    /// Whether any of them is on.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}
