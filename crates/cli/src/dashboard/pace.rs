//! How fast a run goes, and how long it will take.

use std::collections::VecDeque;

use logo_ssl::record::Record;

/// Updates whose speed is compared with the latest.
const LONG: usize = 512;
/// Updates that count as the latest.
const SHORT: usize = 16;

/// The timings of the latest updates.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    updates: VecDeque<Update>,
    /// Seconds that the latest evaluations took, as many as there are each time.
    evaluations: VecDeque<f64>,
    evaluations_each_time: usize,
}

#[derive(Clone, Copy, Debug)]
struct Update {
    images_per_second: f64,
    /// Milliseconds that the training loop waited for views.
    waited: f64,
    /// Milliseconds in all.
    all: f64,
}

impl Pace {
    /// Of a run with so many evaluations each time.
    pub(super) fn new(evaluations_each_time: usize) -> Self {
        Self { updates: VecDeque::new(), evaluations: VecDeque::new(), evaluations_each_time }
    }

    /// Takes in what a clock said.
    pub(super) fn record(&mut self, record: &Record) {
        match record {
            Record::Timing {
                images_per_second, step_ms, views_wait_ms, bookkeeping_ms, ..
            } => {
                if self.updates.len() == LONG {
                    self.updates.pop_front();
                }
                self.updates.push_back(Update {
                    images_per_second: *images_per_second,
                    waited: *views_wait_ms,
                    all: step_ms + views_wait_ms + bookkeeping_ms,
                });
            }
            Record::Evaluation { seconds, .. } => {
                if self.evaluations.len() >= self.evaluations_each_time {
                    self.evaluations.pop_front();
                }
                self.evaluations.push_back(*seconds);
            }
            _ => {}
        }
    }

    /// Images a second of the latest updates.
    pub(super) fn speed(&self) -> Option<f64> {
        median(self.latest().map(|update| update.images_per_second))
    }

    /// Images a second of all updates that are kept: what the run is used to. None before there are enough of
    /// them to tell the latest from.
    pub(super) fn usual_speed(&self) -> Option<f64> {
        let enough = self.updates.len() >= 2 * SHORT;
        median(self.updates.iter().map(|update| update.images_per_second)).filter(|_| enough)
    }

    /// The share of the latest updates' time that went into waiting for views, 0 to 1.
    pub(super) fn waiting(&self) -> Option<f64> {
        let sum = |of: fn(&Update) -> f64| self.latest().map(of).sum::<f64>();
        let (waited, all) = (sum(|update| update.waited), sum(|update| update.all));
        (all > 0.0).then_some(waited / all)
    }

    /// Whether anything was evaluated.
    pub(super) fn has_evaluated(&self) -> bool {
        !self.evaluations.is_empty()
    }

    /// Seconds that so many updates will take, and evaluating so many times.
    pub(super) fn seconds(&self, updates: u64, times: u64) -> Option<f64> {
        // The first update waits for programs to be compiled.
        let update = median(self.updates.iter().map(|update| update.all))? / 1e3;
        let evaluations: f64 = self.evaluations.iter().sum();
        Some(update * updates as f64 + evaluations * times as f64)
    }

    fn latest(&self) -> impl Iterator<Item = &Update> {
        self.updates.iter().rev().take(SHORT)
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(step_ms: f64, views_wait_ms: f64) -> Record {
        Record::Timing {
            epoch: 0,
            step: 1,
            images_per_second: 64_000.0 / (step_ms + views_wait_ms),
            step_ms,
            views_wait_ms,
            bookkeeping_ms: 0.0,
            views_cpu_ms: None,
        }
    }

    fn pace(timings: impl IntoIterator<Item = Record>) -> Pace {
        let mut pace = Pace::new(2);
        timings.into_iter().for_each(|timing| pace.record(&timing));
        pace
    }

    #[test]
    fn the_latest_updates_are_compared_with_what_the_run_is_used_to() {
        let mut pace = pace((0..100).map(|_| timing(10.0, 0.0)));
        assert_eq!((pace.speed(), pace.usual_speed()), (Some(6400.0), Some(6400.0)));
        (0..20).for_each(|_| pace.record(&timing(10.0, 30.0)));
        assert_eq!((pace.speed(), pace.usual_speed()), (Some(1600.0), Some(6400.0)));
        assert_eq!(pace.waiting(), Some(0.75));
    }

    #[test]
    fn the_time_that_is_left_counts_evaluations_and_no_first_update() {
        let mut pace = pace([timing(9000.0, 0.0), timing(10.0, 0.0), timing(10.0, 0.0)]);
        assert_eq!(pace.seconds(100, 2), Some(1.0));
        for seconds in [90.0, 1.0, 3.0] {
            pace.record(&Record::Evaluation { epoch: 0, seconds });
        }
        assert_eq!(pace.seconds(100, 2), Some(9.0), "two evaluations each time");
        assert_eq!(Pace::new(1).seconds(1, 1), None);
    }
}
