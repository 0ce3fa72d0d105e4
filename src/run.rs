//! A run: an experiment with its images, its device and its folder, to be trained from the first step or
//! from where it stopped.

use std::path::Path;

use logo_ssl_base::files::write_atomic;

use crate::config::{Change, Config, Unchosen};
use crate::data::{self, Fingerprint, Places, Splits};
use crate::executor::{Device, DeviceName, OpenOptions};
use crate::framework::Framework;
use crate::instructions::{self, LEVEL_VARIABLE};
use crate::interop::{Init, InitFrom, Origin};
use crate::presets;
use crate::record::{RunDir, Sink};
use crate::train::{self, Control, Setup, Summary, Workers, checkpoint};
use crate::{Error, Result, RunProblem};

/// The images that a run trains on and is measured by.
#[derive(Clone, Debug)]
pub enum Images {
    /// The datasets that its config names, in these folders. The run keeps the folders' names, so that it
    /// goes on without them.
    Named(Places),
    /// Images that the caller holds, a dataset of its own among them.
    Held(Splits),
}

/// An experiment with its images, its device and its folder, which this process alone holds.
pub struct Run {
    dir: RunDir,
    config: Config,
    splits: Splits,
    device: Device,
    /// What a new run begins from.
    init: Option<Init>,
}

/// How a run is trained. Nothing of it changes the result.
pub struct Training<'a> {
    /// Threads that make views.
    pub workers: Workers,
    /// Steps between two checkpoints within an epoch, at least 1.
    pub checkpoint_every: u64,
    /// Asks the run to stop, to save or to measure itself.
    pub control: Control,
    /// Told of everything that happens, beside the run's own logs.
    pub sinks: Vec<&'a mut dyn Sink>,
    /// A framework of one's own in place of the config's. A run that goes on needs the same one again.
    pub framework: Option<Box<dyn Framework>>,
}

impl Run {
    /// A new run of `config` in the folder `root`. The config is kept there with the instructions that its
    /// numbers will come from. A batch for which there are too few images becomes smaller where it is
    /// `unchosen`, and a k beyond the bank of the kNN is left out; a warning says so.
    ///
    /// # Errors
    /// [`Error::Device`] when the device cannot be had, [`Error::Data`] when the images cannot; the folder
    /// is then left alone. [`Error::Run`] when it holds a run already.
    pub fn create(
        root: &Path,
        config: Config,
        images: &Images,
        unchosen: Unchosen,
    ) -> Result<Self> {
        Self::create_from(root, config, images, unchosen, None)
    }

    /// The same, beginning from the weights of a file or of a run, where `from` names one. What that was is kept
    /// in the folder ([`Run::origin`]).
    ///
    /// # Errors
    /// As [`Run::create`] and [`Init::open`]; the folder is left alone in the cases of both.
    pub fn create_from(
        root: &Path,
        mut config: Config,
        images: &Images,
        unchosen: Unchosen,
        from: Option<&InitFrom>,
    ) -> Result<Self> {
        record_instructions(&mut config)?;
        let splits = images.load(&config, &Places::default())?;
        fit(&mut config, &splits, unchosen);
        let init = from.map(|from| Init::open(from, &config)).transpose()?;
        let device = open(&config)?;
        let dir = RunDir::create_from(root, &config, init.as_ref().map(Init::origin))?;
        if let Images::Named(places) = images {
            dir.keep_places(places)?;
        }
        dir.keep_fingerprint(&Fingerprint::of(&*splits.train))?;
        Ok(Self { dir, config, splits, device, init })
    }

    /// The run in `dir`, which [`RunDir::open`] opened with its `config`, to go on with as it is `wanted`. What
    /// is another then is kept with the run.
    ///
    /// # Errors
    /// [`Error::Run`] when settings are wanted that a run cannot change on its way, or when the images are others
    /// than before and that is not accepted; else as [`Run::create`].
    pub fn resume(
        dir: RunDir,
        mut config: Config,
        images: &Images,
        wanted: Wanted<'_>,
    ) -> Result<Self> {
        let splits = images.load(&config, &dir.places()?)?;
        compare_images(&dir, &splits, wanted.accept_other_images)?;
        if let Some((settings, unchosen)) = wanted.settings {
            change(&dir, &mut config, settings, &splits, unchosen)?;
        }
        let device = reopen(&dir, &mut config, wanted.device)?;
        Ok(Self { dir, config, splits, device, init: None })
    }

    /// Where its results lie.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// What it trains on and is measured by.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// What it computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it begins or began from, where that is a file.
    ///
    /// # Errors
    /// As [`RunFiles::origin`](crate::record::RunFiles::origin).
    pub fn origin(&self) -> Result<Option<Origin>> {
        self.dir.origin()
    }

