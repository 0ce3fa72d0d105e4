//! A run by its files alone, which are read and never written.

use std::fs;
use std::time::{Duration, SystemTime};

use logo_ssl::Result;
use logo_ssl::config::Config;
use logo_ssl::record::{Follower, RunFiles};

use super::state::{About, Activity, State};

/// A run whose logs have not grown for so long is said to be silent: longer than an evaluation takes as a
/// rule.
const SILENT: Duration = Duration::from_secs(120);

/// The logs of a run, read as they grow.
pub(crate) struct Watched {
    files: RunFiles,
    config: Config,
    metrics: Follower,
    timings: Follower,
}

impl Watched {
    /// Of the run with these files and this config.
    pub(crate) fn new(files: &RunFiles, config: &Config) -> Self {
        Self {
            metrics: Follower::new(files.metrics_path()),
            timings: Follower::new(files.timings_path()),
            files: files.clone(),
            config: config.clone(),
        }
    }

    /// Its state before anything is read.
    pub(super) fn state(&self) -> State {
        let mut state = State::new(About::of(self.files.root(), &self.config));
        state.steps_per_epoch = self.steps_per_epoch();
        state
    }

    /// Takes in whatever was appended; says whether there was something.
    ///
    /// # Errors
    /// As [`Follower::read`].
    pub(super) fn read(&mut self, state: &mut State) -> Result<bool> {
        let mut any = false;
        loop {
            let appended = self.metrics.read()?;
            if appended.anew {
                // The run went on from a checkpoint: what came behind it is no part of it.
                *state = self.state();
                self.timings = Follower::new(self.files.timings_path());
            }
            let timings = self.timings.read()?;
            if appended.records.is_empty() && timings.records.is_empty() {
                return Ok(any);
            }
            any = true;
            appended.records.iter().chain(&timings.records).for_each(|record| state.record(record));
        }
    }

    /// Takes in what the files tell beside their records: what it is doing, what space there is.
    pub(super) fn look(&self, state: &mut State) {
        [state.disk, state.checkpoint_bytes] = space(&self.files);
        let quiet = self.quiet();
        let is_finished =
            state.epochs_closed == self.config.optimizer.epochs && self.files.weights().exists();
        state.activity = match state.step {
            _ if is_finished => Activity::Finished,
            _ if quiet > SILENT => Activity::Silent(quiet.as_secs()),
            0 => Activity::Starting,
            _ => Activity::Training,
        };
    }

    /// For how long nothing was appended.
    fn quiet(&self) -> Duration {
        let paths =
            [self.files.metrics_path(), self.files.timings_path(), self.files.config_path()];
        let changed = |path| fs::metadata(path).and_then(|file| file.modified()).ok();
        let last = paths.into_iter().filter_map(changed).max();
        // A clock that was set back makes the last change lie ahead.
        last.and_then(|last| SystemTime::now().duration_since(last).ok()).unwrap_or_default()
    }

    /// As far as it can be told before an epoch ended.
    fn steps_per_epoch(&self) -> Option<u64> {
        let images = self.files.fingerprint().ok()??.images;
        let images = match self.config.data.limit as u64 {
            0 => images,
            limit => limit.min(images),
        };
        Some(images / self.config.optimizer.images_per_update() as u64).filter(|steps| *steps > 0)
    }
}

/// Bytes that are free where a run is kept, and bytes of its last checkpoint.
pub(super) fn space(files: &RunFiles) -> [Option<u64>; 2] {
    let checkpoint = fs::metadata(files.last_checkpoint()).map(|file| file.len());
    [fs4::available_space(files.root()).ok(), checkpoint.ok()]
}
