//! The section `compute`: in which precision, on which device, with which instructions.

use serde::{Deserialize, Serialize};

use super::check::{Check, ensure};
use crate::executor::DeviceName;
use crate::instructions::Level;
use logo_ssl_base::suggest;

/// What activations and their gradients are stored as between the layers. Master weights, sums and
/// statistics are in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16: half the memory and half the traffic; multiplied as it is where the device can.
    Bf16,
}

/// How a run is computed. All keys change results within rounding, and `sync` changes what batch norms
/// see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ComputeConfig {
    /// What the backbone's activations are stored as.
    pub precision: Precision,
    /// Whether several devices take the encoder's batch norms over the whole batch, so that their number
    /// changes nothing; otherwise each normalises its own part.
    #[serde(default = "ComputeConfig::default_sync")]
    pub sync: bool,
    /// Where it is computed: `cpu`, `cuda`, `rocm`, `tpu`, or a plugin's path. Runs from before this key
    /// were on the CPU.
    #[serde(default)]
    pub device: DeviceName,
    /// Whether a GPU must give the same bytes for the same seed, at some cost of speed. The CPU always
    /// does.
    #[serde(default)]
    pub deterministic: bool,
    /// The processor's instructions that the run was started with, which is `auto` until then.
    pub instructions: String,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self {
            precision: Precision::F32,
            sync: Self::default_sync(),
            device: DeviceName::default(),
            deterministic: false,
            instructions: "auto".to_owned(),
        }
    }
}

impl ComputeConfig {
    fn default_sync() -> bool {
        true
    }

    pub(super) fn check(&self) -> Check {
        let instructions = &self.instructions;
        let levels = Level::ALL.map(|level| level.to_string());
        let known = || std::iter::once("auto").chain(levels.iter().map(String::as_str));
        ensure("compute.instructions", known().any(|name| name == instructions), || {
            format!("compute.instructions = \"{instructions}\": {}", suggest(instructions, known()))
        })
    }
}
