//! The JPEGs that zune-jpeg decodes: all but the few kinds of [`super::by_jpeg_decoder`].

use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::super::directory::orientation;
use super::{DecodeError, Decoder, damaged, truncated, unsupported};

/// The meanings of one, three or four components.
const COLOURS: [ColorSpace; 5] =
    [ColorSpace::Luma, ColorSpace::YCbCr, ColorSpace::RGB, ColorSpace::CMYK, ColorSpace::YCCK];

/// A JPEG whose header has been read.
pub(super) struct ByZuneJpeg<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    size: (usize, usize),
}

impl<'a> ByZuneJpeg<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let largest = usize::from(u16::MAX);
        let options = DecoderOptions::default()
            .set_max_width(largest)
            .set_max_height(largest)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|error| failure(&error))?;
        match (decoder.dimensions(), decoder.input_colorspace()) {
            (Some(size), Some(space)) if COLOURS.contains(&space) => {
                Ok(ByZuneJpeg { decoder, size })
            }
            (_, space) => Err(unsupported(format!("its colours are {space:?}"))),
        }
    }
}

impl Decoder for ByZuneJpeg<'_> {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.decoder.exif().map_or(Orientation::NoTransforms, |exif| orientation(exif))
    }

    fn decode(mut self: Box<Self>) -> Result<Vec<u8>, DecodeError> {
        // Otherwise the rows that are missing would come out grey. Not so strict with the header,
        // where bytes between the segments do no harm and occur.
        let strict = self.decoder.options().set_strict_mode(true);
        self.decoder.set_options(strict);
        let mut pixels = vec![0; 3 * self.size.0 * self.size.1];
        let decoded = self.decoder.decode_into(&mut pixels);
        decoded.map(|()| pixels).map_err(|error| failure(&error))
    }
}

fn failure(error: &DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::IoErrors(_) => truncated(),
        error => damaged(error.to_string()),
    }
}
