//! How numbers are distributed, in buckets.

use crate::message;

/// Buckets between the least and the greatest value, as many as TensorFlow 2 takes and TensorBoard draws.
const BUCKETS: usize = 30;

/// Counts of values in 30 buckets of one width between the least and the greatest of them; in one where all are
/// the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    least: f64,
    greatest: f64,
    sum: f64,
    sum_squares: f64,
    /// How many values lie in each bucket; a value on the limit of two is in the upper one.
    counts: Vec<u64>,
}

impl Histogram {
    /// Of `values`; those that are infinite or no number are left out, as there is no place for them.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let buckets = match least < greatest {
            true => BUCKETS,
            false => usize::from(!values.is_empty()),
        };
        let mut counts = vec![0; buckets];
        for value in &values {
            let share = (value / 2.0 - least / 2.0) / (greatest / 2.0 - least / 2.0);
            let at = if share.is_nan() { 0 } else { (share * buckets as f64) as usize };
            counts[at.min(buckets - 1)] += 1;
        }
        let sum = values.iter().sum();
        let sum_squares = values.iter().map(|value| value * value).sum();
        Self { least, greatest, sum, sum_squares, counts }
    }

    /// Whether no value was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn message(&self) -> message::Histogram {
        let Self { least, greatest, sum, sum_squares, counts } = self;
        let buckets = counts.len();
        // Halved, for the difference of two finite numbers may be infinite.
        let limit = |at: usize| {
            let share = (at + 1) as f64 / buckets as f64;
            2.0 * (least / 2.0 + (greatest / 2.0 - least / 2.0) * share)
        };
        let below = (0..buckets.saturating_sub(1)).map(limit);
        let last = (buckets > 0).then_some(*greatest);
        message::Histogram {
            min: if buckets == 0 { 0.0 } else { *least },
            max: if buckets == 0 { 0.0 } else { *greatest },
            num: counts.iter().sum::<u64>() as f64,
            sum: *sum,
            sum_squares: *sum_squares,
            bucket_limit: below.chain(last).collect(),
            bucket: counts.iter().map(|count| *count as f64).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket() {
        let message = Histogram::of((0..=30).map(f64::from)).message();
        assert_eq!((message.min, message.max, message.num), (0.0, 30.0, 31.0));
        assert_eq!((message.sum, message.sum_squares), (465.0, 9455.0));
        assert_eq!(message.bucket_limit.len(), 30);
        assert_eq!((message.bucket_limit[0], message.bucket_limit[29]), (1.0, 30.0));
        let counts = [vec![1.0; 29], vec![2.0]].concat();
        assert_eq!(message.bucket, counts, "the greatest lies in the last");
    }

    #[test]
    fn values_that_are_all_the_same_are_one_bucket() {
        let message = Histogram::of([2.5; 3]).message();
        assert_eq!((message.bucket_limit, message.bucket), (vec![2.5], vec![3.0]));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let message = Histogram::of([f64::NAN, 1.0, f64::INFINITY, 2.0]).message();
        assert_eq!((message.num, message.sum), (2.0, 3.0));
        let none = Histogram::of([f64::NAN]);
        assert!(none.is_empty());
        assert_eq!(none.message(), message::Histogram::default());
    }

    #[test]
    fn the_widest_range_has_finite_limits() {
        let message = Histogram::of([f64::MIN, 0.0, f64::MAX]).message();
        assert!(message.bucket_limit.is_sorted());
        assert_eq!(message.bucket.iter().sum::<f64>(), 3.0);
        assert_eq!(message.bucket_limit.last(), Some(&f64::MAX));
    }
}
