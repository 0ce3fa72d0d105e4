//! The evidence: how well frozen features tell the classes apart.

mod encoder;
pub mod features;
pub mod knn;

pub use encoder::{Encoder, Extractor};

use crate::Result;
use crate::config::Config;
use crate::data::{Evaluation, Images};
use crate::report::metrics::KnnResult;
use features::FeatureSet;

/// What is evaluated.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    /// The images themselves: the floor of every encoder.
    Pixels,
    /// A network, at the output that the config names.
    Encoder(&'a Encoder),
}

/// The kNN of `subject`: `evaluation`'s bank is searched for neighbours of its test images.
///
/// `progress` is told images done and in all, and returns whether to go on; none is returned when
/// it says no.
///
/// # Errors
/// Those of [`features::of_pixels`] and [`features::of_encoder`].
pub fn knn_of(
    subject: Subject<'_>,
    evaluation: &Evaluation,
    config: &Config,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<Option<Vec<KnnResult>>> {
    let total = evaluation.bank.len() + evaluation.test.len();
    let mut done = 0;
    let mut count = |images: usize| {
        done += images;
        progress(done, total)
    };
    let mut of = |images: &Images| features_of(subject, images, config, &mut count);
    let Some(mut bank) = of(&evaluation.bank)? else { return Ok(None) };
    let Some(mut test) = of(&evaluation.test)? else { return Ok(None) };
    if config.seed_code.drop_last_bank_batch {
        drop_last_batch(&mut bank, &mut test, config.optimizer.batch_size);
    }
    Ok(Some(knn::evaluate(&bank, &test, &config.eval)))
}

fn features_of(
    subject: Subject<'_>,
    images: &Images,
    config: &Config,
    progress: &mut features::Progress<'_>,
) -> Result<Option<FeatureSet>> {
    match subject {
        Subject::Pixels => features::of_pixels(images, config, progress),
        Subject::Encoder(encoder) => features::of_encoder(encoder, images, config, progress),
    }
}

/// The earlier code's error: bank rows of the last partial batch stay zero and keep their labels,
/// test images of theirs are left out.
fn drop_last_batch(bank: &mut FeatureSet, test: &mut FeatureSet, batch: usize) {
    let whole = |set: &FeatureSet| set.len() / batch * batch;
    let filled = whole(bank) * bank.dim;
    bank.rows[filled..].fill(0.0);
    let kept = whole(test);
    test.rows.truncate(kept * test.dim);
    test.labels.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_codes_bank_keeps_the_labels_of_rows_it_lost() {
        let set = |images: usize| FeatureSet {
            dim: 2,
            rows: (0..2 * images).map(|value| value as f32 + 1.0).collect(),
            labels: (0..images).collect(),
        };
        let (mut bank, mut test) = (set(5), set(7));
        drop_last_batch(&mut bank, &mut test, 3);
        assert_eq!(bank.rows, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(bank.labels, [0, 1, 2, 3, 4]);
        assert_eq!((test.labels.len(), test.rows.len()), (6, 12));
    }
}
