//! The section `eval`: what is evaluated during and after training.

use serde::{Deserialize, Serialize};

use super::EvalDataset;
use super::check::{Check, ensure, in_range};
use crate::eval::EvaluationName;

/// What is evaluated during and after training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EvalConfig {
    /// What is classified: the dataset that is trained on, or another.
    #[serde(default)]
    pub dataset: EvalDataset,
    /// The pixels that an image's shorter side is brought to; 0 leaves images as they are.
    #[serde(default)]
    pub resize: usize,
    /// The side in pixels of the central square of the resized image that is evaluated; 0 leaves images
    /// as they are.
    #[serde(default)]
    pub crop: usize,
    /// After how many epochs each there is an evaluation. There is always one after the last epoch; with
    /// 0 there is no other.
    pub every: usize,
    /// What is evaluated then, by name: the first one's leading score chooses the best checkpoint.
    #[serde(default = "EvalConfig::default_during")]
    pub during: Vec<EvaluationName>,
    /// Whether the same is first made of the raw pixels and of the untrained network, which training has to
    /// beat. Runs of a sweep over one dataset have the pixels in common.
    #[serde(default = "EvalConfig::default_floors")]
    pub floors: bool,
    /// Whether a linear classifier learns beside training, from features that it leaves alone: its accuracy
    /// on the batches is logged with the loss.
    #[serde(default)]
    pub online: bool,
    /// The numbers of neighbours: 1 is the plain nearest, others vote with weights exp(s/τ), where s is
    /// the cosine.
    pub k: Vec<usize>,
    /// The temperature τ of the vote.
    pub temperature: f64,
    /// Which output of the network is compared.
    pub features: Features,
}

impl EvalConfig {
    /// kNN alone.
    fn default_during() -> Vec<EvaluationName> {
        EvaluationName::all().take(1).collect()
    }

    fn default_floors() -> bool {
        true
    }

    pub(super) fn check(&self) -> Check {
        ensure(
            "eval.crop",
            (self.resize == 0) == (self.crop == 0) && self.crop <= self.resize,
            || {
                format!(
                    "eval.crop = {} contradicts eval.resize = {}: the crop is the middle of the resized image, for example \
                 224 of 256; 0 and 0 leave images as they are",
                    self.crop, self.resize
                )
            },
        )?;
        in_range("eval.resize", self.resize, 0, 4096)?;
        ensure("eval.during", !self.during.is_empty(), || {
            "eval.during is empty: name at least one evaluation, for example [\"knn\"]".to_owned()
        })?;
        ensure("eval.k", !self.k.is_empty(), || {
            "eval.k is empty: name at least one k, for example [1]".to_owned()
        })?;
        for &k in &self.k {
            in_range("eval.k", k, 1, 100_000)?;
        }
        in_range("eval.temperature", self.temperature, 1e-3, 1e3)
    }
}

/// Where features are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Features {
    /// The backbone's output after global average pooling, which is the field's choice.
    Backbone,
    /// The projector's z, as in the earlier SimSiam-LoGo code.
    Projector,
}
