//! The pages of a column chunk: <https://parquet.apache.org/docs/file-format/data-pages/>.
//!
//! The parquet crate reads pages too, but makes room first for what a page claims to unpack to, and be it
//! 2 GiB.

use std::borrow::Cow;
use std::ops::Range;

use super::codec::Codec;
use super::footer::Chunk;
use super::source::{Fault, Outcome, Source, read};
use super::thrift::{Fields, Problem};

/// How much is read to find the head of a page in, at first and at most: it may hold the least and the
/// greatest value of the page.
const HEAD_BYTES: [u64; 2] = [1 << 12, 1 << 24];
/// A page may unpack to this much, however few bytes it takes packed.
const SMALL_PAGE_BYTES: usize = 1 << 26;
/// And a larger one to so many times its bytes. Images are compressed, so it hardly grows at all.
const MOST_RATIO: usize = 256;

/// Fields of the structures at the head of a page, by their numbers in the format.
mod field {
    pub(super) const TYPE: i16 = 1;
    pub(super) const UNPACKED_BYTES: i16 = 2;
    pub(super) const PACKED_BYTES: i16 = 3;
    pub(super) const V1: i16 = 5;
    pub(super) const DICTIONARY: i16 = 7;
    pub(super) const V2: i16 = 8;
    /// In each of the three.
    pub(super) const VALUES: i16 = 1;
    pub(super) const V1_ENCODING: i16 = 2;
    pub(super) const V2_ENCODING: i16 = 4;
    pub(super) const V2_NULL_BYTES: i16 = 5;
    pub(super) const V2_LIST_BYTES: i16 = 6;
    pub(super) const V2_IS_PACKED: i16 = 7;
}

/// What a page says about itself, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// What it is for.
    pub kind: PageKind,
    /// How many values it has, nulls included.
    pub values: usize,
    /// How its body is compressed, if it is.
    pub codec: Codec,
    /// Where it lies in the file, its head included.
    pub range: Range<u64>,
    /// Where its body begins in the file.
    pub body_at: u64,
    /// Bytes of the body when it is not compressed.
    pub unpacked: usize,
}

/// A page as it is in the file.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// What it says about itself.
    pub head: &'a Head,
    /// What follows that, as it is stored.
    pub body: Vec<u8>,
}

/// What a page is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    /// The values that others refer to.
    Dictionary,
    /// Values, after their levels and the length of these.
    V1(Encoding),
    /// Values, after levels that are never compressed and tell which are null in these bytes.
    V2(Encoding, Range<usize>),
    /// Nothing that is needed.
    Other,
}

/// How values are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// One after the other.
    Plain,
    /// As their numbers in the dictionary.
    Dictionary,
    /// In the way that has this number in the format.
    Other(i64),
}

impl From<i64> for Encoding {
    fn from(number: i64) -> Self {
        match number {
            0 => Encoding::Plain,
            2 | 8 => Encoding::Dictionary,
            other => Encoding::Other(other),
        }
    }
}

/// The heads of the pages in a chunk that are needed, in their order, up to the first that does not fit
/// into the chunk or makes no sense.
pub(super) struct Heads<'a> {
    source: &'a dyn Source,
    codec: Codec,
    left: Range<u64>,
}

impl<'a> Heads<'a> {
    /// Those in `chunk` of `source`.
    ///
    /// # Errors
    /// When it is compressed in a way that cannot be read here.
    pub(super) fn of(source: &'a dyn Source, chunk: &Chunk) -> Outcome<Self> {
        Ok(Self { source, codec: Codec::of(chunk.codec)?, left: chunk.range.clone() })
    }
}

impl Iterator for Heads<'_> {
    type Item = Outcome<Head>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.left.is_empty() {
            let head = Head::read(self.source, self.codec, &self.left);
            self.left.start = head.as_ref().map_or(self.left.end, |head| head.range.end);
            if !matches!(&head, Ok(head) if head.kind == PageKind::Other) {
                return Some(head);
            }
        }
        None
    }
}

impl Head {
    /// The head at the start of `left`, the rest of a chunk.
    fn read(source: &dyn Source, codec: Codec, left: &Range<u64>) -> Outcome<Self> {
        let Range { start, end } = *left;
        let [mut window, most] = HEAD_BYTES;
        let head = loop {
            let bytes = read(source, start..end.min(start + window))?;
            match Fields::parse(&bytes) {
                Ok((fields, size)) => break Self::of(&fields, codec, start, size as u64),
                Err(Problem::Ends) if start + window < end && window < most => window *= 16,
                Err(_) => break None,
            }
        };
        let head = head.ok_or_else(|| damaged(start, "makes no sense"))?;
        match head.range.end <= end {
            true => Ok(head),
            false => Err(damaged(start, "is larger than its column")),
        }
    }

