//! What all programs share: the kernels' levels, the tables of convolutions, and buffers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cpu_kernels::{Algorithm, Conv, ConvShape, Element, Level, LevelError, Workspace};

/// The instructions that the kernels use, for each precision of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// For single precision, which is also that of all but residual networks.
    pub f32: Level,
    /// For bfloat16.
    pub bf16: Level,
}

impl Levels {
    /// One level for both.
    pub fn both(level: Level) -> Self {
        Self { f32: level, bf16: level }
    }

    /// [`Level::chosen`] for both.
    ///
    /// # Errors
    /// If the environment asks for a level that this processor lacks.
    pub fn chosen() -> Result<Self, LevelError> {
        Level::chosen().map(Self::both)
    }
}

/// The kernels' levels, the tables of every convolution met so far, and buffers that outlive a step.
#[derive(Debug)]
pub struct Engine {
    levels: Levels,
    workspace: Workspace,
    convolutions: Mutex<HashMap<(ConvShape, Algorithm), Arc<Conv>>>,
}

impl Engine {
    /// An engine with no tables and no buffers yet.
    pub fn new(levels: Levels) -> Self {
        Self { levels, workspace: Workspace::default(), convolutions: Mutex::default() }
    }

    /// The instructions it uses.
    pub fn levels(&self) -> Levels {
        self.levels
    }

    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    pub(crate) fn level<E: Element>(&self) -> Level {
        if E::IS_BF16 { self.levels.bf16 } else { self.levels.f32 }
    }

    pub(crate) fn conv<E: Element>(&self, shape: ConvShape) -> Arc<Conv> {
        let level = self.level::<E>();
        let algorithm = Algorithm::of::<E>(&shape, level);
        let mut known = self.convolutions.lock().unwrap_or_else(PoisonError::into_inner);
        let conv = known.entry((shape, algorithm));
        Arc::clone(conv.or_insert_with(|| Arc::new(Conv::with(algorithm, shape, level))))
    }
}
