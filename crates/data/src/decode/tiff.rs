//! TIFF and BigTIFF: strips and tiles, planes apart or not, and every way of writing grey and colours but Lab.

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use tiff::decoder::{Decoder as Reader, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use super::directory::{self, Directory};
use super::{DecodeError, Decoder};

const FORMAT: &str = "image/tiff";

/// What files begin with.
pub(super) const MAGIC: [&[u8; 4]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];

const SUBFILE: u16 = 0xfe;
const INTERPRETATION: u16 = 0x106;
const SUB_DIRECTORIES: u16 = 0x14a;
const EXTRA_SAMPLES: u16 = 0x152;
const DNG_VERSION: u16 = 0xc612;

const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u64 = 3;
/// Of a [`SUBFILE`]: a smaller version of the image.
const REDUCED: u64 = 1;
/// Of [`EXTRA_SAMPLES`]: colours come multiplied with it.
const ASSOCIATED_ALPHA: u64 = 1;

/// Samples of a pixel that is grey: alpha and a few that are passed over. Memory is needed for all.
const MOST_SAMPLES: u16 = 5;
/// For what a tile has beyond the image: one of 1024 x 1024 pixels of 16 bits and alpha.
const TILE_BYTES: usize = 1 << 23;

/// A TIFF whose first directory has been read.
pub(super) struct Tiff<'a> {
    reader: Reader<Cursor<Cow<'a, [u8]>>>,
    size: (usize, usize),
    orientation: Orientation,
    colours: Colours,
    /// How many samples of a pixel are decoded.
    samples: usize,
    bits: u8,
}

/// What the samples of a pixel mean.
enum Colours {
    /// The first is a grey, or the reverse of it.
    Grey {
        is_reversed: bool,
    },
    Palette(Vec<[u8; 3]>),
    Rgb,
    /// The fourth is what the others have been multiplied with.
    MultipliedRgb,
    Cmyk,
    YCbCr,
}

impl<'a> Tiff<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let directory = Directory::first(bytes).ok_or(DecodeError::Truncated { format: FORMAT })?;
        if is_raw(&directory, bytes) {
            let reason = "it is a camera's raw picture, of which only a preview could be had";
            return Err(DecodeError::unsupported(FORMAT, reason));
        }
        // The tiff crate does not know palettes, and reverses no grey that has alpha. Taken for grey, both
        // give their samples.
        let interpretation = directory.value(INTERPRETATION);
        let bytes = match interpretation {
            Some(WHITE_IS_ZERO | PALETTE) => {
                let mut changed = bytes.to_vec();
                directory.set(INTERPRETATION, BLACK_IS_ZERO, &mut changed);
                Cow::Owned(changed)
            }
            _ => Cow::Borrowed(bytes),
        };
        let orientation = directory::orientation(&bytes);
        let is_multiplied = directory.value(EXTRA_SAMPLES) == Some(ASSOCIATED_ALPHA);
        let mut reader = Reader::new(Cursor::new(bytes)).map_err(failure)?;
        let (width, height) = reader.dimensions().map_err(failure)?;
        let kind = reader.colortype().map_err(failure)?;
        let samples = match kind {
            ColorType::Gray(_) => 1,
            ColorType::GrayA(_) => 2,
            ColorType::RGB(_) | ColorType::YCbCr(_) => 3,
            ColorType::RGBA(_) | ColorType::CMYK(_) => 4,
            ColorType::CMYKA(_) => 5,
            ColorType::Multiband { num_samples, .. } if num_samples <= MOST_SAMPLES => {
                num_samples.into()
            }
            kind => return Err(DecodeError::unsupported(FORMAT, format!("{kind:?}"))),
        };
        let colours = match kind {
            ColorType::CMYK(_) | ColorType::CMYKA(_) => Colours::Cmyk,
            ColorType::YCbCr(_) => Colours::YCbCr,
            ColorType::RGBA(_) if is_multiplied => Colours::MultipliedRgb,
            ColorType::RGB(_) | ColorType::RGBA(_) => Colours::Rgb,
            _ if interpretation == Some(PALETTE) => Colours::Palette(palette(&mut reader)?),
            _ => Colours::Grey { is_reversed: interpretation == Some(WHITE_IS_ZERO) },
        };
        let (size, bits) = ((width as usize, height as usize), kind.bit_depth());
        let reader = reader.with_limits(limits(size, samples, bits));
        Ok(Self { reader, size, orientation, colours, samples, bits })
    }

    /// The samples of all pixels, `[height, width, samples]`, in 8 bits. Those of a palette are indices.
    fn samples(&mut self) -> Result<Vec<u8>, DecodeError> {
        let (width, height) = self.size;
        let planes = self.reader.image_buffer_layout().map_err(failure)?.planes.max(1);
        let in_chunk = self.samples / planes;
        let (columns, rows) = self.reader.chunk_dimensions();
        let (columns, rows) = (columns.max(1) as usize, rows.max(1) as usize);
        let across = width.div_ceil(columns);
        let in_plane = across * height.div_ceil(rows);
        let mut samples = vec![0; width * height * self.samples];
        for number in 0..planes * in_plane {
            let (plane, place) = (number / in_plane, number % in_plane);
            let (left, top) = (place % across * columns, place / across * rows);
            let values = self.chunk(number as u32, columns * in_chunk)?;
            let used = columns.min(width - left);
            // Of a tile at the bottom of a later plane the tiff crate gives the rows below the image too.
            let lines = values.chunks_exact(columns * in_chunk).take(height - top);
            for (row, line) in lines.enumerate() {
                let at = ((top + row) * width + left) * self.samples + plane;
                match planes {
                    1 => {
                        let all = used * in_chunk;
                        samples[at..][..all].copy_from_slice(&line[..all]);
                    }
                    _ => {
                        let pixels = samples[at..].iter_mut().step_by(self.samples);
                        pixels.zip(line).take(used).for_each(|(sample, value)| *sample = *value);
                    }
                }
            }
        }
        Ok(samples)
    }

    /// The values of the strip or tile with this `number`, in 8 bits, in rows of so many: those of a tile go as
    /// far as it does, not as the image. Read in pieces, the tiff crate would lose the end of an LZW stream.
    fn chunk(&mut self, number: u32, row: usize) -> Result<Vec<u8>, DecodeError> {
        let is_palette = matches!(self.colours, Colours::Palette(_));
        let mut decoded = DecodingResult::U8(Vec::new());
        let row_bytes = (row * usize::from(self.bits)).div_ceil(8);
        self.reader.read_chunk_to_buffer(&mut decoded, number, row_bytes).map_err(failure)?;
        Ok(match decoded {
            DecodingResult::U8(bytes) if self.bits < 8 => {
                unpack(&bytes, row, self.bits, is_palette)
            }
            DecodingResult::U8(bytes) => bytes,
            DecodingResult::U16(values) if !is_palette => {
                values.into_iter().map(|value| ((u32::from(value) + 128) / 257) as u8).collect()
            }
            DecodingResult::F32(values) if self.samples >= 3 => {
                values.into_iter().map(|value| (value.clamp(0., 1.) * 255.).round() as u8).collect()
            }
            _ => {
                let reason = format!("its samples of {} bits are no colours of 8 or 16", self.bits);
                return Err(DecodeError::unsupported(FORMAT, reason));
            }
        })
    }
}

