//! How numbers are distributed.

/// Counts of numbers in bins of the same width between two ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The lowest end of the first bin, the highest of the last; `low < high`.
    pub range: [f64; 2],
    /// In each bin, its lower end counted in.
    pub counts: Vec<usize>,
}

impl Histogram {
    /// Of `bins` bins from `low` to `high`. What lies beyond either end counts in the bin there, what is no
    /// number nowhere.
    ///
    /// # Panics
    /// If there is no bin, or `low` is not below `high`.
    pub fn new(values: &[f32], [low, high]: [f64; 2], bins: usize) -> Self {
        assert!(bins > 0 && low < high, "bins between two ends");
        let mut counts = vec![0; bins];
        for value in values.iter().filter(|value| !value.is_nan()) {
            let at = (f64::from(*value) - low) / (high - low) * bins as f64;
            // A cast of what is below 0 is 0.
            counts[(at as usize).min(bins - 1)] += 1;
        }
        Self { range: [low, high], counts }
    }

    /// The share of all that lies in each bin; zeros where there is nothing.
    pub fn shares(&self) -> Vec<f64> {
        let all = self.counts.iter().sum::<usize>().max(1) as f64;
        self.counts.iter().map(|&count| count as f64 / all).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_its_bin_and_what_is_beyond_at_the_end() {
        let values = [-3.0, -1.0, -0.51, -0.5, 0.0, 0.99, 1.0, 7.0, f32::NAN];
        let histogram = Histogram::new(&values, [-1.0, 1.0], 4);
        assert_eq!(histogram.counts, [3, 1, 1, 3]);
        assert_eq!(histogram.shares(), [0.375, 0.125, 0.125, 0.375]);
        assert_eq!(Histogram::new(&[], [0.0, 1.0], 2).shares(), [0.0, 0.0]);
    }
}
