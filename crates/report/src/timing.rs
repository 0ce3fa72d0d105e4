//! What a clock said of a run's updates.

use std::collections::BTreeMap;

use logo_ssl::record::Record;

/// The numbers of a [`Record::Timing`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Timing {
    pub(crate) step: u64,
    pub(crate) images_per_second: f64,
    pub(crate) step_ms: f64,
    pub(crate) views_wait_ms: f64,
    pub(crate) bookkeeping_ms: f64,
    pub(crate) views_cpu_ms: Option<f64>,
}

/// All timings among `records`, by step. A run that went on after an interruption has told of some steps twice; the
/// later timing is that of the update which counts.
pub(crate) fn all(records: &[Record]) -> Vec<Timing> {
    let timing = |record: &Record| match *record {
        Record::Timing {
            step,
            images_per_second,
            step_ms,
            views_wait_ms,
            bookkeeping_ms,
            views_cpu_ms,
            ..
        } => Some(Timing {
            step,
            images_per_second,
            step_ms,
            views_wait_ms,
            bookkeeping_ms,
            views_cpu_ms,
        }),
        _ => None,
    };
    let by_step: BTreeMap<u64, Timing> =
        records.iter().filter_map(timing).map(|timing| (timing.step, timing)).collect();
    by_step.into_values().collect()
}

/// The median over all timings: the first ones, slow for being first, do not weigh in.
pub(crate) fn median(timings: &[Timing], value: impl Fn(&Timing) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = timings.iter().map(value).collect();
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_was_repeated_counts_once() {
        let record = |(step, step_ms): (u64, f64)| Record::Timing {
            epoch: 0,
            step,
            images_per_second: f64::NAN,
            step_ms,
            views_wait_ms: 0.0,
            bookkeeping_ms: 0.0,
            views_cpu_ms: None,
        };
        let timings = all(&[(1, 5.0), (3, 8.0), (2, 9.0), (2, 6.0)].map(record));
        let steps: Vec<_> = timings.iter().map(|timing| (timing.step, timing.step_ms)).collect();
        assert_eq!(steps, [(1, 5.0), (2, 6.0), (3, 8.0)]);
        assert_eq!(median(&timings, |timing| timing.step_ms), Some(6.0));
        assert_eq!(median(&timings, |timing| timing.images_per_second), None);
        assert!(all(&[Record::Evaluation { epoch: 1, seconds: 2.0 }]).is_empty());
    }
}
