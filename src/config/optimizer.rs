//! The section `optimizer`: the optimiser of encoder and f_d, and its schedule.

use serde::{Deserialize, Serialize};

use super::check::{Check, ensure, in_range};

/// The optimiser of encoder and f_d, under linear warm-up and cosine decay to 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// Which optimiser it is.
    #[serde(default)]
    pub name: OptimizerName,
    /// The number of passes over the images.
    pub epochs: usize,
    /// The number of images in a batch, each with all of its views.
    pub batch_size: usize,
    /// The number of batches in an update of the encoder, which follows the mean of their gradients. Each
    /// batch is normalised and contrasted on its own, and f_d takes a step with each.
    #[serde(default = "OptimizerConfig::default_accumulate")]
    pub accumulate: usize,
    /// The learning rate after warm-up, before `lr_scaling`.
    pub lr: f64,
    /// Whether learning rates, f_d's too, are per 256 images.
    #[serde(default)]
    pub lr_scaling: LrScaling,
    /// Whether the predictor keeps its learning rate throughout, without warm-up and decay: it should
    /// be ahead of the representations that change (SimSiam, section 4.2).
    #[serde(default)]
    pub predictor_fixed_lr: bool,
    /// The momentum of SGD, LARS and Muon.
    pub momentum: f64,
    /// β₁ and β₂ of AdamW.
    #[serde(default = "OptimizerConfig::default_betas")]
    pub betas: [f64; 2],
    /// The weight decay.
    pub weight_decay: f64,
    /// Whether biases, and γ and β of batch norms, decay as well.
    #[serde(default = "OptimizerConfig::default_decay_norm_and_bias")]
    pub decay_norm_and_bias: bool,
    /// The most that the norm of the encoder's gradient may be; 0 means that there is no bound.
    #[serde(default)]
    pub clip: f64,
    /// The epochs of linear warm-up from 0; 0 means that there is none.
    pub warmup_epochs: f64,
    /// Whether the rate changes with every step or once an epoch.
    pub schedule_per: SchedulePer,
}

impl OptimizerConfig {
    /// The number of images in an update of the encoder.
    pub fn images_per_update(&self) -> usize {
        self.batch_size * self.accumulate
    }

    /// The rate `lr` as it is used in updates by `images` each.
    pub fn scaled(&self, lr: f64, images: usize) -> f64 {
        /// The batch that the field states its learning rates for (Goyal et al., 2017).
        const BASE: f64 = 256.0;
        match self.lr_scaling {
            LrScaling::None => lr,
            LrScaling::Batch => lr * images as f64 / BASE,
        }
    }

    /// What was done before there was this key.
    fn default_accumulate() -> usize {
        1
    }

    /// PyTorch's values.
    fn default_betas() -> [f64; 2] {
        [0.9, 0.999]
    }

    /// What was done before there was this key.
    fn default_decay_norm_and_bias() -> bool {
        true
    }

    pub(super) fn check(&self) -> Check {
        in_range("optimizer.epochs", self.epochs, 1, 1_000_000)?;
        in_range("optimizer.batch_size", self.batch_size, 2, 1 << 20)?;
        in_range("optimizer.lr", self.lr, 0.0, 1e6)?;
        in_range("optimizer.momentum", self.momentum, 0.0, 0.999_999)?;
        in_range("optimizer.weight_decay", self.weight_decay, 0.0, 1e3)?;
        let epochs = self.epochs as f64;
        ensure("optimizer.warmup_epochs", (0.0..epochs).contains(&self.warmup_epochs), || {
            format!(
                "optimizer.warmup_epochs = {} contradicts optimizer.epochs = {epochs}: warm-up must end before training does",
                self.warmup_epochs
            )
        })?;
        in_range("optimizer.clip", self.clip, 0.0, 1e6)?;
        let [beta1, beta2] = self.betas;
        ensure("optimizer.betas", self.betas.iter().all(|beta| (0.0..1.0).contains(beta)), || {
            format!(
                "optimizer.betas = [{beta1}, {beta2}] must be two numbers from 0 to below 1: at 1 a mean forgets nothing \
                 and learns nothing"
            )
        })?;
        ensure("optimizer.accumulate", self.accumulate > 0, || {
            "optimizer.accumulate = 0: an update takes at least one batch; 1 is an update with every batch"
                .to_owned()
        })?;
        in_range("optimizer.accumulate", self.accumulate, 1, 1 << 16)
    }
}

/// The optimisers that this version has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// SGD with momentum.
    #[default]
    Sgd,
    /// SGD whose steps are in proportion to each weight's norm, for large batches.
    Lars,
    /// Adam with decoupled weight decay.
    AdamW,
    /// Steps along orthogonal matrices, each a share `lr` of its weight's norm; `weight_decay` is for
    /// biases and batch norms alone.
    Muon,
}

/// Whether learning rates grow with what an update sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LrScaling {
    /// They are used as they stand.
    #[default]
    None,
    /// They are multiplied by the images in an update / 256: batch_size × accumulate for the encoder,
    /// batch_size for f_d, which takes a step with each batch. A run's log has the encoder's rate as it
    /// was used.
    Batch,
}

/// How often the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulePer {
    /// It changes with every step of the optimiser.
    Step,
    /// It changes at the start of each epoch.
    Epoch,
}
