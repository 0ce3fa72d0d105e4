//! A picture of what the network is shown: images beside the views made of them.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{FilterType, replace, resize};
use image::{ImageFormat, Rgb, RgbImage};

use crate::augment::crop::CropBox;
use crate::augment::views::{ViewKind, ViewMaker};
use crate::data::{Dataset, Image};
use crate::files::write_atomic;
use crate::{Error, Result};

// Blue and orange of Okabe and Ito's palette, which the colour-blind can tell apart.
const GLOBAL: Rgb<u8> = Rgb([0, 114, 178]);
const LOCAL: Rgb<u8> = Rgb([230, 159, 0]);
const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// Pixels between two cells, and around them all.
const MARGIN: u32 = 10;
/// Pixels of the lines around crops and views.
const LINE: u32 = 2;

/// Writes `grid` as PNG, atomically.
///
/// # Errors
/// [`crate::Error::Io`] naming the file.
pub fn save(grid: &RgbImage, path: &Path) -> Result<()> {
    let mut png = Cursor::new(Vec::new());
    grid.write_to(&mut png, ImageFormat::Png)
        .map_err(|error| Error::io("write", path)(std::io::Error::other(error)))?;
    write_atomic(path, png.get_ref())
}

/// One row for each image of `indices`: the image with its crops marked, its global views (blue),
/// its local views (orange), as training sees them in `epoch`.
///
/// Every cell is a square of `scale` times the side of a global view; nearest neighbour, so that
/// the views' pixels can be counted.
///
/// # Panics
/// If an index is not in `dataset`, or `scale` is 0.
pub fn preview_grid(
    dataset: &dyn Dataset,
    maker: &ViewMaker,
    indices: &[usize],
    epoch: u64,
    scale: u32,
) -> RgbImage {
    let side = maker.size(ViewKind::Global) as u32 * scale;
    let place = |at: u32| MARGIN + at * (side + MARGIN);
    let (columns, rows) = (1 + maker.slots().count() as u32, indices.len() as u32);
    let mut grid = RgbImage::from_pixel(place(columns), place(rows), BACKGROUND);
    for (row, &index) in (0..).zip(indices) {
        let top = place(row);
        let image = dataset.image(index);
        let marked = marked_image(image, maker, epoch, index as u64, side);
        replace(&mut grid, &marked, place(0).into(), top.into());
        for (slot, kind) in maker.slots().enumerate() {
            let left = place(1 + slot as u32);
            let picture = view_picture(image, maker, epoch, index as u64, (slot, kind));
            let picture = resize(&picture, side, side, FilterType::Nearest);
            replace(&mut grid, &picture, left.into(), top.into());
            let frame = [left, top, left + side, top + side];
            outline(&mut grid, widen(frame, LINE), LINE, color(kind));
        }
    }
    grid
}

fn color(kind: ViewKind) -> Rgb<u8> {
    match kind {
        ViewKind::Global => GLOBAL,
        ViewKind::Local => LOCAL,
    }
}

/// The image, its longer side brought to `side` pixels, with the box of each crop drawn on it.
fn marked_image(
    image: Image<'_>,
    maker: &ViewMaker,
    epoch: u64,
    index: u64,
    side: u32,
) -> RgbImage {
    let longer = image.width.max(image.height) as u32;
    let scaled = |pixels: usize| (pixels as u32 * side).div_ceil(longer);
    let original = picture(image.width, image.height, image.pixels.to_vec());
    let (width, height) = (scaled(image.width), scaled(image.height));
    let mut marked = resize(&original, width, height, FilterType::Nearest);
    for (slot, kind) in maker.slots().enumerate() {
        let CropBox { x, y, width, height } = maker.crop_of(image, epoch, index, slot);
        let corners = [x, y, x + width, y + height].map(scaled);
        // The rim keeps the line in sight where the image is of its colour.
        outline(&mut marked, corners, LINE + 1, BACKGROUND);
        outline(&mut marked, corners, LINE, color(kind));
    }
    marked
}

/// The view in `slot`, one pixel a pixel.
fn view_picture(
    image: Image<'_>,
    maker: &ViewMaker,
    epoch: u64,
    index: u64,
    (slot, kind): (usize, ViewKind),
) -> RgbImage {
    let size = maker.size(kind);
    let mut view = vec![0.0; 3 * size * size];
    maker.view(image, epoch, index, slot, &mut view);
    picture(size, size, maker.to_rgb8(&view))
}

fn picture(width: usize, height: usize, pixels: Vec<u8>) -> RgbImage {
    RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes a pixel")
}

fn widen([left, top, right, bottom]: [u32; 4], by: u32) -> [u32; 4] {
    [left - by, top - by, right + by, bottom + by]
}

/// Draws a border of `line` pixels within the rectangle from `(left, top)` up to, not including,
/// `(right, bottom)`.
fn outline(
    picture: &mut RgbImage,
    [left, top, right, bottom]: [u32; 4],
    line: u32,
    color: Rgb<u8>,
) {
    for y in top..bottom {
        for x in left..right {
            let to_edge = (x - left).min(right - 1 - x).min(y - top).min(bottom - 1 - y);
            if to_edge < line {
                picture.put_pixel(x, y, color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::views::tests::{config, maker};

    /// Grey images twice as wide as high.
    struct Grey(Vec<u8>);

    impl Dataset for Grey {
        fn len(&self) -> usize {
            3
        }

        fn image(&self, _: usize) -> Image<'_> {
            Image { width: 16, height: 8, pixels: &self.0 }
        }

        fn label(&self, _: usize) -> usize {
            0
        }

        fn classes(&self) -> &[String] {
            &[]
        }
    }

    fn grid() -> RgbImage {
        let mut config = config();
        config.jitter.probability = 0.0;
        let dataset = Grey(vec![100; 16 * 8 * 3]);
        preview_grid(&dataset, &maker(&config), &[0, 2], 0, 10)
    }

    #[test]
    fn a_row_an_image_and_a_column_a_view() {
        let grid = grid();
        assert_eq!(grid.dimensions(), (10 + 5 * 90, 10 + 2 * 90));
        for row in 0..2 {
            let y = 10 + 90 * row;
            for (column, frame) in (1..).zip([GLOBAL, GLOBAL, LOCAL, LOCAL]) {
                let x = 10 + 90 * column;
                assert_eq!(grid.get_pixel(x + 40, y + 40), &Rgb([100; 3]));
                assert_eq!(grid.get_pixel(x + 40, y - 1), &frame);
                assert_eq!(grid.get_pixel(x + 40, y - 3), &BACKGROUND);
            }
        }
    }

    #[test]
    fn crops_are_marked_on_an_image_that_keeps_its_shape() {
        let grid = grid();
        let original = image::imageops::crop_imm(&grid, 10, 10, 80, 40).to_image();
        for color in [GLOBAL, LOCAL] {
            assert!(original.pixels().any(|pixel| *pixel == color));
        }
        let below = image::imageops::crop_imm(&grid, 10, 50, 80, 40).to_image();
        assert!(below.pixels().all(|pixel| *pixel == BACKGROUND));
    }
}
