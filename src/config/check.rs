//! What the sections' checks are written with.

use std::fmt::Display;

/// The outcome of a check: the sentence says which key is wrong and what would do.
pub(super) type Check = Result<(), String>;

pub(super) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(message()) }
}

pub(super) fn in_range<T: PartialOrd + Display>(key: &str, value: T, least: T, most: T) -> Check {
    ensure(value >= least && value <= most, || {
        format!("{key} = {value} is out of range: expected {least} to {most}")
    })
}
