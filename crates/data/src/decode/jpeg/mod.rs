//! JPEG at its full size, by one of two decoders: zune-jpeg, which is fast, and jpeg-decoder for
//! the few kinds that zune-jpeg makes wrong pixels of.
//!
//! A JPEG can also be decoded at half its size and less, but little is won: the Huffman codes of
//! all its pixels still have to be read, and that is most of the work.

mod by_jpeg_decoder;
mod by_zune_jpeg;

use std::ops::RangeInclusive;

use self::by_jpeg_decoder::ByJpegDecoder;
use self::by_zune_jpeg::ByZuneJpeg;
use super::{DecodeError, Decoder};

const FORMAT: &str = "image/jpeg";

/// What every marker begins with; its code is the next byte that differs.
const MARKER: u8 = 0xff;
/// What follows a byte that is no marker though it looks like one.
const STUFFING: u8 = 0;
const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
/// The frames that are decoded: baseline and extended, which are sequential, and progressive.
const FRAMES: RangeInclusive<u8> = 0xc0..=PROGRESSIVE_FRAME;
const PROGRESSIVE_FRAME: u8 = 0xc2;
/// The frames that are neither sequential nor progressive with Huffman codes: arithmetic, lossless
/// and hierarchical ones.
const OTHER_FRAMES: [u8; 10] = [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf];

/// Reads the header of a JPEG.
pub(super) fn open<'a>(bytes: &'a [u8]) -> Result<Box<dyn Decoder + 'a>, DecodeError> {
    let decoder: Box<dyn Decoder> = match decoded_by(bytes)? {
        DecodedBy::ZuneJpeg => Box::new(ByZuneJpeg::open(bytes)?),
        DecodedBy::JpegDecoder => Box::new(ByJpegDecoder::open(bytes)?),
    };
    if is_whole(bytes) { Ok(decoder) } else { Err(truncated()) }
}

/// Which decoder gives the right pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
enum DecodedBy {
    ZuneJpeg,
    /// The colours come in scans of their own though the frame is sequential, as some encoders
    /// write them that choose the best Huffman codes; or they are finer than the brightness; or
    /// thirds are involved. zune-jpeg 0.5.15 gives wrong pixels, an error or a panic.
    JpegDecoder,
}

/// Reads as much of a header as tells which decoder is to decode it.
fn decoded_by(bytes: &[u8]) -> Result<DecodedBy, DecodeError> {
    let mut frame = Frame { is_progressive: false, components: &[] };
    for Segment { code, contents } in Segments::new(bytes) {
        if OTHER_FRAMES.contains(&code) {
            return Err(unsupported("neither sequential nor progressive".to_string()));
        } else if FRAMES.contains(&code) {
            let (components, _) = contents.get(6..).unwrap_or_default().as_chunks();
            frame = Frame { is_progressive: code == PROGRESSIVE_FRAME, components };
        } else if code == START_OF_SCAN {
            let scanned = contents.first().copied().unwrap_or(0);
            return frame.decoded_by(usize::from(scanned) < frame.components.len());
        }
    }
    // Too short to be decoded by either.
    Ok(DecodedBy::ZuneJpeg)
}

/// What a frame says of its components.
struct Frame<'a> {
    is_progressive: bool,
    /// Of each its name, its factors, horizontal and vertical, and its quantisation table.
    components: &'a [[u8; 3]],
}

impl Frame<'_> {
    /// The decoder of the frame; `is_apart` says whether its first scan lacks some of the components.
    fn decoded_by(&self, is_apart: bool) -> Result<DecodedBy, DecodeError> {
        if self.has_factors_of_zune_jpeg() && (self.is_progressive || !is_apart) {
            Ok(DecodedBy::ZuneJpeg)
        } else if self.has_factors_between() && (self.is_progressive || is_apart) {
            // jpeg-decoder 0.3.2 miscounts the blocks of such a component in a scan of its own.
            Err(unsupported("its scans have sampling factors between one and the most".to_string()))
        } else {
            Ok(DecodedBy::JpegDecoder)
        }
    }

    fn factors(&self) -> impl Iterator<Item = [u8; 2]> + Clone {
        self.components.iter().map(|[_, factors, _]| [factors >> 4, factors & 15])
    }

    /// Whether the first component has the most samples in both directions, and all have a power of
    /// two of them.
    fn has_factors_of_zune_jpeg(&self) -> bool {
        let first = self.factors().next().unwrap_or_default();
        let fits = |(factor, most): (u8, u8)| factor <= most && factor.is_power_of_two();
        self.factors().all(|factors| factors.into_iter().zip(first).all(fits))
    }

    /// Whether a component has more samples than the fewest there can be, and fewer than another.
    fn has_factors_between(&self) -> bool {
        (0..2).any(|direction| {
            let factors = self.factors().map(|factors| factors[direction]);
            let most = factors.clone().max().unwrap_or(1);
            factors.into_iter().any(|factor| 1 < factor && factor < most)
        })
    }
}

