//! One run, followed: its settings, its logs, and which files it has.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use logo_ssl::data::Fingerprint;
use logo_ssl::record::RunFiles;
use serde::Serialize;

use crate::digest::Digest;
use crate::settings::Settings;
use crate::tail::{Grown, Tail};

/// The most bytes of a file that is shown whole: 64 MiB. Reports have 5 at most.
const LARGEST: u64 = 64 << 20;

/// A run whose logs have not grown for so long is running no more, unless its evaluations or its steps take
/// longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is known of a run.
#[derive(Debug)]
pub(crate) struct Run {
    files: RunFiles,
    /// What it is called, which is where it lies in the folder.
    pub(crate) name: String,
    /// Its settings, or what is wrong with them; none before they are read.
    pub(crate) settings: Option<Result<Settings, String>>,
    /// When the settings that were read were written.
    settings_written: Option<SystemTime>,
    /// How many images it trains on, where it kept that.
    pub(crate) images: Option<u64>,
    /// `metrics.jsonl`
    pub(crate) metrics: Followed,
    /// `timings.jsonl`
    pub(crate) timings: Followed,
    /// Whether its final weights are there.
    pub(crate) has_weights: bool,
    /// Whether it has a picture of its views.
    pub(crate) has_preview: bool,
    /// Whether it has a report.
    pub(crate) has_report: bool,
}

/// A log and what it says.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    tail: Tail,
    /// What it says so far.
    pub(crate) digest: Digest,
    /// How often it was read from its start again.
    pub(crate) generation: u64,
    /// Why it cannot be read.
    pub(crate) problem: Option<String>,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Its log grows.
    Running,
    /// All of its epochs are done.
    Finished,
    /// It has epochs to go, and has not written for a while.
    Stale,
}

/// A file that a run may have and that is shown as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// `preview.png`
    Preview,
    /// `report.html`
    Report,
}

impl Followed {
    /// Reads on by one piece; whether there is more.
    fn read_on(&mut self, dir: &Dir, path: &Path, buffer: &mut Vec<u8>) -> bool {
        match self.tail.next(dir, path, buffer) {
            Ok(Grown::Not) => {}
            Ok(Grown::By(lines)) => self.digest.take(lines),
            Ok(Grown::Anew) => {
                self.digest = Digest::default();
                self.generation += 1;
            }
            Err(error) => {
                self.problem = Some(format!("{} cannot be read: {error}", name_of(path)));
                return false;
            }
        }
        self.problem = None;
        self.left() > 0
    }

    /// Bytes that are not read yet.
    pub(crate) fn left(&self) -> u64 {
        self.tail.left()
    }

    /// Bytes that are read.
    pub(crate) fn done(&self) -> u64 {
        self.tail.done()
    }
}

impl Run {
    /// The run that lies at `path` in a folder, of which nothing is read yet.
    pub(crate) fn new(path: &Path, name: String) -> Self {
        Self {
            files: RunFiles::of(path),
            name,
            settings: None,
            settings_written: None,
            images: None,
            metrics: Followed::default(),
            timings: Followed::default(),
            has_weights: false,
            has_preview: false,
            has_report: false,
        }
    }

    /// Reads what is new, of each log one piece at most; whether there is more.
    pub(crate) fn read_on(&mut self, dir: &Dir, buffer: &mut Vec<u8>) -> bool {
        self.read_settings(dir);
        self.has_weights = is_file(dir, &self.files.weights());
        self.has_preview = is_file(dir, &self.files.preview());
        self.has_report = is_file(dir, &self.files.report());
        let metrics = self.metrics.read_on(dir, &self.files.metrics_path(), buffer);
        let timings = self.timings.read_on(dir, &self.files.timings_path(), buffer);
        metrics || timings
    }

    /// Reads the settings again where they were written again, as a run does that goes on with others.
    fn read_settings(&mut self, dir: &Dir) {
        let path = self.files.config_path();
        let written = dir.metadata(&path).and_then(|metadata| metadata.modified());
        let written = written.ok().map(cap_std::time::SystemTime::into_std);
        if self.settings.is_some() && written == self.settings_written {
            return;
        }
        let text = read(dir, &path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        self.settings = Some(match text {
            Ok(text) => Settings::read(&text),
            Err(error) => Err(format!("config.toml cannot be read: {error}")),
        });
        self.settings_written = written;
        let kept = read(dir, &self.files.root().join("images.json")).ok();
        let kept = kept.and_then(|text| serde_json::from_slice::<Fingerprint>(&text).ok());
        self.images = kept.map(|kept| kept.images);
    }

    /// Its settings, where they could be read.
    pub(crate) fn known_settings(&self) -> Option<&Settings> {
        self.settings.as_ref()?.as_ref().ok()
    }

    /// Epochs done.
    pub(crate) fn epochs_done(&self) -> usize {
        self.metrics.digest.epoch.as_ref().map_or(0, |epoch| epoch.done)
    }

    /// Epochs in all.
    pub(crate) fn epochs_total(&self) -> Option<usize> {
        Some(self.known_settings()?.config.optimizer.epochs)
    }

    /// When it last wrote something.
    pub(crate) fn written(&self) -> Option<SystemTime> {
        let logs = [self.metrics.tail.modified(), self.timings.tail.modified()];
        logs.into_iter().chain([self.settings_written]).flatten().max()
    }

    /// What it is doing at `now`.
    pub(crate) fn state(&self, now: SystemTime) -> State {
        let is_done = self.epochs_total().is_some_and(|total| self.epochs_done() >= total);
        if self.has_weights || is_done {
            return State::Finished;
        }
        let step = self.timings.digest.last("step_ms").filter(|ms| ms.is_finite()).unwrap_or(0.0);
        let longest = (10.0 * step / 1e3).max(3.0 * self.timings.digest.longest_evaluation);
        let patience = PATIENCE.max(Duration::try_from_secs_f64(longest).unwrap_or(PATIENCE));
        // A clock that was set back makes the file one of the future, and that is recent.
        let silent = self
            .written()
            .map_or(Duration::MAX, |written| now.duration_since(written).unwrap_or(Duration::ZERO));
        if silent < patience { State::Running } else { State::Stale }
    }

    /// What keeps it from being shown whole.
    pub(crate) fn problem(&self) -> Option<String> {
        let settings = self.settings.as_ref().and_then(|settings| settings.as_ref().err().cloned());
        let logs = [(&self.metrics, "metrics.jsonl"), (&self.timings, "timings.jsonl")];
        let of_logs = logs.into_iter().find_map(|(log, name)| {
            let digest = &log.digest;
            let broken = digest.broken.map(|line| format!("line {line} of {name} is no record"));
            let unknown = digest.unknown.as_ref().map(|kind| {
                format!("{name} has records of kind `{kind}`, which are of a later version")
            });
            log.problem.clone().or(broken).or(unknown)
        });
        settings.or(of_logs)
    }

    /// Where a file of it that is shown as it is lies in the folder.
    pub(crate) fn path_of(&self, shown: Shown) -> PathBuf {
        match shown {
            Shown::Preview => self.files.preview(),
            Shown::Report => self.files.report(),
        }
    }
}

/// A whole file, of at most [`LARGEST`] bytes.
///
/// # Errors
/// That of the system; one of our own where the path is no file, or the file is larger.
pub(crate) fn read(dir: &Dir, path: &Path) -> io::Result<Vec<u8>> {
    let metadata = dir.metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::other("it is larger than any such file should be"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    dir.open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_file(dir: &Dir, path: &Path) -> bool {
    dir.metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
