//! What a run writes and others read: records, the two logs they go into, and where things lie in a run
//! directory.
//!
//! A record is one line of a log: one JSON object, told apart by `"kind"`. `metrics.jsonl` holds
//! [`Record::Step`], [`Record::Epoch`] and [`Record::Knn`]: the same config and seed give the same file.
//! `timings.jsonl` holds what a clock said, [`Record::Timing`] and [`Record::Evaluation`], and differs
//! from run to run.

mod evaluation;
mod log;
pub mod run_dir;
#[cfg(test)]
pub(crate) mod synthetic;

use serde::{Deserialize, Deserializer, Serialize};

pub use evaluation::{Knn, KnnResult, KnnSource};
pub use log::{Log, read};
pub use run_dir::{RunDir, RunFiles};

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// One optimiser step.
    Step {
        /// Optimiser steps done, this one included.
        step: u64,
        /// Epochs done before this step.
        epoch: usize,
        /// What the step saw.
        #[serde(flatten)]
        health: Health,
    },
    /// One epoch: the means over its steps.
    Epoch {
        /// Epochs done, this one included.
        epoch: usize,
        /// Optimiser steps done.
        step: u64,
        /// The means.
        #[serde(flatten)]
        health: Health,
    },
    /// One kNN evaluation.
    Knn(Knn),
    /// How fast training went since the last such record.
    Timing {
        /// Epochs done before this step.
        epoch: usize,
        /// Optimiser steps done.
        step: u64,
        /// Images trained on a second, each with all of its views.
        images_per_second: f64,
        /// Milliseconds an optimiser step took, all in all.
        step_ms: f64,
        /// Milliseconds of it that the training loop waited for views.
        views_wait_ms: f64,
        /// Milliseconds of it that went into logging and checkpoints.
        bookkeeping_ms: f64,
        /// Processor milliseconds, over all threads, that making the views took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        views_cpu_ms: Option<f64>,
    },
    /// How long one evaluation took.
    Evaluation {
        /// Epochs done.
        epoch: usize,
        /// Seconds.
        seconds: f64,
    },
}

/// The loss, its parts and the signs of health, of one step or averaged over one epoch. The
/// optional values need local views: plain runs, without LoGo, have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Learning rate of the encoder.
    #[serde(deserialize_with = "number")]
    pub lr: f64,
    /// What the encoder minimises: L_gg + L_lg + λ L_ll.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// L_gg
    #[serde(deserialize_with = "number")]
    pub global_global: f64,
    /// L_lg
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_global: Option<f64>,
    /// L_ll, without its λ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_local: Option<f64>,
    /// Mean of f_d over pairs from the same image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_same: Option<f64>,
    /// Mean of f_d over pairs from different images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity_different: Option<f64>,
    /// Ω: the difference of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omega: Option<f64>,
    /// Standard deviation over the batch of normalised embeddings, averaged over dimensions.
    #[serde(deserialize_with = "number")]
    pub z_std: f64,
    /// Mean cosine of an image's two global embeddings.
    #[serde(deserialize_with = "number")]
    pub cos_gg: f64,
    /// Mean cosine of its local with its global embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cos_lg: Option<f64>,
    /// Mean cosine of its two local embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cos_ll: Option<f64>,
    /// Norm of the encoder's gradient.
    #[serde(deserialize_with = "number")]
    pub grad_norm: f64,
}

impl Health {
    /// Takes down one of the numbers that a program reports, by the name of its field.
    ///
    /// # Panics
    /// If there is no such field.
    pub(crate) fn note(&mut self, name: &str, value: f64) {
        match name {
            "loss" => self.loss = value,
            "global_global" => self.global_global = value,
            "local_global" => self.local_global = Some(value),
            "local_local" => self.local_local = Some(value),
            "affinity_same" => self.affinity_same = Some(value),
            "affinity_different" => self.affinity_different = Some(value),
            "omega" => self.omega = Some(value),
            "z_std" => self.z_std = value,
            "cos_gg" => self.cos_gg = value,
            "cos_lg" => self.cos_lg = Some(value),
            "cos_ll" => self.cos_ll = Some(value),
            "grad_norm" => self.grad_norm = value,
            other => panic!("an update reports `{other}`, which no record holds"),
        }
    }
}

/// JSON has no NaN: it is written as `null`, and read back here as NaN, so that the log of a run
/// that diverged stays readable.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
