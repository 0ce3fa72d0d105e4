//! What evaluations found, as pages show it: each number with the interval it may lie in, where that is known.

use logo_ssl::record::{KnnResult, Record, Scores, Source};

use super::interval::wilson;

/// A number that an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    pub(crate) value: f64,
    /// The ends of its 95 % interval.
    pub(crate) interval: Option<[f64; 2]>,
}

impl Score {
    /// The share of `images` that were classified correctly, with Wilson's interval.
    pub(crate) fn share(value: f64, images: usize) -> Self {
        Self { value, interval: wilson(value, images) }
    }

    /// The same in percent.
    pub(crate) fn percent(self) -> Self {
        let interval = self.interval.map(|ends| ends.map(|end| 100.0 * end));
        Self { value: 100.0 * self.value, interval }
    }
}

/// Top-1 and top-5 of one k.
pub(crate) fn of_knn(result: &KnnResult, test_images: usize) -> [Score; 2] {
    [result.top1, result.top5].map(|share| Score::share(share, test_images))
}

/// All numbers of an evaluation other than kNN, by name.
pub(crate) fn named(scores: &Scores) -> impl Iterator<Item = (&str, Score)> {
    scores.scores.iter().map(|(name, value)| (name, Score { value, interval: None }))
}

/// The names of the evaluations other than kNN, sorted.
pub(crate) fn evaluations(records: &[Record]) -> Vec<&str> {
    let mut names: Vec<&str> = all(records).map(|scores| scores.evaluation.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What the evaluation called `evaluation` found of `source`, in order.
pub(crate) fn of<'a>(
    records: &'a [Record],
    evaluation: &str,
    source: Source,
) -> impl DoubleEndedIterator<Item = &'a Scores> {
    all(records).filter(move |scores| scores.evaluation == evaluation && scores.source == source)
}

fn all(records: &[Record]) -> impl DoubleEndedIterator<Item = &Scores> {
    records.iter().filter_map(|record| match record {
        Record::Scores(scores) => Some(scores),
        _ => None,
    })
}
