//! The linear probe on frozen features, fitted to its optimum.

use measures::logistic::{Grid, GridFit, fit_grid};

use super::features::FeatureSet;
use super::{Effort, Evaluation, Progress, Subject};
use crate::Result;
use crate::record::{NamedScores, Outcome, Score};

/// The accuracy of multinomial logistic regression on the features as they come from the encoder, each
/// dimension standardised: L-BFGS, the strength of its penalty chosen on a tenth of the training images, as
/// in CLIP's evaluation (Radford et al., 2021, appendix A).
pub struct Linear;

impl Evaluation for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn title(&self) -> &'static str {
        "Linear probe, L-BFGS"
    }

    fn effort(&self) -> Effort {
        Effort::Fit
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let grid = Grid { seed: subject.config().seed, ..Grid::default() };
        let classes = subject.labelled().bank.classes().len();
        let Some([bank, test]) = subject.features(progress)? else { return Ok(None) };
        let Some(GridFit { fitted, c, .. }) = fit(bank, classes, &grid, progress)? else {
            return Ok(None);
        };
        let rows = test.raw_rows();
        let guesses = fitted.predict(measures::Features::new(&rows, test.dim)?)?;
        let hits: Vec<bool> = guesses.iter().zip(&test.labels).map(|(a, b)| a == b).collect();
        let right = hits.iter().filter(|hit| **hit).count();
        let mut scores = NamedScores::default();
        scores.set("top-1", Score::share(right, hits.len()));
        scores.set("C", c);
        Ok(Some(Outcome { hits: Some(hits), ..Outcome::of_scores(scores) }))
    }
}

/// The best classifier of the grid. None is returned when `progress` says no.
fn fit(
    bank: &FeatureSet,
    classes: usize,
    grid: &Grid,
    progress: &mut Progress<'_>,
) -> Result<Option<GridFit>> {
    let rows = bank.raw_rows();
    let data = measures::Features::new(&rows, bank.dim)?.labelled(bank.labels_of(classes)?)?;
    let mut failed = None;
    let fitted = fit_grid(data, grid, &mut |done, total| {
        progress(done, total).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    })?;
    failed.map_or(Ok(fitted), Err)
}
