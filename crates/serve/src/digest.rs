//! What the logs of a run say, in bounded memory.

use std::collections::BTreeMap;

use logo_ssl::config::Change;
use logo_ssl::record::scalars::LOSS;
use logo_ssl::record::{Knn, Record, Scalars, Scores, Source};

use crate::curve::Curve;
use crate::line::{Line, Numbers};

/// The most curves that are kept of a log. Runs have some twenty; a log that names more is damaged.
const MOST_CURVES: usize = 64;

/// The most evaluations that are kept of a run.
const MOST_EVALUATIONS: usize = 4_096;

/// The most changes of settings that are kept of a run.
const MOST_CHANGES: usize = 256;

/// What one log says.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    /// Every scalar of a step, by name.
    pub(crate) curves: BTreeMap<String, Curve>,
    /// The last step.
    pub(crate) step: u64,
    /// The last epoch that was finished, none before the first.
    pub(crate) epoch: Option<Epoch>,
    /// The numbers of the last step, in the log's order.
    last: Vec<(String, f64)>,
    /// All evaluations, floors included, in the log's order.
    pub(crate) evaluations: Vec<Evaluation>,
    /// With which settings the run went on, and after how many steps.
    pub(crate) changes: Vec<(u64, Vec<Change>)>,
    /// The longest evaluation, in seconds.
    pub(crate) longest_evaluation: f64,
    /// The first step whose loss was no number.
    pub(crate) no_number: Option<u64>,
    /// Lines so far.
    pub(crate) lines: u64,
    /// The first line that is no record.
    pub(crate) broken: Option<u64>,
    /// The first kind of record that this version does not know.
    pub(crate) unknown: Option<String>,
}

/// A finished epoch.
#[derive(Debug)]
pub(crate) struct Epoch {
    /// Epochs done, this one included.
    pub(crate) done: usize,
    /// Optimiser steps done.
    pub(crate) step: u64,
    /// The means over its steps.
    pub(crate) means: Scalars,
}

/// One evaluation.
#[derive(Debug)]
pub(crate) enum Evaluation {
    /// Of the nearest neighbours.
    Knn(Knn),
    /// Of any other kind.
    Scores(Scores),
}

impl Evaluation {
    /// What was measured.
    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Knn(knn) => knn.source,
            Self::Scores(scores) => scores.source,
        }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Knn(_) => "knn",
            Self::Scores(scores) => &scores.evaluation,
        }
    }
}

impl Digest {
    /// Takes in some whole lines.
    pub(crate) fn take(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            self.lines += 1;
            match Line::read(line) {
                Some(Line::Numbers(numbers)) => self.take_numbers(&numbers),
                Some(Line::Record(record)) => self.take_record(record),
                Some(Line::Unknown(kind)) => self.unknown = self.unknown.take().or(Some(kind)),
                None => self.broken = self.broken.or(Some(self.lines)),
            }
        }
    }

    /// The latest kNN of a source.
    pub(crate) fn knn(&self, wanted: Source) -> Option<&Knn> {
        self.evaluations.iter().rev().find_map(|evaluation| match evaluation {
            Evaluation::Knn(knn) if knn.source == wanted => Some(knn),
            _ => None,
        })
    }

    /// The means of the last epoch, which say more than a step; those of the last step before there is one.
    pub(crate) fn latest(&self) -> Scalars {
        match &self.epoch {
            Some(epoch) => epoch.means.clone(),
            None => self.last.iter().cloned().collect(),
        }
    }

    /// The number called `name` of the last step.
    pub(crate) fn last(&self, name: &str) -> Option<f64> {
        self.last.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Steps an epoch, once an epoch is done.
    pub(crate) fn steps_per_epoch(&self) -> Option<f64> {
        let epoch = self.epoch.as_ref().filter(|epoch| epoch.done > 0)?;
        Some(epoch.step as f64 / epoch.done as f64)
    }

    fn take_numbers(&mut self, numbers: &Numbers<'_>) {
        self.step = numbers.step;
        for &(name, value) in &numbers.others {
            if let Some(curve) = self.curve(name) {
                curve.add(numbers.step, value);
            }
        }
        let loss = numbers.others.iter().find(|(name, _)| *name == LOSS);
        if loss.is_some_and(|(_, loss)| !loss.is_finite()) {
            self.no_number = self.no_number.or(Some(numbers.step));
        }
        self.remember(numbers);
    }

    /// Makes the numbers the last ones. Steps have the same names as a rule, so nothing is allocated.
    fn remember(&mut self, numbers: &Numbers<'_>) {
        let names = self.last.iter().map(|(name, _)| name.as_str());
        if names.eq(numbers.others.iter().map(|(name, _)| *name)) {
            let values = self.last.iter_mut().map(|(_, value)| value);
            values.zip(&numbers.others).for_each(|(old, (_, new))| *old = *new);
        } else {
            let owned = numbers.others.iter().map(|&(name, value)| (name.to_owned(), value));
            self.last = owned.take(MOST_CURVES).collect();
        }
    }

    fn curve(&mut self, name: &str) -> Option<&mut Curve> {
        if !self.curves.contains_key(name) {
            if self.curves.len() >= MOST_CURVES {
                return None;
            }
            self.curves.insert(name.to_owned(), Curve::default());
        }
        self.curves.get_mut(name)
    }

    fn take_record(&mut self, record: Record) {
        match record {
            Record::Step { step, scalars, .. } => {
                self.take_numbers(&Numbers { step, others: scalars.iter().collect() });
            }
            Record::Epoch { epoch, step, scalars } => {
                self.epoch = Some(Epoch { done: epoch, step, means: scalars });
                self.step = self.step.max(step);
            }
            Record::Knn(knn) => self.evaluate(Evaluation::Knn(knn)),
            Record::Scores(scores) => self.evaluate(Evaluation::Scores(scores)),
            Record::Changed { step, changes } if self.changes.len() < MOST_CHANGES => {
                self.changes.push((step, changes));
            }
            Record::Evaluation { seconds, .. } => {
                self.longest_evaluation = self.longest_evaluation.max(seconds);
            }
            Record::Changed { .. } | Record::Timing { .. } | Record::Asked { .. } => {}
        }
    }

    /// Adds an evaluation. Where there are too many, every other one of the trained backbone goes; the
    /// floors, which are few, stay.
    fn evaluate(&mut self, evaluation: Evaluation) {
        if self.evaluations.len() >= MOST_EVALUATIONS {
            let mut odd = false;
            self.evaluations.retain(|evaluation| {
                odd ^= evaluation.source() == Source::Trained;
                odd || evaluation.source() != Source::Trained
            });
            self.evaluations.truncate(MOST_EVALUATIONS - 1);
        }
        self.evaluations.push(evaluation);
    }
}

