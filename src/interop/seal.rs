//! A checksum over tensors and the text that goes with them, so that a byte that a disk or a copy has changed is found.

use std::path::Path;

use crc32fast::Hasher;

use crate::model::params::{State, TensorData};
use crate::{Error, Result};

/// The version of weights and checkpoints that this program writes, and the latest that it reads. What bears none
/// is of before there were any, and is read.
pub const FORMAT: u32 = 1;

/// What the first line of a sealed text begins with, before the version, and what stands between that and the
/// checksum. TOML takes the line for a comment.
const PREFIX: &str = "# logo-ssl format ";
const MIDDLE: &str = ", crc32 ";

/// What bears out that a file is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Its checksum is that of its text and tensors.
    Whole,
    /// It bears no checksum: it is another program's, or of before there were any.
    Absent,
}

/// `text` behind a line with the version, and the checksum of the text and of the tensors.
pub(super) fn sealed(text: &str, tensors: &State) -> String {
    format!("{PREFIX}{FORMAT}{MIDDLE}{:08x}\n{text}", checksum(FORMAT, text, tensors))
}

/// A text without the line of its checksum.
pub(super) fn opened(text: &str) -> &str {
    parts(text).map_or(text, |parts| parts.text)
}

/// Holds `text` and `tensors`, which the file at `path` has, to the version and the checksum in `text`.
///
/// # Errors
/// [`Error::Later`] where the version is later than [`FORMAT`], [`Error::Data`] where the checksum is another's.
pub(super) fn check(path: &Path, text: &str, tensors: &State) -> Result<Seal> {
    match parts(text) {
        None => Ok(Seal::Absent),
        Some(Parts { version, .. }) if version > FORMAT => {
            Err(Error::Later { path: path.to_path_buf(), found: version, known: FORMAT })
        }
        Some(Parts { version, claimed, text }) if checksum(version, text, tensors) == claimed => {
            Ok(Seal::Whole)
        }
        Some(_) => Err(Error::data(
            path,
            "is damaged: its checksum is not that of what it holds, so some of its bytes are not those that were written",
        )),
    }
}

/// What a sealed text says of itself, and what is behind that.
struct Parts<'a> {
    version: u32,
    claimed: u32,
    text: &'a str,
}

/// The parts of a sealed text; none of one whose first line is another.
fn parts(text: &str) -> Option<Parts<'_>> {
    let (first, text) = text.strip_prefix(PREFIX)?.split_once('\n')?;
    let (version, claimed) = first.split_once(MIDDLE)?;
    let claimed = u32::from_str_radix(claimed, 16).ok()?;
    Some(Parts { version: version.parse().ok()?, claimed, text })
}

/// CRC-32 of the version, of the text, and of each tensor's name, shape and numbers, which are f32.
fn checksum(version: u32, text: &str, tensors: &State) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(text.as_bytes());
    for (name, TensorData { shape, values }) in tensors {
        hasher.update(format!("\n{name} {shape:?} ").as_bytes());
        hasher.update(bytemuck::cast_slice(values));
    }
    hasher.finalize()
}
