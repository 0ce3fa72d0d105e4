//! The section `affinity`: LoGo's learned affinity f_d and its share of the loss.

use serde::{Deserialize, Serialize};

use super::check::{Check, ensure, in_range};

/// LoGo's learned affinity f_d and its share of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AffinityConfig {
    /// The weight λ of L_ll in equation 9.
    pub lambda: f64,
    /// What f_d is.
    #[serde(default)]
    pub form: AffinityForm,
    /// What f_d's own update maximises.
    #[serde(default)]
    pub objective: AffinityObjective,
    /// Which pairs of local views f_d learns from.
    #[serde(default)]
    pub pairs: AffinityPairs,
    /// Whether f_d's inputs are normalised first.
    #[serde(default)]
    pub normalise: bool,
    /// The standard deviation × √dim of the noise that is added to f_d's inputs of one image; 0.3 in the
    /// authors' code.
    #[serde(default)]
    pub noise: f64,
    /// When the encoder takes its step by L_ll.
    #[serde(default)]
    pub step: LocalLocalStep,
    /// With a separate step: the most that the norm of its gradient may be, as a share of the last
    /// main gradient's.
    #[serde(default = "AffinityConfig::default_clip")]
    pub clip: f64,
    /// The number of hidden layers.
    pub depth: usize,
    /// The units of each hidden layer.
    pub width: usize,
    /// The learning rate of f_d's own optimiser, which is of the encoder's kind, with its schedule,
    /// momentum and weight decay.
    pub lr: f64,
}

impl AffinityConfig {
    /// The value of the authors' code.
    fn default_clip() -> f64 {
        0.015
    }

    pub(super) fn check(&self) -> Check {
        let bounded = self.objective == AffinityObjective::Softplus;
        ensure("affinity.objective", !bounded || self.form == AffinityForm::Mlp, || {
            "affinity.objective = \"softplus\" contradicts affinity.form: a cosine is bounded already and has no \
             softplus to take off; set affinity.objective = \"difference\" or affinity.form = \"mlp\""
                .to_owned()
        })?;
        in_range("affinity.depth", self.depth, 1, 64)?;
        in_range("affinity.width", self.width, 1, 65_536)?;
        in_range("affinity.noise", self.noise, 0.0, 100.0)?;
        in_range("affinity.clip", self.clip, 0.0, 1e6)?;
        in_range("affinity.lambda", self.lambda, 0.0, 1e6)?;
        in_range("affinity.lr", self.lr, 0.0, 1e6)
    }
}

/// Which pairs of local views f_d learns from; `l_1(k)` is the first local view of image k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityPairs {
    /// Equation 6: (l_1(j), l_2(j)) against (l_1(j), l_1(k)), where k is a random other image, and both
    /// are normalised by the same statistics.
    #[default]
    OneOrder,
    /// The authors' code: (l_1, l_2) and (l_2, l_1) of j against (l_1(j), l_2(k)) and
    /// (l_2(j), l_1(k)), where k is from the flipped batch, and each of the four is a pass of its own.
    BothOrders,
}

/// When the encoder takes its step by L_ll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalLocalStep {
    /// With the other terms, as in equation 9.
    #[default]
    Joint,
    /// Before them, in a step of its own with a velocity of its own and a clipped gradient, as in the
    /// authors' code. It costs another pass of the local views.
    ///
    /// The clip bounds a step of SGD. LARS, AdamW and Muon give a step its size whatever its gradient's, so
    /// that under them it moves the encoder as far as the main step does.
    Separate,
}

/// What the affinity of two embeddings a and b is: the higher, the more similar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityForm {
    /// The softplus of an MLP that takes both to one number.
    #[default]
    Mlp,
    /// The cosine of b with what an MLP makes of both: the second form in the authors' code.
    CosineMlp,
    /// The plain cosine of a and b, where nothing is learned: the paper's ablation.
    Cosine,
}

/// What f_d's update maximises over pairs of local views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityObjective {
    /// Equation 6, the difference of the mean affinities. For an MLP it is unbounded: f_d can always
    /// raise it by growing.
    #[default]
    Difference,
    /// The authors' code: -softplus(-f) over pairs of one image and -softplus(f) over pairs of two, with
    /// f before its own softplus. It is at most 0.
    Softplus,
}
