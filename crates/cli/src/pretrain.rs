//! `logo-ssl pretrain`

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::config::{Config, Unchosen};
use logo_ssl::data::{DatasetName, Splits};
use logo_ssl::executor::Device;
use logo_ssl::interop::learner_of_run;
use logo_ssl::presets::{self, Layers};
use logo_ssl::record::Sink;
use logo_ssl::record::run_dir::{self, RunDir, RunFiles};
use logo_ssl::run::{Images, Run, Training, Wanted};
use logo_ssl::train::{Control, Workers};
use logo_ssl_report::Illustrated;
use logo_ssl_report::export::TensorBoard;

use serde_json::json;

use super::compute::{TrainOn, restart_with_environment_for};
use super::dashboard::{self, Dashboard};
use super::init::{self, Init};
use super::progress::{self, Progress};
use super::{DataDir, Output, Running, log, report};
use crate::error::{Error, Result};

/// Where runs are kept whose folder is not named.
const RUNS: &str = "runs";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What is trained on, for example a folder of pictures
    ///
    /// Or one of shards or Parquet files, a pack, CIFAR and so on: short for --data-dir PATH with a preset and a
    /// dataset that suit what lies there.
    #[arg(value_name = "PATH", conflicts_with = "data_dir")]
    path: Option<PathBuf>,
    /// Settings to start from; `logo-ssl config list` names them
    ///
    /// [default: those that suit the images that are named, else quickstart]
    #[arg(long, value_name = "NAME", help_heading = "Settings")]
    preset: Option<String>,
    /// TOML file laid over the preset
    #[arg(long, value_name = "FILE", help_heading = "Settings", hide_short_help = true)]
    config: Option<PathBuf>,
    /// One value laid over, such as optimizer.lr=0.1
    ///
    /// May be repeated; it is laid over the preset and the file of --config.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Settings")]
    set: Vec<String>,
    /// What is trained on, for example folder: any folder of pictures, named by --data-dir (data.dataset)
    #[arg(long, value_name = "NAME", help_heading = "Images", hide_short_help = true)]
    dataset: Option<String>,
    /// What the kNN is about, where that is another dataset (eval.dataset)
    #[arg(long, value_name = "NAME", help_heading = "Images", hide_short_help = true)]
    eval_dataset: Option<String>,
    #[command(flatten, next_help_heading = "Images")]
    data_dir: DataDir,
    /// Where the run is kept [default: runs/PRESET]
    ///
    /// Where that is taken, the next free runs/PRESET-N.
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    run_dir: Option<PathBuf>,
    /// Passes over the images (optimizer.epochs)
    #[arg(long, value_name = "N", help_heading = "Settings")]
    epochs: Option<usize>,
    /// Images an update (optimizer.batch_size)
    #[arg(long, value_name = "N", help_heading = "Settings")]
    batch_size: Option<usize>,
    /// Train on the first so many images only (data.limit)
    #[arg(long, value_name = "IMAGES", help_heading = "Images", hide_short_help = true)]
    limit: Option<usize>,
    /// Source of all randomness (seed)
    #[arg(long, value_name = "N", help_heading = "Settings", hide_short_help = true)]
    seed: Option<u64>,
    /// Store activations as f32 or bf16 (compute.precision)
    #[arg(long, value_name = "TYPE", help_heading = "Settings", hide_short_help = true)]
    precision: Option<String>,
    #[command(flatten, next_help_heading = "Machine")]
    on: TrainOn,
    #[command(flatten, next_help_heading = "Machine")]
    running: Running,
    /// Go on with a run
    ///
    /// The one in --run-dir, else the latest of --preset, else the latest of all; its rates and epochs may be
    /// given anew.
    #[arg(long, help_heading = "Run")]
    resume: bool,
    #[command(flatten, next_help_heading = "Run")]
    init: Init,
    /// With --resume: go on although the images are others than those that the run was trained on
    #[arg(long, requires = "resume", help_heading = "Run", hide_short_help = true)]
    accept_changed_data: bool,
}

/// What is trained by which settings, where flags did not say so.
struct Meant {
    preset: String,
    /// The dataset, where it is another than the preset's.
    dataset: Option<DatasetName>,
}

impl Arguments {
    fn data_dir(&self) -> DataDir {
        self.data_dir.or_path(self.path.as_ref())
    }

