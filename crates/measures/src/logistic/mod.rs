//! Multinomial logistic regression on frozen features: the linear probe.
//!
//! What is minimised is scikit-learn's `LogisticRegression(C=c)` divided by c times the number of
//! images: the mean cross-entropy and ||W||² / (2 c images). Biases are not penalised.
//!
//! ```
//! use logo_ssl_measures::logistic::{Options, fit};
//! use logo_ssl_measures::{Features, Labels};
//!
//! let rows = [0.0, 0.1, 0.2, 0.9, 1.0, 1.1];
//! let features = Features::new(&rows, 1)?;
//! let data = features.labelled(Labels::new(&[0, 0, 0, 1, 1, 1])?)?;
//! let probe = fit(data, &Options::default(), &mut |_, _| true)?.expect("nobody stops it");
//! assert_eq!(probe.predict(features)?, [0, 0, 0, 1, 1, 1]);
//! # Ok::<(), logo_ssl_measures::Error>(())
//! ```

mod objective;
#[cfg(test)]
mod tests;

use cpu_kernels::{Level, Matrix, Workspace, matmul};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::lbfgs::{Limits, Minimum, minimise};
use crate::split::{Split, stratified};
use crate::{Error, Features, Labelled, Progress, Result};
use objective::{Design, Objective, Scaling};

/// How a classifier is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The inverse of the penalty's strength, scikit-learn's C.
    pub c: f64,
    /// Whether every dimension is brought to mean 0 and standard deviation 1 first, which makes the
    /// penalty mean the same for all features. [`Fitted`] takes features as they were all the same.
    pub standardise: bool,
    /// The greatest magnitude in the gradient of what counts as a minimum, scikit-learn's `tol`. Gradients
    /// scale with the features: those of unit length that are not standardised want a smaller one.
    pub tolerance: f64,
    /// Most iterations.
    pub max_iterations: usize,
}

impl Default for Options {
    /// c 1, standardised, tolerance 1e-4, at most 500 iterations.
    fn default() -> Self {
        Self { c: 1.0, standardise: true, tolerance: 1e-4, max_iterations: 500 }
    }
}

/// How the strength of the penalty is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The values of [`Options::c`] to choose from.
    pub c: Vec<f64>,
    /// The share of each class's training images that is held out to choose by.
    pub held_out: f64,
    /// Which images these are.
    pub seed: u64,
    /// All but c.
    pub options: Options,
}

impl Default for Grid {
    /// Seven values, 10^-5 to 10, which suit standardised features, by a tenth of the images.
    fn default() -> Self {
        let c = (-5..=1).map(|power| 10_f64.powi(power)).collect();
        Self { c, held_out: 0.1, seed: 0, options: Options::default() }
    }
}

/// A linear classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// `[classes, dim]`, for features that are not standardised.
    pub weights: Vec<f32>,
    /// `[classes]`, likewise.
    pub bias: Vec<f32>,
    /// What was minimised: the mean cross-entropy and the penalty, which is on the weights of
    /// standardised features if they were.
    pub loss: f64,
    /// How many iterations it took.
    pub iterations: usize,
    /// Whether the gradient is within the tolerance, or the loss falls no more by what single
    /// precision resolves.
    pub converged: bool,
}

/// One strength of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridPoint {
    /// The value of [`Options::c`].
    pub c: f64,
    /// The accuracy on the images held out, 0 to 1.
    pub accuracy: f64,
    /// As [`Fitted::iterations`].
    pub iterations: usize,
    /// As [`Fitted::converged`].
    pub converged: bool,
}

/// A classifier whose strength was chosen, and what the choice was made by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridFit {
    /// The classifier, fitted to all images with [`GridFit::c`].
    pub fitted: Fitted,
    /// The value with the best accuracy on the images held out, the smallest of equals.
    pub c: f64,
    /// All values, from the strongest penalty to the weakest.
    pub points: Vec<GridPoint>,
}

/// Fits a classifier. None is returned when `progress`, told iterations, says no.
///
/// The result is the same for any number of threads.
///
/// # Errors
/// [`Error::Option`] if an option makes no sense, [`Error::Level`].
pub fn fit(
    data: Labelled<'_>,
    options: &Options,
    progress: &mut Progress<'_>,
) -> Result<Option<Fitted>> {
    check(options, &[options.c])?;
    let images: Vec<usize> = (0..data.labels().len()).collect();
    let design = Design::new(data, &images, options.standardise, Level::chosen()?);
    let mut objective = Objective::new(design);
    let start = vec![0.0; objective.parameters()];
    let mut progress = |done| progress(done, options.max_iterations);
    let minimum = minimise_at(&mut objective, options.c, options, start, &mut progress);
    Ok(minimum.map(|minimum| Fitted::new(minimum, objective.design())))
}

/// Chooses the strength of the penalty by the accuracy on images that are held out, and fits a
/// classifier of that strength to all. Each fit begins with the one before, from the strongest penalty
/// to the weakest. None is returned when `progress`, told iterations, says no.
///
/// The result is the same for any number of threads.
///
/// # Errors
/// [`Error::Option`] if an option makes no sense or there is no strength, [`Error::TooFew`] if no class
/// has two images, [`Error::Level`].
pub fn fit_grid(
    data: Labelled<'_>,
    grid: &Grid,
    progress: &mut Progress<'_>,
) -> Result<Option<GridFit>> {
    let options = &grid.options;
    check(options, &grid.c)?;
    let split = stratified(data.labels(), grid.held_out, grid.seed)?;
    let level = Level::chosen()?;
    let total = (grid.c.len() + 1) * options.max_iterations;
    let mut progress = |done| progress(done, total);
    let Some((points, chosen)) = choose(data, grid, &split, level, &mut progress) else {
        return Ok(None);
    };
    let c = points[chosen.point].c;
    let images: Vec<usize> = (0..data.labels().len()).collect();
    let mut objective = Objective::new(Design::new(data, &images, options.standardise, level));
    let before = grid.c.len() * options.max_iterations;
    let mut progress = |done| progress(before + done);
    let minimum = minimise_at(&mut objective, c, options, chosen.parameters, &mut progress);
    let fitted = minimum.map(|minimum| Fitted::new(minimum, objective.design()));
    Ok(fitted.map(|fitted| GridFit { fitted, c, points }))
}