    /// Trains it to its end. A finished run ends at once, with the results that it had.
    ///
    /// # Errors
    /// As [`train::pretrain`]; the last checkpoint is whole in every case.
    pub fn train(self, how: Training<'_>) -> Result<Summary> {
        let Self { dir, config, splits, device, init } = self;
        let Training { workers, checkpoint_every, control, sinks, framework } = how;
        train::pretrain(Setup {
            config: &config,
            dir: &dir,
            splits,
            device,
            workers,
            checkpoint_every: checkpoint_every.max(1),
            control,
            // Each lives longer than the loop needs.
            sinks: sinks.into_iter().map(|sink| sink as &mut dyn Sink).collect(),
            framework,
            init,
        })
    }
}

/// With what a run goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The device, where it is to be another than before.
    pub device: Option<&'a DeviceName>,
    /// The settings, where they were said again, and which of them nobody chose.
    pub settings: Option<(&'a Config, Unchosen)>,
    /// Whether it goes on although the images are others than those it was trained on.
    pub accept_other_images: bool,
}

/// Refuses images that are others than those the run in `dir` was trained on, unless that is accepted.
fn compare_images(dir: &RunDir, splits: &Splits, accept: bool) -> Result<()> {
    let now = Fingerprint::of(&*splits.train);
    let difference = dir.fingerprint()?.map(|before| before.difference(&now));
    match difference {
        Some(None) => Ok(()),
        Some(Some(difference)) if !accept => {
            Err(Error::run(dir.root(), RunProblem::OtherImages(difference)))
        }
        Some(Some(difference)) => {
            tracing::warn!("the run goes on with other images: {difference}");
            dir.keep_fingerprint(&now)
        }
        // Runs of before are from here on compared with what there is now.
        None => dir.keep_fingerprint(&now),
    }
}

/// Has `config` suit the images, and says what was changed.
fn fit(config: &mut Config, splits: &Splits, unchosen: Unchosen) {
    for change in fitted(config, splits, unchosen) {
        tracing::warn!("{change}, for there are {}", counted(splits));
    }
}

fn fitted(config: &mut Config, splits: &Splits, unchosen: Unchosen) -> Vec<Change> {
    let images = train::images_to_train_on(config, &*splits.train);
    let bank = splits.evaluation.as_ref().map(|evaluation| evaluation.bank.len());
    config.fit(images, bank, unchosen)
}

fn counted(splits: &Splits) -> String {
    let images = splits.train.len();
    match &splits.evaluation {
        Some(evaluation) if evaluation.bank.len() != images => {
            format!("{images} images to train on and {} in the bank", evaluation.bank.len())
        }
        _ => format!("{images} images to train on"),
    }
}

/// Has the run in `dir` go on with the settings `wanted`.
fn change(
    dir: &RunDir,
    config: &mut Config,
    wanted: &Config,
    splits: &Splits,
    unchosen: Unchosen,
) -> Result<()> {
    let mut wanted = wanted.clone();
    fitted(&mut wanted, splits, unchosen);
    let changes = config.changes_to(&wanted);
    if changes.is_empty() {
        return Ok(());
    }
    checkpoint::refuse_other(dir.root(), &changes)?;
    for change in &changes {
        tracing::warn!("the run goes on with {change}");
    }
    if changes.iter().any(|change| change.key == "optimizer.epochs") {
        tracing::warn!(
            "the schedule of the learning rate is that of {} epochs from here on",
            wanted.optimizer.epochs
        );
    }
    wanted.compute = config.compute.clone();
    *config = wanted;
    Ok(write_atomic(&dir.config_path(), presets::run_config(config).as_bytes())?)
}

impl Images {
    /// These; folders that are not named are those `kept` with the run.
    fn load(&self, config: &Config, kept: &Places) -> Result<Splits> {
        match self {
            Images::Named(places) => data::load(config, &places.clone().or(kept.clone())),
            Images::Held(splits) => Ok(splits.clone()),
        }
    }
}

fn open(config: &Config) -> Result<Device> {
    Device::open(&config.compute.device, &OpenOptions::of_config(config))
}

/// The device that a begun run goes on with: its own, or the one `wanted`.
fn reopen(dir: &RunDir, config: &mut Config, wanted: Option<&DeviceName>) -> Result<Device> {
    let before = config.compute.device.clone();
    let Some(wanted) = wanted.filter(|wanted| **wanted != before) else {
        let device = open(config)?;
        warn_of_other_instructions(config);
        return Ok(device);
    };
    config.compute.device = wanted.clone();
    config.compute.instructions = level_of(config);
    config.validate()?;
    let device = open(config)?;
    write_atomic(&dir.config_path(), presets::run_config(config).as_bytes())?;
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
fn record_instructions(config: &mut Config) -> Result<()> {
    let wanted = &config.compute.instructions;
    if let Some(used) = other_instructions(config) {
        return Err(Error::setting(
            "compute.instructions",
            format!(
                "compute.instructions = \"{wanted}\", but this process uses {used}: choose with {LEVEL_VARIABLE}={wanted}"
            ),
        ));
    }
    config.compute.instructions = level_of(config);
    Ok(())
}

/// Of what the processor computes: with another device, the views.
fn level_of(config: &Config) -> String {
    let level = match config.compute.device {
        DeviceName::Cpu => instructions::level_for(config.compute.precision),
        _ => instructions::level(),
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
