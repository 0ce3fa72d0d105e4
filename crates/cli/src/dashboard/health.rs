//! Whether a run is well, one light a sign.

use logo_ssl::record::scalars::COLLAPSED;

use super::state::{Activity, State};

/// Below this share it is worth a look: healthy embeddings come to between a half and one.
const NARROW: f64 = 0.3;
/// Below this share of its usual speed a run is slow.
const SLOW: f64 = 0.7;
/// Waiting for views for more than this share of the time is worth another thread; the library adds one then,
/// as long as there are any.
const WAITING: f64 = 0.1;
/// Free bytes below which a disk is worth a look.
const LITTLE_SPACE: u64 = 2 << 30;
/// Free bytes, beside those of checkpoints, below which logs and a report find no place.
const NO_SPACE: u64 = 64 << 20;

/// How a sign of health stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Nothing was seen of it yet.
    Unknown,
    Good,
    /// Worth a look.
    Watch,
    Bad,
}

/// One sign of health, in words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Light {
    pub(super) name: &'static str,
    pub(super) level: Level,
    /// One word for the level.
    pub(super) word: &'static str,
    /// What it was seen by.
    pub(super) detail: String,
}

/// All lights, in the order in which they are looked at.
pub(super) fn lights(state: &State) -> [Light; 6] {
    [spread(state), numbers(state), speed(state), views(state), disk(state), time(state)]
}

fn light(name: &'static str, level: Level, word: &'static str, detail: impl Into<String>) -> Light {
    Light { name, level, word, detail: detail.into() }
}

fn spread(state: &State) -> Light {
    let spread = state.spread();
    let (level, word) = match spread {
        share if share.is_nan() => return light("spread", Level::Unknown, "not yet", ""),
        share if share < COLLAPSED => (Level::Bad, "COLLAPSING"),
        share if share < NARROW => (Level::Watch, "narrow"),
        _ => (Level::Good, "healthy"),
    };
    light("spread", level, word, format!("std {spread:.2} of 1/√{}", state.about.dim))
}

fn numbers(state: &State) -> Light {
    match (state.broken_at, state.step) {
        (Some(step), _) => light("numbers", Level::Bad, "NaN", format!("since step {step}")),
        (None, 0) => light("numbers", Level::Unknown, "not yet", ""),
        (None, _) => light("numbers", Level::Good, "finite", ""),
    }
}

fn speed(state: &State) -> Light {
    let Some(speed) = state.pace.speed() else {
        return light("speed", Level::Unknown, "not yet", "");
    };
    let of_usual = state.pace.usual_speed().map(|usual| speed / usual);
    let detail = format!("{speed:.0} images/s");
    match of_usual {
        Some(share) if share < SLOW => {
            let detail = format!("{detail}, {:.0} % of usual", 100.0 * share);
            light("speed", Level::Watch, "slow", detail)
        }
        _ => light("speed", Level::Good, "steady", detail),
    }
}

fn views(state: &State) -> Light {
    let Some(waiting) = state.pace.waiting() else {
        return light("views", Level::Unknown, "not yet", "");
    };
    let detail = format!("{:.0} % waiting", 100.0 * waiting);
    match waiting > WAITING {
        true => light("views", Level::Watch, "too slow", detail),
        false => light("views", Level::Good, "keep up", detail),
    }
}

fn disk(state: &State) -> Light {
    let Some(free) = state.disk else { return light("disk", Level::Unknown, "not yet", "") };
    // A checkpoint is written beside the one before, and there may be a best one.
    let needed = NO_SPACE + 2 * state.checkpoint_bytes.unwrap_or(0);
    let (level, word) = match free {
        free if free < needed => (Level::Bad, "FULL"),
        free if free < LITTLE_SPACE.max(2 * needed) => (Level::Watch, "low"),
        _ => (Level::Good, "enough"),
    };
    light("disk", level, word, format!("{} free", bytes(free)))
}

fn time(state: &State) -> Light {
    match (&state.activity, state.seconds_left()) {
        (Activity::Finished, _) => light("time", Level::Good, "done", ""),
        (Activity::Stopping, _) => light("time", Level::Good, "stopping", ""),
        (Activity::Silent(seconds), _) => {
            light("time", Level::Watch, "silent", duration(*seconds as f64))
        }
        (_, Some(left)) => {
            light("time", Level::Good, "on its way", format!("{} left", duration(left)))
        }
        _ => light("time", Level::Unknown, "not yet", ""),
    }
}

/// `1.5 GB`.
fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        many if many >= 1e11 => format!("{:.0} GB", many / 1e9),
        many if many >= 1e9 => format!("{:.1} GB", many / 1e9),
        few => format!("{:.0} MB", few / 1e6),
    }
}

/// `48 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = seconds.round().max(0.0) as u64;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (48.., _) => format!("{} d {} h", hours / 24, hours % 24),
        (1.., _) => format!("{hours} h {:02} min", minutes % 60),
        (_, 1..) => format!("{minutes} min {:02} s", seconds % 60),
        _ => format!("{seconds} s"),
    }
}
