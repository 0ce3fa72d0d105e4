//! Which trained encoder a command is about, on which images, and where it computes.

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::config::{Config, EvalDataset, Unchosen};
use logo_ssl::data::{DatasetName, Labelled, Places, Splits};
use logo_ssl::eval::Encoder;
use logo_ssl::executor::Device;
use logo_ssl::interop::{EncoderAt, learner_of_run};
use logo_ssl::presets::Layers;
use logo_ssl::train::Learner;

use super::compute::On;
use super::{DataDir, Threads};
use crate::error::{Error, Result};

/// The flags of commands that measure an encoder on a dataset.
#[derive(Debug, Args)]
pub(crate) struct Measured {
    /// Dataset to measure on [default: the encoder's]
    ///
    /// Its train split is learned from, its test split is classified.
    #[arg(long, value_name = "NAME", help_heading = "Images")]
    dataset: Option<String>,
    #[command(flatten, next_help_heading = "Images")]
    data_dir: DataDir,
    #[command(flatten, next_help_heading = "Machine")]
    on: On,
    #[command(flatten, next_help_heading = "Machine")]
    threads: Threads,
}

/// An encoder ready to be measured.
pub(crate) struct Ready {
    pub(crate) config: Config,
    pub(crate) labelled: Labelled,
    pub(crate) encoder: Encoder,
}

/// A run ready to be looked into.
pub(crate) struct ReadyRun {
    pub(crate) config: Config,
    pub(crate) splits: Splits,
    pub(crate) learner: Learner,
    pub(crate) device: Device,
}

impl Measured {
    /// The settings by which the encoder at `at` is measured: its own, or those of the preset that suits the
    /// dataset that is named.
    pub(crate) fn config(&self, at: &EncoderAt) -> Result<Config> {
        let dataset = self.dataset.as_deref().map(str::parse::<DatasetName>).transpose()?;
        config_on(at, dataset)
    }

    /// The encoder at `at` and the images that `config` names, which fit each other.
    pub(crate) fn open(&self, at: &EncoderAt, mut config: Config) -> Result<Ready> {
        self.threads.install()?;
        config.validate()?;
        let labelled = self.labelled(at, &config)?;
        let encoder = at.open(&config, &self.on.open()?)?;
        let bank = labelled.bank.len();
        for change in config.fit(bank, Some(bank), Unchosen::default()) {
            tracing::warn!("{change}, for the bank has {bank} images");
        }
        Ok(Ready { config, labelled, encoder })
    }

    /// All that a run had learned at its last checkpoint, and images for it.
    pub(crate) fn open_run(&self, run: &Path) -> Result<ReadyRun> {
        self.threads.install()?;
        let at = EncoderAt::Run(run.to_path_buf());
        let config = self.config(&at)?;
        let splits = self.splits(&at, &config)?;
        let device = self.on.open()?;
        let learner = learner_of_run(run, &config, &device)?;
        Ok(ReadyRun { config, splits, learner, device })
    }

    /// The images that `config` names.
    fn splits(&self, at: &EncoderAt, config: &Config) -> Result<Splits> {
        // Those of the run lie where it found them, unless others are named.
        let kept = match self.dataset {
            None => at.places()?,
            Some(_) => Places::default(),
        };
        Ok(logo_ssl::data::load(config, &self.data_dir.places().or(kept))?)
    }

    fn labelled(&self, at: &EncoderAt, config: &Config) -> Result<Labelled> {
        let splits = self.splits(at, config)?;
        let reason = splits.unmeasured;
        splits.evaluation.ok_or_else(|| {
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            let name = evaluated(config);
            Error::Usage(format!(
                "nothing can be measured on {name}{reason}; choose another by --dataset"
            ))
        })
    }
}

/// The settings of the encoder at `at` for images of `dataset`: its own where none is named or it was
/// trained on that, else with the statistics and the crop of the preset that suits the dataset.
pub(crate) fn config_on(at: &EncoderAt, dataset: Option<DatasetName>) -> Result<Config> {
    let Some(mut config) =
        at.config()?.map_or_else(|| dataset.map(preset).transpose(), |own| Ok(Some(own)))?
    else {
        let known = DatasetName::all().map(DatasetName::as_str).collect::<Vec<_>>().join(", ");
        return Err(Error::Usage(format!(
            "the file does not say what it was trained on; --weights needs --dataset: one of {known}"
        )));
    };
    if let Some(name) = dataset {
        config.eval.dataset = EvalDataset::Same;
        if name != config.data.dataset {
            // The statistics and the evaluation's crop go with the dataset, not with the run.
            let other = preset(name)?;
            config.data = other.data;
            config.eval.resize = other.eval.resize;
            config.eval.crop = other.eval.crop;
        }
    }
    Ok(config)
}

/// What is measured on.
pub(crate) fn evaluated(config: &Config) -> DatasetName {
    match config.eval.dataset {
        EvalDataset::Same => config.data.dataset,
        EvalDataset::Other(name) => name,
    }
}

/// The settings that suit a dataset; the preset may be another's own.
fn preset(name: DatasetName) -> Result<Config> {
    let layers = Layers::preset(name.source().preset)?;
    Ok(layers.set(&format!("data.dataset={name}"))?.build()?)
}

/// An encoder that is named by one flag or another.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Named {
    /// A run directory: its last checkpoint
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// A weights file or a checkpoint
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl Named {
    /// Where it lies.
    pub(crate) fn at(&self) -> Result<EncoderAt> {
        match (&self.run, &self.weights) {
            (Some(run), _) => Ok(EncoderAt::Run(run.clone())),
            (None, Some(file)) => Ok(EncoderAt::Weights(file.clone())),
            (None, None) => Err(Error::Usage("name an encoder by --run or --weights".into())),
        }
    }
}
