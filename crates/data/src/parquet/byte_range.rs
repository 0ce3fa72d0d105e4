//! Where in a file an image lies, so that it need not be looked for twice.

use std::ops::Range;

use super::codec::Codec;
use super::column::Plain;
use super::footer::Chunk;
use super::page::{Heads, Page};
use super::page_cache::PageCache;
use super::snappy::{self, Entries};
use super::source::{Fault, Outcome, Source, read};

/// The length of a value, before it.
const LENGTH_BYTES: usize = 4;

/// Where the bytes of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// In the file, as they are.
    File {
        /// Where they begin.
        at: u64,
        /// How many there are.
        length: u32,
    },
    /// In what a piece of a Snappy stream unpacks to.
    Stream {
        /// Where the piece begins in the file.
        at: u64,
        /// Its bytes there.
        packed: u32,
        /// Bytes that it unpacks to before those of the image.
        skip: u32,
        /// How many there are.
        length: u32,
    },
    /// In the contents of a page.
    Page {
        /// Where the page begins in the file.
        at: u64,
        /// Its bytes there, its head included.
        packed: u32,
        /// Bytes of its contents before those of the image.
        skip: u32,
        /// How many there are.
        length: u32,
    },
}

impl ByteRange {
    /// The bytes of an image in a chunk of `source` that is compressed with `codec`. Pages are looked
    /// for in `cache`, as those of the file with this `number`.
    ///
    /// # Errors
    /// When they cannot be read, or no longer are what they were when the range was noted.
    pub(super) fn read(
        self,
        source: &dyn Source,
        codec: i64,
        cache: &PageCache,
        number: usize,
    ) -> Outcome<Vec<u8>> {
        match self {
            ByteRange::File { at, length } => read(source, at..at + u64::from(length)),
            ByteRange::Stream { at, packed, skip, length } => {
                let piece = read(source, at..at + u64::from(packed))?;
                let image = skip as usize..skip as usize + length as usize;
                let mut unpacked = snappy::unpack(&piece, image.end).map_err(|_| changed(at))?;
                unpacked.truncate(image.end);
                unpacked.drain(..image.start);
                Ok(unpacked)
            }
            ByteRange::Page { at, packed, skip, length } => {
                let range = at..at + u64::from(packed);
                let contents =
                    cache.page((number, at), || contents(source, Chunk { range, codec }))?;
                let image =
                    contents.get(skip as usize..).and_then(|from| from.get(..length as usize));
                Ok(image.ok_or_else(|| changed(at))?.to_vec())
            }
        }
    }

    /// Where the bytes `image` of the contents of `page` lie in the file; none if they do not. Where
    /// the page is a Snappy stream, `entries` are those of that.
    fn of(page: &Page<'_>, entries: Option<&Entries>, image: Range<usize>) -> Option<Self> {
        let length = u32::try_from(image.len()).ok()?;
        let head = page.head;
        match (head.codec, entries) {
            (Codec::None, _) => {
                Some(ByteRange::File { at: head.body_at + image.start as u64, length })
            }
            (Codec::Snappy, Some(entries)) => {
                let bare = head.bare_bytes();
                let image = image.start.checked_sub(bare)?..image.end.checked_sub(bare)?;
                let piece = entries.piece(&image)?;
                Some(ByteRange::Stream {
                    at: head.body_at + (bare + piece.packed.start) as u64,
                    packed: piece.packed.len().try_into().ok()?,
                    skip: (image.start - piece.unpacked).try_into().ok()?,
                    length,
                })
            }
            _ => Some(ByteRange::Page {
                at: head.range.start,
                packed: (head.range.end - head.range.start).try_into().ok()?,
                skip: image.start.try_into().ok()?,
                length,
            }),
        }
    }
}

impl Plain for ByteRange {
    fn read(page: &Page<'_>, contents: &[u8], from: usize, count: usize) -> Option<Vec<Self>> {
        let entries = match page.head.codec {
            // There may be no stream either.
            _ if count == 0 => None,
            Codec::Snappy => Some(Entries::of(page.body.get(page.head.bare_bytes()..)?).ok()?),
            _ => None,
        };
        let mut ranges = Vec::new();
        let mut at = from;
        for _ in 0..count {
            let (length, rest) = contents.get(at..)?.split_first_chunk::<LENGTH_BYTES>()?;
            let image = rest.get(..u32::from_le_bytes(*length) as usize)?;
            let start = at + LENGTH_BYTES;
            at = start + image.len();
            ranges.push(ByteRange::of(page, entries.as_ref(), start..at)?);
        }
        Some(ranges)
    }
}

/// The contents of the first page in `chunk`.
fn contents(source: &dyn Source, chunk: Chunk) -> Outcome<Vec<u8>> {
    let head = Heads::of(source, &chunk)?.next().ok_or_else(|| changed(chunk.range.start))??;
    Ok(head.page(source)?.contents()?.into_owned())
}

fn changed(at: u64) -> Fault {
    Fault::damaged(format!("it no longer has at byte {at} what was there when it was opened"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::fixture;
    use crate::parquet::page::{Encoding, Head, PageKind};

    #[test]
    fn values_have_ranges_as_far_as_they_are_there() {
        let body = b"\x02\0\0\0ab\x01\0\0\0c";
        let head = Head::bare(PageKind::V1(Encoding::Plain), 2, body.len());
        let page = Page { head: &head, body: body.to_vec() };
        let [ab, c] = [(4, 2), (10, 1)].map(|(at, length)| ByteRange::File { at, length });
        assert_eq!(<ByteRange as Plain>::read(&page, body, 0, 2), Some(vec![ab, c]));
        assert_eq!(<ByteRange as Plain>::read(&page, body, 6, 1), Some(vec![c]));
        for (from, count) in [(0, 3), (0, usize::MAX), (1, 1), (11, 1), (12, 1)] {
            assert_eq!(
                <ByteRange as Plain>::read(&page, body, from, count),
                None,
                "{from} {count}"
            );
        }
    }

    #[test]
    fn a_page_of_nulls_needs_no_stream() {
        let kind = PageKind::V2(Encoding::Plain, 0..2);
        let head = Head { codec: Codec::Snappy, ..Head::bare(kind, 5, 2) };
        let page = Page { head: &head, body: vec![10, 0] };
        assert_eq!(page.contents().unwrap(), page.body);
        assert_eq!(<ByteRange as Plain>::read(&page, &page.body, 2, 0), Some(Vec::new()));
        assert_eq!(<ByteRange as Plain>::read(&page, &page.body, 2, 1), None);
    }

    #[test]
    fn a_large_image_among_others_is_read_from_a_piece_of_the_stream() {
        let (body, contents) = fixture::snappy(&fixture::noise(300_000));
        let head = Head::bare(PageKind::V1(Encoding::Plain), 1, body.len());
        let head = Head { codec: Codec::Snappy, ..head };
        let page = Page { head: &head, body };
        let entries = Entries::of(&page.body).unwrap();
        let range = ByteRange::of(&page, Some(&entries), 150_000..160_000).unwrap();
        let ByteRange::Stream { packed, skip: 18_928, length: 10_000, .. } = range else {
            panic!("{range:?}")
        };
        assert!(packed < 70_000, "{range:?}");
        let source = page.body.as_slice();
        let read = |source: &[u8]| range.read(&source, 1, &PageCache::default(), 0);
        assert_eq!(read(source).unwrap(), contents[150_000..160_000]);
        for changed in [&source[..100_000], &vec![0xff; source.len()]] {
            assert!(matches!(read(changed), Err(Fault::Wrong(_))));
        }
    }
}
