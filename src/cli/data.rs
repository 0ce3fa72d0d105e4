//! `logo-ssl data`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use logo_ssl::augment::views::ViewMaker;
use logo_ssl::config::DatasetName;
use logo_ssl::data::{self, Splits, cifar10, fetch};
use logo_ssl::presets::Layers;
use logo_ssl::report::preview::{self, preview_grid};
use logo_ssl::{Error, Result};
use serde_json::json;

use super::{DataDir, Output};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Download a dataset, check it, and unpack it
    Fetch(Fetch),
    /// Count a dataset's images and classes
    Info(Info),
    /// Draw images with their global and local crops
    Preview(Preview),
}

#[derive(Debug, Args)]
pub struct Fetch {
    /// Which one: cifar10
    dataset: String,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Args)]
pub struct Info {
    /// Which one: shapes or cifar10
    #[arg(long, value_name = "NAME", default_value = "shapes")]
    dataset: String,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Args)]
pub struct Preview {
    /// Which one: shapes or cifar10
    #[arg(long, value_name = "NAME", default_value = "shapes")]
    dataset: String,
    /// Preset whose views are shown [default: quickstart for shapes, cifar10-cpu for cifar10]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// How many images
    #[arg(long, value_name = "N", default_value_t = 8)]
    images: usize,
    /// The epoch whose views are shown
    #[arg(long, value_name = "N", default_value_t = 0)]
    epoch: u64,
    /// The picture
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    out: PathBuf,
    #[command(flatten)]
    data_dir: DataDir,
}

pub fn run(command: Command, output: Output) -> Result<()> {
    match command {
        Command::Fetch(arguments) => arguments.run(output),
        Command::Info(arguments) => arguments.run(output),
        Command::Preview(arguments) => arguments.run(output),
    }
}

/// The dataset called `name`.
pub fn dataset(name: &str) -> Result<DatasetName> {
    match name {
        "shapes" => Ok(DatasetName::Shapes),
        "cifar10" => Ok(DatasetName::Cifar10),
        other => {
            let hint = logo_ssl::error::suggest(other, ["shapes", "cifar10"]);
            Err(Error::Usage(format!("there is no dataset `{other}`: {hint}")))
        }
    }
}

/// The preset whose `[data]` and `[views]` suit the dataset.
pub fn preset_of(dataset: DatasetName) -> &'static str {
    match dataset {
        DatasetName::Shapes => "quickstart",
        DatasetName::Cifar10 => "cifar10-cpu",
    }
}

impl Fetch {
    fn run(&self, output: Output) -> Result<()> {
        if dataset(&self.dataset)? == DatasetName::Shapes {
            return Err(Error::Usage("shapes is embedded: there is nothing to fetch".into()));
        }
        let folder = data::data_dir(self.data_dir.data_dir.as_deref())?;
        let bar = match output.quiet || output.json {
            true => ProgressBar::hidden(),
            false => ProgressBar::new(0),
        };
        let style = ProgressStyle::with_template(
            "{bar:30.cyan} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go",
        );
        bar.set_style(style.expect("a template of this program"));
        let place = fetch::fetch(&cifar10::OFFICIAL, &folder, &mut |done, total| {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        match output.json {
            true => println!("{}", json!({ "dataset": self.dataset, "path": place })),
            false => println!("cifar10 lies in {}", place.display()),
        }
        Ok(())
    }
}

impl Info {
    fn run(&self, output: Output) -> Result<()> {
        let splits = Splits::load(dataset(&self.dataset)?, self.data_dir.data_dir.as_deref())?;
        let parts = [("train", splits.train.as_ref()), ("test", splits.test.as_ref())];
        for (split, images) in parts {
            let mut counts = vec![0_usize; images.classes().len()];
            (0..images.len()).for_each(|index| counts[images.label(index)] += 1);
            let first = images.image(0);
            if output.json {
                let info = json!({ "dataset": self.dataset, "split": split, "images": images.len(),
                    "width": first.width, "height": first.height, "classes": images.classes(),
                    "images_of_class": counts });
                println!("{info}");
                continue;
            }
            println!("{split}: {} images of {} × {}", images.len(), first.width, first.height);
            for (name, count) in images.classes().iter().zip(counts) {
                println!("  {count:6} {name}");
            }
        }
        Ok(())
    }
}

impl Preview {
    fn run(&self, output: Output) -> Result<()> {
        let name = dataset(&self.dataset)?;
        let preset = self.preset.as_deref().unwrap_or(preset_of(name));
        let config = Layers::preset(preset)?.build()?;
        let splits = Splits::load(name, self.data_dir.data_dir.as_deref())?;
        let maker = ViewMaker::of_config(&config);
        let count = self.images.clamp(1, splits.train.len());
        let indices: Vec<usize> = (0..count).collect();
        let grid = preview_grid(splits.train.as_ref(), &maker, &indices, self.epoch, 4);
        preview::save(&grid, &self.out)?;
        match output.json {
            true => println!("{}", json!({ "preview": self.out })),
            false => println!("preview: {}", self.out.display()),
        }
        Ok(())
    }
}
