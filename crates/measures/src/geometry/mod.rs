//! How features lie in their space.

mod hubness;
mod pairs;
mod spectrum;

use serde::{Deserialize, Serialize};

pub use hubness::{Hubness, hubness};
pub use pairs::{Pairs, alignment, class_pairs, uniformity};
pub use spectrum::effective_rank;

use crate::Features;

/// A dimension that deviates less than this share of the mean deviation is dead.
const DEAD: f64 = 1e-3;

/// The standard deviations of the dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deviations {
    /// Their mean.
    pub mean: f64,
    /// The least of them.
    pub least: f64,
    /// How many dimensions say nothing: they deviate less than a thousandth of the mean, or all are
    /// constant.
    pub dead: usize,
}

impl Deviations {
    /// Of these features.
    pub fn of(features: Features<'_>) -> Self {
        let all = deviations(features);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let dead = all.iter().filter(|&&std| std <= DEAD * mean).count();
        Self { mean, least, dead }
    }
}

/// The standard deviation of each dimension over the images, `[dim]`, from the number of images.
pub fn deviations(features: Features<'_>) -> Vec<f64> {
    let count = features.len() as f64;
    let means = means(features);
    let mut squares = vec![0.0; features.dim()];
    for row in features.rows().chunks_exact(features.dim()) {
        let centred = row.iter().zip(&means).map(|(&x, mean)| f64::from(x) - mean);
        squares.iter_mut().zip(centred).for_each(|(square, x)| *square += x * x);
    }
    squares.into_iter().map(|square| (square / count).sqrt()).collect()
}

/// The mean of each dimension over the images, `[dim]`.
pub(crate) fn means(features: Features<'_>) -> Vec<f64> {
    let mut sums = vec![0.0; features.dim()];
    for row in features.rows().chunks_exact(features.dim()) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sums.into_iter().map(|sum| sum / features.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_dimensions_are_dead() {
        let rows = [1.0, 5.0, 0.0, 3.0, 5.0, 1e-4];
        let found = Deviations::of(Features::new(&rows, 3).unwrap());
        assert!((found.mean - (1.0 + 5e-5) / 3.0).abs() < 1e-9);
        assert_eq!((found.least, found.dead), (0.0, 2));
        let collapsed = Deviations::of(Features::new(&[7.0; 8], 4).unwrap());
        assert_eq!((collapsed.mean, collapsed.dead), (0.0, 4));
    }
}
