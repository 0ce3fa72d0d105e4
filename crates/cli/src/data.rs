//! `logo-ssl data`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use logo_ssl::augment::views::ViewMaker;
use logo_ssl::data::{self, DatasetName, Images, Seen, Splits};
use logo_ssl::loader::epoch_order;
use logo_ssl::presets::Layers;
use logo_ssl::preview::{self, preview_grid};
use logo_ssl_data::archive::Archive;
use logo_ssl_data::pack::{Encoding, Options, Packing, pack};
use logo_ssl_data::survey::{Depth, Survey, survey};
use logo_ssl_data::{Origin, fetch};
use serde_json::json;

use super::progress::bar;
use super::{DataDir, Output};
use crate::error::{Error, Result};
use crate::hints;

/// The progress of what passes over images.
const IMAGES: &str = "{bar:30.cyan} {pos}/{len} images, {per_sec}, {eta} to go";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Download a dataset, check it, and unpack it
    Fetch(Fetch),
    /// Count a dataset's images, classes and sizes, and name images that cannot be read
    Info(Info),
    /// Draw images with their global and local crops
    Preview(Preview),
    /// Put a dataset into one file, its images resized, for training without opening any other
    Pack(Pack),
}

#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Which one, for example cifar10
    dataset: DatasetName,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Where it lies: a folder of pictures, of shards, of Parquet files and so on
    #[arg(value_name = "PATH", conflicts_with = "data_dir")]
    path: Option<PathBuf>,
    /// Which one, for example cifar10 [default: what lies in PATH or --data-dir, else shapes]
    #[arg(long, value_name = "NAME")]
    dataset: Option<DatasetName>,
    /// Read the headers of image files only: their sizes, but not whether they are whole
    #[arg(long)]
    headers: bool,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct Preview {
    /// Where it lies: a folder of pictures, of shards, of Parquet files and so on
    #[arg(value_name = "PATH", conflicts_with = "data_dir")]
    path: Option<PathBuf>,
    /// Which one, for example cifar10 [default: what lies in PATH or --data-dir, else shapes]
    #[arg(long, value_name = "NAME")]
    dataset: Option<DatasetName>,
    /// Preset whose views are shown [default: one that suits the dataset]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// One image, by its number [default: a page of random ones]
    #[arg(long, value_name = "N")]
    image: Option<usize>,
    /// Images on the page
    #[arg(long, value_name = "N", default_value_t = 8)]
    images: usize,
    /// Another page of random images
    #[arg(long, value_name = "N", default_value_t = 0)]
    page: u64,
    /// The epoch whose views are shown
    #[arg(long, value_name = "N", default_value_t = 0, hide_short_help = true)]
    epoch: u64,
    /// The picture
    #[arg(long, value_name = "FILE", default_value = "preview.png")]
    out: PathBuf,
    #[command(flatten)]
    data_dir: DataDir,
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The folder of the dataset
    dir: PathBuf,
    /// The file, for example pictures.pack
    out: PathBuf,
    /// Which dataset it is
    #[arg(long, value_name = "NAME", default_value = "folder")]
    dataset: DatasetName,
    /// Bring the shorter side of larger images to so many pixels; 0 leaves them as they are
    #[arg(long, value_name = "PIXELS", default_value_t = 256)]
    size: usize,
    /// Store pixels, which need no decoding, or JPEG, a tenth of the size
    #[arg(long, value_name = "raw|jpeg", default_value = "jpeg", value_parser = ["raw", "jpeg"])]
    format: String,
    /// The share of images that may be broken: they are left out
    #[arg(long, value_name = "SHARE", default_value_t = 0.001)]
    max_bad_fraction: f64,
    /// Of JPEG, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
}

pub(crate) fn run(command: Command, output: Output) -> Result<()> {
    match command {
        Command::Fetch(arguments) => arguments.run(output),
        Command::Info(arguments) => arguments.run(output),
        Command::Preview(arguments) => arguments.run(output),
        Command::Pack(arguments) => arguments.run(output),
    }
}

impl Fetch {
    fn run(&self, output: Output) -> Result<()> {
        let source = self.dataset.source();
        match source.origin {
            Origin::Archive(archive) => self.fetch(&archive, output),
            _ => Err(Error::Usage(hints::by_hand(source))),
        }
    }

