//! JPEG by way of zune-jpeg, at its full size.
//!
//! A JPEG can also be decoded at half its size and less, but little is won: the Huffman codes of
//! all its pixels still have to be read, and that is most of the work.

use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{DecodeError, Decoder};

const FORMAT: &str = "image/jpeg";

/// What every marker begins with; its code is the next byte that differs.
const MARKER: u8 = 0xff;
const START_OF_IMAGE: u8 = 0xd8;
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
/// The frames that are neither baseline nor progressive with Huffman codes: arithmetic, lossless
/// and hierarchical ones.
const OTHER_FRAMES: [u8; 10] = [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf];

/// The meanings of one, three or four components.
const COLOURS: [ColorSpace; 5] =
    [ColorSpace::Luma, ColorSpace::YCbCr, ColorSpace::RGB, ColorSpace::CMYK, ColorSpace::YCCK];

/// A JPEG whose header has been read.
pub(super) struct Jpeg<'a> {
    decoder: JpegDecoder<ZCursor<&'a [u8]>>,
    size: (usize, usize),
}

impl<'a> Jpeg<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut header = Segments { rest: bytes }.take_while(|code| *code != START_OF_SCAN);
        if header.any(|code| OTHER_FRAMES.contains(&code)) {
            return Err(unsupported("neither baseline nor progressive".to_string()));
        }
        let largest = usize::from(u16::MAX);
        let options = DecoderOptions::default()
            .set_max_width(largest)
            .set_max_height(largest)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        decoder.decode_headers().map_err(|error| failure(&error))?;
        if !is_whole(bytes) {
            return Err(truncated());
        }
        match (decoder.dimensions(), decoder.input_colorspace()) {
            (Some(size), Some(space)) if COLOURS.contains(&space) => Ok(Jpeg { decoder, size }),
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
        decoded.map(|()| pixels).map_err(|error| failure(&error))
    }
}

/// Whether the image ends with its marker. Without it the decoder makes up what is missing of the
/// last blocks.
fn is_whole(bytes: &[u8]) -> bool {
    let end = [MARKER, END_OF_IMAGE];
    let mut segments = Segments { rest: bytes };
    segments.any(|code| code == START_OF_SCAN)
        && segments.rest.windows(2).rev().any(|window| window == end)
}

/// The codes of the segments up to a scan. A thumbnail, which has scans and an end too, is within
/// one of them.
struct Segments<'a> {
    /// What follows the last one.
    rest: &'a [u8],
}

impl Iterator for Segments<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let marker = self.rest.iter().position(|byte| *byte == MARKER)?;
        let marker = &self.rest[marker..];
        let at = marker.iter().position(|byte| *byte != MARKER)?;
        let (code, segment) = (marker[at], &marker[at + 1..]);
        let length = match code {
            START_OF_IMAGE => 0,
            _ => u16::from_be_bytes(*segment.first_chunk()?),
        };
        self.rest = segment.get(usize::from(length)..)?;
        Some(code)
    }
}

fn failure(error: &DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::IoErrors(_) => truncated(),
        error => DecodeError::Damaged { format: FORMAT, reason: error.to_string() },
    }
}

fn truncated() -> DecodeError {
    DecodeError::Truncated { format: FORMAT }
}

fn unsupported(reason: String) -> DecodeError {
    DecodeError::Unsupported { format: FORMAT, reason }
}

#[cfg(test)]
pub(super) mod tests {
    use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

    use super::super::Encoded;
    use super::super::tests::{Scene, exif, open_and_decode, scene};
    use super::*;
    use crate::data::Pixels;

    /// 16 x 16, in squares of 8 the inks (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255) and
    /// (10, 200, 60, 30). Made by Pillow, `im` being a `CMYK` image of those:
    /// `im.save("cmyk.jpg", quality=95, optimize=True, subsampling=0)`.
    const CMYK: &[u8] = include_bytes!("../../../tests/fixtures/cmyk.jpg");

