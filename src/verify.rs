//! What of a run can be trusted: each of its files read to the end, and held to its checksum where it bears one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::eval::Findings;
use crate::interop::{Seal, tensors};
use crate::presets;
use crate::record::{self, RunFiles};
use crate::train::checkpoint::{self, Position};
use crate::{Error, Result};

/// What was found of the files of a run.
#[derive(Debug)]
pub struct Verified {
    /// One of each file that a run has, in the order in which a person would ask.
    pub files: Vec<Checked>,
    /// The step from which the run goes on, by its last checkpoint or the one before; none where both are
    /// damaged, or none was written yet.
    pub goes_on_from: Option<u64>,
}

/// One file.
#[derive(Debug)]
pub struct Checked {
    /// Its path.
    pub path: PathBuf,
    /// What it is worth.
    pub trust: Trust,
}

/// Whether a file is as it was written.
#[derive(Debug)]
pub enum Trust {
    /// It is, by its checksum or since all of it could be read; with what it holds.
    Whole(String),
    /// All of it could be read, but its numbers bear no checksum: a version before wrote it.
    Unsealed(String),
    /// It is not. The error names the file.
    Damaged(Error),
    /// There is none, which may be right: a run under way has no weights yet.
    Absent,
    /// What a write that was cut off has left. Nothing reads it.
    Leftover,
}

impl Trust {
    /// It in a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Whole(_) => "whole",
            Self::Unsealed(_) => "unsealed",
            Self::Damaged(_) => "damaged",
            Self::Absent => "absent",
            Self::Leftover => "leftover",
        }
    }

    /// What could be read, told in words, by what bears it out.
    fn of_sealed(seal: Seal, told: String) -> Self {
        match seal {
            Seal::Whole => Self::Whole(told),
            Seal::Absent => Self::Unsealed(told),
        }
    }

    /// What could be read whole, told by `what`, or why it could not.
    fn of<T>(read: Result<Option<T>>, what: impl FnOnce(T) -> String) -> Self {
        match read {
            Ok(Some(found)) => Self::Whole(what(found)),
            Ok(None) => Self::Absent,
            Err(error) => Self::Damaged(error),
        }
    }
}

impl Verified {
    /// Whether some file is damaged.
    pub fn is_damaged(&self) -> bool {
        self.files.iter().any(|file| matches!(file.trust, Trust::Damaged(_)))
    }
}

/// Reads every file of the run in `root`, and changes none.
///
/// # Errors
/// [`Error::Run`] where there is no run.
pub fn verify(root: &Path) -> Result<Verified> {
    let files = RunFiles::of(root);
    if !files.config_path().exists() {
        return Err(Error::run(root, "this is no run directory: it has no config.toml"));
    }
    let [last, before, best] =
        [files.last_checkpoint(), files.checkpoint_before(), files.best_checkpoint()]
            .map(|path| (checkpoint_at(&path), path));
    let goes_on_from = [&last, &before].into_iter().find_map(|((_, step), _)| *step);
    let mut checked = vec![
        Checked { trust: config(&files), path: files.config_path() },
        Checked { trust: log(&files.metrics_path()), path: files.metrics_path() },
        Checked { trust: log(&files.timings_path()), path: files.timings_path() },
    ];
    let checkpoints = [last, before, best].into_iter();
    checked.extend(checkpoints.map(|((trust, _), path)| Checked { path, trust }));
    checked.push(Checked { trust: weights(&files.weights()), path: files.weights() });
    let found = Findings::read(&files.evaluation());
    let found = Trust::of(found, |found| format!("{} results", found.results.len()));
    checked.push(Checked { trust: found, path: files.evaluation() });
    let images = Trust::of(files.fingerprint(), |_| "what was trained on".to_owned());
    checked.push(Checked { trust: images, path: files.fingerprint_path() });
    checked.extend(leftovers(&files)?);
    Ok(Verified { files: checked, goes_on_from })
}

fn config(files: &RunFiles) -> Trust {
    let read = presets::read_run_config(&files.config_path());
    Trust::of(read.map(Some), |config| format!("preset {}, seed {}", config.preset, config.seed))
}

fn log(path: &Path) -> Trust {
    if !path.exists() {
        return Trust::Absent;
    }
    Trust::of(record::read(path).map(Some), |records| format!("{} records", records.len()))
}

/// What a checkpoint is worth, and the step that it was written after, where it can be gone on from.
fn checkpoint_at(path: &Path) -> (Trust, Option<u64>) {
    if !path.exists() {
        return (Trust::Absent, None);
    }
    match checkpoint::read_sealed(path) {
        Ok((Position { step, closed_epochs, .. }, _, seal)) => {
            let told = format!("after step {step}, {closed_epochs} epochs closed");
            (Trust::of_sealed(seal, told), Some(step))
        }
        Err(error) => (Trust::Damaged(error), None),
    }
}

fn weights(path: &Path) -> Trust {
    if !path.exists() {
        return Trust::Absent;
    }
    match tensors::read_sealed(path) {
        Ok((state, _, seal)) => Trust::of_sealed(seal, format!("{} tensors", state.len())),
        Err(error) => Trust::Damaged(error),
    }
}

/// Files that writes which were cut off have left, by name.
fn leftovers(files: &RunFiles) -> Result<Vec<Checked>> {
    let mut found = vec![];
    for folder in [files.root().to_path_buf(), files.checkpoints()] {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                found.push(Checked { path, trust: Trust::Leftover });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
