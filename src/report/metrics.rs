//! The lines of a run directory's two logs: one JSON object a line, told apart by `"kind"`.
//!
//! `metrics.jsonl` holds [`Record::Step`], [`Record::Epoch`] and [`Record::Knn`]: the same config
//! and seed give the same file. `timings.jsonl` holds what a clock said, [`Record::Timing`] and
//! [`Record::Evaluation`], and differs from run to run.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

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

/// One kNN evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    /// Epochs done; 0 for the floors.
    pub epoch: usize,
    /// What was compared.
    pub source: KnnSource,
    /// Images in the bank.
    pub train_images: usize,
    /// Images classified.
    pub test_images: usize,
    /// One for each k.
    pub results: Vec<KnnResult>,
}

impl Knn {
    /// The result with the fewest neighbours; plain nearest neighbour as a rule.
    pub fn nearest(&self) -> Option<&KnnResult> {
        self.results.iter().min_by_key(|result| result.k)
    }

    /// The result with `k` neighbours.
    pub fn at(&self, k: usize) -> Option<&KnnResult> {
        self.results.iter().find(|result| result.k == k)
    }
}

/// Which features kNN compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnnSource {
    /// The backbone in training.
    Trained,
    /// The backbone as it was initialised: a floor.
    Untrained,
    /// The pixels themselves: a floor.
    Pixels,
}

/// The accuracy at one k.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnnResult {
    /// Neighbours that vote.
    pub k: usize,
    /// Whether a neighbour's vote counts exp(s/τ) rather than 1.
    pub weighted: bool,
    /// Share of test images whose class won, 0 to 1.
    pub top1: f64,
    /// Share of test images whose class was among the first five, 0 to 1.
    pub top5: f64,
}

/// JSON has no NaN: it is written as `null`, and read back here as NaN, so that the log of a run
/// that diverged stays readable.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Reads a log.
///
/// A last line without its newline that is no whole record is what a killed process leaves behind;
/// it is ignored.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Data`] with the line's number when any
/// other line is no record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut records = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with(b"\n") => {}
            Err(error) => return Err(broken_line(path, index + 1, &error)),
        }
    }
    Ok(records)
}

fn broken_line(path: &Path, number: usize, error: &serde_json::Error) -> Error {
    let message =
        format!("line {number} is no record of a run ({error}); delete that line and try again");
    Error::data(path, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic;

    fn read_text(text: &str) -> Result<Vec<Record>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    fn to_line(record: &Record) -> String {
        serde_json::to_string(record).unwrap() + "\n"
    }

    #[test]
    fn every_record_comes_back_as_it_was_written() {
        let mut records = synthetic::records(3, true);
        records.extend(synthetic::records(1, false));
        records.extend(synthetic::timings(2));
        let text: String = records.iter().map(to_line).collect();
        assert_eq!(read_text(&text).unwrap(), records);
    }

    #[test]
    fn a_line_is_flat_and_names_its_kind() {
        let line = to_line(&synthetic::records(1, false)[0]);
        assert!(line.starts_with(r#"{"kind":"#), "{line}");
        let step =
            synthetic::records(1, false).into_iter().find(|r| matches!(r, Record::Step { .. }));
        let line = to_line(&step.unwrap());
        assert!(line.starts_with(r#"{"kind":"step","step":1,"epoch":0,"lr":"#), "{line}");
        assert!(!line.contains("local"), "{line}");
    }

    #[test]
    fn a_half_written_last_line_is_ignored() {
        let whole = to_line(&Record::Evaluation { epoch: 1, seconds: 2.5 });
        for cut in [1, 10, whole.len() - 2] {
            let text = format!("{whole}{}", &whole[..cut]);
            assert_eq!(read_text(&text).unwrap().len(), 1, "cut after {cut} bytes");
        }
        let unterminated = format!("{whole}{}", whole.trim_end());
        assert_eq!(read_text(&unterminated).unwrap().len(), 2);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let whole = to_line(&Record::Evaluation { epoch: 1, seconds: 2.5 });
        let error = read_text(&format!("{whole}{{\"kind\":\"st\n{whole}")).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("metrics.jsonl") && message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_value_that_is_no_number_reads_as_nan() {
        let mut record = synthetic::records(1, true).into_iter().nth(2).unwrap();
        if let Record::Step { health, .. } = &mut record {
            health.loss = f64::NAN;
        }
        let read = read_text(&to_line(&record)).unwrap();
        assert!(matches!(&read[0], Record::Step { health, .. } if health.loss.is_nan()));
    }
}
