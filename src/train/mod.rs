//! The loop, schedules, optimisers, checkpoints.

pub mod checkpoint;
mod control;
mod gradients;
mod learner;
mod means;
mod optimizer;
mod pretrain;
mod probe;
#[cfg(test)]
mod replicas;
mod schedule;
mod state;
mod update;
mod views;
mod workers;

pub use control::Control;
pub use learner::{Batch, Learner, Pending, Update};
pub use optimizer::{Optimizer, Remembered};
pub(crate) use pretrain::images_to_train_on;
pub use pretrain::{Setup, Summary, pretrain};
pub use schedule::Rates;
pub use update::Replicas;
pub(crate) use update::{AFFINITY, FRAMEWORK, MOMENTUM, NETWORK};
pub use views::Views;
pub use workers::Workers;

/// Updates whose batches each of them may have ready.
pub const PREFETCH: usize = 2;
