//! The interleaved layout: where the pixels of a slab lie, so that the tiles of a product are pieces of memory.
//!
//! A row of a tile is a pixel, and the next row the next pixel. Narrow maps would fill a tile with a line
//! or less, so the pixels of a few images are interleaved: `[row, column, image]`. A tap of the kernel is then the
//! same distance for all rows of a tile. With a stride, columns lie by their place within it, so that
//! those which one tap meets follow each other.

use super::tiles::TILE;
use crate::slab::Map;

/// How the pixels of one plane of channels lie, framed with zeros and interleaved with those of other images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InterleavedLayout {
    pub map: Map,
    /// How many rows of zeros are above the map, and columns of zeros to its left.
    pub before: usize,
    /// How many rows the frame has; what exceeds the map is zero.
    pub rows: usize,
    /// How many columns the frame has, likewise.
    pub columns: usize,
    /// Columns this far apart follow each other.
    pub stride: usize,
    /// How many images are interleaved with each other: a group.
    pub interleaved: usize,
}

impl InterleavedLayout {
    /// How many columns a frame has at one place within the stride.
    fn phase(&self) -> usize {
        self.columns.div_ceil(self.stride)
    }

    /// How many pixels one frame row of a group of interleaved images has.
    pub fn line(&self) -> usize {
        self.stride * self.phase() * self.interleaved
    }

    /// How many pixels a group of interleaved images has.
    pub fn group(&self) -> usize {
        self.rows * self.line()
    }

    /// Where a frame's pixel lies within its line, for the first of the interleaved images.
    pub(crate) fn in_line(&self, column: usize) -> usize {
        (column % self.stride * self.phase() + column / self.stride) * self.interleaved
    }

    /// Where a frame's pixel lies.
    pub(crate) fn of_frame(&self, image: usize, row: usize, column: usize) -> usize {
        let (group, image) = (image / self.interleaved, image % self.interleaved);
        group * self.group() + row * self.line() + self.in_line(column) + image
    }

    /// Where a map's pixel lies.
    pub fn at(&self, image: usize, row: usize, column: usize) -> usize {
        self.of_frame(image, row + self.before, column + self.before)
    }
}

/// How many images should be interleaved for lines of `width` pixels to fill tiles: the fewest, a power of two,
/// that leave at most an eighth of them empty, else those that leave least.
pub(crate) fn images_to_interleave(width: usize) -> usize {
    let empty =
        |images: usize| (width * images).next_multiple_of(TILE) as f64 / (width * images) as f64;
    let candidates = [1, 2, 4, 8, 16];
    let fitting = candidates.into_iter().find(|&images| empty(images) <= 8.0 / 7.0);
    fitting.unwrap_or_else(|| {
        candidates.into_iter().min_by(|a, b| empty(*a).total_cmp(&empty(*b))).unwrap_or(1)
    })
}
