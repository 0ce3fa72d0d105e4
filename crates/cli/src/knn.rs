//! `logo-ssl knn`

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::config::{Config, EvalDataset, Features, Unchosen};
use logo_ssl::data::{DatasetName, Labelled};
use logo_ssl::eval::{Encoder as Trained, Subject, knn};
use logo_ssl::executor::Device;
use logo_ssl::interop::weights;
use logo_ssl::presets::{self, Layers};
use logo_ssl::record::{KnnResult, RunFiles};
use logo_ssl::train::{Learner, checkpoint};
use serde_json::json;

use super::compute::On;
use super::{DataDir, Output, Threads};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: Encoder,
    /// Dataset: its train split is the bank, its test split is classified [default: the run's]
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Neighbours, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,20,200")]
    k: Vec<usize>,
    /// τ of the vote
    #[arg(long, value_name = "T", default_value_t = 0.07)]
    temperature: f64,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Encoder {
    /// A run directory: its last checkpoint
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// A weights file or a checkpoint
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    arguments.threads.install()?;
    let config = arguments.config()?;
    let splits = arguments.data_dir.splits(&config)?;
    let reason = splits.unmeasured;
    let labelled = splits.evaluation.ok_or_else(|| {
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        let name = evaluated(&config);
        Error::Usage(format!("there is no kNN on {name}{reason}; choose another by --dataset"))
    })?;
    let results = arguments.evaluate(&config, &labelled)?;
    print(&results, &config, &labelled, output);
    Ok(())
}

impl Arguments {
    /// The run's config, or that of the dataset's preset, with this command's settings laid over.
    fn config(&self) -> Result<Config> {
        let dataset = self.dataset.as_deref().map(str::parse::<DatasetName>).transpose()?;
        // The preset suits the dataset, and may be another's own.
        let preset = |name: DatasetName| {
            Layers::preset(name.source().preset)?.set(&format!("data.dataset={name}"))?.build()
        };
        let mut config = match (&self.encoder.run, dataset) {
            (Some(run), _) => presets::read_run_config(&RunFiles::of(run).config_path())?,
            (None, Some(name)) => preset(name)?,
            (None, None) => {
                let known =
                    DatasetName::all().map(DatasetName::as_str).collect::<Vec<_>>().join(", ");
                return Err(Error::Usage(format!("--weights needs --dataset: one of {known}")));
            }
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
        config.eval.k.clone_from(&self.k);
        config.eval.temperature = self.temperature;
        config.validate()?;
        Ok(config)
    }

    fn evaluate(&self, config: &Config, labelled: &Labelled) -> Result<Vec<KnnResult>> {
        let device = self.on.open()?;
        let encoder = match (&self.encoder.run, &self.encoder.weights) {
            (Some(run), _) => last_encoder(run, config, &device)?,
            (None, Some(file)) => weights::read(file, &device)?,
            (None, None) => {
                return Err(Error::Usage("name an encoder by --run or --weights".into()));
            }
        };
        let mut config = config.clone();
        for change in
            config.fit(labelled.bank.len(), Some(labelled.bank.len()), Unchosen::default())
        {
            tracing::warn!("{change}, for the bank has {} images", labelled.bank.len());
        }
        let mut subject = Subject::new(Some(&encoder), labelled, &config);
        knn::of_subject(&mut subject, &mut |_, _| Ok(true))?
            .ok_or_else(|| Error::Usage("the evaluation was stopped".into()))
    }
}

fn last_encoder(run: &Path, config: &Config, device: &Device) -> Result<Trained> {
    let path = RunFiles::of(run).last_checkpoint();
    let (_, state) = checkpoint::read(&path)?;
    let mut learner = Learner::new(config, device)?;
    weights::refuse_non_finite(&path, &state)?;
    learner.load(&state).map_err(|error| error.in_file(&path))?;
    Ok(learner.encoder())
}

/// What the kNN is about.
fn evaluated(config: &Config) -> DatasetName {
    match config.eval.dataset {
        EvalDataset::Same => config.data.dataset,
        EvalDataset::Other(name) => name,
    }
}

fn print(results: &[KnnResult], config: &Config, labelled: &Labelled, output: Output) {
    let (train, test) = (labelled.bank.len(), labelled.test.len());
    let name = evaluated(config);
    if output.json {
        let knn = json!({ "dataset": name, "features": config.eval.features,
            "temperature": config.eval.temperature, "train_images": train, "test_images": test,
            "results": results });
        say!("{knn}");
        return;
    }
    let features = match config.eval.features {
        Features::Backbone => "backbone features",
        Features::Projector => "projector output",
    };
    say!("kNN on {name}: {test} test images against {train}, {features}");
    for result in results {
        let vote = if result.weighted { "weighted" } else { "nearest" };
        say!(
            "  k = {:<4} {vote:9} top-1 {:6.2} %  top-5 {:6.2} %",
            result.k,
            100.0 * result.top1,
            100.0 * result.top5
        );
    }
}
