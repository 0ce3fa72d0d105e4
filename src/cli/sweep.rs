//! `logo-ssl sweep`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use clap::Args;
use logo_ssl::config::Config;
use logo_ssl::data::Splits;
use logo_ssl::report::compare::Comparison;
use logo_ssl::sweep::{Planned, Sweep};
use logo_ssl::train::run_dir::RunDir;
use logo_ssl::train::{LOADER_THREADS, Setup, pretrain};
use logo_ssl::{Error, Result, report};

use super::pretrain::{record_instructions, stop_on_signal};
use super::progress::Progress;
use super::{DataDir, Output, Threads, compare};

#[derive(Debug, Args)]
pub struct Arguments {
    /// TOML file with a preset, variants and a grid
    file: PathBuf,
    /// Folder of the runs; what is finished in it is kept, what was interrupted goes on
    /// [default: runs/ and the file's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    threads: Threads,
    /// Steps between two checkpoints within an epoch; the result does not depend on it
    #[arg(long, value_name = "STEPS", default_value_t = 100)]
    checkpoint_every: u64,
}

pub fn run(arguments: &Arguments, output: Output) -> Result<()> {
    arguments.threads.install()?;
    let sweep = Sweep::read(&arguments.file)?;
    let out = arguments.out();
    let stop = stop_on_signal();
    let total = sweep.runs.len();
    for (number, planned) in sweep.runs.iter().enumerate() {
        if !output.quiet && !output.json {
            println!("run {} of {total}: {}", number + 1, planned.name);
        }
        arguments.train(planned, &out.join(&planned.name), &stop, output)?;
    }
    let runs: Vec<PathBuf> = sweep.runs.iter().map(|planned| out.join(&planned.name)).collect();
    compare::show(&Comparison::read(&runs)?, &out, output)
}

impl Arguments {
    fn out(&self) -> PathBuf {
        let stem = self.file.file_stem().unwrap_or(self.file.as_os_str());
        self.out.clone().unwrap_or_else(|| Path::new("runs").join(stem))
    }

    /// Starts the run in `root`, goes on with it, or leaves it as it is if it is finished.
    fn train(
        &self,
        planned: &Planned,
        root: &Path,
        stop: &Arc<AtomicBool>,
        output: Output,
    ) -> Result<()> {
        let mut config = planned.config.clone();
        record_instructions(&mut config)?;
        let splits = Splits::load(config.data.dataset, self.data_dir.data_dir.as_deref())?;
        let (dir, config) = open(root, config)?;
        if dir.weights().exists() {
            return Ok(());
        }
        let mut progress = Progress::new(output, root, &config);
        let summary = pretrain(Setup {
            config: &config,
            dir: &dir,
            splits,
            device: Device::flex(),
            workers: LOADER_THREADS,
            checkpoint_every: self.checkpoint_every.max(1),
            stop,
            show: &mut |event| progress.show(&event),
        })?;
        let report = report::generate(root)?;
        progress.finish(&summary, &dir.weights(), &report);
        Ok(())
    }
}

/// The run in `root`, new or begun before under the same settings.
fn open(root: &Path, config: Config) -> Result<(RunDir, Config)> {
    if !root.join("config.toml").exists() {
        return Ok((RunDir::create(root, &config)?, config));
    }
    let (dir, mut before) = RunDir::open(root)?;
    // Which instructions there are is the machine's to say, not the sweep's.
    let instructions =
        std::mem::replace(&mut before.compute.instructions, config.compute.instructions.clone());
    if before != config {
        return Err(Error::run(
            root,
            "holds a run with other settings than the sweep's file now has; choose another --out, or remove it",
        ));
    }
    before.compute.instructions = instructions;
    Ok((dir, before))
}
