//! Pieces of what Snappy has compressed: <https://github.com/google/snappy/blob/main/format_description.txt>.
//!
//! A stream is its length, then literals and copies of what came before. Whoever writes one starts
//! afresh every 64 KiB, for copies reach no further back; and of an image, which is compressed already,
//! nearly all is literal. So a stream can be entered at each such place, and an image be had from the
//! hundred kilobytes around it rather than the ten megabytes of a page.

use std::ops::Range;

/// How much a writer compresses at a time.
const BLOCK: usize = 1 << 16;
/// A length of 32 bits, seven to a byte.
const MOST_LENGTH_BYTES: usize = 5;

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where a stream can be entered.
#[derive(Debug)]
pub(super) struct Entries {
    /// Each place, in the stream and in what it unpacks to. The last is the end of both.
    places: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    packed: usize,
    unpacked: usize,
}

/// A part of a stream that unpacks by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its bytes in the stream.
    pub packed: Range<usize>,
    /// Where it begins in what the whole stream unpacks to.
    pub unpacked: usize,
}

impl Entries {
    /// Looks through the whole `stream`.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of(stream: &[u8]) -> Result<Self, Malformed> {
        let mut elements = Elements { stream, at: length_bytes(stream)? };
        let mut places = vec![Entry { packed: elements.at, unpacked: 0 }];
        let mut unpacked = 0_usize;
        while let Some(element) = elements.next()? {
            if let Element::Copy { back, .. } = element {
                let source = unpacked.checked_sub(back).ok_or(Malformed)?;
                while places.last().is_some_and(|entry| entry.unpacked > source) {
                    places.pop();
                }
            }
            unpacked += element.length();
            if unpacked.is_multiple_of(BLOCK) {
                places.push(Entry { packed: elements.at, unpacked });
            }
        }
        places.push(Entry { packed: stream.len(), unpacked });
        Ok(Self { places })
    }

    /// The smallest piece that holds the bytes `wanted` of what the stream unpacks to; none if there are
    /// not as many.
    pub(super) fn piece(&self, wanted: &Range<usize>) -> Option<Piece> {
        let after = self.places.partition_point(|entry| entry.unpacked <= wanted.start);
        let first = self.places[..after].last()?;
        let end = self.places[after.min(self.places.len() - 1)..]
            .iter()
            .find(|entry| entry.unpacked >= wanted.end)?;
        Some(Piece { packed: first.packed..end.packed, unpacked: first.unpacked })
    }
}

/// The first `wanted` bytes, and perhaps some more, that the elements in `piece` unpack to.
///
/// # Errors
/// When they are none, or unpack to less.
pub(super) fn unpack(piece: &[u8], wanted: usize) -> Result<Vec<u8>, Malformed> {
    let mut elements = Elements { stream: piece, at: 0 };
    let mut unpacked = Vec::with_capacity(wanted);
    while unpacked.len() < wanted {
        match elements.next()?.ok_or(Malformed)? {
            Element::Literal(bytes) => unpacked.extend_from_slice(bytes),
            Element::Copy { back, length } => copy(&mut unpacked, back, length)?,
        }
    }
    Ok(unpacked)
}

/// All that `stream` unpacks to if that is `size` bytes, or at least as many of them.
///
/// # Errors
/// When it is none, or unpacks to less.
pub(super) fn unpack_all(stream: &[u8], size: usize) -> Result<Vec<u8>, Malformed> {
    unpack(&stream[length_bytes(stream)?..], size)
}

/// How many bytes say how long the stream unpacked is.
fn length_bytes(stream: &[u8]) -> Result<usize, Malformed> {
    let last = stream.iter().take(MOST_LENGTH_BYTES).position(|byte| byte & 0x80 == 0);
    last.map(|last| last + 1).ok_or(Malformed)
}

/// Appends `length` bytes from `back` before the end, which they may run beyond.
fn copy(unpacked: &mut Vec<u8>, back: usize, length: usize) -> Result<(), Malformed> {
    let start = unpacked.len().checked_sub(back).filter(|_| back > 0).ok_or(Malformed)?;
    let mut left = length;
    while left > 0 {
        let end = (start + left).min(unpacked.len());
        unpacked.extend_from_within(start..end);
        left -= end - start;
    }
    Ok(())
}

enum Element<'a> {
    Literal(&'a [u8]),
    Copy { back: usize, length: usize },
}

impl Element<'_> {
    fn length(&self) -> usize {
        match self {
            Element::Literal(bytes) => bytes.len(),
            Element::Copy { length, .. } => *length,
        }
    }
}

