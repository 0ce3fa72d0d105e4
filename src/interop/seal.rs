//! A checksum over tensors and the text that goes with them, so that a byte that a disk or a copy has changed is found.

use std::fmt::Write as _;

use crc32fast::Hasher;
use safetensors::tensor::{SafeTensors, TensorView};

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

/// `text` behind a line with the checksum of itself and of the tensors, which are given by name in order.
pub(super) fn sealed<'a>(
    text: &str,
    tensors: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>,
) -> String {
    format!("{PREFIX}{:08x}\n{text}", checksum(text, tensors))
}

/// A text without the line of its checksum.
pub(super) fn opened(text: &str) -> &str {
    parts(text).map_or(text, |(_, text)| text)
}

/// Whether the checksum in `text` is that of itself and of `tensors`.
pub(super) fn checked(text: &str, tensors: &SafeTensors<'_>) -> Seal {
    let Some((claimed, text)) = parts(text) else { return Seal::Absent };
    let mut tensors = tensors.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let found = checksum(text, tensors.iter().map(|(name, view)| (name.as_str(), view)));
    if claimed == found { Seal::Whole } else { Seal::Broken }
}

/// The checksum that a sealed text claims, and what is behind it. A line that is no checksum is one that
/// nothing has.
fn parts(text: &str) -> Option<(u32, &str)> {
    let (first, text) = text.strip_prefix(PREFIX)?.split_once('\n')?;
    Some((u32::from_str_radix(first, 16).ok()?, text))
}

/// CRC-32 of the text, and of each tensor's name, type, shape and numbers.
fn checksum<'a>(text: &str, tensors: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(text.as_bytes());
    let mut head = String::new();
    for (name, view) in tensors {
        head.clear();
        write!(head, "\n{name} {:?} {:?} ", view.dtype(), view.shape())
            .expect("a string takes any text");
        hasher.update(head.as_bytes());
        hasher.update(view.data());
    }
    hasher.finalize()
}
