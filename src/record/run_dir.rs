//! The run directory: one experiment, one config, one folder.

use std::fs::{self, File, TryLockError};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::JsonLines;
use super::log::Log;
use crate::config::Config;
use crate::data::{Fingerprint, Places};
use crate::error::RunProblem;
use crate::interop::Origin;
use crate::presets;
use crate::{Error, Result};
use logo_ssl_base::files::{create_folder, write_atomic};

/// Where things lie in a run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFiles {
    root: PathBuf,
}

impl RunFiles {
    /// Of the run in `root`, whether there is one or not.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All values of the experiment, resolved.
    pub fn config_path(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// Where the run's images lie.
    pub(crate) fn places_path(&self) -> PathBuf {
        self.root.join("places.json")
    }

    /// What was trained on, as far as it costs little to know.
    pub(crate) fn fingerprint_path(&self) -> PathBuf {
        self.root.join("images.json")
    }

    /// The file that the run began from, where it began from one.
    pub(crate) fn origin_path(&self) -> PathBuf {
        self.root.join("init.json")
    }

    /// The log of what follows from config and seed.
    pub fn metrics_path(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// The log of what a clock said.
    pub fn timings_path(&self) -> PathBuf {
        self.root.join("timings.jsonl")
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The checkpoint to go on from.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("last.safetensors")
    }

    /// The checkpoint before that, which a run goes on from where the last one is damaged.
    pub fn checkpoint_before(&self) -> PathBuf {
        self.checkpoints().join("previous.safetensors")
    }

    /// Where a last checkpoint that is damaged is put.
    pub fn damaged_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("damaged.safetensors")
    }

    /// The checkpoint with the best kNN.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.checkpoints().join("best.safetensors")
    }

    /// The backbone's final weights.
    pub fn weights(&self) -> PathBuf {
        self.root.join("weights.safetensors")
    }

    /// The picture of images and their views.
    pub fn preview(&self) -> PathBuf {
        self.root.join("preview.png")
    }

    /// The folder of the plots.
    pub fn plots(&self) -> PathBuf {
        self.root.join("plots")
    }

    /// The folder of the pictures that the report shows.
    pub fn pictures(&self) -> PathBuf {
        self.root.join("pictures")
    }

    /// The report.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// What the run trains on; none in runs of before that was kept.
    ///
    /// # Errors
    /// [`Error::Data`] when it is damaged.
    pub fn fingerprint(&self) -> Result<Option<Fingerprint>> {
        let path = self.fingerprint_path();
        let Ok(text) = fs::read(&path) else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::data(path, format!("is damaged ({error}); remove it if the images are the same"))
        })
    }

    /// The file that the run began from; none where it began at random.
    ///
    /// # Errors
    /// [`Error::Data`] when what was kept of it is damaged.
    pub fn origin(&self) -> Result<Option<Origin>> {
        let path = self.origin_path();
        let Ok(text) = fs::read(&path) else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            let problem =
                "it says what the run began from; remove it where the run has checkpoints";
            Error::data(path, format!("is damaged ({error}); {problem}"))
        })
    }

    /// Where the run's images lie, as it was kept when the run began; nothing in runs of before that.
    ///
    /// # Errors
    /// [`Error::Run`] when it is damaged.
    pub fn places(&self) -> Result<Places> {
        let path = self.places_path();
        let Ok(text) = fs::read(&path) else { return Ok(Places::default()) };
        serde_json::from_slice(&text)
            .map_err(|error| Error::run(path, RunProblem::DamagedPlaces(error.to_string())))
    }

    /// What evaluations found of the trained encoder and its floors.
    pub fn evaluation(&self) -> PathBuf {
        self.root.join("evaluation.json")
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join(".lock")
    }
}

/// A run directory that this process alone holds.
#[derive(Debug)]
pub struct RunDir {
    files: RunFiles,
    /// Held for its lock, which ends with the process however it ends.
    _lock: File,
}

/// A held run directory is its files under a lock, as a guard is what it guards.
impl Deref for RunDir {
    type Target = RunFiles;

    fn deref(&self) -> &RunFiles {
        &self.files
    }
}

impl RunDir {
    /// Starts a run in `root`, which must not hold one already.
    ///
    /// # Errors
    /// [`Error::Run`] when it does, or when another process holds it; [`Error::Io`] when it cannot
    /// be written.
    pub fn create(root: &Path, config: &Config) -> Result<Self> {
        Self::create_from(root, config, None)
    }

    /// The same, of a run that begins from a file, which is kept with it.
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn create_from(root: &Path, config: &Config, origin: Option<&Origin>) -> Result<Self> {
        create_folder(root)?;
        let dir = Self::lock(root)?;
        if dir.config_path().exists() {
            return Err(Error::run(root, RunProblem::Taken));
        }
        create_folder(&dir.checkpoints())?;
        // The config comes last: with it there is a run, and it must not begin from anything else.
        dir.keep_origin(origin)?;
        write_atomic(&dir.config_path(), presets::run_config(config).as_bytes())?;
        Ok(dir)
    }