    /// The preset and the dataset that are meant. What lies in a folder that was named says both, unless a
    /// config does.
    fn meant(&self, output: Output) -> Result<Meant> {
        let is_chosen = |assignment: &String| assignment.trim_start().starts_with("data.dataset");
        let by_config = self.config.is_some() || self.set.iter().any(is_chosen);
        // A preset that is named together with --data-dir knows its dataset; together with PATH it may not.
        let by_preset = self.preset.is_some() && self.path.is_none();
        let dataset = match &self.dataset {
            Some(name) => Some(name.parse()?),
            None if by_config || by_preset => None,
            None => self.data_dir().recognised(output)?,
        };
        let suiting = || dataset.map(|name: DatasetName| name.source().preset.to_owned());
        let preset =
            self.preset.clone().or_else(suiting).unwrap_or_else(|| presets::DEFAULT.to_owned());
        Ok(Meant { preset, dataset })
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
        let names = [("compute.precision", &self.precision), ("eval.dataset", &self.eval_dataset)];
        let names =
            names.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
        numbers.chain(names).collect()
    }

    /// The settings by all flags, and which of them nobody chose.
    fn resolve(&self, meant: &Meant) -> Result<(Config, Unchosen)> {
        let mut layers = Layers::preset(&meant.preset)?;
        if let Some(dataset) = meant.dataset {
            layers = layers.set(&format!("data.dataset={dataset}"))?;
        }
        if let Some(file) = &self.config {
            layers = layers.file(file)?;
        }
        self.lay_over(layers)
    }

    /// The single values of this command, laid over `layers`.
    fn lay_over(&self, mut layers: Layers) -> Result<(Config, Unchosen)> {
        for assignment in self.set.iter().chain(&self.shorthands()) {
            layers = layers.set(assignment)?;
        }
        let unchosen = layers.unchosen();
        let mut config = layers.build()?;
        self.on.lay_over(&mut config)?;
        Ok((config, unchosen))
    }

    fn start(&self, output: Output) -> Result<Run> {
        let meant = self.meant(output)?;
        if self.preset.is_none() && !output.quiet && !output.json {
            remark!("settings: --preset {}; another is chosen by that flag", meant.preset);
        }
        let (config, unchosen) = self.resolve(&meant)?;
        restart_with_environment_for(&config.compute.device)?;
        let unused = || run_dir::unused(&Path::new(RUNS).join(&meant.preset));
        let root = self.run_dir.clone().unwrap_or_else(unused);
        let images = Images::Named(self.data_dir().places());
        let from = self.init.from();
        let run = Run::create_from(&root, config, &images, unchosen, from.as_ref())
            .map_err(Init::explained)?;
        if let Some(origin) = run.origin()? {
            init::tell(&origin, output);
        }
        Ok(run)
    }

    fn go_on(&self, output: Output) -> Result<Run> {
        // The command that began the run may be repeated: what was told then is not told again.
        let quiet = Output { quiet: true, ..output };
        let meant = match self.preset.is_some() || self.path.is_some() || self.config.is_some() {
            true => Some(self.meant(quiet)?),
            false => None,
        };
        let root = self.begun(meant.as_ref())?;
        let (dir, config) = RunDir::open(&root)?;
        self.init.check_begun(dir.origin()?.as_ref())?;
        let device = self.on.named();
        restart_with_environment_for(device.unwrap_or(&config.compute.device))?;
        let settings = self.settings_to_go_on_with(&config, meant.as_ref())?;
        let settings = settings.as_ref().map(|(settings, unchosen)| (settings, *unchosen));
        let images = Images::Named(self.data_dir().places());
        let wanted = Wanted { device, settings, accept_other_images: self.accept_changed_data };
        Ok(Run::resume(dir, config, &images, wanted)?)
    }

    /// The folder of the run that was begun.
    fn begun(&self, meant: Option<&Meant>) -> Result<PathBuf> {
        if let Some(root) = &self.run_dir {
            return Ok(root.clone());
        }
        let (latest, place) = match meant {
            Some(Meant { preset, .. }) => {
                let base = Path::new(RUNS).join(preset);
                (run_dir::latest(&base), base)
            }
            // Without a word on what the run was, the latest of all is meant.
            None => (run_dir::latest_in(Path::new(RUNS)), PathBuf::from(RUNS)),
        };
        latest.ok_or_else(|| Error::about(place, "holds no run to resume; name one with --run-dir"))
    }

