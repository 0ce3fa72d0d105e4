//! Turning an image upright.

use image::metadata::Orientation;

/// Side of the squares in which pixels are moved, so that the lines of the cache that a column
/// touches are still there for the next: three times the speed of row by row on 12 megapixels.
const TILE: usize = 32;

/// Whether the rows of the stored image are the columns of the upright one.
pub(super) fn swaps_sides(orientation: Orientation) -> bool {
    orientation.to_exif() >= 5
}

/// The upright image, from one stored as `[height, width, 3]`.
pub(super) fn upright(
    stored: &[u8],
    (width, height): (usize, usize),
    orientation: Orientation,
) -> Vec<u8> {
    let (stored, _) = stored.as_chunks::<3>();
    let walk = Walk::new(width, height, orientation);
    let (columns, rows) = if swaps_sides(orientation) { (height, width) } else { (width, height) };
    let mut pixels = vec![0; 3 * columns * rows];
    let (upright, _) = pixels.as_chunks_mut::<3>();
    for top in (0..rows).step_by(TILE) {
        for left in (0..columns).step_by(TILE) {
            for row in top..rows.min(top + TILE) {
                let line = &mut upright[row * columns..][left..columns.min(left + TILE)];
                walk.copy_line(stored, (left, row), line);
            }
        }
    }
    pixels
}

/// How the upright image is found in the stored one, in pixels.
struct Walk {
    /// Where the top left one is.
    start: usize,
    /// How far the next one on the right is.
    right: isize,
    /// How far the next one below is.
    down: isize,
}

impl Walk {
    fn new(width: usize, height: usize, orientation: Orientation) -> Self {
        // No more than 2^29 pixels, the bound of the decoder, so that a row fits any `isize`.
        let (row, last_row) = (width as isize, width * (height - 1));
        let (start, right, down) = match orientation {
            Orientation::NoTransforms => (0, 1, row),
            Orientation::FlipHorizontal => (width - 1, -1, row),
            Orientation::Rotate180 => (last_row + width - 1, -1, -row),
            Orientation::FlipVertical => (last_row, 1, -row),
            Orientation::Rotate90FlipH => (0, row, 1),
            Orientation::Rotate90 => (last_row, -row, 1),
            Orientation::Rotate270FlipH => (last_row + width - 1, -row, -1),
            Orientation::Rotate270 => (width - 1, row, -1),
        };
        Walk { start, right, down }
    }

    /// Fills `line`, which begins at column `x` of row `y` of the upright image.
    fn copy_line(&self, stored: &[[u8; 3]], (x, y): (usize, usize), line: &mut [[u8; 3]]) {
        let offset = x as isize * self.right + y as isize * self.down;
        let mut at = self.start.wrapping_add_signed(offset);
        for pixel in line {
            *pixel = stored[at];
            at = at.wrapping_add_signed(self.right);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    #[test]
    fn every_orientation_is_as_the_image_crate_turns_it() {
        let (width, height) = (TILE as u32 + 5, 2 * TILE as u32 + 3);
        let stored = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
        for orientation in (1..=8).filter_map(Orientation::from_exif) {
            let mut expected = DynamicImage::ImageRgb8(stored.clone());
            expected.apply_orientation(orientation);
            let size = (width as usize, height as usize);
            let found = upright(&stored, size, orientation);
            assert!(found == expected.as_bytes(), "{orientation:?}");
            assert_eq!(swaps_sides(orientation), expected.width() == height, "{orientation:?}");
        }
    }
}
