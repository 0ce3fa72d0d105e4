//! `logo-ssl watch`

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use logo_ssl::presets;
use logo_ssl::record::scalars::LOSS;
use logo_ssl::record::{Follower, Record, RunFiles, Scalars};

use super::dashboard::{self, Watched};
use super::{Output, lines};
use crate::error::{Error, Result};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(500);
/// How often a step is worth a line.
const STEP_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory, of a run that trains or of one that is finished
    #[arg(value_name = "RUN")]
    run_dir: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let files = RunFiles::of(&arguments.run_dir);
    if !files.config_path().exists() {
        let problem = "holds no run to watch; name the folder that a run is kept in";
        return Err(Error::about(files.root(), problem));
    }
    let config = presets::read_run_config(&files.config_path())?;
    match dashboard::is_wanted(output) {
        true => dashboard::watch(&files, Watched::new(&files, &config)),
        false => Tail::new(files, config.model.projector.dim, output).follow(),
    }
}

/// A run's records as lines, until it is finished.
struct Tail {
    files: RunFiles,
    metrics: Follower,
    timings: Follower,
    dim: usize,
    output: Output,
    /// What the last step saw, and when one was printed.
    step: Option<(u64, usize, Scalars)>,
    printed: Option<Instant>,
}

impl Tail {
    fn new(files: RunFiles, dim: usize, output: Output) -> Self {
        Self {
            metrics: Follower::new(files.metrics_path()),
            timings: Follower::new(files.timings_path()),
            files,
            dim,
            output,
            step: None,
            printed: None,
        }
    }

    fn follow(mut self) -> Result<()> {
        loop {
            // Looked at first: what was written before is then read below.
            let is_finished = self.files.weights().exists();
            let mut any = false;
            loop {
                let (metrics, timings) = (self.metrics.read()?, self.timings.read()?);
                if metrics.records.is_empty() && timings.records.is_empty() {
                    break;
                }
                any = true;
                if metrics.anew {
                    remark!("the run went on from its last checkpoint");
                }
                metrics.records.iter().chain(&timings.records).for_each(|record| self.tell(record));
            }
            if any {
                self.tell_step();
            } else if is_finished {
                return Ok(());
            }
            sleep(EVERY);
        }
    }

    fn tell(&mut self, record: &Record) {
        if let Record::Step { step, epoch, scalars } = record {
            self.step = Some((*step, *epoch, scalars.clone()));
        }
        if self.output.json {
            match serde_json::to_string(record) {
                Ok(line) => say!("{line}"),
                Err(error) => tracing::warn!("cannot print a record: {error}"),
            }
        } else if let Some(line) = lines::of(record, self.dim) {
            say!("{line}");
        }
    }

    /// The last step, now and then.
    fn tell_step(&mut self) {
        let is_due = self.printed.is_none_or(|printed| printed.elapsed() >= STEP_EVERY);
        if self.output.json || self.output.quiet || !is_due {
            return;
        }
        if let Some((step, epoch, scalars)) = self.step.take() {
            self.printed = Some(Instant::now());
            let (loss, spread) = (scalars.get_or_nan(LOSS), lines::spread(&scalars, self.dim));
            say!("epoch {}, step {step}: loss {loss:.4}, std {spread:.3} of healthy", epoch + 1);
        }
    }
}
