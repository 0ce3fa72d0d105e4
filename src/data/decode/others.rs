//! PNG, WebP, BMP, TIFF and GIF by way of the `image` crate.

use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::{DecodeError, Decoder, MAX_PIXELS};

/// An image of `format` whose header has been read.
pub(super) struct Other<'a> {
    format: ImageFormat,
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
}

impl<'a> Other<'a> {
    pub(super) fn open(bytes: &'a [u8], format: ImageFormat) -> Result<Self, DecodeError> {
        Self::read_header(bytes, format).map_err(|error| failure(format, error))
    }

    fn read_header(bytes: &'a [u8], format: ImageFormat) -> Result<Self, ImageError> {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        // Room for the largest image at 16 bits and with alpha.
        reader.limits(limits(8 * MAX_PIXELS));
        let mut decoder = Box::new(reader.into_decoder()?);
        // Room for twice this image: the frame of a GIF, the strip of a TIFF may be all of it.
        let room = decoder.total_bytes().saturating_mul(2);
        decoder.set_limits(limits(room.saturating_add(bytes.len() as u64 + (1 << 20))))?;
        let orientation = match format {
            ImageFormat::WebP => webp_orientation(bytes).unwrap_or(Orientation::NoTransforms),
            _ => decoder.orientation()?,
        };
        Ok(Other { format, decoder, orientation })
    }
}

impl Decoder for Other<'_> {
    fn size(&self) -> (usize, usize) {
        let (width, height) = self.decoder.dimensions();
        (width as usize, height as usize)
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn decode(self: Box<Self>) -> Result<Vec<u8>, DecodeError> {
        let image = DynamicImage::from_decoder(self.decoder)
            .map_err(|error| failure(self.format, error))?;
        Ok(image.into_rgb8().into_raw())
    }
}

fn limits(memory: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory);
    limits
}

/// The orientation in the EXIF chunk of a WebP. The decoder would first take as much memory as the
/// chunk says it is long.
fn webp_orientation(bytes: &[u8]) -> Option<Orientation> {
    let mut chunks = bytes.get(12..)?;
    loop {
        let (name, rest) = chunks.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if name == b"EXIF" {
            return Orientation::from_exif_chunk(rest.get(..length)?);
        }
        chunks = rest.get(length.checked_next_multiple_of(2)?..)?;
    }
}

fn failure(format: ImageFormat, error: ImageError) -> DecodeError {
    let format = format.to_mime_type();
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format }
        }
        ImageError::Unsupported(error) => {
            DecodeError::Unsupported { format, reason: error.to_string() }
        }
        error => DecodeError::Damaged { format, reason: error.to_string() },
    }
}
