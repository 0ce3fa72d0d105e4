//! Image files to RGB pixels: JPEG, PNG, WebP, BMP, TIFF, PNM and the first frame of a GIF.
//!
//! The content decides on the format, never the name: ImageNet itself has a PNG and CMYK JPEGs
//! among its `.JPEG` files. Every file becomes 8-bit RGB as Pillow's `convert("RGB")` makes it:
//! grey is repeated, a palette looked up, alpha dropped (not blended), CMYK taken as Adobe's and
//! multiplied out, a colour profile ignored. Colours that a TIFF says have been multiplied with
//! its alpha are divided by that; a GIF's frame lies on its transparent colour, or its first. A
//! PNG may lack its end, a JPEG may not. Unlike there, 16 bits become 8 by rounding `255 / 65535`
//! of them, and the image comes upright, as its EXIF orientation says. `tests/fixtures/pictures`
//! has a file of each kind with the pixels that Pillow reads.
//!
//! What is no image is named as what it is: a Git LFS pointer, a web page, an AVIF picture.
//!
//! A decoder that panics has met a broken image: that is an error like any other.

mod catch_panics;
mod content;
mod directory;
mod gif;
mod jpeg;
mod orientation;
mod others;
mod tiff;

use std::borrow::Cow;
use std::fmt;

use image::ImageFormat;
use image::metadata::Orientation;

use self::catch_panics::catch_panics;
use self::gif::Gif;
use self::others::Other;
use self::tiff::Tiff;
use super::Pixels;

pub use self::catch_panics::silence_caught_panics;
pub use self::content::Content;
pub(crate) use self::content::printable;

/// What image files are called. Their contents decide how they are read.
pub const EXTENSIONS: [&str; 14] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif", "ppm", "pgm", "pbm",
    "pnm",
];

/// The most pixels of an image: those of 512 MiB of RGB. Pillow refuses at the same size.
pub const MAX_PIXELS: u64 = (512 << 20) / 3;

/// An image file whose header has been read.
pub struct Encoded<'a> {
    format: ImageFormat,
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
    /// The content is something else, and which is known.
    #[error("{0}")]
    Other(Content),

    /// The content is of no known format.
    #[error(
        "its {bytes} bytes are not an image: expected JPEG, PNG, WebP, BMP, TIFF, GIF or PNM; \
         replace or remove it"
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
        "claims {width} x {height} pixels, more than its {bytes} bytes can hold; \
         fetch it again or remove it"
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

impl DecodeError {
    /// The content contradicts its format, in a decoder's words.
    fn damaged(format: &'static str, reason: impl fmt::Display) -> Self {
        Self::Damaged { format, reason: printable(reason) }
    }

    /// What a decoder cannot do.
    fn unsupported(format: &'static str, reason: impl fmt::Display) -> Self {
        Self::Unsupported { format, reason: printable(reason) }
    }
}

impl<'a> Encoded<'a> {
    /// Reads the header in the content of an image file: format, size and orientation.
    ///
    /// # Errors
    /// Any [`DecodeError`]: what is found here costs no memory for the pixels.
    pub fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let format = format_of(bytes)?;
        let decoder = catch_panics(format.to_mime_type(), || -> Result<Box<dyn Decoder>, _> {
            Ok(match format {
                ImageFormat::Jpeg => jpeg::open(bytes)?,
                ImageFormat::Gif => Box::new(Gif::open(bytes)?),
                ImageFormat::Tiff => Box::new(Tiff::open(bytes)?),
                _ => Box::new(Other::open(bytes, format)?),
            })
        })?;
        check_size(decoder.size(), bytes.len(), format)?;
        Ok(Encoded { format, decoder })
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
        let mut pixels = catch_panics(self.format.to_mime_type(), || self.decoder.decode())?;
        if orientation != Orientation::NoTransforms {
            pixels = orientation::upright(&pixels, stored, orientation);
        }
        Ok(Pixels { width, height, bytes: Cow::Owned(pixels) })
    }
}

/// Whether a file that begins with `head` is an image as far as that tells.
pub(crate) fn begins_image(head: &[u8]) -> bool {
    format_of(head).is_ok()
}

