//! The first frame of a GIF, on its canvas.

use std::io::{Cursor, ErrorKind};

use gif::{ColorOutput, DecodeOptions, DecodingError, Frame, MemoryLimit};
use image::metadata::Orientation;

use super::{DecodeError, Decoder};

const FORMAT: &str = "image/gif";

/// A GIF whose first frame has been found.
pub(super) struct Gif<'a> {
    decoder: gif::Decoder<Cursor<&'a [u8]>>,
    size: (usize, usize),
    /// Its place, transparent colour and palette, without pixels.
    frame: Frame<'static>,
}

impl<'a> Gif<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        // Whoever decodes has been told the size, and allocates.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut decoder = options.read_info(Cursor::new(bytes)).map_err(failure)?;
        let frame = decoder.next_frame_info().map_err(failure)?.cloned();
        let frame = frame.ok_or(DecodeError::Truncated { format: FORMAT })?;
        let side = |canvas: u16, before: u16, side: u16| {
            usize::from(canvas).max(usize::from(before) + usize::from(side))
        };
        let size = match (decoder.width(), decoder.height()) {
            (0, _) | (_, 0) => (decoder.width().into(), decoder.height().into()),
            (width, height) => {
                (side(width, frame.left, frame.width), side(height, frame.top, frame.height))
            }
        };
        Ok(Self { decoder, size, frame })
    }

    /// What each index stands for.
    fn palette(&self) -> Vec<[u8; 3]> {
        let palette = self.frame.palette.as_deref().or(self.decoder.global_palette());
        palette.unwrap_or_default().as_chunks().0.to_vec()
    }
}

impl Decoder for Gif<'_> {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn orientation(&self) -> Orientation {
        Orientation::NoTransforms
    }

    fn decode(mut self: Box<Self>) -> Result<Vec<u8>, DecodeError> {
        let (width, height) = self.size;
        let colours = self.palette();
        let colour = |index: u8| colours.get(usize::from(index)).copied().unwrap_or_default();
        let [left, top, columns, rows] =
            [self.frame.left, self.frame.top, self.frame.width, self.frame.height].map(usize::from);
        let mut indices = vec![0; columns * rows];
        self.decoder.read_into_buffer(&mut indices).map_err(failure)?;
        // As Pillow does: not with the background that the header names, which no viewer shows.
        let around = colour(self.frame.transparent.unwrap_or(0));
        let mut canvas = vec![around; width * height];
        for (row, line) in indices.chunks(columns.max(1)).enumerate() {
            let at = (top + row) * width + left;
            for (pixel, index) in canvas[at..].iter_mut().zip(line) {
                *pixel = colour(*index);
            }
        }
        Ok(canvas.into_flattened())
    }
}

fn failure(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::UnexpectedEof => DecodeError::Truncated { format: FORMAT },
        DecodingError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format: FORMAT }
        }
        error => DecodeError::damaged(FORMAT, error),
    }
}
