//! A curve of any length in bounded memory.

/// The most buckets that a curve has.
const MOST: usize = 512;

/// A curve thinned as it grows: neighbouring steps share a bucket, of which the least, the greatest and the
/// mean value are kept.
///
/// All buckets are equally wide. When a step lies beyond the last possible one, each two become one and the
/// width doubles, so a million steps take 20 kB as five hundred do. The least and the greatest value of the
/// whole curve survive any number of doublings, since those of a bucket are those of its parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Curve {
    /// The first step that came.
    origin: u64,
    /// Steps that share a bucket, a power of two; 0 while nothing came.
    width: u64,
    buckets: Vec<Bucket>,
}

/// What is kept of the values at some neighbouring steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// How many values there are, gaps left out.
    count: u32,
    /// How many were no finite number.
    gaps: u32,
    sum: f64,
    /// The least value; infinity of none.
    pub(crate) low: f64,
    /// The greatest value; minus infinity of none.
    pub(crate) high: f64,
}

impl Bucket {
    const EMPTY: Self =
        Self { count: 0, gaps: 0, sum: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY };

    /// Whether no step fell into it.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0 && self.gaps == 0
    }

    /// The mean value; none where all were gaps.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }

    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.count = self.count.saturating_add(1);
            self.sum += value;
            self.low = self.low.min(value);
            self.high = self.high.max(value);
        } else {
            self.gaps = self.gaps.saturating_add(1);
        }
    }

    fn joined(&self, other: &Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            gaps: self.gaps.saturating_add(other.gaps),
            sum: self.sum + other.sum,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

impl Curve {
    /// Adds the value at `step`. A value that is no finite number is a gap. A step before the first one, which
    /// no run writes, counts as the first.
    pub(crate) fn add(&mut self, step: u64, value: f64) {
        if self.width == 0 {
            (self.origin, self.width) = (step, 1);
        }
        let distance = step.saturating_sub(self.origin);
        while distance / self.width >= MOST as u64 {
            self.double();
        }
        let index = (distance / self.width) as usize;
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, Bucket::EMPTY);
        }
        self.buckets[index].add(value);
    }

    fn double(&mut self) {
        let pair = |pair: &[Bucket]| pair.iter().fold(Bucket::EMPTY, |a, b| a.joined(b));
        self.buckets = self.buckets.chunks(2).map(pair).collect();
        self.width *= 2;
    }

    /// Steps that share a bucket.
    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    /// The buckets that something fell into, each with its first step.
    pub(crate) fn buckets(&self) -> impl DoubleEndedIterator<Item = (u64, &Bucket)> {
        let first = |index: usize| self.origin.saturating_add(index as u64 * self.width);
        let all = self.buckets.iter().enumerate();
        all.filter(|(_, bucket)| !bucket.is_empty()).map(move |(i, bucket)| (first(i), bucket))
    }

    /// How many values were no finite number.
    pub(crate) fn gaps(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.gaps)).sum()
    }

    /// The mean of the last so many buckets that have a value; none where no bucket has.
    pub(crate) fn recent(&self, buckets: usize) -> Option<f64> {
        let means: Vec<f64> =
            self.buckets().rev().filter_map(|(_, bucket)| bucket.mean()).take(buckets).collect();
        (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
    }

    /// The median of the buckets' means; none where no bucket has a value.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut means: Vec<f64> = self.buckets().filter_map(|(_, bucket)| bucket.mean()).collect();
        means.sort_by(f64::total_cmp);
        means.get(means.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(points: &[(u64, f64)]) -> Curve {
        let mut curve = Curve::default();
        points.iter().for_each(|&(step, value)| curve.add(step, value));
        curve
    }

    fn count(curve: &Curve) -> u64 {
        curve.buckets.iter().map(|bucket| u64::from(bucket.count)).sum()
    }

    /// Values as runs log them, and such as they should not.
    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![8 => -1e6..1e6_f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
    }

    proptest! {
        #[test]
        fn the_least_and_the_greatest_survive_and_nothing_is_lost(
            first in 0..1_000_000_u64,
            steps in prop::collection::vec((1..50_u64, value()), 1..3_000),
        ) {
            let mut step = first;
            let points: Vec<(u64, f64)> =
                steps.iter().map(|&(more, value)| { step += more; (step, value) }).collect();
            let curve = curve(&points);
            let finite = points.iter().map(|&(_, value)| value).filter(|value| value.is_finite());
            let (low, high) = finite.clone().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
            let kept = curve.buckets().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, bucket)| {
                (low.min(bucket.low), high.max(bucket.high))
            });
            prop_assert_eq!(kept, (low, high));
            prop_assert_eq!(count(&curve), finite.count() as u64);
            prop_assert_eq!(curve.gaps() + count(&curve), points.len() as u64);
            prop_assert!(curve.buckets.len() <= MOST);
        }

        #[test]
        fn a_bucket_says_what_the_steps_in_it_say(
            values in prop::collection::vec(-1e3..1e3_f64, 1..5_000),
        ) {
            let points: Vec<(u64, f64)> =
                values.iter().enumerate().map(|(i, &value)| (i as u64 + 1, value)).collect();
            let curve = curve(&points);
            for (first, bucket) in curve.buckets() {
                let end = first + curve.width();
                let inside: Vec<f64> =
                    points.iter().filter(|(step, _)| (first..end).contains(step)).map(|p| p.1).collect();
                let mean = inside.iter().sum::<f64>() / inside.len() as f64;
                prop_assert!((bucket.mean().unwrap() - mean).abs() < 1e-9);
                prop_assert_eq!(bucket.low, inside.iter().copied().fold(f64::INFINITY, f64::min));
            }
        }
    }

    #[test]
    fn a_short_curve_is_kept_as_it_is() {
        let curve = curve(&[(1, 3.0), (2, -1.0), (5, 2.0)]);
        let buckets: Vec<_> =
            curve.buckets().map(|(step, b)| (step, b.mean(), b.low, b.high)).collect();
        let of = |step, value| (step, Some(value), value, value);
        assert_eq!(buckets, [of(1, 3.0), of(2, -1.0), of(5, 2.0)]);
        assert_eq!((curve.width(), curve.recent(2), curve.median()), (1, Some(0.5), Some(2.0)));
    }

    #[test]
    fn what_is_no_number_is_a_gap() {
        let curve = curve(&[(1, 1.0), (2, f64::NAN), (3, f64::NEG_INFINITY)]);
        let means: Vec<_> = curve.buckets().map(|(_, bucket)| bucket.mean()).collect();
        assert_eq!((means, curve.gaps()), (vec![Some(1.0), None, None], 2));
        assert_eq!(curve.recent(5), Some(1.0));
        assert_eq!((Curve::default().recent(5), Curve::default().median()), (None, None));
    }

    #[test]
    fn steps_of_any_size_and_order_have_a_place() {
        let curve = curve(&[(u64::MAX - 1, 1.0), (u64::MAX, 2.0), (0, 3.0)]);
        assert_eq!((count(&curve), curve.buckets.len()), (3, 2));
        let mut far = Curve::default();
        far.add(0, 1.0);
        far.add(u64::MAX, 2.0);
        assert_eq!((count(&far), far.buckets.len() <= MOST), (2, true));
    }
}
