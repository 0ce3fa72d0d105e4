//! Curves cut to a length that a page can hold, without hiding their extremes.

use std::ops::Range;

use serde::{Serialize, Serializer};

/// A curve that is at most so many buckets long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinned {
    /// The curve, x ascending: the mean of each bucket at the x of its middle value, or every value where there are
    /// few enough. None is a gap: at its x, and maybe behind it, are values that are no finite numbers.
    pub points: Vec<(f64, Option<f64>)>,
    /// The least and the greatest value of each bucket, at the x of its point; empty where every value is a point.
    pub band: Vec<Extremes>,
    /// How many values are no finite numbers.
    pub gaps: usize,
}

/// What the values of a bucket lie between.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extremes {
    /// The x of the bucket's point.
    pub x: f64,
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
}

/// As JSON it is `[x, low, high]`.
impl Serialize for Extremes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.x, self.low, self.high].serialize(serializer)
    }
}

/// Cuts the curve of `y` over `x` to at most `buckets` means, each with the extremes that it stands for and at most one
/// gap on either side. A curve of at most that many values stays as it is.
///
/// The least and the greatest finite value of `y` are always in the band, or among the points where there is no band.
/// NaN and infinities take part in no mean: they are a gap, so that a curve is never drawn across them.
///
/// # Panics
/// When `x` and `y` are not equally long, or `buckets` is 0.
pub fn thin(x: &[f64], y: &[f64], buckets: usize) -> Thinned {
    assert_eq!(x.len(), y.len(), "a curve has one y for each x");
    assert!(buckets > 0, "a curve in no buckets says nothing");
    let gaps = y.iter().filter(|value| !value.is_finite()).count();
    if x.len() <= buckets {
        let finite = |value: &f64| value.is_finite().then_some(*value);
        let points = x.iter().copied().zip(y.iter().map(finite)).collect();
        return Thinned { points, band: Vec::new(), gaps };
    }
    let mut thinned = Thinned { gaps, ..Thinned::default() };
    for bucket in 0..buckets {
        // In 128 bits the product of two lengths always fits.
        let edge = |bucket: usize| (bucket as u128 * x.len() as u128 / buckets as u128) as usize;
        let range = edge(bucket)..edge(bucket + 1);
        thinned.add(&x[range.clone()], &y[range]);
    }
    thinned
}

impl Thinned {
    /// Adds one bucket, which is not empty.
    fn add(&mut self, x: &[f64], y: &[f64]) {
        let finite: Vec<usize> = (0..y.len()).filter(|&i| y[i].is_finite()).collect();
        let Some(&middle) = finite.get(finite.len() / 2) else {
            self.points.push((x[0], None));
            return;
        };
        let first_gap = |mut places: Range<usize>| places.find(|&i| !y[i].is_finite());
        let gap = |at: usize| (x[at], None);
        self.points.extend(first_gap(0..middle).map(gap));
        let values = || finite.iter().map(|&i| y[i]);
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(f64::NEG_INFINITY, f64::max);
        // Divided first, for the sum of many great numbers is infinite.
        let mean: f64 = values().map(|value| value / finite.len() as f64).sum();
        self.points.push((x[middle], Some(mean.clamp(low, high))));
        self.band.push(Extremes { x: x[middle], low, high });
        self.points.extend(first_gap(middle..y.len()).map(gap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thinned(y: &[f64], buckets: usize) -> Thinned {
        let x: Vec<f64> = (0..y.len()).map(|i| i as f64).collect();
        thin(&x, y, buckets)
    }

    #[test]
    fn few_values_stay_as_they_are() {
        let Thinned { points, band, gaps } = thinned(&[3.0, f64::NAN, f64::INFINITY, 1.0], 4);
        assert_eq!(points, [(0.0, Some(3.0)), (1.0, None), (2.0, None), (3.0, Some(1.0))]);
        assert_eq!((band.len(), gaps), (0, 2));
        assert_eq!(thinned(&[], 1), Thinned::default());
    }

    #[test]
    fn a_bucket_is_its_mean_between_its_extremes() {
        let Thinned { points, band, gaps } = thinned(&[1.0, 2.0, 6.0, -1.0, 0.0, 1.0], 2);
        assert_eq!(points, [(1.0, Some(3.0)), (4.0, Some(0.0))]);
        let extremes = |x, low, high| Extremes { x, low, high };
        assert_eq!(band, [extremes(1.0, 1.0, 6.0), extremes(4.0, -1.0, 1.0)]);
        assert_eq!(gaps, 0);
        assert_eq!(serde_json::to_string(&band[0]).unwrap(), "[1.0,1.0,6.0]");
    }

    #[test]
    fn a_gap_stands_on_its_side_of_the_bucket() {
        let nan = f64::NAN;
        let points = thinned(&[nan, 2.0, 4.0, 2.0, 4.0, nan, nan, nan, nan], 3).points;
        let expected = [(0.0, None), (2.0, Some(3.0)), (4.0, Some(3.0)), (5.0, None), (6.0, None)];
        assert_eq!(points, expected);
    }

    #[test]
    fn great_numbers_have_a_mean() {
        let points = thinned(&[f64::MAX; 10], 1).points;
        assert_eq!(points, [(5.0, Some(f64::MAX))]);
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            12 => -1e3..1e3_f64,
            2 => any::<f64>(),
            1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_hidden(y in prop::collection::vec(value(), 0..300), buckets in 1..40_usize) {
            let Thinned { points, band, gaps } = thinned(&y, buckets);
            let finite = || y.iter().copied().filter(|value| value.is_finite());
            prop_assert_eq!(gaps, y.len() - finite().count());
            prop_assert_eq!(points.iter().any(|(_, value)| value.is_none()), gaps > 0);

            prop_assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0), "{points:?}");
            let values = points.iter().filter_map(|&(x, value)| Some((x, value?)));
            prop_assert!(values.clone().count() <= buckets);
            prop_assert!(points.len() <= 3 * buckets);

            let lows = band.iter().map(|extremes| extremes.low);
            let highs = band.iter().map(|extremes| extremes.high);
            let drawn = values.clone().map(|(_, value)| value);
            let least = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::min);
            let most = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
            prop_assert_eq!(least(&mut lows.chain(drawn.clone())), least(&mut finite()));
            prop_assert_eq!(most(&mut highs.chain(drawn)), most(&mut finite()));

            if y.len() > buckets {
                let within = values.zip(&band).all(|((x, mean), extremes)| {
                    extremes.x == x && (extremes.low..=extremes.high).contains(&mean)
                });
                prop_assert!(within, "{points:?} {band:?}");
            }
        }

        #[test]
        fn no_line_crosses_a_gap(y in prop::collection::vec(value(), 0..300), buckets in 1..40_usize) {
            let points = thinned(&y, buckets).points;
            for pair in points.windows(2) {
                if let [(from, Some(_)), (to, Some(_))] = *pair {
                    let between = &y[from as usize..=to as usize];
                    let lost = between.iter().filter(|value| !value.is_finite()).count();
                    prop_assert_eq!(lost, 0, "between {} and {}", from, to);
                }
            }
        }
    }
}
