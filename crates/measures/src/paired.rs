//! Two models on the same images: is one better than the other?

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::features::same_count;
use crate::interval::{Interval, bootstrap_mean};

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
/// [`crate::Error::Count`] if there are not as many of both, else as [`bootstrap_mean`].
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
/// [`crate::Error::Count`] if there are not as many of both, else as [`bootstrap_mean`].
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_better_model_is_told_from_an_equal_one() {
        // Of 200 images, the first has every other right; the second those and every fifth besides.
        let first: Vec<bool> = (0..200).map(|image| image % 2 == 0).collect();
        let second: Vec<bool> = (0..200).map(|image| image % 2 == 0 || image % 5 == 0).collect();
        let better = compare(&first, &second, 1000, 1).unwrap();
        assert!((better.difference - 0.1).abs() < 1e-12);
        assert!(0.05 < better.interval.low && better.interval.high < 0.15);
        assert_eq!((better.test.only_first, better.test.only_second), (0, 20));
        assert_eq!(better.test.p_value, 2.0 * 0.5_f64.powi(20));
        let equal = compare(&first, &first, 1000, 1).unwrap();
        assert_eq!((equal.difference, equal.test.p_value), (0.0, 1.0));
        assert_eq!(equal.interval, Interval { low: 0.0, high: 0.0 });
    }

    #[test]
    fn scores_must_be_of_the_same_images() {
        let error = compare(&[true; 3], &[true; 2], 10, 0).unwrap_err();
        assert_eq!(error, Error::Count { what: "scores of the second", found: 2, images: 3 });
        assert_eq!(compare(&[], &[], 10, 0).unwrap_err(), Error::NoImages);
    }
}