    /// Opens the run in `root` to go on with it, and reads its config.
    ///
    /// # Errors
    /// [`Error::Run`] when there is none, or when another process holds it.
    pub fn open(root: &Path) -> Result<(Self, Config)> {
        if !RunFiles::of(root).config_path().exists() {
            return Err(Error::run(root, RunProblem::Absent));
        }
        let dir = Self::lock(root)?;
        let config = presets::read_run_config(&dir.config_path())?;
        create_folder(&dir.checkpoints())?;
        Ok((dir, config))
    }

    fn lock(root: &Path) -> Result<Self> {
        let files = RunFiles::of(root);
        let path = files.lock_path();
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { files, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::run(root, RunProblem::InUse)),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
        }
    }

    /// Keeps where the run's images lie, so that going on with it needs no flags.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(crate) fn keep_places(&self, places: &Places) -> Result<()> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let places = Places {
            data: places.data.as_ref().map(absolute),
            eval: places.eval.as_ref().map(absolute),
        };
        keep(&self.places_path(), &places)
    }

    /// Keeps what the run trains on, so that a change is seen when it goes on.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(crate) fn keep_fingerprint(&self, fingerprint: &Fingerprint) -> Result<()> {
        keep(&self.fingerprint_path(), fingerprint)
    }

    /// Keeps which file the run begins from, so that it can be told.
    fn keep_origin(&self, origin: Option<&Origin>) -> Result<()> {
        let path = self.origin_path();
        match origin {
            Some(origin) => keep(&path, origin),
            // A run that was removed may have left it.
            None if path.exists() => fs::remove_file(&path).map_err(Error::io("remove", &path)),
            None => Ok(()),
        }
    }

    /// The run's logs, to be appended to. `metrics.jsonl` is cut to its first `bytes`: what came later
    /// was not saved with the weights and will be written again.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::Run`] when `metrics.jsonl` is shorter than that.
    pub fn logs(&self, bytes: u64) -> Result<JsonLines> {
        let metrics = Log::open(&self.metrics_path(), Some(bytes))?;
        Ok(JsonLines::new(metrics, Log::open(&self.timings_path(), None)?))
    }
}

/// A run directory that does not exist yet: `base`, or `base-2`, `base-3`, …
pub fn unused(base: &Path) -> PathBuf {
    let numbered = (2..).map(|n| {
        let mut name = base.as_os_str().to_os_string();
        name.push(format!("-{n}"));
        PathBuf::from(name)
    });
    let free = |path: &PathBuf| !RunFiles::of(path).config_path().exists();
    std::iter::once(base.to_path_buf()).chain(numbered).find(free).expect("numbers do not run out")
}

/// Writes `value` as JSON.
fn keep(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(std::io::Error::other);
    Ok(write_atomic(path, &text.map_err(Error::io("write", path))?)?)
}

/// The run among `base`, `base-2`, … whose files changed last.
pub fn latest(base: &Path) -> Option<PathBuf> {
    let stem = base.file_name()?.to_str()?;
    latest_called(base.parent()?, |name| {
        let rest = name.strip_prefix(stem);
        let number = |rest: &str| rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
        rest.is_some_and(|rest| rest.is_empty() || number(rest))
    })
}

/// The run in `folder` whose files changed last, whatever it is called.
pub fn latest_in(folder: &Path) -> Option<PathBuf> {
    latest_called(folder, |_| true)
}

/// The run in `folder` with such a name whose files changed last.
fn latest_called(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let runs = fs::read_dir(folder).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let files = RunFiles::of(&path);
        let changed = files.metrics_path().metadata().and_then(|m| m.modified()).ok()?;
        let is_run = files.config_path().exists() && is_meant(path.file_name()?.to_str()?);
        is_run.then_some((changed, path))
    });
    runs.max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn runs_are_numbered_and_the_latest_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("quickstart");
        assert_eq!(unused(&base), base);
        assert_eq!(latest(&base), None);
        let names = ["quickstart", "quickstart-2", "quickstart-old"];
        for (name, age) in names.into_iter().zip([10, 20, 0]) {
            let run = folder.path().join(name);
            fs::create_dir(&run).unwrap();
            fs::write(run.join("config.toml"), "").unwrap();
            let log = File::create(run.join("metrics.jsonl")).unwrap();
            log.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert_eq!(unused(&base), folder.path().join("quickstart-3"));
        assert_eq!(latest(&base), Some(base), "another name is another run");
        assert_eq!(latest_in(folder.path()), Some(folder.path().join("quickstart-old")));
        assert_eq!(latest_in(&folder.path().join("none")), None);
    }
}
