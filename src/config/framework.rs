//! The section `framework`: what ℓ_s is, and whether LoGo is added to it.

use std::fmt;

use logo_ssl_base::suggest;
use serde::{Deserialize, Serialize};

use super::check::{Check, in_range};
use crate::framework::{self, Kind};
use crate::objective::Contrast;
use crate::{Error, Result};

/// What ℓ_s is, and whether LoGo is added to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FrameworkConfig {
    /// The framework that gives ℓ_s.
    pub name: FrameworkName,
    /// Whether L_lg and λ L_ll are added; without them it is the plain framework on global views.
    pub logo: bool,
    /// The temperature τ of InfoNCE. SimSiam and BYOL do not use it.
    pub temperature: f64,
    /// Whether InfoNCE leaves the positive out of its denominator (decoupled contrastive learning; Yeh et
    /// al., ECCV 2022).
    #[serde(default)]
    pub decoupled: bool,
    /// How targets are made, with MoCo and BYOL.
    #[serde(default)]
    pub momentum: MomentumConfig,
    /// How the terms over pairs of views are put together.
    #[serde(default)]
    pub terms: Terms,
}

impl FrameworkConfig {
    /// How equation 1 weighs cosines.
    pub fn contrast(&self) -> Contrast {
        Contrast { temperature: self.temperature, decoupled: self.decoupled }
    }

    pub(super) fn check(&self) -> Check {
        in_range("framework.momentum.base", self.momentum.base, 0.0, 1.0)?;
        in_range("framework.momentum.queue", self.momentum.queue, 1, 1 << 24)?;
        in_range("framework.temperature", self.temperature, 1e-3, 1e3)
    }
}

/// The momentum encoder of MoCo and BYOL, whose weights follow the encoder's: ξ ← m ξ + (1 - m) θ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MomentumConfig {
    /// The share m of its weights that stays with every update.
    pub base: f64,
    /// Whether m rises to 1 by a half cosine over the run, as in BYOL.
    pub rises: bool,
    /// How many keys MoCo's queue holds, which are the negatives. It is a multiple of the number of
    /// global views in a batch.
    pub queue: usize,
    /// In how many groups views pass the encoders, each normalised by its own statistics. Keys then pass
    /// in a shuffled order, so that statistics do not betray which belong together (MoCo, section 3.3).
    /// With 1 the whole batch passes in order.
    pub norm_groups: usize,
}

impl Default for MomentumConfig {
    fn default() -> Self {
        Self { base: 0.999, rises: false, queue: 4096, norm_groups: 1 }
    }
}

/// How LoGo's terms over pairs of views become one loss: L_gg is two of them, one for each
/// direction, and L_lg is four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terms {
    /// Equation 9 as written: L_gg, itself the mean of its two directions, plus the four of L_lg.
    #[default]
    Sum,
    /// All six over 6, as in the authors' code: the loss keeps its size when LoGo is switched on, and
    /// a plain framework's learning rate keeps its meaning.
    Mean,
}

/// The name of a framework that there is.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(into = "&'static str", try_from = "String")]
pub struct FrameworkName(&'static Kind);

impl FrameworkName {
    /// What it is the name of.
    pub fn kind(self) -> &'static Kind {
        self.0
    }

    /// As configs have it.
    pub fn as_str(self) -> &'static str {
        self.0.name
    }
}

impl PartialEq for FrameworkName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for FrameworkName {}

impl fmt::Debug for FrameworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.name)
    }
}

impl TryFrom<String> for FrameworkName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        framework::kinds().find(|kind| kind.name == name).map(Self).ok_or_else(|| {
            let hint = suggest(&name, framework::kinds().map(|kind| kind.name));
            Error::name("framework", &name, hint)
        })
    }
}

impl From<FrameworkName> for &'static str {
    fn from(name: FrameworkName) -> Self {
        name.as_str()
    }
}
