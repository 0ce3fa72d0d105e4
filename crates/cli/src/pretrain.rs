//! `logo-ssl pretrain`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use logo_ssl::config::Config;
use logo_ssl::data::Splits;
use logo_ssl::engine::{self, LEVEL_VARIABLE};
use logo_ssl::executor::{Device, DeviceName};

use logo_ssl::presets::{self, Layers};
use logo_ssl::record::run_dir::{self, RunDir};
use logo_ssl::train::{Setup, Workers, pretrain};
use logo_ssl::{Error, Result, report};
use logo_ssl_base::files::write_atomic;

use super::compute::{TrainOn, open_for};
use super::progress::Progress;
use super::{DataDir, Output, Running};

#[derive(Debug, Args)]
pub struct Arguments {
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

    fn start(&self) -> Result<Ready> {
        let mut config = self.resolve()?;
        record_instructions(&mut config)?;
        // First the device and the images: a run that cannot have them leaves no folder behind.
        let device = open_for(&config)?;
        let root = self.run_dir.clone().unwrap_or_else(|| run_dir::unused(&self.base()));
        let splits = self.data_dir.splits(&config)?;
        let dir = RunDir::create(&root, &config)?;
        dir.keep_places(&self.data_dir.places())?;
        Ok(Ready { dir, config, splits, device })
    }

    fn go_on(&self) -> Result<Ready> {
        let root = match &self.run_dir {
            Some(root) => root.clone(),
            None => run_dir::latest(&self.base()).ok_or_else(|| {
                Error::run(self.base(), "holds no run to resume; name one with --run-dir")
            })?,
        };
        let (dir, mut config) = RunDir::open(&root)?;
        self.refuse_other_settings(&root, &config)?;
        let device = reopen_device(&dir, &mut config, self.on.named())?;
        let splits = logo_ssl::data::load(&config, &self.data_dir.places().or(dir.places()?))?;
        Ok(Ready { dir, config, splits, device })
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

/// What is there before a run's first step.
struct Ready {
    dir: RunDir,
    config: Config,
    splits: Splits,
    device: Device,
}

/// The device that a begun run goes on with: its own, or the one `wanted` instead, which its config then
/// names.
pub fn reopen_device(
    dir: &RunDir,
    config: &mut Config,
    wanted: Option<&DeviceName>,
) -> Result<Device> {
    let before = config.compute.device.clone();
    let Some(wanted) = wanted.filter(|wanted| **wanted != before) else {
        let device = open_for(config)?;
        warn_of_other_instructions(config);
        return Ok(device);
    };
    config.compute.device = wanted.clone();
    config.compute.instructions = level_of(config);
    config.validate()?;
    let device = open_for(config)?;
    write_atomic(&dir.config_path(), presets::to_toml(config).as_bytes())?;
    tracing::warn!(
        "the run was on {before} and goes on with {wanted}: its numbers will differ in the last digits from those \
         of an uninterrupted run"
    );
    Ok(device)
}

/// The instructions in use, where the config names others.
fn other_instructions(config: &Config) -> Option<String> {
    let (named, used) = (&config.compute.instructions, level_of(config));
    (*named != "auto" && *named != used).then_some(used)
}

/// Has the run's config say which instructions its numbers come from.
pub fn record_instructions(config: &mut Config) -> Result<()> {
    let wanted = &config.compute.instructions;
    if let Some(used) = other_instructions(config) {
        return Err(Error::Usage(format!(
            "compute.instructions = \"{wanted}\", but this process uses {used}: choose with {LEVEL_VARIABLE}={wanted}"
        )));
    }
    config.compute.instructions = level_of(config);
    Ok(())
}

/// Of what the processor computes: with another device, the views.
fn level_of(config: &Config) -> String {
    let level = match config.compute.device {
        DeviceName::Cpu => engine::level_for(config.compute.precision),
        _ => engine::level(),
    };
    level.to_string()
}

fn warn_of_other_instructions(config: &Config) {
    if let Some(now) = other_instructions(config) {
        let before = &config.compute.instructions;
        tracing::warn!(
            "the run was started with {before} instructions and goes on with {now}: \
             its numbers will differ in the last digits from those of an uninterrupted run"
        );
    }
}

pub fn run(arguments: Arguments, output: Output) -> Result<()> {
    let workers = arguments.running.install()?;
    let Ready { dir, config, splits, device } = match arguments.resume {
        true => arguments.go_on()?,
        false => arguments.start()?,
    };
    arguments.on.tell_of_gpu(&config, output);
    let how = How { workers, checkpoint_every: arguments.running.checkpoint_every, output };
    train(&dir, &config, splits, device, &stop_on_signal(), how)
}

/// How a run is trained and shown; nothing of it changes the result.
#[derive(Clone)]
pub struct How {
    pub workers: Workers,
    pub checkpoint_every: u64,
    pub output: Output,
}

/// Trains the run in `dir` to its end, and shows what comes of it.
pub fn train(
    dir: &RunDir,
    config: &Config,
    splits: Splits,
    device: Device,
    stop: &AtomicBool,
    how: How,
) -> Result<()> {
    let How { workers, checkpoint_every, output } = how;
    let mut progress = Progress::new(output, dir.root(), config);
    let summary = pretrain(Setup {
        config,
        dir,
        splits,
        device,
        workers,
        checkpoint_every: checkpoint_every.max(1),
        stop,
        sinks: vec![&mut progress],
    })?;
    let report = report::generate(dir.root())?;
    progress.finish(&summary, &dir.weights(), &report);
    Ok(())
}

/// A flag that SIGINT and SIGTERM set; the second signal ends the process at once.
pub fn stop_on_signal() -> Arc<AtomicBool> {
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
