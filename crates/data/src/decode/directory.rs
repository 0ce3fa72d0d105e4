//! The first directory of a TIFF: what EXIF is written as too.

use image::metadata::Orientation;

const ORIENTATION: u16 = 0x112;
/// What EXIF may begin with, before the TIFF header.
const EXIF: &[u8] = b"Exif\0\0";

/// A directory of entries, each a tag with values.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    is_little: bool,
    /// BigTIFF: places and counts take eight bytes.
    is_big: bool,
    /// Where its first entry begins, and how many there are.
    first: usize,
    count: usize,
}

impl<'a> Directory<'a> {
    /// The first one in the TIFF, the BigTIFF or the EXIF that `bytes` are.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(EXIF).unwrap_or(bytes);
        let is_little = match bytes.first_chunk()? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut this = Self { bytes, is_little, is_big: false, first: 0, count: 0 };
        this.is_big = match this.number(2, 2)? {
            42 => false,
            43 => true,
            _ => return None,
        };
        let at = if this.is_big { this.number(8, 8)? } else { this.number(4, 4)? };
        let (at, width) = (usize::try_from(at).ok()?, if this.is_big { 8 } else { 2 });
        this.count = usize::try_from(this.number(at, width)?).ok()?;
        this.first = at.checked_add(width)?;
        Some(this)
    }

    /// The whole number that `tag` has, the first if there are several: none where that does not fit in an
    /// entry. Whether it was written with 16, 32 or 64 bits makes no difference.
    pub(super) fn value(&self, tag: u16) -> Option<u64> {
        let entry = self.entry(tag)?;
        let width = match self.number(entry + 2, 2)? {
            3 | 8 => 2,
            4 | 9 => 4,
            16 | 17 if self.is_big => 8,
            _ => return None,
        };
        let count = self.number(entry + 4, if self.is_big { 8 } else { 4 })?;
        let room = if self.is_big { 8 } else { 4 };
        let fits = count > 0 && count.checked_mul(width).is_some_and(|size| size <= room);
        fits.then(|| self.number(self.place(entry), width as usize)).flatten()
    }

    /// Whether there is such a tag.
    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// Overwrites the value of 16 bits that `tag` has in `bytes`, which must be those of this directory.
    pub(super) fn set(&self, tag: u16, value: u16, bytes: &mut [u8]) {
        let bytes_of = if self.is_little { u16::to_le_bytes } else { u16::to_be_bytes };
        let place = self.entry(tag).map(|entry| self.place(entry));
        if let Some(value_at) = place.and_then(|at| bytes.get_mut(at..at + 2)) {
            value_at.copy_from_slice(&bytes_of(value));
        }
    }

    fn entry_bytes(&self) -> usize {
        if self.is_big { 20 } else { 12 }
    }

    /// Where the value of the entry at `entry` lies.
    fn place(&self, entry: usize) -> usize {
        entry + if self.is_big { 12 } else { 8 }
    }

    fn entry(&self, tag: u16) -> Option<usize> {
        let room = self.bytes.len().checked_sub(self.first)? / self.entry_bytes();
        let mut entries =
            (0..self.count.min(room)).map(|index| self.first + index * self.entry_bytes());
        entries.find(|entry| self.number(*entry, 2) == Some(tag.into()))
    }

    /// The number in the `width` bytes from `at` on.
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let add = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.is_little {
            true => bytes.iter().rev().fold(0, add),
            false => bytes.iter().fold(0, add),
        })
    }
}

/// How the image whose EXIF, or that is the TIFF, `bytes` are is to be turned; not at all where that is
/// not said.
pub(super) fn orientation(bytes: &[u8]) -> Orientation {
    let value = Directory::first(bytes).and_then(|directory| directory.value(ORIENTATION));
    let orientation = value.and_then(|value| Orientation::from_exif(value.try_into().ok()?));
    orientation.unwrap_or(Orientation::NoTransforms)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF of one entry, an orientation of this `kind`.
    fn exif(kind: u8, value: [u8; 4]) -> Vec<u8> {
        let head = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0";
        [&head[..], &[kind], &[0, 0, 0, 1], &value, &[0; 4]].concat()
    }

    #[test]
    fn an_orientation_may_be_of_any_whole_type() {
        for (kind, value) in
            [(3, [0, 6, 0, 0]), (4, [0, 0, 0, 6]), (8, [0, 6, 9, 9]), (9, [0, 0, 0, 6])]
        {
            let exif = exif(kind, value);
            assert_eq!(orientation(&exif), Orientation::Rotate90, "{kind}");
            assert_eq!(orientation(&[EXIF, &exif].concat()), Orientation::Rotate90, "{kind}");
        }
    }

    #[test]
    fn what_makes_no_sense_turns_nothing() {
        let whole = exif(3, [0, 6, 0, 0]);
        for (kind, value) in
            [(2, *b"6\0\0\0"), (3, [0, 9, 0, 0]), (4, [1, 0, 0, 6]), (5, [0, 0, 0, 6])]
        {
            assert_eq!(orientation(&exif(kind, value)), Orientation::NoTransforms, "{kind}");
        }
        for length in 0..20 {
            assert_eq!(orientation(&whole[..length]), Orientation::NoTransforms, "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                orientation(&damaged);
            }
        }
    }
}
