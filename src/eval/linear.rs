//! The linear probe on frozen features, fitted to its optimum.

use measures::logistic::{Grid, GridFit, fit_grid};

use super::features::FeatureSet;
use super::{Effort, Evaluation, Progress, Subject, measured};
use crate::Result;
use crate::record::Outcome;

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
        let hits = guesses.iter().zip(&test.labels).map(|(a, b)| a == b).collect();
        Ok(Some(Outcome::of_hits(hits, ("C", c))))
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
    measured(progress, |progress| fit_grid(data, grid, progress))
}
