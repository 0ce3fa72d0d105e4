//! Linear warm-up, then cosine decay to 0.

use std::f64::consts::PI;

use crate::config::{MomentumConfig, OptimizerConfig, SchedulePer};

/// The learning rate's factor at any step.
#[derive(Clone, Debug)]
pub struct Schedule {
    per: SchedulePer,
    steps_per_epoch: u64,
    epochs: f64,
    warmup_epochs: f64,
}

impl Schedule {
    /// For `steps_per_epoch` updates an epoch.
    pub fn new(config: &OptimizerConfig, steps_per_epoch: u64) -> Self {
        Self {
            per: config.schedule_per,
            steps_per_epoch,
            epochs: config.epochs as f64,
            warmup_epochs: config.warmup_epochs,
        }
    }

    /// In `[0, 1]`; multiplies the base learning rate of update number `step`, counted from 0.
    pub fn factor(&self, step: u64) -> f64 {
        let epoch = match self.per {
            SchedulePer::Step => step as f64 / self.steps_per_epoch as f64,
            SchedulePer::Epoch => (step / self.steps_per_epoch) as f64,
        };
        if epoch < self.warmup_epochs {
            // Counted from 1, so that the first update moves at all.
            let done = epoch + 1.0 / self.granularity();
            return (done / self.warmup_epochs).min(1.0);
        }
        let progress = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs);
        (0.5 * (1.0 + (PI * progress).cos())).max(0.0)
    }

    /// m of the momentum encoder at update number `step`: `base`, or rising to 1 by a half cosine
    /// over the run (BYOL, section 3.3).
    pub fn momentum(&self, step: u64, config: &MomentumConfig) -> f64 {
        if !config.rises {
            return config.base;
        }
        let done = step as f64 / (self.steps_per_epoch as f64 * self.epochs);
        1.0 - (1.0 - config.base) * 0.5 * (1.0 + (PI * done).cos())
    }

    /// Changes of the rate an epoch.
    fn granularity(&self) -> f64 {
        match self.per {
            SchedulePer::Step => self.steps_per_epoch as f64,
            SchedulePer::Epoch => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(per: SchedulePer, warmup_epochs: f64) -> Schedule {
        Schedule { per, steps_per_epoch: 10, epochs: 4.0, warmup_epochs }
    }

    #[test]
    fn cosine_per_epoch_is_the_earlier_codes() {
        let schedule = schedule(SchedulePer::Epoch, 0.0);
        for step in 0..40 {
            let epoch = (step / 10) as f64;
            let expected = 0.5 * (1.0 + (PI * epoch / 4.0).cos());
            assert!((schedule.factor(step) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn warm_up_rises_evenly_to_the_full_rate() {
        let schedule = schedule(SchedulePer::Step, 1.0);
        assert!((schedule.factor(0) - 0.1).abs() < 1e-12);
        assert!((schedule.factor(4) - 0.5).abs() < 1e-12);
        assert!((schedule.factor(9) - 1.0).abs() < 1e-12);
        assert!((schedule.factor(10) - 1.0).abs() < 1e-12);
        assert!((schedule.factor(25) - 0.5).abs() < 1e-12);
        assert!(schedule.factor(39) < 0.01);
    }
}