impl Decoder for Tiff<'_> {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        self.orientation
    }

    fn decode(mut self: Box<Self>) -> Result<Vec<u8>, DecodeError> {
        let samples = self.samples()?;
        let pixels = self.size.0 * self.size.1;
        if matches!(self.colours, Colours::Rgb) && self.samples == 3 {
            return Ok(samples);
        }
        let mut rgb = Vec::with_capacity(3 * pixels);
        rgb.extend(samples.chunks_exact(self.samples).flat_map(|pixel| self.colours.rgb(pixel)));
        Ok(rgb)
    }
}

impl Colours {
    fn rgb(&self, pixel: &[u8]) -> [u8; 3] {
        match (self, pixel) {
            (Colours::Grey { is_reversed: false }, [grey, ..]) => [*grey; 3],
            (Colours::Grey { is_reversed: true }, [grey, ..]) => [255 - grey; 3],
            (Colours::Palette(colours), [index, ..]) => {
                colours.get(usize::from(*index)).copied().unwrap_or_default()
            }
            (Colours::MultipliedRgb, [red, green, blue, alpha]) => {
                [red, green, blue].map(|value| divided(*value, *alpha))
            }
            (Colours::Cmyk, [cyan, magenta, yellow, black, ..]) => {
                [cyan, magenta, yellow].map(|ink| 255 - black - product(*ink, 255 - black))
            }
            (Colours::YCbCr, [y, cb, cr]) => from_ycbcr(*y, *cb, *cr),
            (_, [red, green, blue, ..]) => [*red, *green, *blue],
            _ => [0; 3],
        }
    }
}

/// Room for a strip or a tile, which may be all of the image and more.
fn limits((width, height): (usize, usize), samples: usize, bits: u8) -> Limits {
    let bytes = usize::from(bits).div_ceil(8).saturating_mul(samples);
    let bytes = bytes.saturating_mul(width).saturating_mul(height);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = bytes.saturating_add(TILE_BYTES);
    limits.intermediate_buffer_size = bytes.saturating_add(TILE_BYTES);
    limits
}

/// Whether the first image is a preview of what a camera has measured.
fn is_raw(directory: &Directory<'_>, bytes: &[u8]) -> bool {
    let is_preview = directory.value(SUBFILE) == Some(REDUCED) && directory.has(SUB_DIRECTORIES);
    is_preview || directory.has(DNG_VERSION) || bytes.get(8..10) == Some(b"CR")
}

