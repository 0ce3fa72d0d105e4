//! The front door: a run described in a few words, with a default for whatever is not said.

use std::path::{Path, PathBuf};

use crate::config::{Config, Unchosen};
use crate::data::{DatasetName, Parts, Places, Splits, recognise};
use crate::executor::DeviceName;
use crate::framework::Framework;
use crate::interop::InitFrom;
use crate::presets::{self, Layers};
use crate::record::run_dir::unused;
use crate::record::{Event, RunDir, RunFiles, Sink};
use crate::run::{Images, Run, Training, Wanted};
use crate::train::{Control, Summary, Workers};
use crate::{Error, Result};

/// Steps between two checkpoints within an epoch, where nobody says otherwise.
const CHECKPOINT_EVERY: u64 = 100;

/// A pretraining to be: images, settings, a folder for the results.
///
/// ```no_run
/// # fn main() -> logo_ssl::Result<()> {
/// use logo_ssl::Pretraining;
///
/// let outcome = Pretraining::on("~/pictures").epochs(50).run()?;
/// println!("{} after {} steps", outcome.weights.display(), outcome.summary.steps);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is trained before `run`"]
pub struct Pretraining {
    images: From,
    preset: Option<String>,
    layers: Vec<Layer>,
    edits: Vec<Edit>,
    run_dir: Option<PathBuf>,
    workers: Option<Workers>,
    checkpoint_every: u64,
    control: Control,
    sinks: Vec<Box<dyn Sink>>,
    framework: Option<Box<dyn Framework>>,
    init: Option<InitFrom>,
}

type Edit = Box<dyn FnOnce(&mut Config)>;

/// Where the images come from.
enum From {
    /// What the preset names.
    Preset,
    /// What lies in a folder: a dataset, or whatever is recognised there.
    In(PathBuf, Option<DatasetName>),
    /// The caller.
    Parts(Parts),
}

/// Something laid over the preset.
enum Layer {
    File(PathBuf),
    Value(String),
}

/// A finished run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// What was measured.
    pub summary: Summary,
    /// The folder of the run.
    pub dir: PathBuf,
    /// The backbone's weights under torchvision's names, in safetensors.
    pub weights: PathBuf,
}

impl Pretraining {
    /// On what lies in a folder: pictures, with or without a folder for each class, or shards, Parquet files and
    /// so on ([`crate::data::recognise`]); by a preset that suits it. A `~` at its beginning is the user's home.
    pub fn on(folder: impl AsRef<Path>) -> Self {
        Self::from(None, From::In(at_home(folder.as_ref()), None))
    }

    /// By a preset, on the images that it names: `quickstart` has its own, others look where datasets lie
    /// ([`crate::data::data_dir`]).
    pub fn of_preset(name: impl Into<String>) -> Self {
        Self::from(Some(name.into()), From::Preset)
    }

    /// On images of one's own, by the preset `folder`.
    pub fn of_parts(parts: Parts) -> Self {
        Self::from(Some("folder".to_owned()), From::Parts(parts))
    }

    fn from(preset: Option<String>, images: From) -> Self {
        Self {
            images,
            preset,
            layers: Vec::new(),
            edits: Vec::new(),
            run_dir: None,
            workers: None,
            checkpoint_every: CHECKPOINT_EVERY,
            control: Control::default(),
            sinks: Vec::new(),
            framework: None,
            init: None,
        }
    }

    /// Starts from the settings of another preset, as [`crate::presets::names`] lists them. The images stay.
    pub fn preset(mut self, name: impl Into<String>) -> Self {
        self.preset = Some(name.into());
        self
    }

    /// Trains on a known dataset in `folder`.
    pub fn dataset(mut self, name: DatasetName, folder: impl AsRef<Path>) -> Self {
        self.images = From::In(at_home(folder.as_ref()), Some(name));
        self
    }

