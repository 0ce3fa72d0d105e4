//! JPEG by way of zune-jpeg, at its full size.
//!
//! A JPEG can also be decoded at half its size and less, but little is won: the Huffman codes of all
//! its pixels still have to be read, and that is most of the work.

use image::ImageFormat;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{DecodeError, Decoder};

const SOS: [u8; 2] = [0xff, 0xda];
const EOI: [u8; 2] = [0xff, 0xd9];

/// A JPEG whose header has been read.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    size: (usize, usize),
}

impl<'a> Jpeg<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let largest = usize::from(u16::MAX);
        let options = DecoderOptions::default()
            .set_max_width(largest)
            .set_max_height(largest)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|error| failure(bytes, &error))?;
        match (decoder.dimensions(), decoder.input_colorspace()) {
            (
                Some(size),
                Some(
                    ColorSpace::Luma
                    | ColorSpace::YCbCr
                    | ColorSpace::RGB
                    | ColorSpace::CMYK
                    | ColorSpace::YCCK,
                ),
            ) => Ok(Jpeg { bytes, decoder, size }),
            (_, space) => Err(unsupported(format!("its colours are {space:?}"))),
        }
    }
}

impl Decoder for Jpeg<'_> {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.decoder
            .exif()
            .and_then(|exif| Orientation::from_exif_chunk(exif))
            .unwrap_or(Orientation::NoTransforms)
    }

    fn decode(mut self: Box<Self>) -> Result<Vec<u8>, DecodeError> {
        // Otherwise the rows that are missing would come out grey. Not so strict with the header,
        // where bytes between the segments do no harm and occur.
        let strict = self.decoder.options().set_strict_mode(true);
        self.decoder.set_options(strict);
        let mut pixels = vec![0; 3 * self.size.0 * self.size.1];
        let decoded = self.decoder.decode_into(&mut pixels);
        decoded.map(|()| pixels).map_err(|error| failure(self.bytes, &error))
    }
}

fn failure(bytes: &[u8], error: &DecodeErrors) -> DecodeError {
    let format = ImageFormat::Jpeg.to_mime_type();
    match error {
        DecodeErrors::Unsupported(scheme) => unsupported(format!("{scheme:?}")),
        DecodeErrors::IoErrors(_) | DecodeErrors::ExhaustedData => {
            DecodeError::Truncated { format }
        }
        // Where the bytes run out within a code, the decoder blames the code.
        _ if last(bytes, EOI) < last(bytes, SOS) => DecodeError::Truncated { format },
        error => DecodeError::Damaged { format, reason: error.to_string() },
    }
}

fn unsupported(reason: String) -> DecodeError {
    DecodeError::Unsupported { format: ImageFormat::Jpeg.to_mime_type(), reason }
}

/// Where the last `marker` is.
fn last(bytes: &[u8], marker: [u8; 2]) -> Option<usize> {
    bytes.windows(2).rposition(|window| window == marker)
}
