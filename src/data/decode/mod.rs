//! Image files to RGB pixels: JPEG, PNG, WebP, BMP, TIFF and the first frame of a GIF.
//!
//! The content decides on the format, never the name: ImageNet itself has a PNG and CMYK JPEGs among
//! its `.JPEG` files. Every file becomes 8-bit RGB as Pillow's `convert("RGB")` makes it: grey is
//! repeated, a palette looked up, alpha dropped (not blended), CMYK taken as Adobe's and multiplied
//! out, a colour profile ignored. Unlike there, 16 bits become 8 by rounding `255 / 65535` of them,
//! and the image comes upright, as its EXIF orientation says.

mod jpeg;
mod orientation;
mod others;

use std::borrow::Cow;

use image::ImageFormat;
use image::metadata::Orientation;

use self::jpeg::Jpeg;
use self::others::Other;
use super::Pixels;

/// The most pixels of an image: those of 512 MiB of RGB. Pillow refuses at the same size.
pub const MAX_PIXELS: u64 = (512 << 20) / 3;

/// An image file whose header has been read.
pub struct Encoded<'a> {
    decoder: Box<dyn Decoder + 'a>,
}

/// What reads one format, after the header.
trait Decoder {
    /// Columns and rows as stored.
    fn size(&self) -> (usize, usize);

    /// How the stored image is to be turned; not at all where the file does not say.
    fn orientation(&self) -> Orientation;

    /// The pixels of the image, `[height, width, 3]` as stored.
    fn decode(self: Box<Self>) -> Result<Vec<u8>, DecodeError>;
}

/// Why an image file has no pixels to give, as it reads after the name of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The content is of no known format.
    #[error(
        "its {bytes} bytes are not an image: expected JPEG, PNG, WebP, BMP, TIFF or GIF; remove it"
    )]
    NotAnImage {
        /// The length of the file.
        bytes: usize,
    },

    /// The content is an image, in a format or a variant that cannot be decoded here.
    #[error("is {format}, and cannot be decoded here ({reason}); convert it to PNG or remove it")]
    Unsupported {
        /// The media type: `image/jpeg`.
        format: &'static str,
        /// What is missing.
        reason: String,
    },

    /// The image has more than [`MAX_PIXELS`].
    #[error(
        "claims {width} x {height} pixels, more than the {MAX_PIXELS} allowed; shrink or remove it"
    )]
    TooLarge {
        /// Columns as stored.
        width: usize,
        /// Rows as stored.
        height: usize,
    },

    /// The header promises more pixels than the file is long enough to hold.
    #[error(
        "claims {width} x {height} pixels, more than its {bytes} bytes can hold; fetch it again or remove it"
    )]
    TooShort {
        /// Columns as stored.
        width: usize,
        /// Rows as stored.
        height: usize,
        /// The length of the file.
        bytes: usize,
    },

    /// The file ends before the image does.
    #[error("is a truncated {format}: it ends before its image; fetch it again or remove it")]
    Truncated {
        /// The media type: `image/jpeg`.
        format: &'static str,
    },

    /// The content contradicts its format.
    #[error("is a damaged {format} ({reason}); fetch it again or remove it")]
    Damaged {
        /// The media type: `image/jpeg`.
        format: &'static str,
        /// What is wrong with it, in the decoder's words.
        reason: String,
    },
}

impl<'a> Encoded<'a> {
    /// Reads the header in the content of an image file: format, size and orientation.
    ///
    /// # Errors
    /// Any [`DecodeError`]: what is found here costs no memory for the pixels.
    pub fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let format = image::guess_format(bytes)
            .map_err(|_| DecodeError::NotAnImage { bytes: bytes.len() })?;
        let decoder: Box<dyn Decoder + 'a> = match format {
            ImageFormat::Jpeg => Box::new(Jpeg::open(bytes)?),
            _ => Box::new(Other::open(bytes, format)?),
        };
        check_size(decoder.size(), bytes.len(), format)?;
        Ok(Encoded { decoder })
    }

    /// Columns of the upright image.
    pub fn width(&self) -> usize {
        self.size().0
    }

    /// Rows of the upright image.
    pub fn height(&self) -> usize {
        self.size().1
    }

    fn size(&self) -> (usize, usize) {
        let (width, height) = self.decoder.size();
        let swapped = orientation::swaps_sides(self.decoder.orientation());
        if swapped { (height, width) } else { (width, height) }
    }

    /// Decodes the whole image.
    ///
    /// # Errors
    /// [`DecodeError`], most often [`DecodeError::Truncated`] or [`DecodeError::Damaged`].
    pub fn decode(self) -> Result<Pixels<'static>, DecodeError> {
        let (width, height) = self.size();
        let (stored, orientation) = (self.decoder.size(), self.decoder.orientation());
        let mut pixels = self.decoder.decode()?;
        if orientation != Orientation::NoTransforms {
            pixels = orientation::upright(&pixels, stored, orientation);
        }
        Ok(Pixels { width, height, bytes: Cow::Owned(pixels) })
    }
}

/// Refuses a header before memory is spent on its word.
fn check_size(
    (width, height): (usize, usize),
    bytes: usize,
    format: ImageFormat,
) -> Result<(), DecodeError> {
    let pixels = width as u64 * height as u64;
    if pixels == 0 {
        let reason = format!("it has {width} x {height} pixels");
        return Err(DecodeError::Damaged { format: format.to_mime_type(), reason });
    }
    if pixels > MAX_PIXELS {
        return Err(DecodeError::TooLarge { width, height });
    }
    if pixels > bytes as u64 * pixels_per_byte(format) {
        return Err(DecodeError::TooShort { width, height, bytes });
    }
    Ok(())
}

/// The most pixels that a byte of a file can stand for.
fn pixels_per_byte(format: ImageFormat) -> u64 {
    match format {
        // A block of 8 x 8 takes at least one bit.
        ImageFormat::Jpeg => 8 * 64,
        // No bound: blank pages come to 20,000.
        ImageFormat::WebP | ImageFormat::Tiff => 1 << 16,
        // Deflate packs at most 1032 bytes into one, of eight pixels each; the others less.
        _ => 8 * 1032,
    }
}
