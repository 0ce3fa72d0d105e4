//! L-BFGS with a line search by the strong Wolfe conditions (Nocedal and Wright, Numerical
//! Optimization, algorithms 7.4, 7.5, 3.5 and 3.6).

use std::collections::VecDeque;

/// Steps that the curvature is told from.
const HISTORY: usize = 10;
/// Sufficient decrease and curvature of the Wolfe conditions.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
/// Evaluations in a line search, to bracket a step and to find it.
const BRACKETING: usize = 20;
const ZOOMING: usize = 10;
/// A step that lowers the value by less than this share of it is the last: sums of products in
/// single precision resolve no more.
const FLAT: f64 = 1e-12;

/// A function of many variables: takes a point, fills in the gradient, and returns the value.
pub(crate) type Function<'a> = dyn FnMut(&[f64], &mut [f64]) -> f64 + 'a;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The greatest magnitude in the gradient of a minimum.
    pub(crate) tolerance: f64,
    pub(crate) max_iterations: usize,
}

/// Where a search ended.
pub(crate) struct Minimum {
    pub(crate) point: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) iterations: usize,
    /// Whether the gradient is within the tolerance or the value falls no more.
    pub(crate) converged: bool,
}

/// Minimises `function` from `start` on. `progress` is told the iterations done after each; none is
/// returned when it says no.
pub(crate) fn minimise(
    function: &mut Function<'_>,
    start: Vec<f64>,
    limits: Limits,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<Minimum> {
    let mut at = Point::of(function, start);
    let mut history = History::default();
    for iterations in 0..limits.max_iterations {
        if at.is_flat(limits.tolerance) {
            return Some(at.minimum(iterations, true));
        }
        let Some(next) = step(function, &at, &mut history) else {
            return Some(at.minimum(iterations, true));
        };
        let fall = at.value - next.value;
        at = next;
        if !progress(iterations + 1) {
            return None;
        }
        if fall <= FLAT * at.value.abs() {
            return Some(at.minimum(iterations + 1, true));
        }
    }
    let converged = at.is_flat(limits.tolerance);
    Some(at.minimum(limits.max_iterations, converged))
}

/// The point after one step, none if the value falls in no direction that is known.
fn step(function: &mut Function<'_>, at: &Point, history: &mut History) -> Option<Point> {
    let next = along(function, at, history).or_else(|| {
        // A history of rounding errors may point uphill: the gradient itself does not.
        let forgotten = !history.pairs.is_empty();
        history.pairs.clear();
        forgotten.then(|| along(function, at, history)).flatten()
    })?;
    history.learn(at, &next);
    Some(next)
}

fn along(function: &mut Function<'_>, at: &Point, history: &History) -> Option<Point> {
    let direction = history.direction(&at.gradient);
    let first = match history.pairs.is_empty() {
        true => at.gradient.iter().map(|g| g.abs()).sum::<f64>().recip().min(1.0),
        false => 1.0,
    };
    LineSearch::new(function, at, &direction)?.run(first)
}

/// A point, the value there and the gradient.
struct Point {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl Point {
    fn of(function: &mut Function<'_>, at: Vec<f64>) -> Self {
        let mut gradient = vec![0.0; at.len()];
        let value = function(&at, &mut gradient);
        Self { at, value, gradient }
    }

    fn is_flat(&self, tolerance: f64) -> bool {
        self.gradient.iter().all(|g| g.abs() <= tolerance)
    }

    fn minimum(self, iterations: usize, converged: bool) -> Minimum {
        Minimum { point: self.at, value: self.value, iterations, converged }
    }
}

/// The last steps and how the gradient changed along them, the latest last.
#[derive(Default)]
struct History {
    pairs: VecDeque<Pair>,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// Their inner product.
    product: f64,
}

impl History {
    fn learn(&mut self, from: &Point, to: &Point) {
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        let step: Vec<f64> = difference(&to.at, &from.at);
        let change: Vec<f64> = difference(&to.gradient, &from.gradient);
        let product = dot(&step, &change);
        // What is not convex along the step cannot shape a positive definite matrix.
        if product > f64::EPSILON * dot(&change, &change) {
            if self.pairs.len() == HISTORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair { step, change, product });
        }
    }

    /// Minus the gradient times the inverse of the curvature (algorithm 7.4, the two loops).
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = vec![];
        for pair in self.pairs.iter().rev() {
            let share = dot(&pair.step, &direction) / pair.product;
            add(&mut direction, -share, &pair.change);
            shares.push(share);
        }
        if let Some(Pair { change, product, .. }) = self.pairs.back() {
            let scale = product / dot(change, change);
            direction.iter_mut().for_each(|d| *d *= scale);
        }
        for (pair, share) in self.pairs.iter().zip(shares.into_iter().rev()) {
            let other = dot(&pair.change, &direction) / pair.product;
            add(&mut direction, share - other, &pair.step);
        }
        direction
    }
}

/// A search along a line for a step that fulfils the strong Wolfe conditions.
struct LineSearch<'a, 'f> {
    function: &'a mut Function<'f>,
    from: &'a Point,
    direction: &'a [f64],
    slope: f64,
}

/// A step along the line that was tried.
struct Trial {
    step: f64,
    slope: f64,
    point: Point,
}

