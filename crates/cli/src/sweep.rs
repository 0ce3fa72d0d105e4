//! `logo-ssl sweep`

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::config::{Config, Unchosen};
use logo_ssl::record::{RunDir, RunFiles};
use logo_ssl::run::{Images, Run, Wanted};
use logo_ssl::sweep::{Planned, Sweep};
use logo_ssl::train::Control;
use logo_ssl_report::compare::Comparison;

use super::compute::{TrainOn, restart_with_environment_for};
use super::pretrain::{self, How, stop_on_signal};
use super::{DataDir, Output, Running, compare};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// TOML file with a preset, variants and a grid
    file: PathBuf,
    /// Folder of the runs; what is finished in it is kept, what was interrupted goes on
    /// [default: runs/ and the file's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    on: TrainOn,
    #[command(flatten)]
    running: Running,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let how = arguments.running.how(output)?;
    let sweep = arguments.read()?;
    let out = arguments.out();
    arguments.on.tell_of_gpu(&sweep.runs[0].config, output);
    let control = stop_on_signal();
    let total = sweep.runs.len();
    for (number, planned) in sweep.runs.iter().enumerate() {
        if !output.quiet && !output.json {
            say!("run {} of {total}: {}", number + 1, planned.name);
        }
        arguments.train(planned, &out.join(&planned.name), &control, how.clone())?;
    }
    let runs: Vec<PathBuf> = sweep.runs.iter().map(|planned| out.join(&planned.name)).collect();
    compare::show(&Comparison::read(&runs)?, &out, output)
}

impl Arguments {
    fn out(&self) -> PathBuf {
        let stem = self.file.file_stem().unwrap_or(self.file.as_os_str());
        self.out.clone().unwrap_or_else(|| Path::new("runs").join(stem))
    }

    /// What is to be trained, where the flags say.
    fn read(&self) -> Result<Sweep> {
        let mut sweep = Sweep::read(&self.file)?;
        sweep.runs.iter_mut().try_for_each(|planned| self.on.lay_over(&mut planned.config))?;
        Ok(sweep)
    }

    /// Starts the run in `root`, goes on with it, or leaves it as it is if it is finished.
    fn train(&self, planned: &Planned, root: &Path, control: &Control, how: How) -> Result<()> {
        let config = &planned.config;
        let images = Images::Named(self.data_dir.places());
        restart_with_environment_for(&config.compute.device)?;
        if !RunFiles::of(root).config_path().exists() {
            return pretrain::train(
                Run::create(root, config.clone(), &images, Unchosen::default())?,
                control,
                how,
            );
        }
        let (dir, before) = reopen(root, config)?;
        if dir.weights().exists() {
            return Ok(());
        }
        let wanted = Wanted { device: Some(&config.compute.device), ..Wanted::default() };
        let run = Run::resume(dir, before, &images, wanted)?;
        pretrain::train(run, control, how)
    }
}

/// The run that was begun in `root` under the same settings.
fn reopen(root: &Path, config: &Config) -> Result<(RunDir, Config)> {
    let (dir, before) = RunDir::open(root)?;
    // A k beyond the bank was left out when the run began.
    let same = before.changes_to(config).iter().all(|change| change.key == "eval.k");
    match same {
        true => Ok((dir, before)),
        false => Err(Error::about(
            root,
            "holds a run with other settings than the sweep's file now has; choose another --out, or remove it",
        )),
    }
}
