//! What a run is asked for from outside while it trains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a run to stop, to save itself, or to measure itself; clones ask the same run. The run looks between two
/// updates. None of it changes the run's result: its weights, its checkpoints and `metrics.jsonl` are those of a
/// run that was left alone.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Requests>);

#[derive(Debug, Default)]
struct Requests {
    stop: AtomicBool,
    save: AtomicBool,
    evaluate: AtomicBool,
}

impl Control {
    /// Has the run save itself and end with [`crate::Error::Interrupted`]. Says whether that was asked for
    /// before.
    pub fn stop(&self) -> bool {
        self.0.stop.swap(true, Ordering::SeqCst)
    }

    /// Has the run write a checkpoint, which it goes on from if it is killed.
    pub fn save(&self) {
        self.0.save.store(true, Ordering::SeqCst);
    }

    /// Has the run measure its encoder as it is. What comes of it is a [`crate::record::Record::Asked`]; an epoch that ends
    /// before with an evaluation of its own is the answer too.
    pub fn evaluate(&self) {
        self.0.evaluate.store(true, Ordering::SeqCst);
    }

    /// Whether the run is to stop.
    pub fn is_stopping(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Whether a checkpoint was asked for, and not yet taken up.
    pub(super) fn take_save(&self) -> bool {
        self.0.save.swap(false, Ordering::SeqCst)
    }

    /// Whether an evaluation was asked for, and not yet taken up.
    pub(super) fn take_evaluate(&self) -> bool {
        self.0.evaluate.swap(false, Ordering::SeqCst)
    }
}
