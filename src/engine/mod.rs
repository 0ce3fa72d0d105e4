//! The residual network on the CPU: one operation, forward and back, on the project's own kernels.
//!
//! Burn sees `(images, weights) -> features` and records one step for the way back. Within it,
//! activations stay channels last and batch norm, ReLU and residual sums never take a pass of their
//! own where a convolution reads or writes anyway. On other devices
//! [`ResNet`](crate::model::ResNet) composes Burn's operations; tests hold both to the same results.

mod backward;
mod forward;
mod operation;
mod plan;
mod update;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cpu_kernels::{Algorithm, Conv, ConvShape, Element, Workspace};
pub use cpu_kernels::{LEVEL_VARIABLE, Level, LevelError};
use serde::{Deserialize, Serialize};

pub use operation::{backbone_eval, backbone_train, runs_on};
pub use plan::{BlockPlan, Plan, UnitPlan, UnitShape};
pub use update::{MomentumStep, squared_norm};

/// What activations and their gradients are stored as between the layers. Master weights, sums and
/// statistics are in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bfloat16: half the memory, half the traffic; multiplied as it is where the processor can.
    Bf16,
}

/// The instructions all kernels use.
///
/// # Panics
/// If the environment asks for a level that this processor lacks; the command line asks
/// [`Engine::shared`] first and says so.
pub fn level() -> Level {
    shared().level
}

fn shared() -> &'static Engine {
    Engine::shared().unwrap_or_else(|error| panic!("{LEVEL_VARIABLE}: {error}"))
}

/// The kernels' level, the tables of every convolution met so far, and buffers that outlive a step.
#[derive(Debug)]
pub struct Engine {
    level: Level,
    workspace: Workspace,
    convolutions: Mutex<HashMap<(ConvShape, Algorithm), Arc<Conv>>>,
}

impl Engine {
    /// An engine of its own, with no tables and no buffers yet.
    pub fn new(level: Level) -> Self {
        Self { level, workspace: Workspace::default(), convolutions: Mutex::default() }
    }

    /// The one that [`ResNet`](crate::model::ResNet) uses, at the level that
    /// [`Level::chosen`] says.
    ///
    /// # Errors
    /// If the environment asks for a level that this processor lacks.
    pub fn shared() -> Result<&'static Engine, LevelError> {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        Ok(SHARED.get_or_init({
            let level = Level::chosen()?;
            move || Engine::new(level)
        }))
    }

    /// The instructions it uses.
    pub fn level(&self) -> Level {
        self.level
    }

    fn conv<E: Element>(&self, shape: ConvShape) -> Arc<Conv> {
        let algorithm = Algorithm::of::<E>(&shape, self.level);
        let mut known = self.convolutions.lock().unwrap_or_else(PoisonError::into_inner);
        let conv = known.entry((shape, algorithm));
        Arc::clone(conv.or_insert_with(|| Arc::new(Conv::with(algorithm, shape, self.level))))
    }
}
