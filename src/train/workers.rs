//! How many threads make views beside the updates.

use std::time::Duration;

/// Updates that are measured before the number is changed.
const MEASURED: u32 = 16;
/// Updates that may wait for their views this share of the time.
const WAIT: f64 = 0.1;

/// The number of threads that make views: fixed, or raised while updates wait for them.
#[derive(Clone, Debug)]
pub struct Workers {
    count: usize,
    most: usize,
    /// Updates since the number last changed.
    updates: u32,
    waited: Duration,
    computed: Duration,
}

impl Workers {
    /// Always `count`, at least 1.
    pub fn fixed(count: usize) -> Self {
        Self::between(count, count)
    }

    /// One, and up to `most` where one is too slow.
    pub fn measured(most: usize) -> Self {
        Self::between(1, most)
    }

    fn between(count: usize, most: usize) -> Self {
        let count = count.max(1);
        let (waited, computed) = Default::default();
        Self { count, most: most.max(count), updates: 0, waited, computed }
    }

    /// How many there are to be.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes note of how long an update waited for its views and computed; says whether the number has
    /// changed.
    pub fn note(&mut self, waited: Duration, computed: Duration) -> bool {
        self.updates += 1;
        if self.updates > 1 {
            // The first finds nothing ready, whatever the number.
            self.waited += waited;
            self.computed += computed;
        }
        if self.updates <= MEASURED {
            return false;
        }
        let share = self.waited.as_secs_f64() / (self.waited + self.computed).as_secs_f64();
        let more = share > WAIT && self.count < self.most;
        *self = Self::between(self.count + usize::from(more), self.most);
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// How many there are after `updates` that each wait and compute so long.
    fn after(mut workers: Workers, updates: u32, waited: Duration, computed: Duration) -> usize {
        (0..updates).for_each(|_| {
            workers.note(waited, computed);
        });
        workers.count()
    }

    #[test]
    fn there_are_more_while_updates_wait_but_no_more_than_allowed() {
        assert_eq!(after(Workers::measured(3), MEASURED, 5 * MS, 10 * MS), 1);
        assert_eq!(after(Workers::measured(3), MEASURED + 1, 5 * MS, 10 * MS), 2);
        assert_eq!(after(Workers::measured(3), 10 * MEASURED, 5 * MS, 10 * MS), 3);
        assert_eq!(after(Workers::measured(3), 10 * MEASURED, MS, 10 * MS), 1);
    }

    #[test]
    fn a_first_wait_is_no_reason() {
        let mut workers = Workers::measured(4);
        workers.note(1000 * MS, MS);
        assert_eq!(after(workers, MEASURED, Duration::ZERO, MS), 1);
    }

    #[test]
    fn a_fixed_number_stays() {
        assert_eq!(after(Workers::fixed(2), 10 * MEASURED, 5 * MS, MS), 2);
        assert_eq!(Workers::fixed(0).count(), 1);
    }
}
