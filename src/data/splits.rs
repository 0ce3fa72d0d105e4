//! What a run trains on and what it is measured by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cifar10::Cifar10;
use super::cifar100::Cifar100;
use super::folder::Folder;
use super::idx::{self, Idx};
use super::pack::Pack;
use super::parquet::Parquet;
use super::shapes::Shapes;
use super::stl10::{self, Stl10};
use super::webdataset::Shards;
use super::{Dataset, Images, Split, imagenet100};
use crate::config::{Config, DatasetName, EvalDataset, default_max_bad_fraction};
use crate::{Error, Result};

/// The images of a run.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Trained on, with or without labels.
    pub train: Images,
    /// What the kNN is about; none where there are no labels, or nothing to test on.
    pub evaluation: Option<Labelled>,
}

/// Two labelled parts of one dataset.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Searched for neighbours.
    pub bank: Images,
    /// Classified.
    pub test: Images,
}

/// Where datasets lie: folders that the user named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// Of what is trained on; see [`data_dir`] for where it is if none is named.
    pub data: Option<PathBuf>,
    /// Of what the kNN is about, where that is another dataset; else the same.
    pub eval: Option<PathBuf>,
}

impl Places {
    /// These, and in the place of those that are not named those of `others`.
    pub fn or(self, others: Self) -> Self {
        Self { data: self.data.or(others.data), eval: self.eval.or(others.eval) }
    }
}

impl Splits {
    /// Loads the dataset called `name`; one that is not embedded from `dir` (see [`data_dir`]).
    ///
    /// # Errors
    /// [`Error::Data`] when it is missing or damaged.
    pub fn load(name: DatasetName, dir: Option<&Path>) -> Result<Self> {
        Self::load_allowing(name, dir, default_max_bad_fraction())
    }

    /// [`Splits::load`], of whose images the share `max_bad_fraction` may be broken.
    ///
    /// # Errors
    /// As [`Splits::load`].
    pub fn load_allowing(
        name: DatasetName,
        dir: Option<&Path>,
        max_bad_fraction: f64,
    ) -> Result<Self> {
        let images = |dataset| Images::new(dataset, max_bad_fraction);
        let [train, test] = load(name, dir)?.map(|part| part.map(images));
        let labelled = train.ok_or_else(|| no_part(name))?;
        let evaluation = Labelled::of(labelled.clone(), test);
        let train = match name {
            DatasetName::Stl10 => {
                images(Arc::new(Stl10::load(&data_dir(dir)?, stl10::Part::Unlabeled)?))
            }
            _ => labelled,
        };
        Ok(Self { train, evaluation })
    }

    /// Loads what a run of `config` trains on and what it is measured by.
    ///
    /// # Errors
    /// As [`Splits::load`]; [`Error::Usage`] when the config names a dataset to be measured by that
    /// has no labels or no test part.
    pub fn of_config(config: &Config, places: &Places) -> Result<Self> {
        let bad = config.data.max_bad_fraction;
        let splits = Self::load_allowing(config.data.dataset, places.data.as_deref(), bad)?;
        match config.eval.dataset {
            EvalDataset::Same => Ok(splits),
            EvalDataset::Other(name) => {
                let other = Self::load_allowing(
                    name,
                    places.eval.as_ref().or(places.data.as_ref()).map(PathBuf::as_path),
                    bad,
                )?;
                let evaluation = other.evaluation.ok_or_else(|| not_labelled(name))?;
                Ok(Self { evaluation: Some(evaluation), ..splits })
            }
        }
    }
}

impl Labelled {
    fn of(bank: Images, test: Option<Images>) -> Option<Self> {
        let labelled = |set: &Images| !set.is_empty() && !set.classes().is_empty();
        let test = test.filter(labelled)?;
        labelled(&bank).then_some(Self { bank, test })
    }
}

/// A part of a dataset, of whatever kind.
type Part = Option<Arc<dyn Dataset>>;

/// The parts to train on and to test on.
fn load(name: DatasetName, dir: Option<&Path>) -> Result<[Part; 2]> {
    let dir = || data_dir(dir);
    match name {
        DatasetName::Shapes => each(|split| Ok(Some(Shapes::embedded(split)))),
        DatasetName::Cifar10 => each(|split| Cifar10::load(&dir()?, split).map(Some)),
        DatasetName::Cifar100 => each(|split| Cifar100::load(&dir()?, split).map(Some)),
        DatasetName::Stl10 => each(|split| Stl10::load(&dir()?, stl10_part(split)).map(Some)),
        DatasetName::Mnist => {
            each(|split| Idx::load(&own_folder(dir()?, &MNIST), split, &[]).map(Some))
        }
        DatasetName::FashionMnist => {
            let dir = own_folder(dir()?, &FASHION_MNIST);
            each(|split| Idx::load(&dir, split, &idx::FASHION_MNIST).map(Some))
        }
        DatasetName::Folder => Ok(Folder::load(&dir()?)?.map(shared)),
        DatasetName::Imagenet100 => each(|split| imagenet100::load(&dir()?, split)),
        DatasetName::Webdataset => each(|split| Shards::load(&dir()?, split)),
        DatasetName::Parquet => each(|split| Parquet::load(&dir()?, split)),
        DatasetName::Pack => Ok(Pack::open(&dir()?)?.map(shared)),
    }
}

/// What `load` makes of each part.
fn each<D: Dataset + 'static>(load: impl Fn(Split) -> Result<Option<D>>) -> Result<[Part; 2]> {
    Ok([shared(load(Split::Train)?), shared(load(Split::Test)?)])
}

fn shared(part: Option<impl Dataset + 'static>) -> Part {
    part.map(|part| Arc::new(part) as Arc<dyn Dataset>)
}

/// STL-10's labelled parts; the third is trained on.
fn stl10_part(split: Split) -> stl10::Part {
    match split {
        Split::Train => stl10::Part::Train,
        Split::Test => stl10::Part::Test,
    }
}

/// Where MNIST lies, if it lies beside others whose files are called the same.
const MNIST: [&str; 2] = ["mnist", "MNIST/raw"];
/// Likewise Fashion-MNIST.
const FASHION_MNIST: [&str; 2] = ["fashion-mnist", "FashionMNIST/raw"];

/// The first of `names` that is a folder in `dir`, else `dir`.
fn own_folder(dir: PathBuf, names: &[&str]) -> PathBuf {
    names.iter().map(|name| dir.join(name)).find(|folder| folder.is_dir()).unwrap_or(dir)
}

fn no_part(name: DatasetName) -> Error {
    Error::Usage(format!("there is nothing to train on in {name}"))
}

fn not_labelled(name: DatasetName) -> Error {
    Error::Usage(format!(
        "eval.dataset = \"{name}\": a kNN needs labels and a test part, and there is none here; choose another dataset"
    ))
}

/// The folder of datasets: `flag`, else `$LOGO_SSL_DATA`, else `logo-ssl` in the user's data
/// directory.
///
/// # Errors
/// [`crate::Error::Usage`] when the system names no such directory.
pub fn data_dir(flag: Option<&Path>) -> Result<PathBuf> {
    let named = flag.map(Path::to_path_buf);
    let from_environment = || std::env::var_os("LOGO_SSL_DATA").filter(|dir| !dir.is_empty());
    named
        .or_else(|| from_environment().map(PathBuf::from))
        .or_else(|| dirs::data_dir().map(|dir| dir.join("logo-ssl")))
        .ok_or_else(|| {
            Error::Usage("there is no user data directory here; name one with --data-dir".into())
        })
}
