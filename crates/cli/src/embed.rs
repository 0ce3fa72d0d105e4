//! `logo-ssl embed`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::config::{Config, Features};
use logo_ssl::data::DatasetName;
use logo_ssl::eval::embed::{Chosen, Dtype, Embedding, Format, Which, Written};
use logo_ssl::interop::EncoderAt;
use logo_ssl::presets::Layers;
use logo_ssl_base::words::{counted, grouped};
use serde_json::json;

use super::compute::On;
use super::encoder::{Named, config_on};
use super::pretrain::stop_on_signal;
use super::progress::bar;
use super::{DataDir, Output, Threads};
use crate::error::{Error, Result};

/// The progress over images.
const IMAGES: &str = "{bar:30.cyan} {pos}/{len} images, {per_sec}, {eta} to go";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: Named,
    /// The images, for example a folder of pictures
    ///
    /// Or one of shards, of Parquet files and so on. Without it and --dataset: the images that the run was trained on.
    #[arg(value_name = "PATH", conflicts_with = "data_dir")]
    path: Option<PathBuf>,
    /// File: .npy, .npz, .parquet or .safetensors
    ///
    /// Its name says the format. Beside .npy the names and classes of the rows are in a .csv of the same name. Killed at any moment, the same
    /// command goes on where it was.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which of the network's outputs: backbone or projector [default: what the encoder is measured by]
    #[arg(long, value_name = "NAME", value_parser = ["backbone", "projector"], hide_short_help = true)]
    features: Option<String>,
    /// Bring each vector to unit length, as kNN compares them
    #[arg(long)]
    unit: bool,
    /// Type of the numbers: f32 or f16
    #[arg(long, value_name = "TYPE", default_value_t = Dtype::F32, hide_short_help = true)]
    dtype: Dtype,
    /// Which dataset, for example cifar10
    ///
    /// [default: what lies in PATH or --data-dir, else the encoder's]
    #[arg(long, value_name = "NAME", help_heading = "Images")]
    dataset: Option<DatasetName>,
    /// train, test, unlabelled or all
    ///
    /// Of a folder that is not divided, test is every tenth image of each class.
    #[arg(long, value_name = "PART", default_value_t = Which::All, help_heading = "Images")]
    split: Which,
    /// One of the encoder's settings laid over, such as eval.crop=96
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Images", hide_short_help = true)]
    set: Vec<String>,
    #[command(flatten, next_help_heading = "Images")]
    data_dir: DataDir,
    #[command(flatten, next_help_heading = "Machine")]
    on: On,
    #[command(flatten, next_help_heading = "Machine")]
    threads: Threads,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    // What cannot be written is refused before anything is read.
    Format::of_path(&arguments.out)?;
    arguments.threads.install()?;
    let at = arguments.encoder.at()?;
    let (mut config, images) = arguments.images(&at, output)?;
    if images.suit(&mut config)? && !output.quiet && !output.json {
        let (resize, crop) = (config.eval.resize, config.eval.crop);
        remark!(
            "images are of different sizes: the middle {crop} pixels of {resize} are taken of each"
        );
    }
    let encoder = at.open(&config, &arguments.on.open()?)?;
    let embedding = Embedding {
        encoder: &encoder,
        source: &at.file(),
        images: &images,
        config: &config,
        dtype: arguments.dtype,
        unit: arguments.unit,
    };
    let bar = bar(output, images.len() as u64, IMAGES);
    let (stop, mut done_before) = (stop_on_signal(), None);
    let written = embedding.write(&arguments.out, &mut |done, _| {
        // What an earlier command made says nothing of the speed.
        if done_before.replace(done).is_none() {
            bar.set_position(done as u64);
            bar.reset_eta();
        }
        bar.set_position(done as u64);
        Ok(!stop.is_stopping())
    })?;
    bar.finish_and_clear();
    match written {
        Some(written) => print(&written, &config, output),
        None => {
            return Err(Error::Failed(format!(
                "stopped by a signal after {} of {} images; nothing is lost. The same command goes on there",
                done_before.unwrap_or_default(),
                images.len()
            )));
        }
    }
    Ok(())
}

impl Arguments {
    /// The settings by which images are seen, and the images, which are told.
    fn images(&self, at: &EncoderAt, output: Output) -> Result<(Config, Chosen)> {
        let place = self.data_dir.or_path(self.path.as_ref());
        let named = match self.dataset {
            Some(name) => Some(name),
            None => place.recognised(output)?,
        };
        let config = self.laid_over(config_on(at, named)?)?;
        // Those of the run lie where it found them, unless others are named.
        let places = match named {
            None => place.places().or(at.places()?),
            Some(_) => place.places(),
        };
        let (dataset, share) = (config.data.dataset, config.data.max_bad_fraction);
        let images = Chosen::load(dataset, places.data.as_deref(), self.split, share)?;
        if !output.quiet && !output.json {
            let part = |(name, count)| format!("{} of {name}", counted(count, "image"));
            let parts = images.parts().map(part).collect::<Vec<_>>().join(", ");
            remark!("{dataset}: {parts}");
        }
        Ok((config, images))
    }

    fn laid_over(&self, config: Config) -> Result<Config> {
        let mut layers = Layers::of_config(&config);
        for assignment in &self.set {
            layers = layers.set(assignment)?;
        }
        let mut config = layers.build()?;
        match self.features.as_deref() {
            Some("projector") => config.eval.features = Features::Projector,
            Some(_) => config.eval.features = Features::Backbone,
            None => {}
        }
        Ok(config)
    }
}

fn print(written: &Written, config: &Config, output: Output) {
    let Written { files, rows, dim, broken, .. } = written;
    if output.json {
        let features = config.eval.features;
        say!(
            "{}",
            json!({ "dataset": config.data.dataset, "features": features, "written": written })
        );
        return;
    }
    let passed_over = match broken {
        0 => String::new(),
        _ => format!(", without {} that could not be read", counted(*broken, "image")),
    };
    say!("{} vectors of {dim} numbers{passed_over}", grouped(*rows as u64));
    for file in files {
        say!("  {}", file.display());
    }
}
