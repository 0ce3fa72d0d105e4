//! The JPEGs that jpeg-decoder decodes: those of three components that zune-jpeg makes wrong colours of.

use std::io::ErrorKind;

use image::metadata::Orientation;
use jpeg_decoder::{Error, ImageInfo, PixelFormat};

use super::super::directory::orientation;
use super::{DecodeError, Decoder, damaged, truncated, unsupported};

/// A JPEG whose header has been read.
pub(super) struct ByJpegDecoder<'a> {
    decoder: jpeg_decoder::Decoder<&'a [u8]>,
    info: ImageInfo,
}

impl<'a> ByJpegDecoder<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = jpeg_decoder::Decoder::new(bytes);
        decoder.read_info().map_err(failure)?;
        let info = decoder.info().ok_or_else(truncated)?;
        match info.pixel_format {
            PixelFormat::RGB24 => Ok(ByJpegDecoder { decoder, info }),
            other => Err(unsupported(format!("its {other:?} samples come in a rare order"))),
        }
    }
}

impl Decoder for ByJpegDecoder<'_> {
    fn size(&self) -> (usize, usize) {
        (usize::from(self.info.width), usize::from(self.info.height))
    }

    fn orientation(&self) -> Orientation {
        self.decoder.exif_data().map_or(Orientation::NoTransforms, orientation)
    }

    fn decode(mut self: Box<Self>) -> Result<Vec<u8>, DecodeError> {
        self.decoder.decode().map_err(failure)
    }
}

fn failure(error: Error) -> DecodeError {
    match error {
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => truncated(),
        Error::Unsupported(feature) => unsupported(format!("{feature:?}")),
        error => damaged(error.to_string()),
    }
}
