//! What evaluations found.

use serde::{Deserialize, Serialize};

use super::{Record, Scalars};

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
    pub scores: Scalars,
}

/// What came of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Of kNN, one for each k.
    Knn(Vec<KnnResult>),
    /// Of any other, by name.
    Scores(Scalars),
}

impl Outcome {
    /// The score that tells a better encoder from a worse: kNN's top-1 at the first k, the first of other
    /// evaluations' scores. The higher, the better.
    pub fn leading(&self) -> Option<f64> {
        match self {
            Outcome::Knn(results) => results.first().map(|result| result.top1),
            Outcome::Scores(scores) => scores.iter().next().map(|(_, score)| score),
        }
    }
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
        match outcome {
            Outcome::Knn(results) => {
                Record::Knn(Knn { epoch, source, train_images, test_images, results })
            }
            Outcome::Scores(scores) => {
                let evaluation = evaluation.to_owned();
                Record::Scores(Scores {
                    evaluation,
                    epoch,
                    source,
                    train_images,
                    test_images,
                    scores,
                })
            }
        }
    }
}
