//! The evidence: how well frozen features tell the classes apart.
//!
//! An evaluation is one file with an [`Evaluation`] in it, and one line in [`ALL`]. Training, its logs and
//! the report then have it too.

mod encoder;
pub mod features;
pub mod knn;
mod subject;

pub use encoder::{Encoder, Extractor};
pub use subject::Subject;

use crate::Result;
use crate::record::{Outcome, Source};

/// Every evaluation of a run, in order. The first one's leading score chooses the best checkpoint.
pub static ALL: [&dyn Evaluation; 1] = [&knn::NearestNeighbours];

/// Told of images done and images in all; says whether to go on, or what keeps it from that.
pub type Progress<'a> = dyn FnMut(usize, usize) -> Result<bool> + 'a;

/// A measure of what an encoder is worth, taken on labelled images that it was not trained on by label.
pub trait Evaluation: Sync {
    /// What it is called, in records and for people.
    fn name(&self) -> &'static str;

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