#[cfg(test)]
mod tests {
    use logo_ssl::record::synthetic;

    use super::*;

    fn lines(records: &[Record]) -> String {
        records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect()
    }

    #[test]
    fn a_runs_records_are_summed_up() {
        let mut digest = Digest::default();
        digest.take(lines(&synthetic::records(4, true)).as_bytes());
        assert_eq!((digest.step, digest.epoch.as_ref().unwrap().done), (160, 4));
        assert_eq!(digest.steps_per_epoch(), Some(40.0));
        assert_eq!(digest.curves.len(), 13);
        assert_eq!(digest.evaluations.len(), 4);
        assert_eq!(digest.knn(Source::Trained).unwrap().epoch, 4);
        assert_eq!(digest.knn(Source::Pixels).unwrap().results[0].top1, 0.232);
        assert_eq!(digest.latest().get(LOSS), digest.epoch.unwrap().means.get(LOSS));
        assert_eq!((digest.broken, digest.unknown, digest.no_number), (None, None, None));
    }

    #[test]
    fn before_the_first_epoch_is_done_the_last_step_speaks() {
        let mut digest = Digest::default();
        digest.take(lines(&synthetic::records(1, false)[..12]).as_bytes());
        assert_eq!((digest.step, digest.steps_per_epoch()), (10, None));
        assert_eq!(digest.latest().get(LOSS), digest.last(LOSS));
        assert!(digest.last(LOSS).unwrap().is_finite());
    }

    #[test]
    fn what_is_wrong_with_a_log_is_noted_and_the_rest_is_read() {
        let mut digest = Digest::default();
        let text = concat!(
            "{\"kind\":\"step\",\"step\":1,\"epoch\":0,\"loss\":1.0}\n",
            "no record\n",
            "{\"kind\":\"probe\",\"step\":1}\n",
            "{\"kind\":\"step\",\"step\":2,\"epoch\":0,\"loss\":null}\n",
        );
        digest.take(text.as_bytes());
        assert_eq!((digest.step, digest.lines), (2, 4));
        assert_eq!((digest.broken, digest.unknown.as_deref()), (Some(2), Some("probe")));
        assert_eq!((digest.no_number, digest.curves[LOSS].gaps()), (Some(2), 1));
    }

    #[test]
    fn a_log_without_end_takes_bounded_memory() {
        let mut digest = Digest::default();
        let Some(Record::Knn(knn)) = synthetic::records(1, false).into_iter().next() else {
            panic!()
        };
        digest.take(lines(&[Record::Knn(knn.clone())]).as_bytes());
        for epoch in 0..3 * MOST_EVALUATIONS {
            let knn = Knn { epoch, source: Source::Trained, ..knn.clone() };
            digest.evaluate(Evaluation::Knn(knn));
            let name = format!("name-{epoch}");
            digest.take_numbers(&Numbers { step: 1, others: vec![(&name, 1.0)] });
        }
        assert!(digest.evaluations.len() <= MOST_EVALUATIONS);
        assert_eq!(digest.curves.len(), MOST_CURVES);
        assert_eq!(digest.knn(Source::Trained).unwrap().epoch, 3 * MOST_EVALUATIONS - 1);
        assert!(digest.knn(Source::Pixels).is_some(), "floors stay");
    }
}