    /// The head that has these `fields`, at byte `start`, where it takes `size` bytes.
    fn of(fields: &Fields<'_>, codec: Codec, start: u64, size: u64) -> Option<Self> {
        let packed = count(fields, field::PACKED_BYTES)?;
        let unpacked = count(fields, field::UNPACKED_BYTES)?;
        let details =
            |id| fields.fields(id).map(|details| (details, count(details, field::VALUES)));
        let mut codec = codec;
        let (kind, values) = match fields.number(field::TYPE)? {
            0 => {
                let (v1, values) = details(field::V1)?;
                (PageKind::V1(v1.number(field::V1_ENCODING)?.into()), values?)
            }
            2 => (PageKind::Dictionary, details(field::DICTIONARY)?.1?),
            3 => {
                let (v2, values) = details(field::V2)?;
                let levels = null_levels(v2).filter(|levels| levels.end <= packed.min(unpacked))?;
                if v2.number(field::V2_IS_PACKED) == Some(0) {
                    codec = Codec::None;
                }
                (PageKind::V2(v2.number(field::V2_ENCODING)?.into(), levels), values?)
            }
            _ => (PageKind::Other, 0),
        };
        let body_at = start + size;
        let range = start..body_at + packed as u64;
        Some(Self { kind, values, codec, range, body_at, unpacked })
    }

    /// The page.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn page(&self, source: &dyn Source) -> Outcome<Page<'_>> {
        Ok(Page { head: self, body: read(source, self.body_at..self.range.end)? })
    }

    /// How many bytes at the start of the body are stored as they are, whatever the codec.
    pub(super) fn bare_bytes(&self) -> usize {
        match &self.kind {
            PageKind::V2(_, levels) => levels.end,
            _ => 0,
        }
    }

    /// That of a page of `size` bytes without compression, at the start of a file.
    #[cfg(test)]
    pub(super) fn bare(kind: PageKind, values: usize, size: usize) -> Self {
        let range = 0..size as u64;
        Self { kind, values, codec: Codec::None, range, body_at: 0, unpacked: size }
    }
}

impl Page<'_> {
    /// The body when it is not compressed.
    ///
    /// # Errors
    /// When it does not unpack to what it claims to, or claims to unpack to far more than it can.
    pub(super) fn contents(&self) -> Outcome<Cow<'_, [u8]>> {
        let Head { codec, unpacked, range, .. } = self.head;
        if *codec == Codec::None {
            return Ok(Cow::Borrowed(&self.body));
        }
        let (bare, packed) = self.body.split_at(self.head.bare_bytes());
        if *unpacked > SMALL_PAGE_BYTES.max(packed.len().saturating_mul(MOST_RATIO)) {
            let problem = format!("claims to unpack {} bytes to {unpacked}", packed.len());
            return Err(damaged(range.start, &problem));
        }
        let contents = codec.unpack(packed, unpacked - bare.len());
        let mut contents = contents.ok_or_else(|| damaged(range.start, "cannot be unpacked"))?;
        contents.splice(..0, bare.iter().copied());
        Ok(Cow::Owned(contents))
    }
}

/// Where, in the body of a page of the second version, it says which values are null.
fn null_levels(v2: &Fields<'_>) -> Option<Range<usize>> {
    let start = count(v2, field::V2_LIST_BYTES)?;
    Some(start..start.checked_add(count(v2, field::V2_NULL_BYTES)?)?)
}

/// A size or a count, which the format keeps below 2³¹.
fn count(fields: &Fields<'_>, id: i16) -> Option<usize> {
    i32::try_from(fields.number(id)?).ok()?.try_into().ok()
}