    /// Lays a TOML file over the preset.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.layers.push(Layer::File(path.into()));
        self
    }

    /// Lays one value over it, as a string: `optimizer.lr=0.06`.
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.layers.push(Layer::Value(assignment.into()));
        self
    }

    /// Changes the settings as a typed value, after all files and strings.
    ///
    /// ```no_run
    /// # use logo_ssl::Pretraining;
    /// Pretraining::of_preset("quickstart").configure(|config| config.optimizer.lr = 0.06).run()?;
    /// # Ok::<(), logo_ssl::Error>(())
    /// ```
    pub fn configure(mut self, edit: impl FnOnce(&mut Config) + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// Passes over the images.
    pub fn epochs(self, count: usize) -> Self {
        self.set(format!("optimizer.epochs={count}"))
    }

    /// Images an update.
    pub fn batch_size(self, images: usize) -> Self {
        self.set(format!("optimizer.batch_size={images}"))
    }

    /// The source of all randomness.
    pub fn seed(self, seed: u64) -> Self {
        self.set(format!("seed={seed}"))
    }

    /// Where it is computed; else on the processor.
    pub fn device(self, device: DeviceName) -> Self {
        self.configure(move |config| config.compute.device = device)
    }

    /// ℓ_s and its needs in place of the preset's framework.
    pub fn framework(mut self, framework: impl Framework + 'static) -> Self {
        self.framework = Some(Box::new(framework));
        self
    }

    /// Begins from the weights of a checkpoint of this or another program, or of a run: the backbone, and heads,
    /// momentum encoder and queue where they are there ([`Init`](crate::interop::Init)). A run that was begun
    /// goes on without the file.
    ///
    /// ```no_run
    /// # use logo_ssl::Pretraining;
    /// Pretraining::on("~/pictures").preset("imagenet1k-simsiam-logo").init("simsiam.pth.tar").run()?;
    /// # Ok::<(), logo_ssl::Error>(())
    /// ```
    pub fn init(mut self, from: impl Into<InitFrom>) -> Self {
        self.init = Some(from.into());
        self
    }

    /// The folder of the results. A run that was interrupted there goes on, a finished one is left as it
    /// is. Without it each run gets a new folder, `runs/PRESET`, `runs/PRESET-2` and so on.
    pub fn run_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.run_dir = Some(folder.into());
        self
    }

    /// Threads that make views; else one, and more as long as updates wait for them.
    pub fn workers(mut self, workers: Workers) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Steps between two checkpoints within an epoch; 100 where nobody says otherwise.
    pub fn checkpoint_every(mut self, steps: u64) -> Self {
        self.checkpoint_every = steps;
        self
    }

    /// Lets `control` stop the run, have it save or measure itself, from a signal's handler for example.
    pub fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    /// Tells `follow` of everything that happens.
    pub fn follow(self, follow: impl FnMut(&Event<'_>) + 'static) -> Self {
        self.sink(follow)
    }

    /// Adds a log or a display of one's own.
    pub fn sink(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Trains to the end: a new run, or the one that was begun in [`Pretraining::run_dir`].
    ///
    /// # Errors
    /// [`Error::Setting`] when settings are wrong or contradict each other; [`Error::Run`] when the folder
    /// holds a run whose settings differ in more than may change on the way; otherwise as [`Run::create_from`] and [`Run::train`].
    pub fn run(mut self) -> Result<Finished> {
        self.recognise()?;
        let preset = self.preset.clone().unwrap_or_else(|| presets::DEFAULT.to_owned());
        let (config, unchosen) = self.settings(&preset)?;
        let images = self.images(&config)?;
        let root = match self.run_dir.take() {
            Some(root) => root,
            None => unused(&Path::new("runs").join(&preset)),
        };
        let run = match RunFiles::of(&root).config_path().exists() {
            false => Run::create_from(&root, config, &images, unchosen, self.init.as_ref())?,
            true => go_on(&root, &config, &images, unchosen)?,
        };
        let weights = run.dir().weights();
        let sinks = self.sinks.iter_mut().map(|sink| &mut **sink as &mut dyn Sink).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let summary = run.train(Training {
            workers: self.workers.unwrap_or_else(|| Workers::measured(threads)),
            checkpoint_every: self.checkpoint_every,
            control: self.control,
            sinks,
            framework: self.framework,
        })?;
        Ok(Finished { summary, dir: root, weights })
    }

    /// Finds out what lies in the folder that was named, and the preset that suits it.
    fn recognise(&mut self) -> Result<()> {
        if let From::In(folder, name @ None) = &mut self.images {
            let dataset = recognise(folder)?.dataset;
            self.preset.get_or_insert_with(|| dataset.source().preset.to_owned());
            *name = Some(dataset);
        }
        Ok(())
    }

    /// The settings, put together and checked.
    fn settings(&mut self, preset: &str) -> Result<(Config, Unchosen)> {
        let mut layers = Layers::preset(preset)?;
        if let From::In(_, Some(name)) = &self.images {
            layers = layers.set(&format!("data.dataset={name}"))?;
        }
        for layer in self.layers.drain(..) {
            layers = match layer {
                Layer::File(path) => layers.file(&path)?,
                Layer::Value(assignment) => layers.set(&assignment)?,
            };
        }
        let unchosen = layers.unchosen();
        let built = layers.build()?;
        let mut config = built.clone();
        self.edits.drain(..).for_each(|edit| edit(&mut config));
        config.validate()?;
        let is_same = config.optimizer.batch_size == built.optimizer.batch_size;
        Ok((config, Unchosen { batch_size: unchosen.batch_size && is_same }))
    }

    fn images(&self, config: &Config) -> Result<Images> {
        Ok(match &self.images {
            From::Preset => Images::Named(Places::default()),
            From::In(folder, _) => {
                Images::Named(Places { data: Some(folder.clone()), ..Places::default() })
            }
            From::Parts(parts) => {
                let splits = Splits::of(parts.clone(), config.data.max_bad_fraction);
                Images::Held(splits.ok_or_else(|| {
                    Error::Images("there is no part to train on among these images".into())
                })?)
            }
        })
    }
}

fn go_on(root: &Path, config: &Config, images: &Images, unchosen: Unchosen) -> Result<Run> {
    let (dir, before) = RunDir::open(root)?;
    let wanted = Wanted {
        device: Some(&config.compute.device),
        settings: Some((config, unchosen)),
        ..Wanted::default()
    };
    Run::resume(dir, before, images, wanted)
}

fn at_home(folder: &Path) -> PathBuf {
    match (folder.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => folder.to_path_buf(),
    }
}
