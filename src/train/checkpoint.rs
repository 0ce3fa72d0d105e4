//! Everything a run needs to go on as if it had never stopped, in one file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::means::Means;
use crate::interop::tensors;
use crate::model::params::State;
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