/// What is known of one end of an interval of steps.
#[derive(Clone, Copy)]
struct End {
    step: f64,
    value: f64,
    slope: f64,
}

impl Trial {
    fn end(&self) -> End {
        End { step: self.step, value: self.point.value, slope: self.slope }
    }
}

impl<'a, 'f> LineSearch<'a, 'f> {
    /// None if the direction does not lead down.
    fn new(function: &'a mut Function<'f>, from: &'a Point, direction: &'a [f64]) -> Option<Self> {
        let slope = dot(&from.gradient, direction);
        (slope < 0.0).then_some(Self { function, from, direction, slope })
    }

    /// Algorithm 3.5: longer and longer steps until a good one must lie between two.
    fn run(mut self, first: f64) -> Option<Point> {
        let mut low = End { step: 0.0, value: self.from.value, slope: self.slope };
        let mut best = None;
        let mut step = first;
        for _ in 0..BRACKETING {
            let trial = self.trial(step);
            if !self.falls_enough(&trial) || trial.point.value >= low.value {
                return self.zoom(low, trial.end(), best);
            }
            if self.is_level(&trial) {
                return Some(trial.point);
            }
            if trial.slope >= 0.0 {
                return self.zoom(trial.end(), low, Some(trial.point));
            }
            low = trial.end();
            best = Some(trial.point);
            step *= 2.0;
        }
        best
    }

    /// Algorithm 3.6: `low` is the best step so far, whose point is `best` unless it is none; a good
    /// step lies between it and `high`.
    fn zoom(mut self, mut low: End, mut high: End, mut best: Option<Point>) -> Option<Point> {
        for _ in 0..ZOOMING {
            let trial = self.trial(between(low, high));
            if !self.falls_enough(&trial) || trial.point.value >= low.value {
                high = trial.end();
                continue;
            }
            if self.is_level(&trial) {
                return Some(trial.point);
            }
            if trial.slope * (high.step - low.step) >= 0.0 {
                high = low;
            }
            low = trial.end();
            best = Some(trial.point);
        }
        best
    }

    fn trial(&mut self, step: f64) -> Trial {
        let mut at = self.from.at.clone();
        add(&mut at, step, self.direction);
        let point = Point::of(self.function, at);
        Trial { step, slope: dot(&point.gradient, self.direction), point }
    }

    /// False for what is not a number, too.
    fn falls_enough(&self, trial: &Trial) -> bool {
        trial.point.value <= self.from.value + DECREASE * trial.step * self.slope
    }

    fn is_level(&self, trial: &Trial) -> bool {
        trial.slope.abs() <= -CURVATURE * self.slope
    }
}

/// Where the cubic through both ends is least (equation 3.59), but well within them; the middle if
/// there is no such place.
fn between(a: End, b: End) -> f64 {
    let width = b.step - a.step;
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let d2 = width.signum() * (d1 * d1 - a.slope * b.slope).sqrt();
    let share = 1.0 - (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    let share = if share.is_finite() { share.clamp(0.1, 0.9) } else { 0.5 };
    a.step + share * width
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `to += factor · what`.
fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += factor * what);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { tolerance: 1e-8, max_iterations: 500 };

    /// Rosenbrock's function, whose valley is bent: least at ones.
    fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut sum = 0.0;
        for i in 0..x.len() - 1 {
            let (bend, rest) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
            sum += 100.0 * bend * bend + rest * rest;
            gradient[i] -= 400.0 * x[i] * bend + 2.0 * rest;
            gradient[i + 1] += 200.0 * bend;
        }
        sum + 1.0
    }

    #[test]
    fn finds_the_end_of_a_bent_valley() {
        let start = vec![-1.2, 1.0, -0.5, 2.0, 0.3];
        let found = minimise(&mut rosenbrock, start, LIMITS, &mut |_| true).unwrap();
        assert!(found.converged && found.iterations < 100, "{}", found.iterations);
        assert!(found.point.iter().all(|x| (x - 1.0).abs() < 1e-4), "{:?}", found.point);
        assert!((found.value - 1.0).abs() < 1e-9);
    }

    #[test]
    fn stops_at_its_limit_or_when_told() {
        let start = vec![-1.2, 1.0];
        let few = Limits { max_iterations: 3, ..LIMITS };
        let found = minimise(&mut rosenbrock, start.clone(), few, &mut |_| true).unwrap();
        assert!(!found.converged);
        assert_eq!(found.iterations, 3);
        let mut seen = vec![];
        let mut until_two = |done| {
            seen.push(done);
            done < 2
        };
        assert!(minimise(&mut rosenbrock, start, LIMITS, &mut until_two).is_none());
        assert_eq!(seen, [1, 2]);
    }

    #[test]
    fn recovers_where_the_function_is_not_finite() {
        // x - ln x, least at 1; the first step from 0.001 leads far, back over 0.
        let mut barrier = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = 1.0 - 1.0 / x[0];
            x[0] - x[0].ln()
        };
        let found = minimise(&mut barrier, vec![20.0], LIMITS, &mut |_| true).unwrap();
        assert!((found.point[0] - 1.0).abs() < 1e-4, "{:?}", found.point);
    }
}