    fn fetch(&self, archive: &Archive<'_>, output: Output) -> Result<()> {
        let folder = data::data_dir(self.data_dir.data_dir.as_deref())?;
        let template = "{bar:30.cyan} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go";
        let bar = bar(output, 0, template);
        let place = fetch::fetch(archive, &folder, &mut |done, total| {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        match output.json {
            true => say!("{}", json!({ "dataset": self.dataset, "path": place })),
            false => say!("{} lies in {}", self.dataset, place.display()),
        }
        Ok(())
    }
}

/// The dataset that is meant: the one that was named, else what lies in the folder that was, else `shapes`.
fn meant(named: Option<DatasetName>, place: &DataDir, output: Output) -> Result<DatasetName> {
    match named {
        Some(name) => Ok(name),
        None => Ok(place.recognised(output)?.unwrap_or(DatasetName::SHAPES)),
    }
}

impl Info {
    fn run(&self, output: Output) -> Result<()> {
        let place = self.data_dir.or_path(self.path.as_ref());
        let dataset = meant(self.dataset, &place, output)?;
        let splits = Splits::load(dataset, place.data_dir.as_deref())?;
        if !output.json {
            say!("{dataset}: {}", splits.seen);
        }
        let test = splits.evaluation.as_ref().map(|evaluation| &evaluation.test);
        for (split, images) in [("train", Some(&splits.train)), ("test", test)] {
            match images {
                Some(images) => self.describe(dataset, split, images, &splits.seen, output),
                None if output.json => {}
                None => {
                    let reason = splits.unmeasured.as_ref().map(ToString::to_string);
                    say!("{split}: none to measure by: {}", reason.unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn describe(
        &self,
        dataset: DatasetName,
        split: &str,
        images: &Images,
        seen: &Seen,
        output: Output,
    ) {
        let bar = bar(output, images.len() as u64, IMAGES);
        let depth = if self.headers { Depth::Headers } else { Depth::Pixels };
        let found = survey(&**images, depth, |done| bar.inc(done as u64));
        bar.finish_and_clear();
        if output.json {
            let info = json!({ "dataset": dataset, "split": split, "classes": images.classes(),
                "found": found, "seen": seen });
            say!("{info}");
            return;
        }
        say!("{split}: {} images{}", found.images, sizes(&found));
        print_classes(images.classes(), &found.images_of_class);
        if !found.broken.is_empty() {
            say!("  {} cannot be read, among them", found.broken.len());
        }
        for broken in found.broken.iter().take(BROKEN_SHOWN) {
            say!("    {}: {}", broken.name, broken.problem);
        }
    }
}

/// Of more broken images than this, some are named; with `--json` all are.
const BROKEN_SHOWN: usize = 10;
/// Of more classes than this, the counts are summed up; with `--json` all are there.
const CLASSES_SHOWN: usize = 20;

fn sizes(found: &Survey) -> String {
    match found.extent() {
        None => String::new(),
        Some([[width, widest], [height, highest]]) if width == widest && height == highest => {
            format!(" of {width} × {height}")
        }
        Some([[narrow, wide], [low, high]]) => {
            format!(", {narrow} to {wide} pixels wide, {low} to {high} high")
        }
    }
}

fn print_classes(names: &[String], counts: &[usize]) {
    let (least, most) = (counts.iter().min(), counts.iter().max());
    match (least, most) {
        (Some(least), Some(most)) if names.len() > CLASSES_SHOWN => {
            say!("  {} classes of {least} to {most} images", names.len());
        }
        (Some(_), Some(_)) => {
            for (name, count) in names.iter().zip(counts) {
                say!("  {count:6} {name}");
            }
        }
        _ => say!("  no labels"),
    }
}

impl Preview {
    fn run(&self, output: Output) -> Result<()> {
        let place = self.data_dir.or_path(self.path.as_ref());
        let dataset = meant(self.dataset, &place, output)?;
        let preset = self.preset.as_deref().unwrap_or(dataset.source().preset);
        let config = Layers::preset(preset)?.build()?;
        // Whatever can be read is worth looking at.
        let splits = Splits::load_allowing(dataset, place.data_dir.as_deref(), 1.0)?;
        let maker = ViewMaker::of_config(&config);
        let indices = self.indices(splits.train.len())?;
        let grid = preview_grid(&splits.train, &maker, &indices, self.epoch)?;
        if splits.train.broken() == indices.len() {
            let problem = "cannot be read, nor can any other that was to be shown";
            return Err(Error::about(splits.train.name(indices[0]), problem));
        }
        preview::save(&grid, &self.out)?;
        match output.json {
            true => say!("{}", json!({ "preview": self.out })),
            false => say!("preview: {}", self.out.display()),
        }
        Ok(())
    }

    /// The images that are shown, of `count`.
    fn indices(&self, count: usize) -> Result<Vec<usize>> {
        match self.image {
            Some(image) if image >= count => {
                let last = count - 1;
                Err(Error::Usage(format!("--image {image}: there are images 0 to {last}")))
            }
            Some(image) => Ok(vec![image]),
            None => {
                let mut order = epoch_order(self.page, 0, count);
                order.truncate(self.images.max(1));
                Ok(order)
            }
        }
    }
}

impl Pack {
    fn run(&self, output: Output) -> Result<()> {
        let splits = Splits::load_allowing(self.dataset, Some(&self.dir), self.max_bad_fraction)?;
        let test = splits.evaluation.as_ref().map(|evaluation| &evaluation.test);
        // STL-10 is trained on without labels, and measured by other images.
        let is_labelled = !splits.train.classes().is_empty();
        let (test, left_out) = if is_labelled { (test, None) } else { (None, test) };
        let encoding = match self.format.as_str() {
            "raw" => Encoding::Raw,
            _ => Encoding::Jpeg { quality: self.quality },
        };
        let options = Options { side: self.size, encoding };
        let count = splits.train.len() + test.map_or(0, |test| test.len());
        let bar = bar(output, count as u64, IMAGES);
        let mut progress = |done| bar.set_position(done as u64);
        let Packing { images, broken, bytes } =
            pack(&splits.train, test, &self.out, options, &mut progress)?;
        bar.finish_and_clear();
        if left_out.is_some() {
            tracing::warn!(
                "the labelled images are not in the pack; measure by them with \
                 --eval-dataset {} --eval-data-dir {}",
                self.dataset,
                self.dir.display()
            );
        }
        match output.json {
            true => say!(
                "{}",
                json!({ "pack": self.out, "images": images, "broken": broken, "bytes": bytes })
            ),
            false => say!(
                "{images} images in {}, {:.1} MB; {broken} could not be read and are not in it\n\
                 train on it: logo-ssl pretrain --preset folder --dataset pack --data-dir {}",
                self.out.display(),
                bytes as f64 / 1e6,
                self.out.display()
            ),
        }
        Ok(())
    }
}
