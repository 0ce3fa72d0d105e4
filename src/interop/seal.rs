//! A checksum over tensors and the text that goes with them, so that a byte that a disk or a copy has changed is found.

use crc32fast::Hasher;

use crate::model::params::{State, TensorData};

/// What the first line of a sealed text begins with. TOML takes the line for a comment.
const PREFIX: &str = "# crc32 ";

/// Whether what a file says of itself is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Text and tensors are those that were written.
    Whole,
    /// Something is not as it was written.
    Broken,
    /// The file bears no checksum: it is another program's, or of before there were any.
    Absent,
}

/// `text` behind a line with the checksum of itself and of the tensors.
pub(super) fn sealed(text: &str, tensors: &State) -> String {
    format!("{PREFIX}{:08x}\n{text}", checksum(text, tensors))
}

/// A text without the line of its checksum.
pub(super) fn opened(text: &str) -> &str {
    parts(text).map_or(text, |(_, text)| text)
}

/// Whether the checksum in `text` is that of itself and of `tensors`.
pub(super) fn checked(text: &str, tensors: &State) -> Seal {
    match parts(text) {
        None => Seal::Absent,
        Some((claimed, text)) if claimed == checksum(text, tensors) => Seal::Whole,
        Some(_) => Seal::Broken,
    }
}

/// The checksum that a sealed text claims, and what is behind it. A line that is no checksum is one that
/// nothing has.
fn parts(text: &str) -> Option<(u32, &str)> {
    let (first, text) = text.strip_prefix(PREFIX)?.split_once('\n')?;
    Some((u32::from_str_radix(first, 16).ok()?, text))
}

/// CRC-32 of the text, and of each tensor's name, shape and numbers, which are f32.
fn checksum(text: &str, tensors: &State) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(text.as_bytes());
    for (name, TensorData { shape, values }) in tensors {
        hasher.update(format!("\n{name} {shape:?} ").as_bytes());
        hasher.update(bytemuck::cast_slice(values));
    }
    hasher.finalize()
}
