//! The images of one group of rows, found page by page.

use once_cell::sync::OnceCell;

use super::byte_range::ByteRange;
use super::column::{Layout, values};
use super::footer::{Chunk, Column};
use super::page_cache::PageCache;
use super::source::{Outcome, Source};

/// The images of a group of rows, and what is known so far of where they lie.
#[derive(Debug)]
pub(super) struct Images {
    rows: usize,
    chunk: Chunk,
    pages: OnceCell<Pages>,
}

/// The pages that they are in.
#[derive(Debug)]
struct Pages {
    layout: Layout,
    dictionary: OnceCell<Vec<ByteRange>>,
    /// Of each page, for each row that is not null, where its image lies.
    ranges: Vec<OnceCell<Box<[Option<ByteRange>]>>>,
}

impl Images {
    /// Those in `chunk`, one for each of `rows`.
    pub(super) fn new(rows: usize, chunk: Chunk) -> Self {
        Self { rows, chunk, pages: OnceCell::new() }
    }

    /// The bytes of the image in `row` of the group, which is in this `column` of `source`; none where it
    /// is null. Pages are looked for in `cache`, as those of the file with this `number`.
    ///
    /// The first time that an image in a page is asked for, all of that page is read, to find where each
    /// of its images lies. From then on no more is read than it takes.
    ///
    /// # Errors
    /// When it can no longer be read.
    ///
    /// # Panics
    /// If there are no more than `row` rows.
    pub(super) fn read(
        &self,
        source: &dyn Source,
        column: &Column,
        row: usize,
        cache: &PageCache,
        number: usize,
    ) -> Outcome<Option<Vec<u8>>> {
        let pages = self.pages.get_or_try_init(|| -> Outcome<_> {
            let layout = Layout::of(source, &self.chunk, column, self.rows)?;
            let ranges = layout.pages.iter().map(|_| OnceCell::new()).collect();
            Ok(Pages { layout, dictionary: OnceCell::new(), ranges })
        })?;
        let range = pages.range(source, column, row)?;
        range.map(|range| range.read(source, self.chunk.codec, cache, number)).transpose()
    }
}

impl Pages {
    fn range(
        &self,
        source: &dyn Source,
        column: &Column,
        row: usize,
    ) -> Outcome<Option<ByteRange>> {
        let pages = &self.layout.pages;
        let at = pages.partition_point(|page| page.end <= row);
        let page = &pages[at];
        let ranges = self.ranges[at].get_or_try_init(|| -> Outcome<_> {
            let dictionary =
                self.dictionary.get_or_try_init(|| self.layout.dictionary(source, column))?;
            Ok(values(source, &page.head, column, dictionary)?.into_boxed_slice())
        })?;
        Ok(ranges[row + page.head.values - page.end])
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::{Compression, ZstdLevel};

    use super::*;
    use crate::parquet::fixture::{PLAIN, Style, rows};
    use crate::parquet::footer::Footer;

    #[test]
    fn a_range_is_as_near_to_the_image_as_the_codec_allows() {
        let zstd = Compression::ZSTD(ZstdLevel::default());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
            for dictionary in [false, true] {
                let style = Style { compression, dictionary, ..PLAIN };
                let file = style.write(&rows(12), &[]);
                let mut footer = Footer::read(&&file[..]).unwrap();
                let images = Images::new(12, footer.groups.remove(0).chunks.swap_remove(0));
                let column = &footer.columns[0];
                let cache = PageCache::default();
                images.read(&&file[..], column, 5, &cache, 0).unwrap().unwrap();
                let pages = images.pages.get().unwrap();
                assert_eq!(pages.ranges.len(), 4);
                let ranges = pages.ranges[1].get().unwrap();
                let is_expected = |range: &Option<ByteRange>| match compression {
                    Compression::UNCOMPRESSED => {
                        matches!(range, Some(ByteRange::File { .. }) | None)
                    }
                    Compression::SNAPPY => matches!(range, Some(ByteRange::Stream { .. }) | None),
                    _ => matches!(range, Some(ByteRange::Page { .. }) | None),
                };
                assert!(ranges.iter().all(is_expected), "{style:?}: {ranges:?}");
                let null: Vec<bool> = ranges.iter().map(Option::is_none).collect();
                assert_eq!(null, [true, false, false], "{style:?}");
            }
        }
    }

    #[test]
    fn a_range_is_small() {
        assert_eq!(size_of::<Option<ByteRange>>(), 24);
    }
}
