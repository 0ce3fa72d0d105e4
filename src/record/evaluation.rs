//! What evaluations found.

use serde::{Deserialize, Serialize};

use super::Record;
use super::score::{Confusion, NamedScores, Score};

/// One kNN evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knn {
    /// Epochs done; 0 for the floors.
    pub epoch: usize,
    /// What was compared.
    pub source: Source,
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

/// What an evaluation measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
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

impl KnnResult {
    /// Top-1 and top-5 over `test_images` images, with Wilson's 95 % intervals.
    pub fn shares(&self, test_images: usize) -> [Score; 2] {
        [self.top1, self.top5].map(|share| {
            let hits = (share * test_images as f64).round() as usize;
            Score { value: share, ..Score::share(hits, test_images) }
        })
    }
}

/// One evaluation other than kNN, whose records are older and have a form of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// What the evaluation is called.
    pub evaluation: String,
    /// Epochs done; 0 for the floors.
    pub epoch: usize,
    /// What was measured.
    pub source: Source,
    /// Labelled images that it could learn from.
    pub train_images: usize,
    /// Images that it was tested on.
    pub test_images: usize,
    /// What came of it, by name.
    pub scores: NamedScores,
    /// Which classes were taken for which, where that is what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
}

/// What came of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its numbers.
    pub found: Found,
    /// Which classes were taken for which, where that is what it is about.
    pub confusion: Option<Confusion>,
    /// For each test image, whether the leading score counts it as right, where it counts images: two
    /// encoders are told apart by the images that one has right and the other wrong.
    pub hits: Option<Vec<bool>>,
}

/// The numbers of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Of kNN, one for each k.
    Knn(Vec<KnnResult>),
    /// Of any other, by name.
    Scores(NamedScores),
}

impl Outcome {
    /// Scores, and nothing beside them.
    pub fn of_scores(scores: NamedScores) -> Self {
        Self { found: Found::Scores(scores), confusion: None, hits: None }
    }

    /// The accuracy by `hits`, one for each test image, as the leading score, and a named number beside it.
    pub fn of_hits(hits: Vec<bool>, (name, number): (&'static str, f64)) -> Self {
        let right = hits.iter().filter(|hit| **hit).count();
        let mut scores = NamedScores::default();
        scores.set("top-1", Score::share(right, hits.len()));
        scores.set(name, number);
        Self { hits: Some(hits), ..Self::of_scores(scores) }
    }

    /// The score that tells a better encoder from a worse: kNN's top-1 at the first k, the first of other
    /// evaluations' scores. The higher, the better.
    pub fn leading(&self) -> Option<f64> {
        match &self.found {
            Found::Knn(results) => results.first().map(|result| result.top1),
            Found::Scores(scores) => scores.leading().map(|score| score.value),
        }
    }

    /// Its numbers by name, kNN's over `test_images` among them.
    pub fn scores(&self, test_images: usize) -> NamedScores {
        match &self.found {
            Found::Knn(results) => of_knn(results, test_images),
            Found::Scores(scores) => scores.clone(),
        }
    }
}

/// kNN's accuracies by name, with their intervals. One neighbour names one class, so there is no top-5 at
/// k = 1.
fn of_knn(results: &[KnnResult], test_images: usize) -> NamedScores {
    let mut scores = NamedScores::default();
    for result in results {
        let [top1, top5] = result.shares(test_images);
        scores.set(format!("k={} top-1", result.k), top1);
        if result.k > 1 {
            scores.set(format!("k={} top-5", result.k), top5);
        }
    }
    scores
}

/// Of what an outcome is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Epochs done; 0 for the floors.
    pub epoch: usize,
    /// What was measured.
    pub source: Source,
    /// Labelled images that the evaluation could learn from.
    pub train_images: usize,
    /// Images that it was tested on.
    pub test_images: usize,
}

impl Measured {
    /// The record of what came of the evaluation called `evaluation`.
    pub fn record(self, evaluation: &str, outcome: Outcome) -> Record {
        let Self { epoch, source, train_images, test_images } = self;
        let Outcome { found, confusion, .. } = outcome;
        match found {
            Found::Knn(results) => {
                Record::Knn(Knn { epoch, source, train_images, test_images, results })
            }
            Found::Scores(scores) => Record::Scores(Scores {
                evaluation: evaluation.to_owned(),
                epoch,
                source,
                train_images,
                test_images,
                scores,
                confusion,
            }),
        }
    }
}