    /// What the flags beside `--resume` make of the settings that the run has, where there are any: the
    /// command that began it may be repeated, or single values given.
    fn settings_to_go_on_with(
        &self,
        config: &Config,
        meant: Option<&Meant>,
    ) -> Result<Option<(Config, Unchosen)>> {
        let single =
            !self.set.is_empty() || !self.shorthands().is_empty() || self.on.deterministic();
        match (meant, &self.dataset) {
            (Some(meant), _) => self.resolve(meant).map(Some),
            (None, Some(name)) => {
                let layers = Layers::of_config(config).set(&format!("data.dataset={name}"))?;
                self.lay_over(layers).map(Some)
            }
            (None, None) if single => self.lay_over(Layers::of_config(config)).map(Some),
            (None, None) => Ok(None),
        }
    }
}

pub(crate) fn run(arguments: Arguments, output: Output) -> Result<()> {
    let how = arguments.running.how(output)?;
    let run = match arguments.resume {
        true => arguments.go_on(output)?,
        false => arguments.start(output)?,
    };
    arguments.on.tell_of_gpu(run.config(), output);
    train(run, &stop_on_signal(), how)
}

/// How a run is trained and shown; nothing of it changes the result.
#[derive(Clone)]
pub(crate) struct How {
    pub workers: Workers,
    pub checkpoint_every: u64,
    pub tensorboard: bool,
    pub pictures: bool,
    pub output: Output,
}

/// Trains a run to its end, and shows what comes of it.
pub(crate) fn train(run: Run, control: &Control, how: How) -> Result<()> {
    let How { workers, checkpoint_every, tensorboard, pictures, output } = how;
    let files = RunFiles::clone(run.dir());
    let learned = Learned::of(&run);
    logo_ssl_report::remove_all(&files)?;
    tell_of_images(run.splits(), output);
    let mut display: Box<dyn Sink> = match dashboard::is_wanted(output) {
        true => Box::new(Dashboard::new(&files, run.config(), control)),
        false => Box::new(Progress::new(output, files.root(), run.config())),
    };
    let mut events = tensorboard.then(|| TensorBoard::of_run(files.root()));
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut *display];
    sinks.extend(events.as_mut().map(|events| events as &mut dyn Sink));
    let summary = run.train(Training {
        workers,
        checkpoint_every,
        control: control.clone(),
        sinks,
        framework: None,
    })?;
    if let Some(events) = &mut events {
        events.finish()?;
    }
    // What it drew gives way to the results.
    drop(display);
    if pictures {
        learned.draw(&files, control, output);
    }
    let report = logo_ssl_report::generate(files.root())?;
    progress::results(output, &summary, &files.weights(), &report);
    Ok(())
}

/// What the pictures of a run are drawn of, once it is trained.
struct Learned {
    config: Config,
    splits: Splits,
    device: Device,
}

impl Learned {
    fn of(run: &Run) -> Self {
        let (config, splits, device) = (run.config(), run.splits(), run.device());
        Self { config: config.clone(), splits: splits.clone(), device: device.clone() }
    }

    /// The run is whole without its pictures, so that one that cannot be drawn is told of and no more.
    fn draw(&self, files: &RunFiles, control: &Control, output: Output) {
        let Self { config, splits, device } = self;
        let drawn = learner_of_run(files.root(), config, device).map_err(Error::from);
        let drawn = drawn.and_then(|learner| {
            let run = files.root();
            let run = Illustrated { run, config, splits, learner: &learner, device };
            report::draw(run, control, output)
        });
        if let Err(error) = drawn {
            tracing::warn!("the report goes without pictures: {error}");
        }
    }
}

/// What a run trains on and is measured by, and what was left out.
fn tell_of_images(splits: &Splits, output: Output) {
    if output.json {
        let reason = splits.unmeasured.as_ref().map(ToString::to_string);
        say!("{}", json!({ "event": "images", "seen": splits.seen, "no_knn": reason }));
    } else if !output.quiet {
        remark!("images: {}", splits.seen);
        let left_out = splits.evaluation.as_ref().map_or([0; 2], |labelled| labelled.unlabelled);
        if left_out != [0; 2] {
            let [bank, test] = left_out;
            remark!(
                "left out of the kNN for want of a label: {bank} of its bank, {test} of its test images"
            );
        }
    }
}

/// SIGINT and SIGTERM stop the run; the second signal ends the process at once.
pub(crate) fn stop_on_signal() -> Control {
    let control = Control::default();
    let signalled = control.clone();
    let handler = move || stop(&signalled);
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!("signals will end the run without saving: {error}");
    }
    control
}

/// Has the run save itself and stop. Who asks twice does not want to wait for that.
pub(crate) fn stop(control: &Control) {
    if control.stop() {
        dashboard::leave();
        std::process::exit(130);
    }
    log::interject("finishing the step and saving; once more to stop at once");
}