fn damaged(page_at: u64, problem: &str) -> Fault {
    Fault::damaged(format!("the page at byte {page_at} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::fixture::Field::{self, Bytes, Number, Struct};
    use crate::parquet::fixture::structure;

    /// A page of `values` plain values, of the first version, and whose head has `more`.
    fn page(values: i64, unpacked: i64, body: &[u8], more: Option<(i16, Field<'_>)>) -> Vec<u8> {
        let v1 = [(field::VALUES, Number(values)), (field::V1_ENCODING, Number(0))];
        let v1 = structure(&v1.into_iter().chain(more).collect::<Vec<_>>());
        let head = structure(&[
            (field::TYPE, Number(0)),
            (field::UNPACKED_BYTES, Number(unpacked)),
            (field::PACKED_BYTES, Number(body.len() as i64)),
            (field::V1, Struct(v1)),
        ]);
        [&head, body].concat()
    }

    fn all_heads(bytes: &[u8], codec: i64) -> Outcome<Vec<Head>> {
        Heads::of(&bytes, &Chunk { range: 0..bytes.len() as u64, codec })?.collect()
    }

    fn problem<T: std::fmt::Debug>(outcome: Outcome<T>) -> String {
        match outcome {
            Err(Fault::Wrong(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pages_follow_each_other_however_long_their_heads_are() {
        let statistics = vec![7; 70_000];
        let index = structure(&[
            (field::TYPE, Number(1)),
            (field::UNPACKED_BYTES, Number(2)),
            (field::PACKED_BYTES, Number(2)),
        ]);
        let long = page(2, 3, b"abc", Some((5, Bytes(&statistics))));
        let bytes = [&long[..], &index, b"xx", &page(1, 1, b"d", None)].concat();
        let heads = all_heads(&bytes, 0).unwrap();
        assert_eq!(heads.len(), 2, "an index is not needed");
        assert!(heads.iter().all(|head| head.kind == PageKind::V1(Encoding::Plain)));
        let page = heads[0].page(&&bytes[..]).unwrap();
        assert_eq!((page.head.values, &*page.contents().unwrap()), (2, &b"abc"[..]));
        assert_eq!(heads[0].body_at, long.len() as u64 - 3);
        assert_eq!(heads[1].range.end, bytes.len() as u64);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let whole = page(2, 3, b"abc", None);
        for length in 1..whole.len() {
            let message = problem(all_heads(&whole[..length], 0));
            let expected =
                if length < whole.len() - 3 { "makes no sense" } else { "is larger than" };
            assert!(message.contains(expected), "{length}: {message}");
        }
        for values in [-1, 1 << 31, i64::MAX] {
            let message = problem(all_heads(&page(values, 3, b"abc", None), 0));
            assert!(message.contains("the page at byte 0 makes no sense"), "{message}");
        }
    }

    #[test]
    fn a_page_that_claims_to_unpack_to_gigabytes_is_refused() {
        for codec in [1, 2, 6, 7] {
            let unpack = |unpacked: i64, body: &[u8]| {
                let bytes = page(1, unpacked, body, None);
                let head = all_heads(&bytes, codec).unwrap().remove(0);
                head.page(&&bytes[..]).unwrap().contents().map(Cow::into_owned)
            };
            let message = problem(unpack(i32::MAX.into(), b"abc"));
            assert!(message.contains("claims to unpack 3 bytes to 2147483647"), "{message}");
            let message = problem(unpack(9, b"abc"));
            assert!(message.contains("the page at byte 0 cannot be unpacked"), "{message}");
            assert_eq!(unpack(0, b"").unwrap(), [0; 0]);
        }
    }

    #[test]
    fn an_unknown_codec_is_named() {
        let message = problem(all_heads(&page(1, 1, b"a", None), 4));
        assert!(message.starts_with("is compressed with codec 4"), "{message}");
    }

    #[test]
    fn levels_of_the_second_version_lie_in_the_body() {
        let head = |lists: i64, nulls: i64| {
            let v2 = structure(&[
                (field::VALUES, Number(1)),
                (field::V2_ENCODING, Number(8)),
                (field::V2_NULL_BYTES, Number(nulls)),
                (field::V2_LIST_BYTES, Number(lists)),
                (field::V2_IS_PACKED, Number(0)),
            ]);
            let head = structure(&[
                (field::TYPE, Number(3)),
                (field::UNPACKED_BYTES, Number(4)),
                (field::PACKED_BYTES, Number(4)),
                (field::V2, Struct(v2)),
            ]);
            [&head[..], b"abcd"].concat()
        };
        let found = all_heads(&head(1, 2), 6).unwrap().remove(0);
        assert_eq!(found.kind, PageKind::V2(Encoding::Dictionary, 1..3));
        assert_eq!((found.codec, found.bare_bytes()), (Codec::None, 3));
        for (lists, nulls) in [(2, 3), (i32::MAX.into(), i32::MAX.into()), (-1, 2)] {
            let message = problem(all_heads(&head(lists, nulls), 6));
            assert!(message.contains("the page at byte 0 makes no sense"), "{message}");
        }
    }
}
