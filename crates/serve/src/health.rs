//! Whether a run goes well, as a few lights.

use logo_ssl::record::scalars::{COLLAPSED, Z_STD};
use serde::Serialize;

use crate::run::{Run, State};

/// The share of its usual speed under which a run counts as slow.
const SLOW: f64 = 0.5;

/// The share of a step under which waiting for views is of no account.
const WAITING: f64 = 0.1;

/// Buckets of a curve that say how it is now.
const RECENT: usize = 5;

/// One thing that is watched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Light {
    /// What is watched: `collapse`, `numbers`, `throughput` or `views`.
    pub(crate) name: &'static str,
    /// How it is.
    pub(crate) level: Level,
    /// In words, with the numbers.
    pub(crate) says: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Good,
    /// Slower than need be, but sound.
    Warning,
    /// The run is of no use as it is.
    Bad,
}

/// The lights of a run for which there are numbers.
pub(crate) fn lights(run: &Run, state: State) -> Vec<Light> {
    let speed = if state == State::Running { throughput(run) } else { None };
    [numbers(run), collapse(run), speed, views(run)].into_iter().flatten().collect()
}

fn numbers(run: &Run) -> Option<Light> {
    let digest = &run.metrics.digest;
    let (level, says) = match digest.no_number {
        Some(step) => (
            Level::Bad,
            format!(
                "The loss was no number at step {step}. Lower optimizer.lr, or set optimizer.clip."
            ),
        ),
        None if digest.step == 0 => return None,
        None => (Level::Good, "Every loss is a number.".to_owned()),
    };
    Some(Light { name: "numbers", level, says })
}

fn collapse(run: &Run) -> Option<Light> {
    let dim = run.known_settings()?.config.model.projector.dim;
    let z_std = run.metrics.digest.latest().get(Z_STD).filter(|z_std| z_std.is_finite())?;
    let share = z_std * (dim as f64).sqrt();
    let (level, says) = match share < COLLAPSED {
        true => (
            Level::Bad,
            format!(
                "Collapsed: the embeddings spread to {share:.2} of the even 1/√d, under {COLLAPSED:.2}. All images \
                 get nearly the same embedding; lower optimizer.lr."
            ),
        ),
        false => (
            Level::Good,
            format!(
                "The embeddings spread to {share:.2} of the even 1/√d; below {COLLAPSED:.2} would be a collapse."
            ),
        ),
    };
    Some(Light { name: "collapse", level, says })
}

fn throughput(run: &Run) -> Option<Light> {
    let curve = run.timings.digest.curves.get("images_per_second")?;
    let (now, usual) = (curve.recent(RECENT)?, curve.median()?);
    let says = format!("{now:.0} images a second, where {usual:.0} are usual in this run.");
    let level = if now < SLOW * usual { Level::Warning } else { Level::Good };
    Some(Light { name: "throughput", level, says })
}

fn views(run: &Run) -> Option<Light> {
    let curves = &run.timings.digest.curves;
    let (wait, step) =
        (curves.get("views_wait_ms")?.recent(RECENT)?, curves.get("step_ms")?.recent(RECENT)?);
    let share = wait / step.max(f64::MIN_POSITIVE);
    let waits = format!("A step waits {:.0} % of its {step:.0} ms for views", 100.0 * share);
    Some(match share > WAITING {
        true => Light {
            name: "views",
            level: Level::Warning,
            says: format!("{waits}. More loader threads, or a pack of smaller images, would help."),
        },
        false => Light { name: "views", level: Level::Good, says: format!("{waits}.") },
    })
}