/// What each index stands for: all reds of 16 bits, then all greens, then all blues.
fn palette(reader: &mut Reader<Cursor<Cow<'_, [u8]>>>) -> Result<Vec<[u8; 3]>, DecodeError> {
    let values = reader.get_tag_u16_vec(Tag::ColorMap).map_err(failure)?;
    let (reds, others) = values.split_at(values.len() / 3);
    let (greens, blues) = others.split_at(reds.len());
    // Some write values of 8 bits.
    let shift = if values.iter().all(|value| *value < 256) { 0 } else { 8 };
    let colours = reds.iter().zip(greens).zip(blues);
    Ok(colours
        .map(|((red, green), blue)| [red, green, blue].map(|value| (value >> shift) as u8))
        .collect())
}

/// Values of fewer than 8 bits, in rows of `row` that begin with a byte, as they are or so that the
/// highest becomes 255.
fn unpack(bytes: &[u8], row: usize, bits: u8, is_palette: bool) -> Vec<u8> {
    let bits = usize::from(bits.max(1));
    let most = (1_u8 << bits) - 1;
    let scale = if is_palette { 1 } else { 255 / most };
    let line = (row * bits).div_ceil(8).max(1);
    let value = move |line: &[u8], at: usize| {
        let place = at * bits;
        (line[place / 8] >> (8 - bits - place % 8) & most) * scale
    };
    bytes.chunks_exact(line).flat_map(|line| (0..row).map(move |at| value(line, at))).collect()
}

/// a b / 255, rounded.
fn product(a: u8, b: u8) -> u8 {
    ((u32::from(a) * u32::from(b) + 127) / 255) as u8
}

/// What was multiplied with `alpha`.
fn divided(value: u8, alpha: u8) -> u8 {
    match alpha {
        0 => value,
        _ => (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8,
    }
}

fn from_ycbcr(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let [y, cb, cr] = [f32::from(y), f32::from(cb) - 128., f32::from(cr) - 128.];
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    rgb.map(|value| value.round() as u8)
}

fn failure(error: TiffError) -> DecodeError {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format: FORMAT }
        }
        TiffError::UnsupportedError(error) => DecodeError::unsupported(FORMAT, error),
        error => DecodeError::damaged(FORMAT, error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::open_and_decode;

    /// A grey TIFF of 2 x 2 pixels whose directory has these tags, of 16 or, from 2^16 on, of 32 bits, too.
    fn tiff(more: &[(u16, u32)]) -> Vec<u8> {
        let mut tags = vec![
            (0x100, 2),
            (0x101, 2),
            (0x102, 8),
            (0x103, 1),
            (0x106, 1),
            (0x111, 0),
            (0x115, 1),
            (0x117, 4),
        ];
        for &(tag, value) in more {
            tags.retain(|(known, _)| *known != tag);
            tags.push((tag, value));
        }
        tags.sort_unstable();
        let end = 8 + 2 + 12 * tags.len() as u32 + 4;
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend((tags.len() as u16).to_le_bytes());
        for (tag, value) in tags {
            let value = if tag == 0x111 { end } else { value };
            let kind = if value < 1 << 16 { 3_u16 } else { 4 };
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([0; 4]);
        bytes.extend([1, 2, 3, 4]);
        // Enough for samples of 32 bits.
        bytes.extend([0; 12]);
        bytes
    }

    fn refusal(more: &[(u16, u32)]) -> String {
        open_and_decode(&tiff(more)).unwrap_err().to_string()
    }

    #[test]
    fn raw_pictures_of_cameras_are_not_taken_for_their_previews() {
        let grey = open_and_decode(&tiff(&[])).unwrap().bytes;
        assert_eq!(grey[..], [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]);
        assert_eq!(open_and_decode(&tiff(&[(0xfe, 1)])).unwrap().bytes, grey);
        for more in [&[(0xfe, 1), (0x14a, 90_000)][..], &[(0xc612, 90_000)]] {
            let message = refusal(more);
            assert!(message.contains("it is a camera's raw picture"), "{message}");
        }
        let mut canon = tiff(&[]);
        canon[8..10].copy_from_slice(b"CR");
        let message = open_and_decode(&canon).unwrap_err().to_string();
        assert!(message.contains("it is a camera's raw picture"), "{message}");
    }

    #[test]
    fn what_cannot_be_decoded_is_named() {
        for (more, expected) in [
            (&[(0x103, 50_000)][..], "is image/tiff, and cannot be decoded here ("),
            (&[(0x102, 32), (0x153, 3)], "its samples of 32 bits are no colours of 8 or 16"),
            (&[(0x115, 60_000)], "is image/tiff, and cannot be decoded here ("),
            (&[(0x106, 8)], "is image/tiff, and cannot be decoded here ("),
            (&[(0x100, 300)], "is a truncated image/tiff"),
            (&[(0x100, 0)], "is a damaged image/tiff"),
        ] {
            let message = refusal(more);
            assert!(message.contains(expected), "{message}");
        }
    }
}
