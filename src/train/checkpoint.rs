//! Everything a run needs to go on as if it had never stopped, in one file.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use super::means::Means;
use super::state::Snapshot;
use crate::config::{Change, Config};
use crate::error::RunProblem;
use crate::interop::tensors;
use crate::model::params::State;
use crate::presets;
use crate::record::RunFiles;
use crate::{Error, Result};

/// Where a run stands. Randomness needs no state of its own: it is a function of the seed and of
/// this position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Optimiser updates done.
    pub step: u64,
    /// Epochs whose summary and evaluation are in the log.
    pub closed_epochs: usize,
    /// The sums behind the means of the epoch under way.
    pub means: Means,
    /// Whether the floors (raw pixels, untrained backbone) are in the log.
    pub floors_done: bool,
    /// The best kNN top-1 so far, at the first k.
    pub best: Option<f64>,
    /// How much of metrics.jsonl belongs to this position, in bytes.
    pub log_bytes: u64,
    /// The experiment, as TOML; a run directory of another one is refused.
    pub config: String,
}

/// Writes the checkpoint, atomically.
///
/// # Errors
/// [`Error::Io`] naming the file; the one before is then untouched.
pub fn write(path: &Path, position: &Position, state: &State) -> Result<()> {
    let position = serde_json::to_string(position).expect("a position is plain data");
    tensors::write(path, state, position)
}

/// Writes checkpoints beside the training, which need not wait for the disk: one at a time, in order.
#[derive(Debug, Default)]
pub struct Writer {
    writing: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Waits until the checkpoint before is written, and begins with this one.
    ///
    /// # Errors
    /// The one before's, as [`write()`] has them; this one is then not begun.
    pub(crate) fn begin(
        &mut self,
        path: PathBuf,
        position: Position,
        snapshot: Snapshot,
    ) -> Result<()> {
        self.finish()?;
        self.writing = Some(thread::spawn(move || write(&path, &position, &snapshot.state())));
        Ok(())
    }

    /// Waits until the checkpoint that was begun last is written.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn finish(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Writer {
    /// A run that fails has its last checkpoint whole all the same. Its own error is the one to report.
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.join();
        }
    }
}

/// What a run goes on from.
pub(crate) struct Last {
    /// Where it stopped.
    pub(crate) position: Position,
    /// The learner's tensors.
    pub(crate) state: State,
    /// The settings that are others from here on.
    pub(crate) changes: Vec<Change>,
}

/// The last checkpoint of a run of `config`, if one was written yet.
///
/// # Errors
/// [`Error::Run`] when it belongs to a config that differs in more than may change on the way; else as
/// [`read`].
pub(crate) fn read_last(files: &RunFiles, config: &Config) -> Result<Option<Last>> {
    let path = files.last_checkpoint();
    if !path.exists() {
        return Ok(None);
    }
    let (position, state) = read(&path)?;
    let changes = presets::config_of_text(&position.config)?.changes_to(config);
    refuse_other(&files.config_path(), &changes)?;
    Ok(Some(Last { position, state, changes }))
}

/// Refuses changes that a run cannot go on with, about the config at `path`.
pub(crate) fn refuse_other(path: &Path, changes: &[Change]) -> Result<()> {
    let refused: Vec<Change> =
        changes.iter().filter(|change| !change.is_allowed()).cloned().collect();
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Error::run(path, RunProblem::OtherConfig(refused))),
    }
}

/// Reads a checkpoint.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Data`] when it is damaged.
pub fn read(path: &Path) -> Result<(Position, State)> {
    let (state, metadata) = tensors::read(path)?;
    let metadata = metadata.ok_or_else(|| Error::data(path, "is no checkpoint of logo-ssl"))?;
    let position = serde_json::from_str(&metadata)
        .map_err(|error| Error::data(path, format!("is no checkpoint of this version: {error}")))?;
    Ok((position, state))
}
