//! What a run writes and others read: records, the two logs they go into, and where things lie in a run
//! directory.
//!
//! A record is one line of a log: one JSON object, told apart by `"kind"`. `metrics.jsonl` holds
//! [`Record::Step`], [`Record::Epoch`], [`Record::Knn`], [`Record::Scores`] and [`Record::Changed`]: the same
//! config and seed give the same file.
//! `timings.jsonl` holds what a clock or a person said, [`Record::Timing`], [`Record::Evaluation`] and
//! [`Record::Asked`], and differs from run to run.

mod evaluation;
mod follow;
mod log;
pub mod run_dir;
pub mod scalars;
mod score;
mod sink;
pub mod synthetic;

use serde::{Deserialize, Serialize};

use crate::config::Change;

pub use evaluation::{Found, Knn, KnnResult, Measured, Outcome, Scores, Source};
pub use follow::{Appended, Follower};
pub use log::read;
pub use run_dir::{RunDir, RunFiles};
pub use scalars::Scalars;
pub use score::{Confusion, NamedScores, Score};
pub use sink::{Event, JsonLines, Sink};

/// The version of the logs that this program writes, and the latest that it reads.
///
/// Version 1 has the kinds of [`Record`] but for `changed`, each with at least the keys documented there; a step and an
/// epoch may have any other numbers beside them, so a scalar more is no new version. Logs do not name
/// their version as yet: those that name none are of version 1. A kind that this version does not know
/// is refused by [`read`], so a later version that adds kinds is noticed and not half read.
///
/// Version 2 has `changed` beside them. Version 3 has `asked`; in it a score may be an object with its
/// interval, and `scores` may have a `confusion`.
pub const SCHEMA: u32 = 3;

/// The kinds of schema version 3, as lines name them.
const KINDS: [&str; 8] =
    ["step", "epoch", "knn", "scores", "changed", "timing", "evaluation", "asked"];

/// Whether this version knows records of a kind.
pub fn is_kind(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// One optimiser step.
    Step {
        /// Optimiser steps done, this one included.
        step: u64,
        /// Epochs done before this step.
        epoch: usize,
        /// What the step saw.
        #[serde(flatten)]
        scalars: Scalars,
    },
    /// One epoch: the means over its steps.
    Epoch {
        /// Epochs done, this one included.
        epoch: usize,
        /// Optimiser steps done.
        step: u64,
        /// The means.
        #[serde(flatten)]
        scalars: Scalars,
    },
    /// One kNN evaluation.
    Knn(Knn),
    /// One evaluation of another kind.
    Scores(Scores),
    /// A run that went on with other settings than before.
    Changed {
        /// Optimiser steps done before.
        step: u64,
        /// What is another from there on.
        changes: Vec<Change>,
    },
    /// How fast training went since the last such record.
    Timing {
        /// Epochs done before this step.
        epoch: usize,
        /// Optimiser steps done.
        step: u64,
        /// Images trained on a second, each with all of its views.
        images_per_second: f64,
        /// Milliseconds an optimiser step took, all in all.
        step_ms: f64,
        /// Milliseconds of it that the training loop waited for views.
        views_wait_ms: f64,
        /// Milliseconds of it that went into logging and checkpoints.
        bookkeeping_ms: f64,
        /// Processor milliseconds, over all threads, that making the views took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        views_cpu_ms: Option<f64>,
    },
    /// How long one evaluation took.
    Evaluation {
        /// Epochs done.
        epoch: usize,
        /// Seconds.
        seconds: f64,
    },
    /// What an evaluation found that somebody asked for between two updates of an epoch. When that was follows
    /// from no config, so that it is not in `metrics.jsonl`.
    Asked {
        /// Optimiser steps done.
        step: u64,
        /// A [`Record::Knn`] or [`Record::Scores`].
        found: Box<Record>,
    },
}

impl Record {
    /// Whether a clock or a person had a part in it, so that it differs from run to run.
    pub(crate) fn is_of_clock(&self) -> bool {
        matches!(self, Record::Timing { .. } | Record::Evaluation { .. } | Record::Asked { .. })
    }
}
