//! Images as small pictures.

use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage};
use logo_ssl::Result;
use logo_ssl::data::{Images, Pixels};

/// Stands for an image that cannot be read.
const MISSING: Rgb<u8> = Rgb([222, 226, 231]);

/// Image number `index` with its longer side brought to at most `most` pixels; none where it cannot be read.
///
/// # Errors
/// [`logo_ssl::Error::Broken`] where too many cannot.
pub(super) fn whole(images: &Images, index: usize, most: u32) -> Result<Option<RgbImage>> {
    let read = images.read(index, |picture| {
        let Pixels { width, height, bytes } = picture.open()?.pixels()?;
        let picture = RgbImage::from_raw(width as u32, height as u32, bytes.into_owned());
        Ok(picture.expect("three bytes a pixel"))
    })?;
    Ok(read.map(|picture| within(picture, most)))
}

/// The central square of image number `index`, with a side of at most `most` pixels; grey where it cannot be
/// read.
///
/// # Errors
/// As [`whole`].
pub(super) fn square(images: &Images, index: usize, most: u32) -> Result<RgbImage> {
    let Some(picture) = whole(images, index, u32::MAX)? else {
        return Ok(RgbImage::from_pixel(1, 1, MISSING));
    };
    let side = picture.width().min(picture.height());
    let [x, y] = [picture.width() - side, picture.height() - side].map(|rest| rest / 2);
    Ok(within(crop_imm(&picture, x, y, side, side).to_image(), most))
}

fn within(picture: RgbImage, most: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    if longer <= most {
        return picture;
    }
    let scaled = |side: u32| {
        let side = u64::from(side) * u64::from(most) / u64::from(longer);
        (side as u32).max(1)
    };
    resize(&picture, scaled(width), scaled(height), FilterType::Triangle)
}

/// A picture in light greys, for colours to lie on.
pub(super) fn faded(picture: &RgbImage) -> RgbImage {
    let mut faded = picture.clone();
    for pixel in faded.pixels_mut() {
        let [red, green, blue] = pixel.0.map(f32::from);
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        *pixel = Rgb([grey as u8; 3]);
    }
    faded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_bounded_and_small_pictures_stay() {
        let picture = RgbImage::new(30, 10);
        assert_eq!(within(picture.clone(), 15).dimensions(), (15, 5));
        assert_eq!(within(picture.clone(), 64).dimensions(), (30, 10));
        assert_eq!(within(picture, 2).dimensions(), (2, 1));
    }
}