/// The best point of a grid, and its parameters.
struct Chosen {
    point: usize,
    parameters: Vec<f64>,
}

fn choose(
    data: Labelled<'_>,
    grid: &Grid,
    split: &Split,
    level: Level,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<(Vec<GridPoint>, Chosen)> {
    let options = &grid.options;
    let mut kept = Objective::new(Design::new(data, &split.kept, options.standardise, level));
    let mut held_out = Objective::new(kept.design().with_images(&split.held_out));
    let mut strengths = grid.c.clone();
    strengths.sort_unstable_by(f64::total_cmp);
    let mut points: Vec<GridPoint> = vec![];
    let mut start = vec![0.0; kept.parameters()];
    let mut chosen = Chosen { point: 0, parameters: start.clone() };
    for (at, c) in strengths.into_iter().enumerate() {
        let mut progress = |done| progress(at * options.max_iterations + done);
        let minimum = minimise_at(&mut kept, c, options, start, &mut progress)?;
        start = minimum.point;
        let accuracy = held_out.hits(&start) as f64 / split.held_out.len() as f64;
        if at == 0 || accuracy > points[chosen.point].accuracy {
            chosen = Chosen { point: at, parameters: start.clone() };
        }
        let Minimum { iterations, converged, .. } = minimum;
        points.push(GridPoint { c, accuracy, iterations, converged });
    }
    Some((points, chosen))
}

fn minimise_at(
    objective: &mut Objective<'_>,
    c: f64,
    options: &Options,
    start: Vec<f64>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<Minimum> {
    let penalty = 1.0 / (c * objective.design().len() as f64);
    let limits = Limits { tolerance: options.tolerance, max_iterations: options.max_iterations };
    let mut loss = |at: &[f64], gradient: &mut [f64]| objective.evaluate(at, penalty, gradient);
    minimise(&mut loss, start, limits, progress)
}

fn check(options: &Options, strengths: &[f64]) -> Result<()> {
    let refuse = |name, value, needed| Err(Error::Option { name, value, needed });
    if strengths.is_empty() {
        return refuse("the number of strengths", 0.0, "at least 1");
    }
    if let Some(&c) = strengths.iter().find(|&&c| !(c.is_finite() && c > 0.0)) {
        return refuse("the inverse strength c", c, "finite and more than 0");
    }
    let tolerance = options.tolerance;
    match tolerance.is_finite() && tolerance >= 0.0 {
        true => Ok(()),
        false => refuse("the tolerance", tolerance, "finite and not less than 0"),
    }
}

impl Fitted {
    fn new(minimum: Minimum, design: &Design<'_>) -> Self {
        let Minimum { mut point, value, iterations, converged } = minimum;
        let (weights, bias) = point.split_at_mut(design.classes() * design.dim());
        if let Some(Scaling { mean, factor }) = design.scaling() {
            for (row, bias) in weights.chunks_exact_mut(design.dim()).zip(&mut *bias) {
                for ((weight, mean), factor) in row.iter_mut().zip(mean).zip(factor) {
                    *weight *= factor;
                    *bias -= *weight * mean;
                }
            }
        }
        let single = |numbers: &[f64]| numbers.iter().map(|&x| x as f32).collect();
        Self { weights: single(weights), bias: single(bias), loss: value, iterations, converged }
    }

    /// The logits of each image, `[images, classes]`.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the features are of another length than those it was fitted to,
    /// [`Error::Level`].
    pub fn scores(&self, features: Features<'_>) -> Result<Vec<f32>> {
        let (classes, dim) = (self.bias.len(), features.dim());
        let expected = self.weights.len() / classes;
        if dim != expected {
            return Err(Error::Dimension { found: dim, expected });
        }
        let mut scores = vec![0.0; features.len() * classes];
        let (rows, weights) = (Matrix::plain(features.rows()), Matrix::transposed(&self.weights));
        let size = [features.len(), classes, dim];
        let level = Level::chosen()?;
        matmul(level, size, rows, weights, &mut scores, false, &Workspace::default());
        scores.par_chunks_exact_mut(classes).for_each(|row| {
            row.iter_mut().zip(&self.bias).for_each(|(score, bias)| *score += bias);
        });
        Ok(scores)
    }

    /// The class of the greatest logit of each image, the lower of equals.
    ///
    /// # Errors
    /// As [`Fitted::scores`].
    pub fn predict(&self, features: Features<'_>) -> Result<Vec<usize>> {
        let scores = self.scores(features)?;
        let rows = scores.par_chunks_exact(self.bias.len());
        Ok(rows.map(|row| greatest(row.iter().copied().map(f64::from))).collect())
    }
}

/// Where the greatest of some scores is, the first of equals.
fn greatest(scores: impl Iterator<Item = f64>) -> usize {
    let better = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
    scores.enumerate().reduce(better).map_or(0, |(at, _)| at)
}