struct Elements<'a> {
    stream: &'a [u8],
    at: usize,
}

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        if self.at == self.stream.len() {
            return Ok(None);
        }
        let tag = self.number(1)?;
        let upper = tag >> 2;
        let element = match tag & 3 {
            0 if upper < 60 => Element::Literal(self.take(upper + 1)?),
            0 => {
                let length = self.number(upper - 59)?.checked_add(1).ok_or(Malformed)?;
                Element::Literal(self.take(length)?)
            }
            1 => {
                Element::Copy { back: (upper >> 3) << 8 | self.number(1)?, length: (upper & 7) + 4 }
            }
            2 => Element::Copy { back: self.number(2)?, length: upper + 1 },
            _ => Element::Copy { back: self.number(4)?, length: upper + 1 },
        };
        Ok(Some(element))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.stream[self.at..].get(..count).ok_or(Malformed)?;
        self.at += count;
        Ok(taken)
    }

    /// A number of `count` bytes, the lowest first.
    fn number(&mut self, count: usize) -> Result<usize, Malformed> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::fixture;

    #[test]
    fn any_range_comes_from_the_blocks_around_it() {
        let (stream, bytes) = fixture::snappy(&fixture::noise(5 * BLOCK + 1234));
        let entries = Entries::of(&stream).unwrap();
        assert_eq!(entries.places.len(), 7);
        for wanted in [0..1, BLOCK - 1..BLOCK, BLOCK..BLOCK, 100_000..150_000, 327_000..328_918] {
            let piece = entries.piece(&wanted).unwrap();
            assert!(piece.packed.len() <= wanted.len() + 2 * BLOCK, "{piece:?}");
            let start = wanted.start - piece.unpacked;
            let unpacked = unpack(&stream[piece.packed], start + wanted.len()).unwrap();
            assert_eq!(unpacked[start..][..wanted.len()], bytes[wanted]);
        }
        assert_eq!(unpack_all(&stream, bytes.len()), Ok(bytes.clone()));
        assert_eq!(entries.piece(&(0..bytes.len() + 1)), None);
        assert_eq!(entries.piece(&(0..bytes.len())).unwrap().packed.end, stream.len());
    }

    #[test]
    fn a_copy_across_blocks_joins_them() {
        let literal = |length: usize| {
            let head = [61 << 2, (length - 1) as u8, ((length - 1) >> 8) as u8];
            [&head[..], &vec![7; length]].concat()
        };
        // The length is not looked at. Back by 70,000 from the end of the second block.
        let copy = [3 << 2 | 3, 0x70, 0x11, 1, 0];
        let stream =
            [&[0][..], &literal(BLOCK), &literal(BLOCK), &copy, &literal(BLOCK - 4)].concat();
        let entries = Entries::of(&stream).unwrap();
        let piece = entries.piece(&(BLOCK..2 * BLOCK)).unwrap();
        assert_eq!(piece, Piece { packed: 1..stream.len(), unpacked: 0 });
        assert_eq!(unpack(&stream[1..], 3 * BLOCK).unwrap(), vec![7; 3 * BLOCK]);
    }

    #[test]
    fn a_copy_may_run_into_itself() {
        let elements = [1 << 2, b'a', b'b', 5 << 2 | 2, 2, 0];
        assert_eq!(unpack(&elements, 8).unwrap(), b"abababab");
        assert_eq!(unpack(&elements, 9), Err(Malformed));
    }

    #[test]
    fn what_is_no_stream_is_refused() {
        let cases: [&[u8]; 7] = [
            &[],
            &[0xff; 6],
            &[0, 63 << 2, 0xff, 0xff, 0xff, 0xff],
            &[0, 1 << 2, b'a'],
            &[0, 2],
            &[0, 0, b'a', 2, 0, 0],
            &[0, 0, b'a', 2, 2, 0],
        ];
        for stream in cases {
            let unpacked = stream.get(1..).map(|elements| unpack(elements, usize::MAX >> 40));
            let refused = Entries::of(stream).is_err();
            assert!(refused || unpacked == Some(Err(Malformed)), "{stream:?}");
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let (stream, bytes) = fixture::snappy(&fixture::noise(700));
        for at in 0..stream.len() {
            for change in 1..=u8::MAX {
                let mut stream = stream.clone();
                stream[at] ^= change;
                if let (Ok(entries), Ok(unpacked)) =
                    (Entries::of(&stream), unpack_all(&stream, bytes.len()))
                {
                    assert!(entries.piece(&(0..unpacked.len())).is_some());
                }
            }
        }
    }
}