    /// The scene as a JPEG of the best quality.
    fn jpeg(
        scene: &Scene,
        color: ColorType,
        set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 100);
        set(&mut encoder);
        encoder.encode(&scene.pixels, scene.width as u16, scene.height as u16, color).unwrap();
        bytes
    }

    /// One JPEG of every kind.
    pub(in super::super) fn fixtures() -> Vec<(String, Vec<u8>)> {
        let factors = [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_2, SamplingFactor::R_4_2_0];
        let mut fixtures = vec![("cmyk".to_string(), CMYK.to_vec())];
        for (factor, progressive) in factors.iter().flat_map(|f| [(f, false), (f, true)]) {
            let bytes = jpeg(&scene(3), ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(*factor);
                encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
                encoder.set_progressive(progressive);
                encoder.set_restart_interval(if progressive { 0 } else { 2 });
            });
            fixtures.push((format!("{factor:?}, progressive {progressive}"), bytes));
        }
        fixtures.push(("grey".to_string(), jpeg(&scene(1), ColorType::Luma, |_| {})));
        fixtures.push(("exif".to_string(), oriented(6)));
        fixtures
    }

    /// The scene with an EXIF segment.
    fn oriented(orientation: u16) -> Vec<u8> {
        let exif = exif(orientation);
        jpeg(&scene(3), ColorType::Rgb, |encoder| encoder.add_exif_metadata(&exif).unwrap())
    }

    /// Inserts a segment at the start of a JPEG.
    fn with_segment(jpeg: &[u8], code: u8, contents: &[u8]) -> Vec<u8> {
        let length = (contents.len() as u16 + 2).to_be_bytes();
        [&jpeg[..2], &[MARKER, code], &length, contents, &jpeg[2..]].concat()
    }

    fn message(bytes: &[u8]) -> String {
        open_and_decode(bytes).unwrap_err().to_string()
    }

    /// The colours in the middle of the four squares.
    fn squares(decoded: &Pixels<'_>) -> [[u8; 3]; 4] {
        let (pixels, _) = decoded.bytes.as_chunks::<3>();
        [4 * 16 + 4, 4 * 16 + 12, 12 * 16 + 4, 12 * 16 + 12].map(|at| pixels[at])
    }

    fn assert_near(found: [[u8; 3]; 4], expected: [[u8; 3]; 4]) {
        let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 2;
        let all = found.as_flattened().iter().zip(expected.as_flattened()).all(near);
        assert!(all, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn every_kind_gives_the_scene() {
        for (name, bytes) in fixtures().iter().filter(|(name, _)| name.starts_with("R_")) {
            let (found, expected) = (open_and_decode(bytes).unwrap(), scene(3));
            assert_eq!((found.width, found.height), (expected.width, expected.height));
            let differences = found.bytes.iter().zip(&expected.pixels);
            let total: u32 = differences.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            assert!(total < 2 * found.bytes.len() as u32, "{name}: {total}");
        }
    }

    #[test]
    fn grey_is_repeated() {
        let found = open_and_decode(&jpeg(&scene(1), ColorType::Luma, |_| {})).unwrap();
        let expected = scene(1).pixels;
        assert_eq!(found.bytes.len(), 3 * expected.len());
        for (pixel, grey) in found.bytes.as_chunks::<3>().0.iter().zip(expected) {
            assert!(pixel[0].abs_diff(grey) <= 2 && *pixel == [pixel[0]; 3], "{pixel:?} {grey}");
        }
    }

    #[test]
    fn inks_become_the_colours_that_pillow_makes_of_them() {
        let expected = [[255, 255, 255], [0, 255, 255], [0, 0, 0], [216, 49, 172]];
        assert_near(squares(&open_and_decode(CMYK).unwrap()), expected);
        // The same numbers taken as YCCK, which is Adobe's transform 2.
        let mut ycck = CMYK.to_vec();
        let adobe = ycck.windows(5).position(|window| window == b"Adobe").unwrap();
        ycck[adobe + 11] = 2;
        let expected = [[0, 134, 0], [77, 255, 30], [0, 0, 0], [0, 29, 123]];
        assert_near(squares(&open_and_decode(&ycck).unwrap()), expected);
    }

    #[test]
    fn exif_turns_the_image() {
        let stored = open_and_decode(&oriented(1)).unwrap();
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value as u8).unwrap();
            let (bytes, size) = (oriented(value), (stored.width, stored.height));
            let encoded = Encoded::open(&bytes).unwrap();
            let found = Encoded::open(&bytes).unwrap().decode().unwrap();
            let expected = super::super::orientation::upright(&stored.bytes, size, orientation);
            assert!(found.bytes == expected, "orientation {value}");
            assert_eq!((encoded.width(), encoded.height()), (found.width, found.height));
            assert_eq!(found.width == stored.height, value >= 5);
        }
    }

    #[test]
    fn senseless_exif_leaves_the_image_as_it_is() {
        let plain = jpeg(&scene(3), ColorType::Rgb, |_| {});
        let expected = open_and_decode(&plain).unwrap();
        let whole = [b"Exif\0\0", &exif(6)[..]].concat();
        for length in 0..whole.len() - 8 {
            let bytes = with_segment(&plain, 0xe1, &whole[..length]);
            assert!(open_and_decode(&bytes).unwrap() == expected, "{length} bytes of EXIF");
        }
        for value in [0, 9, 65535] {
            assert!(open_and_decode(&oriented(value)).unwrap() == expected, "orientation {value}");
        }
    }

    #[test]
    fn a_truncated_file_says_so_even_with_a_thumbnail() {
        let plain = jpeg(&scene(3), ColorType::Rgb, |_| {});
        let thumbnail = with_segment(&plain, 0xe2, &plain);
        // The first segment's length is there from the sixth byte on.
        for length in 6..thumbnail.len() {
            let message = message(&thumbnail[..length]);
            let expected = "is a truncated image/jpeg: it ends before its image";
            assert!(message.starts_with(expected), "{length}: {message}");
        }
    }

    #[test]
    fn a_code_that_does_not_exist_is_an_error_and_not_grey() {
        let mut bytes = jpeg(&scene(3), ColorType::Rgb, |_| {});
        let middle = bytes.len() - 100;
        // Only ones, which no Huffman table gives a meaning.
        bytes[middle..][..20].copy_from_slice(&[MARKER, 0].repeat(10));
        let message = message(&bytes);
        assert!(message.starts_with("is a damaged image/jpeg ("), "{message}");
    }

    #[test]
    fn a_panorama_may_be_as_wide_as_the_format_allows() {
        let scene = Scene { width: 65_535, height: 1, pixels: vec![128; 65_535] };
        let decoded = open_and_decode(&jpeg(&scene, ColorType::Luma, |_| {})).unwrap();
        assert_eq!((decoded.width, decoded.height), (65_535, 1));
    }

    #[test]
    fn what_other_programs_put_between_and_behind_does_no_harm() {
        let plain = jpeg(&scene(3), ColorType::Rgb, |_| {});
        let expected = open_and_decode(&plain).unwrap();
        let end = plain.len() - 2;
        let video = [&plain[..], &[0x12; 5000]].concat();
        let filled = [&plain[..end], &[0; 3], &[MARKER; 3], &plain[end..]].concat();
        let tables = plain.windows(2).position(|window| window == [MARKER, 0xdb]).unwrap();
        let between = [&plain[..tables], &[0x12; 9], &plain[tables..]].concat();
        for bytes in [video, filled, between, with_segment(&plain, 0xef, b"maker")] {
            assert!(open_and_decode(&bytes).unwrap() == expected);
        }
    }

    #[test]
    fn kinds_that_are_not_decoded_are_named() {
        let mut bytes = jpeg(&scene(3), ColorType::Rgb, |_| {});
        let frame = bytes.windows(2).position(|window| window == [MARKER, 0xc0]).unwrap();
        bytes[frame + 1] = 0xc3;
        let message = message(&bytes);
        assert!(message.starts_with("is image/jpeg, and cannot be decoded here"), "{message}");
    }
}
