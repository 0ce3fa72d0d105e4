//! What the sections' checks are written with.

use std::fmt::Display;

use crate::{Error, Result};

/// The outcome of a check: [`Error::Setting`] with the key that is wrong and what would do.
pub(super) type Check = Result<()>;

pub(super) fn ensure(key: &str, holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Error::setting(key, message())) }
}

pub(super) fn in_range<T: PartialOrd + Display>(key: &str, value: T, least: T, most: T) -> Check {
    ensure(key, value >= least && value <= most, || {
        format!("{key} = {value} is out of range: expected {least} to {most}")
    })
}
