//! The evidence: what frozen features, and the encoder itself, are worth on labelled images.
//!
//! An evaluation is one file with an [`Evaluation`] in it, and one line in [`ALL`]. Settings and commands
//! then know its name, and training, its logs and the report have its scores. Several of them, of an encoder
//! and of its floors, make a [`Suite`].

pub mod affinity;
pub mod classes;
mod classifier;
pub mod clusters;
mod crops;
pub mod embed;
mod encoder;
pub mod features;
pub mod few_shot;
pub mod fine_tuning;
pub mod geometry;
pub mod knn;
mod lessons;
pub mod linear;
pub mod linear_sgd;
pub mod map;
mod name;
pub mod neighbours;
mod shown;
pub mod similarities;
mod subject;
mod suite;

pub use encoder::{Encoder, Extractor};
pub use name::EvaluationName;
pub use subject::Subject;
pub use suite::{
    Compared, Effort, Examined, Finding, Findings, Progress as SuiteProgress, Suite, VERSION,
};

use crate::Result;
use crate::record::{Outcome, Source};

/// Every evaluation, in the order in which they are shown.
pub static ALL: [&dyn Evaluation; 10] = [
    &knn::NearestNeighbours,
    &few_shot::FewShot,
    &linear::Linear,
    &linear_sgd::LinearSgd,
    &fine_tuning::ONE_PERCENT,
    &fine_tuning::TEN_PERCENT,
    &fine_tuning::ALL_LABELS,
    &classes::Classes,
    &clusters::Clusters,
    &geometry::Geometry,
];

/// Told of images done and images in all; says whether to go on, or what keeps it from that.
pub type Progress<'a> = dyn FnMut(usize, usize) -> Result<bool> + 'a;

/// A measure of what an encoder is worth, taken on labelled images that it was not trained on by label.
pub trait Evaluation: Sync {
    /// What it is called in settings, commands and records.
    fn name(&self) -> &'static str;

    /// What it is called for people.
    fn title(&self) -> &'static str;

    /// What it takes beside the features.
    fn effort(&self) -> Effort;

    /// Whether it can measure `source`: one that needs a network leaves the pixels out.
    fn measures(&self, source: Source) -> bool {
        let _ = source;
        true
    }

    /// Measures `subject`: its features, or its encoder where that takes more. None is returned when
    /// `progress` says no. The same weights and images give the same outcome, bit by bit.
    ///
    /// # Errors
    /// As [`Subject::features`].
    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>>;
}

/// Which of `scores` is the greatest, of equals the first.
fn first_greatest(scores: &[f64]) -> usize {
    let better = |best: usize, at: usize| if scores[at] > scores[best] { at } else { best };
    (0..scores.len()).fold(0, better)
}

/// What a measure makes, which asks `progress` whether to go on: measures know no errors of others, so what
/// keeps `progress` from its work stops them and is the error here.
fn measured<T>(
    progress: &mut Progress<'_>,
    measure: impl FnOnce(&mut measures::Progress<'_>) -> measures::Result<Option<T>>,
) -> Result<Option<T>> {
    let mut failed = None;
    let made = measure(&mut |done, total| {
        progress(done, total).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    })?;
    failed.map_or(Ok(made), Err)
}
