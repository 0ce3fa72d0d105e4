//! What evaluations found, as pages show it: each number with the interval it may lie in, where that is known.

use logo_ssl::eval::EvaluationName;
use logo_ssl::record::{self, KnnResult, Record, Scores, Source};

/// A number that an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    pub(crate) value: f64,
    /// The ends of its 95 % interval.
    pub(crate) interval: Option<[f64; 2]>,
}

impl From<record::Score> for Score {
    fn from(score: record::Score) -> Self {
        let interval = score.interval.map(|interval| [interval.low, interval.high]);
        Self { value: score.value, interval }
    }
}

impl Score {
    /// The same in percent.
    pub(crate) fn percent(self) -> Self {
        let interval = self.interval.map(|ends| ends.map(|end| 100.0 * end));
        Self { value: 100.0 * self.value, interval }
    }
}

/// Top-1 and top-5 of one k.
pub(crate) fn of_knn(result: &KnnResult, test_images: usize) -> [Score; 2] {
    result.shares(test_images).map(Score::from)
}

/// All numbers of an evaluation other than kNN, by name.
pub(crate) fn named(scores: &Scores) -> impl Iterator<Item = (&str, Score)> {
    scores.scores.iter().map(|(name, score)| (name, Score::from(score)))
}

/// What an evaluation is called for people; one of another version by its name.
pub(crate) fn title_of(evaluation: &str) -> &str {
    let known = evaluation.parse::<EvaluationName>();
    known.map_or(evaluation, |name| name.evaluation().title())
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
