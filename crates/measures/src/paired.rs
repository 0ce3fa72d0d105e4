//! Two models on the same images: is one better than the other?

use serde::{Deserialize, Serialize};

use crate::features::same_count;
use crate::interval::{Interval, bootstrap_mean};
use crate::{Error, Result};

/// McNemar's exact test (McNemar 1947) of two classifiers on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Images that only the first classified rightly.
    pub only_first: u64,
    /// Images that only the second classified rightly.
    pub only_second: u64,
    /// How likely so unequal counts, or more so, are if both classifiers are equally good; two-sided.
    pub p_value: f64,
}

impl McNemar {
    /// The test on counts of images that only one classifier had right.
    pub fn of_counts(only_first: u64, only_second: u64) -> Self {
        let p_value = two_sided(only_first.min(only_second), only_first + only_second);
        Self { only_first, only_second, p_value }
    }
}

/// How the hits of two classifiers on the same images differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The second's accuracy less the first's, -1 to 1.
    pub difference: f64,
    /// The interval of the difference, by the percentile bootstrap over images.
    pub interval: Interval,
    /// The test of whether it is none.
    pub test: McNemar,
}

/// Compares which of the same images two classifiers had right.
///
/// # Errors
/// [`Error::Count`] if there are not as many of both, else as [`bootstrap_mean`].
pub fn compare(first: &[bool], second: &[bool], resamples: usize, seed: u64) -> Result<Comparison> {
    let as_scores = |hits: &[bool]| hits.iter().map(|&hit| f64::from(u8::from(hit))).collect();
    let [a, b]: [Vec<f64>; 2] = [as_scores(first), as_scores(second)];
    let (difference, interval) = bootstrap_difference(&a, &b, resamples, seed)?;
    let only = |these: &[bool], those: &[bool]| {
        these.iter().zip(those).filter(|&(&this, &that)| this && !that).count() as u64
    };
    let test = McNemar::of_counts(only(first, second), only(second, first));
    Ok(Comparison { difference, interval, test })
}

/// The mean of `second` less that of `first`, scores of the same images in the same order, and its
/// interval by the percentile bootstrap: images are drawn, so that what makes an image hard for both
/// drops out.
///
/// # Errors
/// [`Error::Count`] if there are not as many of both, else as [`bootstrap_mean`].
pub fn bootstrap_difference(
    first: &[f64],
    second: &[f64],
    resamples: usize,
    seed: u64,
) -> Result<(f64, Interval)> {
    same_count("scores of the second", second.len(), first.len())?;
    let differences: Vec<f64> = second.iter().zip(first).map(|(b, a)| b - a).collect();
    let interval = bootstrap_mean(&differences, resamples, seed)?;
    Ok((differences.iter().sum::<f64>() / differences.len() as f64, interval))
}

/// 2 P(X ≤ `least`), at most 1, where X is how often one of `trials` fair coins shows heads.
///
/// The greatest term is taken by logarithms, since 2^-trials vanishes beyond a thousand; those before
/// it follow from the ratio of neighbours.
fn two_sided(least: u64, trials: u64) -> f64 {
    let choices = (0..least).map(|i| ((trials - i) as f64 / (i + 1) as f64).ln()).sum::<f64>();
    let mut term = (choices - trials as f64 * std::f64::consts::LN_2).exp();
    let mut sum = term;
    for heads in (1..=least).rev() {
        term *= heads as f64 / (trials - heads + 1) as f64;
        sum += term;
    }
    (2.0 * sum).min(1.0)
}
