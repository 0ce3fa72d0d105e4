//! What evaluations found.

use serde::{Deserialize, Serialize};

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
