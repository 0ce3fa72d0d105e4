//! What a run logged, in order and with the time of day.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use logo_ssl::record::{self, Record, RunFiles};
use logo_ssl::{Error, Result};

/// A record, and when it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timed {
    pub(super) record: Record,
    /// Seconds since the Unix epoch.
    pub(super) wall_time: f64,
}

/// All records of both logs: each step, its timing, what was asked for behind it; epochs and evaluations where
/// they came.
///
/// The logs hold durations alone, so that the last record is taken to be as old as `metrics.jsonl`, and what
/// was before it earlier by what updates and evaluations took. Pauses between two sittings are not in it.
///
/// # Errors
/// [`Error::Io`] when `metrics.jsonl` cannot be read, [`Error::Data`] when a log is broken.
pub(super) fn read(files: &RunFiles) -> Result<Vec<Timed>> {
    let path = files.metrics_path();
    let metrics = record::read(&path)?;
    let timings = crate::optional(record::read(&files.timings_path()))?;
    let changed = std::fs::metadata(&path).and_then(|file| file.modified());
    let changed = changed.map_err(Error::io("read", &path))?;
    Ok(ending_at(merged(metrics, timings), seconds(changed)))
}

/// Seconds since the Unix epoch.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The records of both logs in order, each with the seconds that went into it.
fn merged(metrics: Vec<Record>, timings: Vec<Record>) -> Vec<(Record, f64)> {
    let mut timings = Timings::new(timings);
    let mut merged = Vec::with_capacity(2 * metrics.len());
    for record in metrics {
        match record {
            Record::Step { step, .. } => {
                let behind = timings.of_step(step);
                merged.push((record, behind.iter().map(duration).sum()));
                merged.extend(behind.into_iter().map(|record| (record, 0.0)));
            }
            Record::Knn(record::Knn { epoch, .. })
            | Record::Scores(record::Scores { epoch, .. }) => {
                let evaluation = timings.of_evaluation(epoch);
                merged.push((record, evaluation.as_ref().map_or(0.0, duration)));
                merged.extend(evaluation.map(|record| (record, 0.0)));
            }
            record => merged.push((record, 0.0)),
        }
    }
    merged
}

/// Seconds.
fn duration(record: &Record) -> f64 {
    match record {
        Record::Timing { step_ms, views_wait_ms, bookkeeping_ms, .. } => {
            (step_ms + views_wait_ms + bookkeeping_ms) / 1e3
        }
        Record::Evaluation { seconds, .. } => *seconds,
        _ => 0.0,
    }
}

fn ending_at(records: Vec<(Record, f64)>, end: f64) -> Vec<Timed> {
    let total: f64 = records.iter().map(|(_, duration)| duration).sum();
    let mut wall_time = end - total;
    let timed = |(record, duration)| {
        wall_time += duration;
        Timed { record, wall_time }
    };
    records.into_iter().map(timed).collect()
}

/// What `timings.jsonl` holds. It is not cut back when a run goes on, so that of what it has twice the
/// later counts.
struct Timings {
    steps: HashMap<u64, Record>,
    asked: HashMap<u64, Vec<Record>>,
    evaluations: HashMap<usize, VecDeque<Record>>,
}

impl Timings {
    fn new(records: Vec<Record>) -> Self {
        let (mut steps, mut asked) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        let mut evaluations = HashMap::<_, VecDeque<_>>::new();
        for record in records {
            match record {
                Record::Timing { step, .. } => drop(steps.insert(step, record)),
                Record::Asked { step, .. } => asked.entry(step).or_default().push(record),
                Record::Evaluation { epoch, .. } => {
                    evaluations.entry(epoch).or_default().push_back(record);
                }
                _ => {}
            }
        }
        Self { steps, asked, evaluations }
    }

    /// The timing of a step, and what was asked for behind it.
    fn of_step(&mut self, step: u64) -> Vec<Record> {
        let asked = self.asked.remove(&step).unwrap_or_default();
        self.steps.remove(&step).into_iter().chain(asked).collect()
    }

    /// How long the next evaluation after `epoch` epochs took.
    fn of_evaluation(&mut self, epoch: usize) -> Option<Record> {
        self.evaluations.get_mut(&epoch)?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl::record::synthetic;

    #[test]
    fn every_step_is_followed_by_its_timing_and_time_never_goes_back() {
        let records = merged(synthetic::records(3, true), synthetic::timings(3));
        let at = records.iter().position(|(r, _)| matches!(r, Record::Timing { step: 80, .. }));
        let (before, _) = &records[at.unwrap() - 1];
        assert!(matches!(before, Record::Step { step: 80, .. }), "{before:?}");
        let timed = ending_at(records, 1000.0);
        assert!(timed.is_sorted_by_key(|timed| timed.wall_time));
        assert!((timed.last().unwrap().wall_time - 1000.0).abs() < 1e-6);
        assert!(timed[0].wall_time < 1000.0 - 4.2, "{}", timed[0].wall_time);
    }

    #[test]
    fn of_two_timings_of_a_step_the_later_counts() {
        let mut timings = synthetic::timings(1);
        let mut again = timings[0].clone();
        if let Record::Timing { step_ms, .. } = &mut again {
            *step_ms = 7.0;
        }
        timings.push(again.clone());
        let merged = merged(synthetic::records(1, false), timings);
        let of_clock: Vec<_> =
            merged.iter().filter(|(r, _)| matches!(r, Record::Timing { .. })).collect();
        assert_eq!(of_clock.len(), 1);
        assert_eq!(of_clock[0].0, again);
    }

    #[test]
    fn a_run_without_timings_stands_at_one_time() {
        let timed = ending_at(merged(synthetic::records(1, false), vec![]), 5.0);
        assert!(timed.iter().all(|timed| timed.wall_time == 5.0));
        assert_eq!(timed.len(), synthetic::records(1, false).len());
    }
}