/// Whether the image ends with its marker. Without it the decoder makes up what is missing of the
/// last blocks.
fn is_whole(bytes: &[u8]) -> bool {
    let end = [MARKER, END_OF_IMAGE];
    let mut segments = Segments::new(bytes);
    segments.any(|segment| segment.code == START_OF_SCAN)
        && segments.rest.windows(2).rev().any(|window| window == end)
}

/// The segments up to a scan, found as the decoders find them, which pass over what is between.
/// A thumbnail, which has scans and an end too, is within one of them.
struct Segments<'a> {
    /// What follows the last one.
    rest: &'a [u8],
}

struct Segment<'a> {
    code: u8,
    contents: &'a [u8],
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        // The start of an image has no length.
        Segments { rest: bytes.get(2..).unwrap_or_default() }
    }

    /// The code of the next marker.
    fn code(&mut self) -> Option<u8> {
        loop {
            let marker = self.rest.iter().position(|byte| *byte == MARKER)?;
            let marker = &self.rest[marker..];
            let at = marker.iter().position(|byte| *byte != MARKER)?;
            self.rest = &marker[at + 1..];
            if marker[at] != STUFFING {
                return Some(marker[at]);
            }
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let code = self.code()?;
        let length = u16::from_be_bytes(*self.rest.first_chunk()?);
        let (segment, rest) = self.rest.split_at_checked(usize::from(length))?;
        self.rest = rest;
        // The first two bytes are the length.
        Some(Segment { code, contents: segment.get(2..).unwrap_or_default() })
    }
}

fn damaged(reason: String) -> DecodeError {
    DecodeError::damaged(FORMAT, reason)
}

fn truncated() -> DecodeError {
    DecodeError::Truncated { format: FORMAT }
}

fn unsupported(reason: String) -> DecodeError {
    DecodeError::unsupported(FORMAT, reason)
}

