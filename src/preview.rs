//! A picture of what the network is shown: images beside the views made of them.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{FilterType, replace, resize};
use image::{ImageFormat, Rgb, RgbImage};

use crate::augment::crop::CropBox;
use crate::augment::views::{Prepared, ViewKind, ViewMaker};
use crate::data::{DecodeError, Images, Opened, Pixels};
use crate::{Error, Result};
use logo_ssl_base::files::write_atomic;

// Blue and orange of Okabe and Ito's palette, which the colour-blind can tell apart.
const GLOBAL: Rgb<u8> = Rgb([0, 114, 178]);
const LOCAL: Rgb<u8> = Rgb([230, 159, 0]);
const BACKGROUND: Rgb<u8> = Rgb([255, 255, 255]);

/// Sides of cells come near this, pixels.
const CELL: u32 = 128;
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
    Ok(write_atomic(path, png.get_ref())?)
}

/// One row for each image of `indices` that can be read: the image with its crops marked, its global
/// views (blue), its local views (orange), as training sees them in `epoch`.
///
/// Every cell is a square of a whole multiple of the side of a global view; views are enlarged to the
/// nearest neighbour, so that their pixels can be counted.
///
/// # Errors
/// [`Error::Broken`] when too many images cannot be read.
///
/// # Panics
/// If an index is not in `images`.
pub fn preview_grid(
    images: &Images,
    maker: &ViewMaker,
    indices: &[usize],
    epoch: u64,
) -> Result<RgbImage> {
    let size = maker.size(ViewKind::Global) as u32;
    let side = size * (CELL / size).max(1);
    let row = |&index: &usize| {
        let row = images.read(index, |picture| {
            let prepared = maker.prepare(picture, epoch, index as u64)?;
            let marked = marked_image(picture.open()?, maker, &prepared, side)?;
            Ok(row_of(&marked, maker, &prepared, side))
        });
        Ok(row?)
    };
    let rows: Vec<Option<RgbImage>> = indices.iter().map(row).collect::<Result<_>>()?;
    let rows: Vec<RgbImage> = rows.into_iter().flatten().collect();
    let place = |at: usize| MARGIN + at as u32 * (side + MARGIN);
    let width = place(1 + maker.slots().count());
    let mut grid = RgbImage::from_pixel(width, place(rows.len()), BACKGROUND);
    for (at, row) in rows.iter().enumerate() {
        replace(&mut grid, row, 0, i64::from(place(at) - MARGIN / 2));
    }
    Ok(grid)
}

/// A marked image and the views beside it, with half a margin above and below.
fn row_of(marked: &RgbImage, maker: &ViewMaker, prepared: &Prepared<'_>, side: u32) -> RgbImage {
    let place = |at: usize| MARGIN + at as u32 * (side + MARGIN);
    let top = MARGIN / 2;
    let width = place(1 + maker.slots().count());
    let mut row = RgbImage::from_pixel(width, side + MARGIN, BACKGROUND);
    replace(&mut row, marked, place(0).into(), top.into());
    for (slot, kind) in maker.slots().enumerate() {
        let left = place(1 + slot);
        let view = view_picture(maker, prepared, slot, kind);
        let view = resize(&view, side, side, FilterType::Nearest);
        replace(&mut row, &view, left.into(), top.into());
        let frame = [left, top, left + side, top + side];
        outline(&mut row, widen(frame, LINE), LINE, color(kind));
    }
    row
}

fn color(kind: ViewKind) -> Rgb<u8> {
    match kind {
        ViewKind::Global => GLOBAL,
        ViewKind::Local => LOCAL,
    }
}

/// The image, its longer side brought to `side` pixels, with the box of each crop drawn on it.
fn marked_image(
    image: Opened<'_>,
    maker: &ViewMaker,
    prepared: &Prepared<'_>,
    side: u32,
) -> Result<RgbImage, DecodeError> {
    let [width, height] = image.size();
    let longer = width.max(height);
    let scaled = |pixels: usize| ((pixels * side as usize).div_ceil(longer) as u32).max(1);
    let Pixels { width: columns, height: rows, bytes } = image.pixels()?;
    let original = picture(columns, rows, bytes.into_owned());
    // Pixels of a small image are to be seen, those of a photograph would flicker.
    let filter = if longer <= side as usize { FilterType::Nearest } else { FilterType::Triangle };
    let mut marked = resize(&original, scaled(width), scaled(height), filter);
    for (slot, kind) in maker.slots().enumerate() {
        let CropBox { x, y, width, height } = prepared.crop(slot);
        let [left, top] = [x, y].map(|at| (at * side as usize / longer) as u32);
        let [right, bottom] = [x + width, y + height].map(scaled);
        let corners = [left, top, right.min(marked.width()), bottom.min(marked.height())];
        // The rim keeps the line in sight where the image is of its colour.
        outline(&mut marked, corners, LINE + 1, BACKGROUND);
        outline(&mut marked, corners, LINE, color(kind));
    }
    Ok(marked)
}

/// The view in `slot`, one pixel a pixel.
fn view_picture(
    maker: &ViewMaker,
    prepared: &Prepared<'_>,
    slot: usize,
    kind: ViewKind,
) -> RgbImage {
    let size = maker.size(kind);
    let mut view = vec![0.0; 3 * size * size];
    prepared.write(slot, &mut view);
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
    use std::sync::Arc;

    use super::*;
    use crate::augment::views::tests::{config, maker};
    use crate::data::{Dataset, Image, Picture};

    /// Grey images twice as wide as high.
    struct Grey(Vec<u8>);

    impl Dataset for Grey {
        fn len(&self) -> usize {
            3
        }

        fn picture(&self, _: usize) -> logo_ssl_data::Result<Picture<'_>> {
            Ok(Image { width: 16, height: 8, pixels: &self.0 }.into())
        }

        fn label(&self, _: usize) -> Option<usize> {
            None
        }

        fn name(&self, index: usize) -> String {
            format!("grey {index}")
        }

        fn classes(&self) -> &[String] {
            &[]
        }
    }

    fn grid() -> RgbImage {
        let mut config = config();
        config.jitter.probability = 0.0;
        let images = Images::new(Arc::new(Grey(vec![100; 16 * 8 * 3])), 0.0);
        preview_grid(&images, &maker(&config), &[0, 2], 0).unwrap()
    }

    #[test]
    fn a_row_an_image_and_a_column_a_view() {
        let grid = grid();
        assert_eq!(grid.dimensions(), (10 + 5 * 138, 10 + 2 * 138));
        for row in 0..2 {
            let y = 10 + 138 * row;
            for (column, frame) in (1..).zip([GLOBAL, GLOBAL, LOCAL, LOCAL]) {
                let x = 10 + 138 * column;
                assert_eq!(grid.get_pixel(x + 40, y + 40), &Rgb([100; 3]));
                assert_eq!(grid.get_pixel(x + 40, y - 1), &frame);
                assert_eq!(grid.get_pixel(x + 40, y - 3), &BACKGROUND);
            }
        }
    }

    #[test]
    fn crops_are_marked_on_an_image_that_keeps_its_shape() {
        let grid = grid();
        let original = image::imageops::crop_imm(&grid, 10, 10, 128, 64).to_image();
        for color in [GLOBAL, LOCAL] {
            assert!(original.pixels().any(|pixel| *pixel == color));
        }
        let below = image::imageops::crop_imm(&grid, 10, 74, 128, 64).to_image();
        assert!(below.pixels().all(|pixel| *pixel == BACKGROUND));
    }
}
