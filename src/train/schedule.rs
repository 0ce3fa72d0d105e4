//! Linear warm-up, then cosine decay to 0; and the rates of an update that come of it.

use std::f64::consts::PI;

use crate::config::{Config, MomentumConfig, OptimizerConfig, SchedulePer};

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

/// The learning rates of one update.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Backbone and projector.
    pub encoder: f64,
    /// h
    pub predictor: f64,
    /// f_d
    pub affinity: f64,
    /// m of the momentum encoder: what it keeps of its weights.
    pub momentum: f64,
}

impl Rates {
    /// After warm-up and before decay.
    pub fn full(config: &Config) -> Self {
        let optimizer = &config.optimizer;
        let encoder = optimizer.scaled(optimizer.lr, optimizer.images_per_update());
        Self {
            encoder,
            predictor: encoder,
            affinity: optimizer.scaled(config.affinity.lr, optimizer.batch_size),
            momentum: config.framework.momentum.base,
        }
    }

    /// Those of update number `step`, counted from 0.
    pub fn at(step: u64, schedule: &Schedule, config: &Config) -> Self {
        let (full, factor) = (Self::full(config), schedule.factor(step));
        let fixed = config.optimizer.predictor_fixed_lr;
        Self {
            encoder: full.encoder * factor,
            predictor: if fixed { full.predictor } else { full.predictor * factor },
            affinity: full.affinity * factor,
            momentum: schedule.momentum(step, &config.framework.momentum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Layers;

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

    fn config(settings: &[&str]) -> Config {
        let settings = ["optimizer.lr=0.1", "optimizer.batch_size=64", "affinity.lr=0.01"]
            .into_iter()
            .chain(settings.iter().copied());
        let preset = Layers::preset("cifar10").unwrap();
        settings.fold(preset, |layers, setting| layers.set(setting).unwrap()).build().unwrap()
    }

    #[test]
    fn rates_are_scaled_by_the_images_that_their_update_sees() {
        let plain = Rates::full(&config(&["optimizer.accumulate=8"]));
        assert_eq!((plain.encoder, plain.affinity), (0.1, 0.01));
        let scaled =
            Rates::full(&config(&["optimizer.accumulate=8", "optimizer.lr_scaling=batch"]));
        assert_eq!((scaled.encoder, scaled.predictor), (0.2, 0.2));
        assert_eq!(scaled.affinity, 0.0025);
    }

    #[test]
    fn a_fixed_predictor_ignores_the_schedule() {
        let schedule = schedule(SchedulePer::Step, 1.0);
        let of = |settings: &[&str], step| Rates::at(step, &schedule, &config(settings));
        for step in [0, 9, 25, 39] {
            let follows = of(&[], step);
            assert_eq!(follows.predictor, follows.encoder);
            let fixed = of(&["optimizer.predictor_fixed_lr=true"], step);
            assert_eq!((fixed.predictor, fixed.encoder), (0.1, follows.encoder));
        }
    }
}
