//! The loop, schedules, optimisers, checkpoints.

pub mod checkpoint;
pub mod gradients;
pub mod learner;
pub mod means;
mod optimizer;
mod pretrain;
#[cfg(test)]
mod replicas;
pub mod schedule;
mod state;
mod update;
mod views;
mod workers;

pub use learner::{Batch, Learner, Pending, Update};
pub use optimizer::{Optimizer, Remembered};
pub use pretrain::{Setup, Summary, pretrain};
pub use schedule::Rates;
pub use state::Snapshot;
pub use update::Replicas;
pub use views::Views;
pub use workers::Workers;

/// Updates whose batches each of them may have ready.
pub const PREFETCH: usize = 2;
