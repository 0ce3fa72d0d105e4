//! PNG, WebP, BMP and PNM by way of the `image` crate.

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use super::directory::orientation;
use super::{DecodeError, Decoder, MAX_PIXELS};

/// What comes before the first chunk of a PNG.
const PNG_SIGNATURE_BYTES: usize = 8;

/// An image of `format` whose header has been read.
pub(super) struct Other<'a> {
    format: ImageFormat,
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
    /// Whether it ends before its format says so: that is what is then wrong with its pixels.
    is_cut: bool,
}

impl<'a> Other<'a> {
    pub(super) fn open(bytes: &'a [u8], format: ImageFormat) -> Result<Self, DecodeError> {
        let truncated = || DecodeError::Truncated { format: format.to_mime_type() };
        let is_whole = match format {
            ImageFormat::WebP => webp_is_whole(bytes),
            ImageFormat::Pnm => pnm_is_whole(bytes),
            _ => true,
        };
        if !is_whole {
            return Err(truncated());
        }
        let bytes = match format {
            ImageFormat::Png => with_end(bytes),
            _ => Cow::Borrowed(bytes),
        };
        let is_cut = matches!(bytes, Cow::Owned(_));
        Self::read_header(bytes, format).map_err(|error| match is_cut {
            true => truncated(),
            false => failure(format, error),
        })
    }

    fn read_header(bytes: Cow<'a, [u8]>, format: ImageFormat) -> Result<Self, ImageError> {
        let (is_cut, length) = (matches!(bytes, Cow::Owned(_)), bytes.len() as u64);
        let turned = match format {
            ImageFormat::WebP => webp_exif(&bytes).map(orientation),
            _ => None,
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        // Room for the largest image at 16 bits and with alpha.
        reader.limits(limits(8 * MAX_PIXELS));
        let mut decoder = Box::new(reader.into_decoder()?);
        // Room for twice this image.
        let room = decoder.total_bytes().saturating_mul(2);
        decoder.set_limits(limits(room.saturating_add(length + (1 << 20))))?;
        let turned = match (turned, format) {
            // Asked for that of a WebP, the decoder would take as much memory as the chunk says it is long.
            (None, ImageFormat::Png) => decoder.exif_metadata()?.map(|exif| orientation(&exif)),
            (turned, _) => turned,
        };
        let orientation = turned.unwrap_or(Orientation::NoTransforms);
        Ok(Other { format, decoder, orientation, is_cut })
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
        let truncated = DecodeError::Truncated { format: self.format.to_mime_type() };
        let image =
            DynamicImage::from_decoder(self.decoder).map_err(|error| match self.is_cut {
                true => truncated,
                false => failure(self.format, error),
            })?;
        Ok(image.into_rgb8().into_raw())
    }
}

fn limits(memory: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory);
    limits
}

/// Whether a WebP is as long as its header says. Its EXIF chunk comes last, where the decoder would
/// not miss it.
fn webp_is_whole(bytes: &[u8]) -> bool {
    let length = bytes.get(4..).and_then(|rest| rest.first_chunk());
    length.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(u32::from_le_bytes(*length)))
}

/// Whether a PNM does not end in the middle of a number. In text only the blank after the last one tells.
fn pnm_is_whole(bytes: &[u8]) -> bool {
    let is_text = bytes.starts_with(b"P2") || bytes.starts_with(b"P3");
    !is_text || bytes.last().is_some_and(u8::is_ascii_whitespace)
}

/// The contents of the EXIF chunk of a WebP.
fn webp_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut chunks = bytes.get(12..)?;
    loop {
        let (name, rest) = chunks.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if name == b"EXIF" {
            return rest.get(..length);
        }
        chunks = rest.get(length.checked_next_multiple_of(2)?..)?;
    }
}

/// A PNG that has the end it may lack. Pillow reads one whose last bytes are missing as long as those of
/// all pixels are there, and whether they are is seen when they are decoded.
fn with_end(png: &[u8]) -> Cow<'_, [u8]> {
    let mut at = PNG_SIGNATURE_BYTES;
    while let Some((length, name)) = png.get(at..).and_then(chunk_head) {
        let contents = at + 8;
        let rest = png.len() - contents;
        if name == b"IEND" {
            return Cow::Borrowed(png);
        }
        if rest < length.saturating_add(4) {
            return match name {
                b"IDAT" => Cow::Owned(completed(&png[..at], &png[contents..][..rest.min(length)])),
                // What follows the pixels and is cut off says nothing of them.
                _ => Cow::Owned(completed(&png[..at], &[])),
            };
        }
        at = contents + length + 4;
    }
    Cow::Owned(completed(&png[..at.min(png.len())], &[]))
}

