//! The loop, schedules, optimisers, checkpoints, the run directory.

pub mod checkpoint;
pub mod learner;
pub mod means;
mod pretrain;
pub mod run_dir;
pub mod schedule;
pub mod sgd;

pub use pretrain::{Event, Setup, Summary, pretrain};
