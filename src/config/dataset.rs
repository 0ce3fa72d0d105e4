//! Datasets by name, as the sections `data` and `eval` have them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::suggest;
use crate::{Error, Result};

/// The datasets that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetName {
    /// The embedded dataset, which is drawn by a program.
    Shapes,
    /// CIFAR-10, in any of its layouts.
    Cifar10,
    /// CIFAR-100 with its hundred fine classes, in any of its layouts.
    Cifar100,
    /// STL-10: its unlabelled part is trained on, and its train part is the kNN's bank.
    Stl10,
    /// MNIST, or any other dataset of that form.
    Mnist,
    /// Fashion-MNIST.
    FashionMnist,
    /// Any folder of pictures, with or without a folder for each class.
    Folder,
    /// A hundred classes of ImageNet.
    Imagenet100,
    /// Tar shards as WebDataset writes them.
    Webdataset,
    /// Parquet files as Hugging Face has them.
    Parquet,
    /// Any dataset that was packed into one file by `logo-ssl data pack`.
    Pack,
}

impl DatasetName {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Shapes,
        Self::Cifar10,
        Self::Cifar100,
        Self::Stl10,
        Self::Mnist,
        Self::FashionMnist,
        Self::Folder,
        Self::Imagenet100,
        Self::Webdataset,
        Self::Parquet,
        Self::Pack,
    ];

    /// The name as configs and flags have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shapes => "shapes",
            Self::Cifar10 => "cifar10",
            Self::Cifar100 => "cifar100",
            Self::Stl10 => "stl10",
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Folder => "folder",
            Self::Imagenet100 => "imagenet100",
            Self::Webdataset => "webdataset",
            Self::Parquet => "parquet",
            Self::Pack => "pack",
        }
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
            let hint = suggest(name, Self::ALL.map(Self::as_str));
            Error::Usage(format!("there is no dataset `{name}`: {hint}"))
        })
    }
}

/// Which dataset the kNN is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum EvalDataset {
    /// The dataset that is trained on.
    #[default]
    Same,
    /// Another dataset, by its name.
    Other(DatasetName),
}

impl From<EvalDataset> for String {
    fn from(dataset: EvalDataset) -> Self {
        match dataset {
            EvalDataset::Same => "same".to_owned(),
            EvalDataset::Other(name) => name.to_string(),
        }
    }
}

impl TryFrom<String> for EvalDataset {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        match name.as_str() {
            "same" => Ok(Self::Same),
            name => name.parse().map(Self::Other),
        }
    }
}
