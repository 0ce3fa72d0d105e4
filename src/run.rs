//! A run: an experiment with its images, its device and its folder, to be trained from the first step or
//! from where it stopped.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use logo_ssl_base::files::write_atomic;

use crate::config::Config;
use crate::data::{self, Places, Splits};
use crate::executor::{Device, DeviceName, OpenOptions};
use crate::framework::Framework;
use crate::instructions::{self, LEVEL_VARIABLE};
use crate::presets;
use crate::record::{RunDir, Sink};
use crate::train::{self, Setup, Summary, Workers};
use crate::{Error, Result};

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
}

/// How a run is trained. Nothing of it changes the result.
pub struct Training<'a> {
    /// Threads that make views.
    pub workers: Workers,
    /// Steps between two checkpoints within an epoch, at least 1.
    pub checkpoint_every: u64,
    /// Set to have the run save itself and stop after the current step.
    pub stop: &'a AtomicBool,
    /// Told of everything that happens, beside the run's own logs.
    pub sinks: Vec<&'a mut dyn Sink>,
    /// A framework of one's own in place of the config's. A run that goes on needs the same one again.
    pub framework: Option<Box<dyn Framework>>,
}

impl Run {
    /// A new run of `config` in the folder `root`. The config is kept there with the instructions that its
    /// numbers will come from.
    ///
    /// # Errors
    /// [`Error::Device`] when the device cannot be had, [`Error::Data`] when the images cannot; the folder
    /// is then left alone. [`Error::Run`] when it holds a run already.
    pub fn create(root: &Path, mut config: Config, images: &Images) -> Result<Self> {
        record_instructions(&mut config)?;
        let device = open(&config)?;
        let splits = images.load(&config, &Places::default())?;
        let dir = RunDir::create(root, &config)?;
        if let Images::Named(places) = images {
            dir.keep_places(places)?;
        }
        Ok(Self { dir, config, splits, device })
    }

    /// The run in `dir`, which [`RunDir::open`] opened with its `config`, to go on with; on another device
    /// where one is `wanted`, which its config then names.
    ///
    /// # Errors
    /// As [`Run::create`].
    pub fn resume(
        dir: RunDir,
        mut config: Config,
        images: &Images,
        wanted: Option<&DeviceName>,
    ) -> Result<Self> {
        let device = reopen(&dir, &mut config, wanted)?;
        let splits = images.load(&config, &dir.places()?)?;
        Ok(Self { dir, config, splits, device })
    }

    /// Where its results lie.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Trains it to its end. A finished run ends at once, with the results that it had.
    ///
    /// # Errors
    /// As [`train::pretrain`]; the last checkpoint is whole in every case.
    pub fn train(self, how: Training<'_>) -> Result<Summary> {
        let Self { dir, config, splits, device } = self;
        let Training { workers, checkpoint_every, stop, sinks, framework } = how;
        train::pretrain(Setup {
            config: &config,
            dir: &dir,
            splits,
            device,
            workers,
            checkpoint_every: checkpoint_every.max(1),
            stop,
            // Each lives longer than the loop needs.
            sinks: sinks.into_iter().map(|sink| sink as &mut dyn Sink).collect(),
            framework,
        })
    }
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
