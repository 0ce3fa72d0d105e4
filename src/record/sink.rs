//! Whoever follows a run: its logs, a progress display, and others.

use super::log::Log;
use super::{Record, Source};
use crate::Result;

/// What happens during a run. What is not as it should be, though the run goes on, is no event: it is a
/// warning of the crate `tracing`, as everywhere in this library.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins, or goes on, after `done` of `total` steps.
    Started {
        /// Steps done before.
        done: u64,
        /// Steps in all.
        total: u64,
        /// Steps an epoch.
        steps_per_epoch: u64,
    },
    /// Something was measured: a [`Record::Step`] after every update and behind it its
    /// [`Record::Timing`], a [`Record::Epoch`] after every epoch, then the evaluations.
    Record(&'a Record),
    /// An evaluation is under way.
    Evaluating {
        /// What it is called.
        evaluation: &'static str,
        /// Of what.
        source: Source,
        /// Images done.
        done: usize,
        /// Images in all.
        total: usize,
    },
    /// A checkpoint is being written, beside the training.
    Saving {
        /// Optimiser steps done.
        step: u64,
    },
}

/// Something that is told of all events of a run, in order.
///
/// A run that goes on after an interruption tells again of the steps since its last checkpoint:
/// [`Event::Started`] says from where.
pub trait Sink {
    /// Takes in one event.
    ///
    /// # Errors
    /// What keeps the sink from its work, [`crate::Error::Io`] as a rule; it ends the run.
    fn tell(&mut self, event: &Event<'_>) -> Result<()>;
}

/// A closure is a sink that never fails.
impl<F: FnMut(&Event<'_>)> Sink for F {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        self(event);
        Ok(())
    }
}

/// The two logs of a run as a sink: records that a clock or a person had a part in go to `timings.jsonl`, all others
/// to `metrics.jsonl`.
#[derive(Debug)]
pub struct JsonLines {
    metrics: Log,
    timings: Log,
}

impl JsonLines {
    pub(super) fn new(metrics: Log, timings: Log) -> Self {
        Self { metrics, timings }
    }

    /// Makes `metrics.jsonl` durable and returns its length in bytes, which a checkpoint keeps.
    ///
    /// # Errors
    /// [`crate::Error::Io`] naming the file.
    pub fn sync(&mut self) -> Result<u64> {
        self.metrics.sync()
    }
}

impl Sink for JsonLines {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Record(record) if record.is_of_clock() => self.timings.append(record),
            Event::Record(record) => self.metrics.append(record),
            Event::Started { .. } | Event::Evaluating { .. } | Event::Saving { .. } => Ok(()),
        }
    }
}
