//! Where a run's images come from: the datasets of [`logo_ssl_data`], and how a config names them.

use std::path::PathBuf;

pub use logo_ssl_data::{
    Dataset, DatasetName, DecodeError, Encoded, Error, Image, Images, Labelled, Opened, Origin,
    Part, Parts, Picture, Pixels, Remedy, Result, Split, Splits, data_dir,
};
use serde::{Deserialize, Serialize};

use crate::config::{Config, EvalDataset};

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

/// Loads what a run of `config` trains on and what it is measured by.
///
/// # Errors
/// As [`Splits::load`]; [`crate::Error::Images`] when the config names a dataset to be measured by that has no
/// labels or no test part.
pub fn load(config: &Config, places: &Places) -> crate::Result<Splits> {
    let load = |name, dir: Option<&PathBuf>| {
        Splits::load_allowing(name, dir.map(PathBuf::as_path), config.data.max_bad_fraction)
    };
    let splits = load(config.data.dataset, places.data.as_ref())?;
    match config.eval.dataset {
        EvalDataset::Same => Ok(splits),
        EvalDataset::Other(name) => {
            let other = load(name, places.eval.as_ref().or(places.data.as_ref()))?;
            let evaluation = other.evaluation.ok_or_else(|| not_labelled(name))?;
            Ok(Splits { evaluation: Some(evaluation), unmeasured: None, ..splits })
        }
    }
}

fn not_labelled(name: DatasetName) -> crate::Error {
    crate::Error::Images(format!(
        "eval.dataset = \"{name}\": a kNN needs labels and a test part, and there is none here; choose another dataset"
    ))
}