#[cfg(test)]
pub(super) mod tests {
    use image::metadata::Orientation;
    use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};

    use super::super::Encoded;
    use super::super::tests::{Scene, exif, open_and_decode, scene};
    use super::*;
    use crate::Pixels;

    /// 16 x 16, in squares of 8 the inks (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255) and
    /// (10, 200, 60, 30). Made by Pillow, `im` being a `CMYK` image of those:
    /// `im.save("cmyk.jpg", quality=95, optimize=True, subsampling=0)`.
    const CMYK: &[u8] = include_bytes!("../../../tests/fixtures/cmyk.jpg");

    /// The scene, its colours of four times as many samples as its brightness. Made by libjpeg:
    /// `cjpeg -quality 100 -sample 1x1,2x2,2x2`.
    const FINE_COLOURS: &[u8] = include_bytes!("../../../tests/fixtures/fine_colours.jpg");

    /// Between two segments it is nothing, and not a marker with a length.
    const STUFFED: [u8; 4] = [MARKER, STUFFING, 1, 2];

    const FACTORS: [SamplingFactor; 6] = [
        SamplingFactor::R_4_4_4,
        SamplingFactor::R_4_4_0,
        SamplingFactor::R_4_2_2,
        SamplingFactor::R_4_2_0,
        SamplingFactor::R_4_1_1,
        SamplingFactor::R_4_1_0,
    ];

    /// How the components follow each other.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Order {
        /// Block by block, where the factors let the encoder.
        Together,
        Apart,
        Progressive,
    }

    const ORDERS: [Order; 3] = [Order::Together, Order::Apart, Order::Progressive];

    fn set(encoder: &mut Encoder<&mut Vec<u8>>, factor: SamplingFactor, order: Order) {
        encoder.set_sampling_factor(factor);
        encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
        encoder.set_optimized_huffman_tables(order == Order::Apart);
        encoder.set_progressive(order == Order::Progressive);
        encoder.set_restart_interval(if order == Order::Together { 2 } else { 0 });
    }

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
        let mut fixtures = vec![
            ("cmyk".to_string(), CMYK.to_vec()),
            ("R_fine_colours".to_string(), FINE_COLOURS.to_vec()),
        ];
        for (factor, order) in FACTORS.iter().flat_map(|factor| ORDERS.map(|order| (factor, order)))
        {
            let bytes = jpeg(&scene(3), ColorType::Rgb, |encoder| set(encoder, *factor, order));
            fixtures.push((format!("{factor:?}, {order:?}"), bytes));
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
            // A quarter of the colours is spread over four pixels, across which red climbs by 27.
            let near = if name.starts_with("R_4_1") { 6 } else { 2 };
            assert!(total < near * found.bytes.len() as u32, "{name}: {total}");
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
    fn inks_may_be_coarser_than_black() {
        let [fine, coarse] = [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_0].map(|factor| {
            let bytes = jpeg(&scene(4), ColorType::CmykAsYcck, |encoder| {
                encoder.set_sampling_factor(factor);
            });
            open_and_decode(&bytes).unwrap().bytes
        });
        let total: u32 = fine.iter().zip(&*coarse).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(total < 4 * fine.len() as u32, "{total} in {} values", fine.len());
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
        let between = [&plain[..tables], &[0x12; 9], &STUFFED, &plain[tables..]].concat();
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

    #[test]
    fn the_header_decides_on_the_decoder() {
        let plain = jpeg(&scene(3), ColorType::Rgb, |_| {});
        let apart =
            jpeg(&scene(3), ColorType::Rgb, |encoder| set(encoder, FACTORS[0], Order::Apart));
        let progressive = jpeg(&scene(3), ColorType::Rgb, |encoder| encoder.set_progressive(true));
        assert_eq!(decoded_by(&plain).unwrap(), DecodedBy::ZuneJpeg);
        assert_eq!(decoded_by(&progressive).unwrap(), DecodedBy::ZuneJpeg);
        assert_eq!(decoded_by(&apart).unwrap(), DecodedBy::JpegDecoder);
        assert_eq!(decoded_by(FINE_COLOURS).unwrap(), DecodedBy::JpegDecoder);
        let stuffed = [&FINE_COLOURS[..2], &STUFFED, &FINE_COLOURS[2..]].concat();
        assert_eq!(decoded_by(&stuffed).unwrap(), DecodedBy::JpegDecoder);
        let frame = plain.windows(2).position(|window| window == [MARKER, 0xc0]).unwrap();
        for (component, factors) in [(0, 0x31), (1, 0x21), (1, 0x12), (2, 0x21), (0, 0x10)] {
            let mut bytes = plain.clone();
            bytes[frame + 11 + 3 * component] = factors;
            assert_eq!(
                decoded_by(&bytes).unwrap(),
                DecodedBy::JpegDecoder,
                "component {component}: {factors:x}"
            );
        }
    }

    #[test]
    fn factors_between_are_refused_where_blocks_would_be_miscounted() {
        let order =
            |order| jpeg(&scene(3), ColorType::Rgb, |encoder| set(encoder, FACTORS[0], order));
        let with = |mut bytes: Vec<u8>, factors: [u8; 3]| {
            let is_frame = |window: &[u8]| window[0] == MARKER && FRAMES.contains(&window[1]);
            let frame = bytes.windows(2).position(is_frame).unwrap();
            for (component, factors) in factors.into_iter().enumerate() {
                bytes[frame + 11 + 3 * component] = factors;
            }
            decoded_by(&bytes).map_err(|error| error.to_string())
        };
        let [together, apart, progressive] = ORDERS.map(order);
        for first in [[0x41, 0x21, 0x11], [0x14, 0x12, 0x14], [0x42, 0x21, 0x41]] {
            assert_eq!(with(together.clone(), first), Ok(DecodedBy::ZuneJpeg));
            assert_eq!(with(progressive.clone(), first), Ok(DecodedBy::ZuneJpeg));
            assert!(with(apart.clone(), first).unwrap_err().contains("between one and the most"));
        }
        assert_eq!(with(together, [0x21, 0x41, 0x11]), Ok(DecodedBy::JpegDecoder));
        assert!(with(progressive, [0x21, 0x41, 0x11]).unwrap_err().contains("between"));
        assert_eq!(with(apart, [0x41, 0x11, 0x41]), Ok(DecodedBy::JpegDecoder));
    }

    #[test]
    fn what_jpeg_decoder_decodes_is_turned_and_its_damage_named_as_any() {
        let exif = exif(6);
        let bytes = jpeg(&scene(3), ColorType::Rgb, |encoder| {
            set(encoder, SamplingFactor::R_4_2_0, Order::Apart);
            encoder.add_exif_metadata(&exif).unwrap();
        });
        let turned = open_and_decode(&bytes).unwrap();
        assert_eq!((turned.width, turned.height), (scene(3).height, scene(3).width));
        let message = message(&bytes[..bytes.len() - 2]);
        assert!(message.starts_with("is a truncated image/jpeg"), "{message}");
    }
}
