//! Everything a run needs to go on as if it had never stopped, in one file.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

use super::means::Means;
use super::state::Snapshot;
use crate::config::{Change, Config};
use crate::error::RunProblem;
use crate::interop::{Seal, tensors};
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
    tensors::write(path, state, &position)
}

/// Writes the checkpoint that a run goes on from, and keeps the one before: there is one at any moment.
///
/// # Errors
/// As [`write()`].
fn write_last(files: &RunFiles, position: &Position, state: &State) -> Result<()> {
    let (last, before) = (files.last_checkpoint(), files.checkpoint_before());
    if last.exists() {
        keep(&last, &before).map_err(Error::io("keep as the checkpoint before", &last))?;
    }
    write(&last, position, state)
}

/// Has the file at `path` lie at `to` as well, in the place of what is there.
fn keep(path: &Path, to: &Path) -> std::io::Result<()> {
    let other_name = to.with_extension("tmp");
    let _ = fs::remove_file(&other_name);
    match fs::hard_link(path, &other_name) {
        Ok(()) => fs::rename(other_name, to),
        // Some file systems know one name for a file. Then it is copied, which takes its room twice.
        Err(_) => fs::copy(path, &other_name).and_then(|_| fs::rename(other_name, to)),
    }
}

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// To go on from.
    Last,
    /// To keep the best kNN.
    Best,
}

/// Writes checkpoints beside the training, which need not wait for the disk: one at a time, in order.
#[derive(Debug, Default)]
pub struct Writer {
    writing: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Waits until the checkpoint that was begun is written, and begins with this one.
    ///
    /// # Errors
    /// The other's, as [`write()`] has them; this one is then not begun.
    pub(crate) fn begin(
        &mut self,
        files: &RunFiles,
        which: Which,
        position: Position,
        snapshot: Snapshot,
    ) -> Result<()> {
        self.finish()?;
        let files = files.clone();
        self.writing = Some(thread::spawn(move || {
            let state = snapshot.state();
            match which {
                Which::Last => write_last(&files, &position, &state),
                Which::Best => write(&files.best_checkpoint(), &position, &state),
            }
        }));
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

/// The last checkpoint of a run of `config`, if one was written yet. Where it is damaged, the one before is the
/// last from here on, a warning says so, and the damaged one is put aside.
///
/// # Errors
/// [`Error::Run`] when it belongs to a config that differs in more than may change on the way; else as
/// [`read`].
pub(crate) fn read_last(files: &RunFiles, config: &Config) -> Result<Option<Last>> {
    let path = files.last_checkpoint();
    if !path.exists() {
        return Ok(None);
    }
    let (position, state) = match read(&path) {
        Err(damage @ Error::Data { .. }) => go_back(files, damage)?,
        read => read?,
    };
    let changes = presets::config_of_text(&position.config)?.changes_to(config);
    refuse_other(&files.config_path(), &changes)?;
    Ok(Some(Last { position, state, changes }))
}

/// The checkpoint before the last one, which has the `damage` and is put aside.
fn go_back(files: &RunFiles, damage: Error) -> Result<(Position, State)> {
    let (last, before) = (files.last_checkpoint(), files.checkpoint_before());
    let aside = files.damaged_checkpoint();
    let Ok((position, state)) = read(&before) else { return Err(damage) };
    // In this order there is a last checkpoint at any moment.
    keep(&last, &aside)
        .and_then(|()| keep(&before, &last))
        .map_err(Error::io("put aside", &last))?;
    tracing::warn!(
        "{damage}; the run goes on from the checkpoint before, after step {}, and the damaged one is kept as {}",
        position.step,
        aside.display()
    );
    Ok((position, state))
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
/// [`Error::Io`] when it cannot be read, [`Error::Data`] when it is damaged, [`Error::Later`] when a later version
/// wrote it.
pub fn read(path: &Path) -> Result<(Position, State)> {
    read_sealed(path).map(|(position, state, _)| (position, state))
}

/// The same, and whether a checksum bears it out.
///
/// # Errors
/// As [`read`].
pub fn read_sealed(path: &Path) -> Result<(Position, State, Seal)> {
    let (state, metadata, seal) = tensors::read_sealed(path)?;
    let metadata = metadata.ok_or_else(|| Error::data(path, "is no checkpoint of logo-ssl"))?;
    let position = serde_json::from_str(&metadata)
        .map_err(|error| Error::data(path, format!("is no checkpoint of this version: {error}")))?;
    Ok((position, state, seal))
}