/// The format of an image file, one of those that are decoded.
fn format_of(bytes: &[u8]) -> Result<ImageFormat, DecodeError> {
    if tiff::MAGIC.iter().any(|magic| bytes.starts_with(*magic)) {
        return Ok(ImageFormat::Tiff);
    }
    let is_text = || Content::of(bytes).is_some();
    match (image::guess_format(bytes), bytes) {
        (Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::Gif)), _) => Ok(format),
        (Ok(ImageFormat::WebP), _) => Ok(ImageFormat::WebP),
        // Two letters are little: a text may begin with them.
        (Ok(ImageFormat::Bmp), _) if !is_text() => Ok(ImageFormat::Bmp),
        (Ok(ImageFormat::Pnm), [_, _, blank, ..]) if blank.is_ascii_whitespace() => {
            Ok(ImageFormat::Pnm)
        }
        _ => Err(Content::of(bytes)
            .map_or(DecodeError::NotAnImage { bytes: bytes.len() }, DecodeError::Other)),
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
        return Err(DecodeError::damaged(format.to_mime_type(), reason));
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
        // These know no bound; a blank page comes to some 20,000.
        ImageFormat::WebP | ImageFormat::Tiff => 1 << 15,
        // Deflate packs at most 1032 bytes into one, of eight pixels each; the others less.
        _ => 8 * 1032,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// What the fixtures show: a gradient, no two corners alike, of 1 to 4 channels.
    pub(super) struct Scene {
        pub(super) width: usize,
        pub(super) height: usize,
        pub(super) pixels: Vec<u8>,
    }

    pub(super) fn scene(channels: usize) -> Scene {
        let (width, height) = (19, 13);
        let pixel = |at: usize| {
            let (x, y) = (at % width, at / width);
            [10 + 9 * x, 20 + 11 * y, 200 - 5 * x - 4 * y, 13 * x].map(|value| value as u8)
        };
        let pixels = (0..width * height).flat_map(|at| pixel(at).into_iter().take(channels));
        Scene { width, height, pixels: pixels.collect() }
    }

    /// EXIF with nothing but an orientation, from its TIFF header on.
    pub(super) fn exif(orientation: u16) -> Vec<u8> {
        let head = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01";
        [&head[..], &orientation.to_be_bytes(), &[0; 6]].concat()
    }

    pub(super) fn open_and_decode(bytes: &[u8]) -> Result<Pixels<'static>, DecodeError> {
        let encoded = Encoded::open(bytes)?;
        let size = (encoded.width(), encoded.height());
        let decoded = encoded.decode()?;
        assert_eq!(size, (decoded.width, decoded.height));
        assert_eq!(decoded.bytes.len(), 3 * size.0 * size.1);
        Ok(decoded)
    }

    fn fixtures() -> Vec<(String, Vec<u8>)> {
        let pictures = pictures().into_iter().map(|picture| (picture.name, picture.bytes));
        [jpeg::tests::fixtures(), others::tests::fixtures(), pictures.collect()].concat()
    }

    /// A file of `tests/fixtures/pictures`, and what `make_pictures.py` says of it there.
    struct Known {
        name: String,
        bytes: Vec<u8>,
        near: u8,
        size: (usize, usize),
        /// As many bytes as Pillow needs.
        whole: usize,
        pixels: Vec<u8>,
    }

    fn pictures() -> Vec<Known> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures");
        let list = fs::read_to_string(folder.join("pictures.txt")).unwrap();
        let known = |line: &str| {
            let [name, near, width, height, whole, hex] =
                line.split(' ').collect::<Vec<_>>()[..].try_into().unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap();
            Known {
                name: name.to_owned(),
                bytes: fs::read(folder.join(name)).unwrap(),
                near: near.parse().unwrap(),
                size: (width.parse().unwrap(), height.parse().unwrap()),
                whole: whole.parse().unwrap(),
                pixels: (0..hex.len() / 2).map(byte).collect(),
            }
        };
        list.lines().map(known).collect()
    }

    /// What is wrong with the pixels of `bytes`, if anything is.
    fn difference(known: &Known, bytes: &[u8]) -> Option<String> {
        let found = match open_and_decode(bytes) {
            Ok(found) => found,
            Err(error) => return Some(format!("{} {error}", known.name)),
        };
        let differences = found.bytes.iter().zip(&known.pixels).map(|(a, b)| a.abs_diff(*b));
        let most = differences.max().unwrap_or(0);
        let is_same = (found.width, found.height) == known.size && most <= known.near;
        (!is_same)
            .then(|| format!("{} {}x{} differs by {most}", known.name, found.width, found.height))
    }

    #[test]
    fn every_kind_of_picture_has_the_pixels_that_pillow_reads() {
        let known = pictures();
        assert!(known.len() > 80);
        let wrong: Vec<_> =
            known.iter().filter_map(|known| difference(known, &known.bytes)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn what_lacks_only_its_end_is_read_where_pillow_reads_it() {
        let mut wrong = Vec::new();
        for known in pictures() {
            let lacks = match known.name.rsplit_once('.').unwrap().1 {
                // The last chunk, and the checksums of the pixels. Of some Pillow needs a byte less.
                "png" => 12 + 4 + 4,
                "gif" | "jpg" => known.bytes.len() - known.whole,
                _ => continue,
            };
            let whole = known.whole.max(known.bytes.len() - lacks);
            for length in whole..known.bytes.len() {
                wrong.extend(difference(&known, &known.bytes[..length]));
            }
            assert!(
                open_and_decode(&known.bytes[..known.whole * 2 / 3]).is_err(),
                "{}",
                known.name
            );
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn message(bytes: &[u8]) -> String {
        open_and_decode(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_image_is_refused_with_what_was_expected() {
        for (bytes, expected) in [
            (&b"\x07\x01"[..], "its 2 bytes are not an image: expected JPEG, PNG, WebP"),
            (b"", "is empty, without a single byte; fetch it again"),
            (b"<!DOCTYPE html>", "is a web page (HTML), as servers send it"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
            (b"BMW, Audi and others\n", "is text"),
            (b"P45 is a form\n", "is text"),
            (b"\x76\x2f\x31\x01", "is an OpenEXR picture; save it as JPEG or PNG"),
            (b"\xff\xd8\xff", "is a truncated image/jpeg"),
            (b"\x89PNG\r\n\x1a\n", "is a truncated image/png"),
        ] {
            let message = message(bytes);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    /// The header of a BMP of 24 bits a pixel.
    fn bmp(width: i32, height: i32) -> Vec<u8> {
        let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bytes.extend([width, height].map(i32::to_le_bytes).as_flattened());
        bytes.extend([1, 0, 24, 0]);
        bytes.resize(54, 0);
        bytes
    }

    #[test]
    fn a_header_is_not_believed_without_the_bytes() {
        let claim = message(&bmp(30_000, 30_000));
        let expected = "claims 30000 x 30000 pixels, more than the 178956970 allowed";
        assert!(claim.starts_with(expected), "{claim}");
        let claim = message(&bmp(13_000, 13_000));
        let expected = "claims 13000 x 13000 pixels, more than its 54 bytes can hold";
        assert!(claim.starts_with(expected), "{claim}");
        let mut gif = others::tests::gif();
        gif[6..8].fill(0);
        let claim = message(&gif);
        assert!(claim.starts_with("is a damaged image/gif (it has 0 x 13 pixels)"), "{claim}");
        let (_, mut jpeg) = jpeg::tests::fixtures().swap_remove(1);
        let frame = jpeg.windows(2).position(|window| window == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..][..4].fill(0x20);
        let expected = format!("claims 8224 x 8224 pixels, more than its {} bytes", jpeg.len());
        assert!(message(&jpeg).starts_with(&expected), "{}", message(&jpeg));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_lacks_nothing_of_the_image() {
        for (name, bytes) in fixtures() {
            let whole = open_and_decode(&bytes).unwrap();
            for length in 0..bytes.len() {
                if let Ok(decoded) = open_and_decode(&bytes[..length]) {
                    assert!(decoded == whole, "{name} cut to {length} bytes");
                }
            }
        }
    }

    #[test]
    fn damage_anywhere_is_an_error_or_other_pixels_and_never_a_panic() {
        let mut state = 1_u64;
        for (_, bytes) in fixtures() {
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0xff;
                let _ = open_and_decode(&damaged);
                // Three more bytes, so that some headers lie twice.
                for _ in 0..3 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let other = (state >> 33) as usize % damaged.len();
                    damaged[other] = (state >> 24) as u8;
                }
                if let Ok(decoded) = open_and_decode(&damaged) {
                    assert!(decoded.bytes.len() <= (3 << 15) * damaged.len());
                }
            }
        }
    }
}
