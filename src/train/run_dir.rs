//! The run directory: one experiment, one config, one folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checkpoint::{self, Position};
use crate::config::Config;
use crate::data::Places;
use crate::model::params::State;
use crate::presets;
use crate::{Error, Result};
use logo_ssl_base::files::{create_folder, write_atomic};

/// A run directory that this process alone holds.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    /// Held for its lock, which ends with the process however it ends.
    _lock: File,
}

impl RunDir {
    /// Starts a run in `root`, which must not hold one already.
    ///
    /// # Errors
    /// [`Error::Run`] when it does, or when another process holds it; [`Error::Io`] when it cannot
    /// be written.
    pub fn create(root: &Path, config: &Config) -> Result<Self> {
        create_folder(root)?;
        let dir = Self::lock(root)?;
        if dir.config_path().exists() {
            return Err(Error::run(
                root,
                "already holds a run; go on with it by --resume, or choose another --run-dir",
            ));
        }
        create_folder(&root.join("checkpoints"))?;
        write_atomic(&dir.config_path(), presets::to_toml(config).as_bytes())?;
        Ok(dir)
    }

    /// Opens the run in `root` to go on with it, and reads its config.
    ///
    /// # Errors
    /// [`Error::Run`] when there is none, or when another process holds it.
    pub fn open(root: &Path) -> Result<(Self, Config)> {
        if !root.join("config.toml").exists() {
            return Err(Error::run(root, "holds no run to resume; start one without --resume"));
        }
        let dir = Self::lock(root)?;
        let config = presets::read_run_config(&dir.config_path())?;
        create_folder(&root.join("checkpoints"))?;
        Ok((dir, config))
    }

    /// Keeps where the run's images lie, so that going on with it needs no flags.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn keep_places(&self, places: &Places) -> Result<()> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let places = Places {
            data: places.data.as_ref().map(absolute),
            eval: places.eval.as_ref().map(absolute),
        };
        let text = serde_json::to_vec(&places).map_err(std::io::Error::other);
        let path = self.places_path();
        Ok(write_atomic(&path, &text.map_err(Error::io("write", &path))?)?)
    }

    /// What [`RunDir::keep_places`] kept; nothing in runs of before it.
    ///
    /// # Errors
    /// [`Error::Run`] when it is damaged.
    pub fn places(&self) -> Result<Places> {
        let path = self.places_path();
        let Ok(text) = fs::read(&path) else { return Ok(Places::default()) };
        serde_json::from_slice(&text).map_err(|error| {
            Error::run(
                path,
                format!("is damaged ({error}); remove it, and name the images by --data-dir"),
            )
        })
    }

    fn places_path(&self) -> PathBuf {
        self.root.join("places.json")
    }

    fn lock(root: &Path) -> Result<Self> {
        let path = root.join(".lock");
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_path_buf(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::run(
                root,
                "is in use by another logo-ssl; wait for it, stop it, or choose another --run-dir",
            )),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All values of the experiment, resolved.
    pub fn config_path(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The checkpoint to go on from.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.root.join("checkpoints/last.safetensors")
    }

    /// The checkpoint with the best kNN.
    pub fn best_checkpoint(&self) -> PathBuf {
        self.root.join("checkpoints/best.safetensors")
    }

    /// The backbone's final weights.
    pub fn weights(&self) -> PathBuf {
        self.root.join("weights.safetensors")
    }

    /// The last checkpoint, if one was written yet.
    ///
    /// # Errors
    /// [`Error::Run`] when it belongs to another config; see [`checkpoint::read`] for the others.
    pub fn read_checkpoint(&self, config: &Config) -> Result<Option<(Position, State)>> {
        let path = self.last_checkpoint();
        if !path.exists() {
            return Ok(None);
        }
        let (position, state) = checkpoint::read(&path)?;
        let started = presets::config_of_text(&position.config);
        if !started.is_ok_and(|started| started.is_experiment_of(config)) {
            return Err(Error::run(
                self.config_path(),
                "is not the config this run was started with; restore it, or start another run with --run-dir",
            ));
        }
        Ok(Some((position, state)))
    }

    /// `metrics.jsonl`, cut to its first `bytes`: what came later was not saved with the weights
    /// and will be written again.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::Run`] when it is shorter than that.
    pub fn metrics(&self, bytes: u64) -> Result<Log> {
        Log::open(&self.root.join("metrics.jsonl"), Some(bytes))
    }

    /// `timings.jsonl`, to be appended to.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn timings(&self) -> Result<Log> {
        Log::open(&self.root.join("timings.jsonl"), None)
    }
}

/// A file of one JSON object a line.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    fn open(path: &Path, keep: Option<u64>) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(path);
        let mut file = file.map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let bytes = match keep {
            Some(bytes) => bytes,
            None => whole_lines(path)?,
        };
        if length < bytes {
            return Err(Error::run(
                path,
                format!(
                    "has {length} bytes, but the checkpoint was written after {bytes}; restore it to resume"
                ),
            ));
        }
        file.set_len(bytes)
            .and_then(|()| file.seek(SeekFrom::Start(bytes)))
            .map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_path_buf(), file, bytes })
    }

    /// Adds one line.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record).expect("a record is plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable and returns the file's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().map_err(Error::io("write", &self.path))?;
        Ok(self.bytes)
    }
}

/// The length of a log without the half line that a killed process can leave at its end.
fn whole_lines(path: &Path) -> Result<u64> {
    let contents = fs::read(path).map_err(Error::io("read", path))?;
    let end = contents.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    Ok(end as u64)
}

/// A run directory that does not exist yet: `base`, or `base-2`, `base-3`, …
pub fn unused(base: &Path) -> PathBuf {
    let numbered = (2..).map(|n| {
        let mut name = base.as_os_str().to_os_string();
        name.push(format!("-{n}"));
        PathBuf::from(name)
    });
    let free = |path: &PathBuf| !path.join("config.toml").exists();
    std::iter::once(base.to_path_buf()).chain(numbered).find(free).expect("numbers do not run out")
}

/// The run among `base`, `base-2`, … whose files changed last.
pub fn latest(base: &Path) -> Option<PathBuf> {
    let (parent, stem) = (base.parent()?, base.file_name()?.to_str()?);
    let runs = fs::read_dir(parent).ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let rest = path.file_name()?.to_str()?.strip_prefix(stem)?.to_owned();
        let number = rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok());
        let changed = path.join("metrics.jsonl").metadata().and_then(|m| m.modified()).ok()?;
        (rest.is_empty() || number).then_some((changed, path))
    });
    runs.max().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_log_goes_on_after_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, "1\n2\n{\"half").unwrap();
        Log::open(&path, None).unwrap().append(&3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        Log::open(&path, Some(2)).unwrap().append(&4).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n4\n");
        let message = Log::open(&path, Some(9)).unwrap_err().to_string();
        assert!(message.contains("has 4 bytes"), "{message}");
    }

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
    }
}
