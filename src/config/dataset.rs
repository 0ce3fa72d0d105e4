//! Datasets by name, as the section `eval` has them.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::DatasetName;

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

    fn try_from(name: String) -> Result<Self, Error> {
        match name.as_str() {
            "same" => Ok(Self::Same),
            name => Ok(Self::Other(name.parse()?)),
        }
    }
}
