//! Evaluations by their names, in settings and commands.

use std::fmt;
use std::str::FromStr;

use logo_ssl_base::suggest;
use serde::{Deserialize, Serialize};

use super::{ALL, Evaluation};
use crate::{Error, Result};

/// The name of an evaluation that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EvaluationName(
    /// Its place in [`ALL`].
    usize,
);

impl EvaluationName {
    /// The names of all evaluations.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..ALL.len()).map(Self)
    }

    /// As settings and commands have it.
    pub fn as_str(self) -> &'static str {
        self.evaluation().name()
    }

    /// The evaluation itself.
    pub fn evaluation(self) -> &'static dyn Evaluation {
        ALL[self.0]
    }
}

impl FromStr for EvaluationName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::all().map(Self::as_str);
        let found = Self::all().find(|known| known.as_str() == name);
        found.ok_or_else(|| Error::name("evaluation", name, suggest(name, known())))
    }
}

impl TryFrom<String> for EvaluationName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<EvaluationName> for String {
    fn from(name: EvaluationName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for EvaluationName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
