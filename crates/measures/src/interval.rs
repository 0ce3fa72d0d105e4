//! Intervals around shares and means.
//!
//! ```
//! use logo_ssl_measures::interval::wilson;
//!
//! let interval = wilson(7912, 10_000)?;
//! assert!((interval.low - 0.7831).abs() < 1e-4 && (interval.high - 0.7991).abs() < 1e-4);
//! # Ok::<(), logo_ssl_measures::Error>(())
//! ```

use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, generator};
use crate::{Error, Result};

/// How often an interval of this crate covers what it is an estimate of.
pub const CONFIDENCE: f64 = 0.95;
/// Resamples that suffice for two digits of an interval's ends.
pub const RESAMPLES: usize = 2000;
/// The quantile of the standard normal distribution that leaves (1 - [`CONFIDENCE`]) / 2 above it.
const Z: f64 = 1.959_963_984_540_054;

/// An interval of 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Wilson's score interval of the share `hits` / `total` (Wilson 1927), which unlike the normal
/// approximation stays within 0 and 1 and is sound near them. Of no trials it is all of that.
///
/// # Errors
/// [`Error::Option`] if there are more hits than trials.
pub fn wilson(hits: usize, total: usize) -> Result<Interval> {
    if hits > total {
        let needed = "at most the number of trials";
        return Err(Error::Option { name: "the number of hits", value: hits as f64, needed });
    }
    let (hits, total) = (hits as f64, total as f64);
    let centre = (hits + Z * Z / 2.0) / (total + Z * Z);
    let variance = if total > 0.0 { hits * (total - hits) / total } else { 0.0 };
    let half = Z / (total + Z * Z) * (variance + Z * Z / 4.0).sqrt();
    Ok(Interval { low: (centre - half).max(0.0), high: (centre + half).min(1.0) })
}

/// The percentile bootstrap's interval of the mean of `values` (Efron 1979): the means of `resamples`
/// draws of as many values with replacement, of which the middle 95 % are taken.
///
/// # Errors
/// [`Error::NoImages`] without values, [`Error::Option`] without resamples.
pub fn bootstrap_mean(values: &[f64], resamples: usize, seed: u64) -> Result<Interval> {
    if values.is_empty() {
        return Err(Error::NoImages);
    }
    if resamples == 0 {
        let needed = "at least 1; 2000 give two digits";
        return Err(Error::Option { name: "the number of resamples", value: 0.0, needed });
    }
    let mean = |resample: usize| {
        let mut rng = generator(seed, Purpose::Bootstrap, resample as u64, 0);
        let draws = (0..values.len()).map(|_| values[rng.random_range(0..values.len())]);
        draws.sum::<f64>() / values.len() as f64
    };
    let mut means: Vec<f64> = (0..resamples).into_par_iter().map(mean).collect();
    means.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Ok(Interval { low: quantile(&means, tail), high: quantile(&means, 1.0 - tail) })
}

/// The quantile of sorted values, interpolated between neighbours as numpy does.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_trials_narrow_wilsons_interval_and_none_say_nothing() {
        let width = |hits, total| {
            let Interval { low, high } = wilson(hits, total).unwrap();
            assert!(0.0 <= low && low <= high && high <= 1.0);
            high - low
        };
        assert_eq!(width(0, 0), 1.0);
        assert!(width(5, 10) > width(50, 100) && width(50, 100) > width(500, 1000));
        assert!(matches!(wilson(3, 2), Err(Error::Option { .. })));
    }

    #[test]
    fn a_bootstrap_is_by_seed_and_of_constants_a_point() {
        let values = [0.25; 9];
        let interval = bootstrap_mean(&values, 10, 0).unwrap();
        assert_eq!(interval, Interval { low: 0.25, high: 0.25 });
        let values: Vec<f64> = (0..40).map(f64::from).collect();
        let of = |seed| bootstrap_mean(&values, 500, seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).low < 19.5 && 19.5 < of(1).high);
        assert_eq!(bootstrap_mean(&[], 10, 0), Err(Error::NoImages));
        assert!(matches!(bootstrap_mean(&values, 0, 0), Err(Error::Option { .. })));
    }

    #[test]
    fn quantiles_are_interpolated() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|at| quantile(&sorted, at)),
            [1.0, 1.5, 2.0, 3.0, 4.0]
        );
    }
}
