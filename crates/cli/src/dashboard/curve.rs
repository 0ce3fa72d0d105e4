//! A number over the steps of a run, in a bounded number of buckets.

/// Most buckets; a run of any length takes no more memory, and a terminal has fewer columns.
const MOST: usize = 1024;

/// Means of a number over runs of steps of one length, which doubles as the curve grows.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Steps a bucket.
    width: u64,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    sum: f64,
    count: u32,
}

impl Bucket {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }
}

impl Default for Curve {
    fn default() -> Self {
        Self { width: 1, buckets: Vec::new() }
    }
}

impl Curve {
    /// Adds what was seen at `step`, counted from 1. What is no number is left out: it has no place on an axis.
    pub(super) fn push(&mut self, step: u64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let at = step.saturating_sub(1);
        while (at / self.width) as usize >= MOST {
            self.halve();
        }
        let at = (at / self.width) as usize;
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, Bucket::default());
        }
        self.buckets[at].add(Bucket { sum: value, count: 1 });
    }

    fn halve(&mut self) {
        let pairs = self.buckets.chunks(2).map(|pair| {
            let mut whole = Bucket::default();
            pair.iter().for_each(|bucket| whole.add(*bucket));
            whole
        });
        self.buckets = pairs.collect();
        self.width *= 2;
    }

    /// At most `most` points, each the mean over equally many steps: the middle of these steps, and the value.
    pub(super) fn points(&self, most: usize) -> Vec<(f64, f64)> {
        let together = self.buckets.len().div_ceil(most.max(1)).max(1);
        let steps = (together as u64 * self.width) as f64;
        let mut points = Vec::new();
        for (at, chunk) in self.buckets.chunks(together).enumerate() {
            let mut whole = Bucket::default();
            chunk.iter().for_each(|bucket| whole.add(*bucket));
            if whole.count > 0 {
                points.push(((at as f64 + 0.5) * steps, whole.sum / f64::from(whole.count)));
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_steps_take_a_bounded_number_of_buckets_and_keep_their_mean() {
        let mut curve = Curve::default();
        (1..=1_000_000).for_each(|step| curve.push(step, step as f64));
        assert!(curve.buckets.len() <= MOST);
        let points = curve.points(100);
        assert!(points.len() <= 100 && points.len() > 40, "{}", points.len());
        for (step, value) in &points[..points.len() - 1] {
            assert!((step + 0.5 - value).abs() < 1.0, "{step} {value}");
        }
    }

    #[test]
    fn a_short_curve_has_a_point_a_step_and_none_for_what_is_no_number() {
        let mut curve = Curve::default();
        [1.0, f64::NAN, 3.0].into_iter().zip(1..).for_each(|(value, step)| curve.push(step, value));
        assert_eq!(curve.points(10), [(0.5, 1.0), (2.5, 3.0)]);
        assert_eq!(Curve::default().points(10), []);
        assert_eq!(curve.points(0).len(), 1, "all in one");
    }

    #[test]
    fn a_run_that_goes_on_late_starts_where_it_is() {
        let mut curve = Curve::default();
        curve.push(5000, 1.0);
        let points = curve.points(2000);
        assert_eq!(points.len(), 1);
        assert!((points[0].0 - 5000.0).abs() <= 8.0, "{points:?}");
    }
}