/// `chunks` with one of pixels, whose `data` may be cut off, and the end.
fn completed(chunks: &[u8], data: &[u8]) -> Vec<u8> {
    let mut png = chunks.to_vec();
    for (name, data) in [(b"IDAT", data), (b"IEND", &[])] {
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(name);
        png.extend(data);
        png.extend(crc32fast::hash(&[name, data].concat()).to_be_bytes());
    }
    png
}

/// How long the contents of a PNG's chunk are, and its name.
fn chunk_head(chunk: &[u8]) -> Option<(usize, &[u8; 4])> {
    let (length, rest) = chunk.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*length) as usize, rest.first_chunk()?))
}

fn failure(format: ImageFormat, error: ImageError) -> DecodeError {
    let format = format.to_mime_type();
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format }
        }
        ImageError::Unsupported(error) => DecodeError::unsupported(format, error),
        error => DecodeError::damaged(format, error),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use image::codecs::bmp::BmpEncoder;
    use image::codecs::gif::GifEncoder;
    use image::codecs::png::PngEncoder;
    use image::codecs::tiff::TiffEncoder;
    use image::codecs::webp::WebPEncoder;
    use image::{ExtendedColorType, Frame, ImageEncoder, RgbaImage};

    use super::super::tests::{exif, open_and_decode, scene};
    use super::*;

    /// The scene with 1 to 4 channels in every format that has them.
    fn lossless(channels: usize) -> Vec<(String, Vec<u8>)> {
        let color = [
            ExtendedColorType::L8,
            ExtendedColorType::La8,
            ExtendedColorType::Rgb8,
            ExtendedColorType::Rgba8,
        ][channels - 1];
        let (scene, mut bytes) = (scene(channels), [const { Vec::new() }; 4]);
        let [png, webp, bmp, tiff] = &mut bytes;
        let (pixels, width, height) = (&scene.pixels, scene.width as u32, scene.height as u32);
        PngEncoder::new(png).write_image(pixels, width, height, color).unwrap();
        WebPEncoder::new_lossless(webp).encode(pixels, width, height, color).unwrap();
        BmpEncoder::new(bmp).encode(pixels, width, height, color).unwrap();
        if channels != 2 {
            let encoder = TiffEncoder::new(Cursor::new(tiff));
            encoder.write_image(pixels, width, height, color).unwrap();
        }
        let names = ["PNG", "WebP", "BMP", "TIFF"].map(|name| format!("{name} {channels}"));
        names.into_iter().zip(bytes).filter(|(_, bytes)| !bytes.is_empty()).collect()
    }

    /// One file of every kind.
    pub(in super::super) fn fixtures() -> Vec<(String, Vec<u8>)> {
        let mut fixtures: Vec<_> = (1..=4).flat_map(lossless).collect();
        fixtures.push(("GIF".to_string(), gif()));
        fixtures.push(("palette".to_string(), palette_png()));
        fixtures.push(("16 bits".to_string(), deep_png()));
        fixtures.extend(oriented(6));
        fixtures
    }

    /// The scene in every format with an orientation.
    fn oriented(orientation: u16) -> Vec<(String, Vec<u8>)> {
        let (scene, color) = (scene(3), ExtendedColorType::Rgb8);
        let (width, height) = (scene.width as u32, scene.height as u32);
        let (mut png, mut webp) = (Vec::new(), Vec::new());
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&scene.pixels, width, height, color).unwrap();
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&scene.pixels, width, height, color).unwrap();
        let named = |name: &str, bytes| (format!("oriented {name}"), bytes);
        vec![named("PNG", png), named("WebP", webp), named("TIFF", tiff(orientation))]
    }

    /// The scene in the one strip of a TIFF with an orientation tag.
    fn tiff(orientation: u16) -> Vec<u8> {
        let scene = scene(3);
        let strip = 8 + 2 + 12 * 9 + 4;
        let tags: [(u16, u32); 9] = [
            (0x100, scene.width as u32),
            (0x101, scene.height as u32),
            (0x102, 8), // bits of every sample
            (0x103, 1), // not compressed
            (0x106, 2), // RGB
            (0x111, strip),
            (0x112, orientation.into()),
            (0x115, 3), // samples of a pixel
            (0x117, scene.pixels.len() as u32),
        ];
        let mut bytes = b"II*\0\x08\0\0\0\x09\0".to_vec();
        for (tag, value) in tags {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(3_u16.to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([0; 4]);
        bytes.extend(scene.pixels);
        bytes
    }

    /// The scene as the first of two frames, the other black.
    pub(in super::super) fn gif() -> Vec<u8> {
        let scene = scene(4);
        let (width, height) = (scene.width as u32, scene.height as u32);
        let opaque = |(at, value)| if at % 4 == 3 { 255 } else { value };
        let pixels = scene.pixels.into_iter().enumerate().map(opaque).collect();
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for frame in
            [RgbaImage::from_raw(width, height, pixels).unwrap(), RgbaImage::new(width, height)]
        {
            encoder.encode_frame(Frame::new(frame)).unwrap();
        }
        drop(encoder);
        bytes
    }

    /// 3 x 1 pixels from a palette: red, a transparent green, blue.
    fn palette_png() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 3, 1);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Two);
        encoder.set_palette(&[0, 0, 255, 255, 0, 0, 0, 200, 0][..]);
        encoder.set_trns(&[255, 255, 0][..]);
        encoder.write_header().unwrap().write_image_data(&[0b01_10_00_00]).unwrap();
        bytes
    }

    /// 3 x 1 pixels of 16 bits.
    fn deep_png() -> Vec<u8> {
        let samples: [u16; 9] = [0, 257, 65535, 128, 129, 0x1234, 0x8080, 0xfeff, 0xff80];
        let samples: Vec<u8> = samples.iter().flat_map(|sample| sample.to_ne_bytes()).collect();
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes).write_image(&samples, 3, 1, ExtendedColorType::Rgb16).unwrap();
        bytes
    }

    fn message(bytes: &[u8]) -> String {
        open_and_decode(bytes).unwrap_err().to_string()
    }

    #[test]
    fn colours_come_exactly_grey_repeated_and_alpha_dropped() {
        for channels in 1..=4 {
            let scene = scene(channels);
            let expected: Vec<u8> =
                scene
                    .pixels
                    .chunks(channels)
                    .flat_map(|pixel| {
                        if channels < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] }
                    })
                    .collect();
            for (name, bytes) in lossless(channels) {
                let found = open_and_decode(&bytes).unwrap();
                assert_eq!((found.width, found.height), (scene.width, scene.height), "{name}");
                assert!(found.bytes == expected, "{name}");
            }
        }
    }

    #[test]
    fn a_palette_is_looked_up_under_transparency_too() {
        let found = open_and_decode(&palette_png()).unwrap();
        assert_eq!(found.bytes[..], [255, 0, 0, 0, 200, 0, 0, 0, 255]);
    }

    #[test]
    fn sixteen_bits_are_rounded_to_eight() {
        let found = open_and_decode(&deep_png()).unwrap();
        assert_eq!(found.bytes[..], [0, 1, 255, 0, 1, 18, 128, 254, 255]);
    }

    #[test]
    fn the_first_frame_of_a_gif_is_taken() {
        let (found, expected) = (open_and_decode(&gif()).unwrap(), scene(3));
        assert_eq!((found.width, found.height), (expected.width, expected.height));
        let differences = found.bytes.iter().zip(&expected.pixels);
        let total: u32 = differences.map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(total < 8 * found.bytes.len() as u32, "{total}");
    }

    #[test]
    fn orientations_are_found_in_every_format() {
        let (stored, size) = (scene(3).pixels, (scene(3).width, scene(3).height));
        for value in 1..=8 {
            let orientation = Orientation::from_exif(value as u8).unwrap();
            let expected = super::super::orientation::upright(&stored, size, orientation);
            for (name, bytes) in oriented(value) {
                let found = open_and_decode(&bytes).unwrap();
                assert!(found.bytes == expected, "{name} {value}");
                assert_eq!(found.width == size.1, value >= 5, "{name} {value}");
            }
        }
    }

    #[test]
    fn a_chunk_longer_than_the_file_is_not_believed() {
        let (_, mut webp) = oriented(6).swap_remove(1);
        let chunk = webp.windows(4).position(|window| window == b"EXIF").unwrap();
        webp[chunk + 4..][..4].fill(0xff);
        let found = open_and_decode(&webp).unwrap();
        assert_eq!((found.width, found.height), (scene(3).width, scene(3).height));
    }

    #[test]
    fn truncated_files_say_so() {
        for (name, bytes) in lossless(3) {
            let message = message(&bytes[..bytes.len() * 2 / 3]);
            assert!(message.starts_with("is a truncated image/"), "{name}: {message}");
        }
        assert!(message(&gif()[..100]).starts_with("is a truncated image/gif"));
    }
}
