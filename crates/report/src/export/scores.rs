//! What evaluations found, as one list of named numbers.

use logo_ssl::record::{self, Knn, Record, Scores, Source};

/// One number that an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    /// Epochs done.
    pub(super) epoch: usize,
    /// Optimiser steps done.
    pub(super) step: u64,
    /// What the evaluation is called.
    pub(super) evaluation: String,
    /// What was measured.
    pub(super) source: &'static str,
    /// What the number is called: of kNN `top1_k20`, of others as they call it.
    pub(super) name: String,
    /// The number, with its interval where it has one.
    pub(super) score: record::Score,
    /// Whether somebody asked for it in mid-epoch.
    pub(super) asked: bool,
}

/// All scores of a run's records, in order.
pub(super) fn all<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<Score> {
    let mut step = 0;
    let mut scores = Vec::new();
    for record in records {
        if let Record::Step { step: now, .. } | Record::Epoch { step: now, .. } = record {
            step = *now;
        }
        scores.extend(of(record, step));
    }
    scores
}

/// The scores of one record, which came after `step` steps; none of a record of another kind.
pub(super) fn of(record: &Record, step: u64) -> Vec<Score> {
    match record {
        Record::Knn(knn) => of_knn(knn, step),
        Record::Scores(scores) => of_scores(scores, step),
        Record::Asked { step, found } => {
            let asked = |score| Score { asked: true, ..score };
            of(found, *step).into_iter().map(asked).collect()
        }
        _ => Vec::new(),
    }
}

fn of_knn(knn: &Knn, step: u64) -> Vec<Score> {
    let score = |name, k, score| Score {
        epoch: knn.epoch,
        step,
        evaluation: "kNN".to_owned(),
        source: source(knn.source),
        name: format!("{name}_k{k}"),
        score,
        asked: false,
    };
    let both = |result: &record::KnnResult| {
        let [top1, top5] = result.shares(knn.test_images);
        [score("top1", result.k, top1), score("top5", result.k, top5)]
    };
    knn.results.iter().flat_map(both).collect()
}

fn of_scores(scores: &Scores, step: u64) -> Vec<Score> {
    let named = |(name, score): (&str, record::Score)| Score {
        epoch: scores.epoch,
        step,
        evaluation: scores.evaluation.clone(),
        source: source(scores.source),
        name: name.to_owned(),
        score,
        asked: false,
    };
    scores.scores.iter().map(named).collect()
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Trained => "trained",
        Source::Untrained => "untrained",
        Source::Pixels => "pixels",
    }
}
