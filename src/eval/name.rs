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
pub struct EvaluationName(&'static str);

impl EvaluationName {
    /// The names of all evaluations.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().map(|evaluation| Self(evaluation.name()))
    }

    /// As settings and commands have it.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The evaluation itself.
    pub fn evaluation(self) -> &'static dyn Evaluation {
        let named = ALL.into_iter().find(|evaluation| evaluation.name() == self.0);
        named.expect("a name is made of an evaluation's alone")
    }
}

impl FromStr for EvaluationName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::all().map(Self::as_str);
        let found = Self::all().find(|known| known.0 == name);
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
        name.0.to_owned()
    }
}

impl fmt::Display for EvaluationName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}
