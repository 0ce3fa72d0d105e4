//! How pages are compressed.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::snappy;
use super::source::{Fault, Outcome};

/// A codec that can be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// No compression.
    None,
    /// Snappy, of which pieces can be had.
    Snappy,
    /// One that gives all or nothing.
    Whole(Whole),
}

/// A codec of another crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// gzip
    Gzip,
    /// Zstandard
    Zstd,
    /// A bare block of LZ4.
    Lz4,
}

impl Codec {
    /// The codec that has this `number` in the format.
    ///
    /// # Errors
    /// When it is not one of those that are built in.
    pub(super) fn of(number: i64) -> Outcome<Self> {
        Ok(match number {
            0 => Codec::None,
            1 => Codec::Snappy,
            2 => Codec::Whole(Whole::Gzip),
            6 => Codec::Whole(Whole::Zstd),
            7 => Codec::Whole(Whole::Lz4),
            other => {
                return Err(Fault::Wrong(format!(
                    "is compressed with codec {other} of the format, which cannot be read here; \
                     write the file again with snappy, zstd or no compression"
                )));
            }
        })
    }

    /// The `size` bytes that `packed` unpacks to; none if it does not.
    pub(super) fn unpack(self, packed: &[u8], size: usize) -> Option<Vec<u8>> {
        // A page of nulls has nothing to compress, and some writers make nothing of it.
        if size == 0 {
            return Some(Vec::new());
        }
        let unpacked = match self {
            Codec::None => packed.to_vec(),
            Codec::Snappy => snappy::unpack_all(packed, size).ok()?,
            Codec::Whole(Whole::Gzip) => up_to(size, MultiGzDecoder::new(packed))?,
            Codec::Whole(Whole::Zstd) => up_to(size, StreamingDecoder::new(packed).ok()?)?,
            Codec::Whole(Whole::Lz4) => lz4_flex::block::decompress(packed, size).ok()?,
        };
        (unpacked.len() == size).then_some(unpacked)
    }
}

/// What `reader` unpacks, but no more than a byte above `size`.
fn up_to(size: usize, reader: impl Read) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    reader.take(size as u64 + 1).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"seven and seven and seven";

    /// What others make of it: the number of the codec, and the bytes.
    const PACKED: [(i64, &[u8]); 4] = [
        (1, b"\x19$seven and :\x0a\0"),
        (2, b"\x1f\x8b\x08\0\0\0\0\0\x02\x03+N-K\xcdSH\xccKQ(Fe\x01\0\x08\xaa\x8a\xfc\x19\0\0\0"),
        (6, b"(\xb5/\xfd \x19\x85\0\0Pseven and \x01\0\xed\x0a\x12"),
        (7, b"\xa6seven and \x0a\0Pseven"),
    ];

    #[test]
    fn what_others_packed_is_unpacked() {
        for (number, packed) in PACKED {
            let codec = Codec::of(number).unwrap();
            assert_eq!(codec.unpack(packed, TEXT.len()).as_deref(), Some(TEXT), "{codec:?}");
            assert_eq!(codec.unpack(b"", 0), Some(Vec::new()));
        }
        assert_eq!(Codec::None.unpack(TEXT, TEXT.len()).as_deref(), Some(TEXT));
        assert!(Codec::of(3).is_err());
    }

    #[test]
    fn another_size_and_damaged_bytes_are_refused() {
        for (number, packed) in PACKED {
            let codec = Codec::of(number).unwrap();
            for size in [TEXT.len() - 1, TEXT.len() + 1, 100_000] {
                assert_eq!(codec.unpack(packed, size), None, "{codec:?} {size}");
            }
            for length in 0..packed.len() {
                assert_eq!(codec.unpack(&packed[..length], TEXT.len()), None, "{codec:?} {length}");
            }
            for at in 0..packed.len() {
                let mut packed = packed.to_vec();
                packed[at] ^= 0xa5;
                let unpacked = codec.unpack(&packed, TEXT.len());
                assert!(unpacked.is_none_or(|bytes| bytes.len() == TEXT.len()));
            }
        }
    }
}
