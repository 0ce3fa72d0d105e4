//! `logo-ssl pretrain`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use logo_ssl::config::Config;
use logo_ssl::presets::{self, Layers};
use logo_ssl::record::run_dir::{self, RunDir, RunFiles};
use logo_ssl::run::{Images, Run, Training};
use logo_ssl::train::Workers;

use super::compute::{TrainOn, restart_with_environment_for};
use super::progress::Progress;
use super::{DataDir, Output, Running};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Settings to start from, as `logo-ssl config list` names them [default: quickstart]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// TOML file laid over the preset
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One value laid over both, for example optimizer.lr=0.1; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What is trained on, for example folder: any folder of pictures, named by --data-dir (data.dataset)
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// What the kNN is about, where that is another dataset (eval.dataset)
    #[arg(long, value_name = "NAME")]
    eval_dataset: Option<String>,
    #[command(flatten)]
    data_dir: DataDir,
    /// Where the run is kept [default: runs/PRESET, or the next free runs/PRESET-N]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Passes over the images (optimizer.epochs)
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Images an update (optimizer.batch_size)
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Train on the first so many images only (data.limit)
    #[arg(long, value_name = "IMAGES")]
    limit: Option<usize>,
    /// Source of all randomness (seed)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Store activations as f32 or bf16 (compute.precision)
    #[arg(long, value_name = "TYPE")]
    precision: Option<String>,
    #[command(flatten)]
    on: TrainOn,
    #[command(flatten)]
    running: Running,
    /// Go on with an interrupted run: the one in --run-dir, else the latest of the preset
    #[arg(long)]
    resume: bool,
}

impl Arguments {
    fn preset_name(&self) -> &str {
        self.preset.as_deref().unwrap_or(presets::DEFAULT)
    }

    /// The flags that are short for a `--set`.
    fn shorthands(&self) -> Vec<String> {
        let named = [
            ("optimizer.epochs", self.epochs.map(|n| n as u64)),
            ("optimizer.batch_size", self.batch_size.map(|n| n as u64)),
            ("data.limit", self.limit.map(|n| n as u64)),
            ("seed", self.seed),
        ];
        let numbers =
            named.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
        let names = [
            ("compute.precision", &self.precision),
            ("data.dataset", &self.dataset),
            ("eval.dataset", &self.eval_dataset),
        ];
        let names =
            names.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
        numbers.chain(names).collect()
    }

    fn resolve(&self) -> Result<Config> {
        let mut layers = Layers::preset(self.preset_name())?;
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        for assignment in self.set.iter().chain(&self.shorthands()) {
            layers = layers.set(assignment)?;
        }
        let mut config = layers.build()?;
        self.on.lay_over(&mut config)?;
        Ok(config)
    }

    fn base(&self) -> PathBuf {
        Path::new("runs").join(self.preset_name())
    }

    fn start(&self) -> Result<Run> {
        let config = self.resolve()?;
        restart_with_environment_for(&config.compute.device)?;
        let root = self.run_dir.clone().unwrap_or_else(|| run_dir::unused(&self.base()));
        Ok(Run::create(&root, config, &Images::Named(self.data_dir.places()))?)
    }

    fn go_on(&self) -> Result<Run> {
        let root = match &self.run_dir {
            Some(root) => root.clone(),
            None => run_dir::latest(&self.base()).ok_or_else(|| {
                Error::about(self.base(), "holds no run to resume; name one with --run-dir")
            })?,
        };
        let (dir, config) = RunDir::open(&root)?;
        self.refuse_other_settings(&root, &config)?;
        let wanted = self.on.named();
        restart_with_environment_for(wanted.unwrap_or(&config.compute.device))?;
        Ok(Run::resume(dir, config, &Images::Named(self.data_dir.places()), wanted)?)
    }

    /// Whatever settings come with `--resume` must be those of the run.
    fn refuse_other_settings(&self, root: &Path, config: &Config) -> Result<()> {
        let given = self.preset.is_some()
            || self.config.is_some()
            || !self.set.is_empty()
            || !self.shorthands().is_empty()
            || self.on.deterministic();
        if given && !self.resolve()?.is_experiment_of(config) {
            return Err(Error::Usage(format!(
                "{} was started with another config: --resume takes its settings from there. \
                 Leave the other flags out, or start a new run with --run-dir",
                root.display()
            )));
        }
        Ok(())
    }
}

pub(crate) fn run(arguments: Arguments, output: Output) -> Result<()> {
    let workers = arguments.running.install()?;
    let run = match arguments.resume {
        true => arguments.go_on()?,
        false => arguments.start()?,
    };
    arguments.on.tell_of_gpu(run.config(), output);
    let how = How { workers, checkpoint_every: arguments.running.checkpoint_every, output };
    train(run, &stop_on_signal(), how)
}

/// How a run is trained and shown; nothing of it changes the result.
#[derive(Clone)]
pub(crate) struct How {
    pub workers: Workers,
    pub checkpoint_every: u64,
    pub output: Output,
}

/// Trains a run to its end, and shows what comes of it.
pub(crate) fn train(run: Run, stop: &AtomicBool, how: How) -> Result<()> {
    let How { workers, checkpoint_every, output } = how;
    let files = RunFiles::clone(run.dir());
    let mut progress = Progress::new(output, files.root(), run.config());
    let summary = run.train(Training {
        workers,
        checkpoint_every,
        stop,
        sinks: vec![&mut progress],
        framework: None,
    })?;
    let report = logo_ssl_report::generate(files.root())?;
    progress.finish(&summary, &files.weights(), &report);
    Ok(())
}

/// A flag that SIGINT and SIGTERM set; the second signal ends the process at once.
pub(crate) fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        remark!("\nfinishing the step and saving; once more to stop at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!("signals will end the run without saving: {error}");
    }
    stop
}
