//! The prologue of a product in bfloat16: it fills slabs in the two forms that products read, pixels of 32
//! channels and pairs of images, and applies what lies between two convolutions on the way, as in
//! [`crate::slab`].

use half::bf16;

use super::layout::InterleavedLayout;
use super::pass::{MARGIN, Planes};
use super::tiles::TILE;
use crate::level::{Kernel, Level};
use crate::simd::Vector;
use crate::slab::Source;

/// What 64 bytes of a slab hold (32 where a map has but 16 channels).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// A pixel's channels, one behind the other.
    Channels,
    /// 16 channels of a pixel in two images, pair by pair. Planes are of 16 channels, and what their layout
    /// counts as an image is a pair of them.
    Pairs,
}

/// Fills planes with the images from `first` on of which `images` are there; what is missing to multiples of
/// `multiple` is zero, and so are the pixels behind the last of those.
pub(crate) struct Prologue<'a, S> {
    pub planes: Planes,
    pub cell: Cell,
    pub source: S,
    pub first: usize,
    pub images: usize,
    pub multiple: usize,
    pub slab: &'a mut [bf16],
}

impl<S: Source> Prologue<'_, S> {
    /// # Panics
    /// If the source ends before the images, or the slab is not as long as the planes.
    pub(crate) fn run_on(self, level: Level) {
        let map = self.planes.layout.map;
        let room = self.planes.images * if self.cell == Cell::Pairs { 2 } else { 1 };
        let all = self.images.next_multiple_of(self.multiple);
        assert!(all <= room, "more images than the slab has room for");
        assert!((self.first + self.images) * map.len() <= self.source.len(), "the source ends");
        assert_eq!(map.channels % TILE, 0, "channels are stored in whole cache lines");
        assert_eq!(self.slab.len(), self.planes.count() * self.plane_len(), "another slab");
        level.run(self);
    }

    /// How many numbers one pixel has.
    fn cell_len(&self) -> usize {
        match self.cell {
            Cell::Channels => self.planes.channels,
            Cell::Pairs => 2 * TILE,
        }
    }

    fn plane_len(&self) -> usize {
        self.planes.pixels() * self.cell_len()
    }

    /// The sources of a cell's two halves, as an image of the layout and the first channel tell: the image and
    /// the channel, where they exist.
    #[inline(always)]
    fn halves(&self, image: usize, channel: usize) -> [Option<(usize, usize)>; 2] {
        let exists = |image, channel| {
            let there = image < self.images && channel < self.planes.layout.map.channels;
            there.then_some((image, channel))
        };
        match self.cell {
            Cell::Channels if self.planes.channels == TILE => [exists(image, channel), None],
            Cell::Channels => [exists(image, channel), exists(image, channel + TILE)],
            Cell::Pairs => [exists(2 * image, channel), exists(2 * image + 1, channel)],
        }
    }
}

impl<S: Source> Kernel for Prologue<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let InterleavedLayout { map, before, rows, interleaved, .. } = self.planes.layout;
        let (cell, plane_len) = (self.cell_len(), self.plane_len());
        let line = self.planes.layout.line() * cell;
        let a_group = interleaved * if self.cell == Cell::Pairs { 2 } else { 1 };
        let groups = self.images.next_multiple_of(self.multiple).div_ceil(a_group);
        for plane in 0..self.planes.count() {
            for group in 0..groups {
                for row in 0..rows {
                    let start = plane * plane_len + (group * rows + row) * line;
                    self.slab[start..start + line].fill(bf16::ZERO);
                    if row < before || row >= before + map.height {
                        continue;
                    }
                    for i in 0..interleaved {
                        let image = group * interleaved + i;
                        let halves = self.halves(image, plane * self.planes.channels);
                        self.row::<V>(halves, row - before, start + i * cell);
                    }
                }
            }
            // Behind the last line, of a part of a slab and of a whole one.
            let there = plane * plane_len + groups * rows * line;
            let whole = (plane + 1) * plane_len - MARGIN * cell;
            for end in [there, whole] {
                self.slab[end..end + MARGIN * cell].fill(bf16::ZERO);
            }
        }
    }
}

impl<S: Source> Prologue<'_, S> {
    /// Fills one row of one image of the layout, whose line in the slab starts at `to`.
    #[inline(always)]
    fn row<V: Vector>(&mut self, halves: [Option<(usize, usize)>; 2], row: usize, to: usize) {
        let InterleavedLayout { map, before, columns, stride, .. } = self.planes.layout;
        let width = map.width.min(columns - before);
        for phase in 0..stride {
            // The first column of the map whose place within the stride is this one.
            let first = (phase + stride - before % stride) % stride;
            if first >= width {
                continue;
            }
            let count = (width - first).div_ceil(stride);
            let to = to + self.planes.layout.in_line(first + before) * self.cell_len();
            let from = halves.map(|half| {
                half.map(|(image, channel)| {
                    let pixel = ((self.first + image) * map.height + row) * map.width + first;
                    (pixel * map.channels + channel, channel)
                })
            });
            self.cells::<V>(from, count, to);
        }
    }

    /// Fills `count` cells from `to` on, each a stride behind the one before.
    #[inline(always)]
    fn cells<V: Vector>(&mut self, from: [Option<(usize, usize)>; 2], count: usize, to: usize) {
        let InterleavedLayout { map, stride, interleaved, .. } = self.planes.layout;
        let (from_step, to_step) = (stride * map.channels, interleaved * self.cell_len());
        assert!(to + (count - 1) * to_step + self.cell_len() <= self.slab.len(), "slab too short");
        let zero = V::splat(0.0);
        let mut lane = 0;
        while lane < TILE {
            // SAFETY: `run_on` has checked that the source has all images; the slab's end was checked
            // above; lanes stay within 16 channels.
            unsafe {
                let source = &self.source;
                let to = self.slab.as_mut_ptr().add(to);
                match (self.cell, from) {
                    (Cell::Channels, _) => {
                        for (half, (at, channel)) in from.iter().flatten().enumerate() {
                            let with = source.per_channel::<V>(channel + lane);
                            let mut to = to.add(half * TILE + lane);
                            let mut at = at + lane;
                            for _ in 0..count {
                                source.read(at, with).store_bf16(to.cast());
                                at += from_step;
                                to = to.wrapping_add(to_step);
                            }
                        }
                    }
                    (Cell::Pairs, [Some((even, channel)), Some((odd, _))]) => {
                        let with = source.per_channel::<V>(channel + lane);
                        let mut to = to.add(2 * lane);
                        for pixel in 0..count {
                            let at = pixel * from_step + lane;
                            let (even, odd) = (even + at, odd + at);
                            V::store_pairs(
                                source.read(even, with),
                                source.read(odd, with),
                                to.cast(),
                            );
                            to = to.wrapping_add(to_step);
                        }
                    }
                    (Cell::Pairs, [Some((even, channel)), None]) => {
                        let with = source.per_channel::<V>(channel + lane);
                        let mut to = to.add(2 * lane);
                        for pixel in 0..count {
                            let at = even + pixel * from_step + lane;
                            V::store_pairs(source.read(at, with), zero, to.cast());
                            to = to.wrapping_add(to_step);
                        }
                    }
                    (Cell::Pairs, _) => {}
                }
            }
            lane += V::LANES;
        }
    }
}

/// The gradient's slab as tiles of A for the weights' gradient: `[16 of the channels, chunks of 16 pairs,
/// 16 channels, 16 pairs of images]`.
pub(crate) struct Transpose<'a> {
    pub planes: Planes,
    pub slab: &'a [bf16],
    /// The two pixels in a plane of each pair of the chunks.
    pub pairs: &'a [[u32; 2]],
    /// Pairs from one block of 16 channels to the next.
    pub stride: usize,
    pub to: &'a mut [bf16],
}

impl Transpose<'_> {
    /// # Panics
    /// If a pixel lies beyond its plane, or `to` is too short.
    pub(crate) fn run_on(self, level: Level) {
        let furthest = self.pairs.iter().flatten().max().map_or(0, |pixel| *pixel as usize + 1);
        assert!(furthest <= self.planes.pixels(), "a pixel lies beyond its plane");
        assert!(self.planes.len() <= self.slab.len(), "the slab is too short");
        assert!(self.pairs.len().is_multiple_of(TILE), "whole chunks");
        let blocks = self.planes.layout.map.channels / TILE;
        assert!(self.pairs.len() <= self.stride, "blocks overlap");
        assert!(blocks * self.stride * 2 * TILE <= self.to.len(), "no room");
        level.run(self);
    }
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Planes { channels, layout, .. } = self.planes;
        let per_plane = channels / TILE;
        for block in 0..layout.map.channels / TILE {
            let plane = block / per_plane * self.planes.pixels() * channels;
            let base = plane + block % per_plane * TILE;
            for (chunk, pairs) in self.pairs.chunks(TILE).enumerate() {
                // SAFETY: `run_on` has checked the furthest pixel and the room.
                unsafe {
                    let at = |which: usize| {
                        let pixel = |j: usize| pairs[j][which] as usize * channels + base;
                        std::array::from_fn(|j| self.slab.as_ptr().add(pixel(j)).cast::<u16>())
                    };
                    let to = (block * self.stride + chunk * TILE) * 2 * TILE;
                    V::transpose_pairs(at(0), at(1), self.to.as_mut_ptr().add(to).cast());
                }
            }
        }
    }
}

/// Unfolds images `[batch, 3, height, width]` to each output pixel's patch, `[images, pixels, stored]` in bfloat16: a
/// convolution over three channels becomes one of 1×1 over its taps.
pub(crate) struct Unfold {
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
    /// Height and width.
    pub output: [usize; 2],
    /// How many numbers a patch has with its padding.
    pub stored: usize,
}

/// How many colours an image has.
const COLOURS: usize = 3;

impl Unfold {
    /// Where in a patch a weight `[colour, row, column]` finds its number.
    pub fn place(kernel: usize, [colour, row, column]: [usize; 3]) -> usize {
        (row * kernel + column) * COLOURS + colour
    }

    /// Unfolds one image into `patches`.
    pub fn image(&self, planes: &[f32], framed: &mut [bf16], patches: &mut [bf16]) {
        let [rows, columns] = self.frame();
        let before = self.kernel / 2;
        framed.fill(bf16::ZERO);
        for (colour, plane) in planes.chunks(self.height * self.width).enumerate() {
            for (row, line) in plane.chunks(self.width).enumerate().take(rows - before) {
                let start = ((row + before) * columns + before) * COLOURS + colour;
                let end = (row + before + 1) * columns * COLOURS;
                let to = framed[start..end].iter_mut().step_by(COLOURS);
                to.zip(line).for_each(|(to, x)| *to = bf16::from_f32(*x));
            }
        }
        // With the usual sizes known to the compiler a line's copy is a few moves instead of a call.
        match self.kernel {
            3 => self.patches(3 * COLOURS, framed, patches),
            7 => self.patches(7 * COLOURS, framed, patches),
            other => self.patches(other * COLOURS, framed, patches),
        }
    }

    /// How many rows and columns a framed image has.
    pub fn frame(&self) -> [usize; 2] {
        self.output.map(|out| (out - 1) * self.stride + self.kernel)
    }

    /// How many numbers a framed image has.
    pub(crate) fn framed_len(&self) -> usize {
        self.frame().iter().product::<usize>() * COLOURS
    }

    /// `taps_line` is the length of one line of the kernel's taps.
    #[inline(always)]
    fn patches(&self, taps_line: usize, framed: &[bf16], patches: &mut [bf16]) {
        let line = self.frame()[1] * COLOURS;
        for (pixel, patch) in patches.chunks_exact_mut(self.stored).enumerate() {
            let (row, column) = (pixel / self.output[1], pixel % self.output[1]);
            let start = row * self.stride * line + column * self.stride * COLOURS;
            let (taps, padding) = patch.split_at_mut(self.kernel * taps_line);
            for (r, to) in taps.chunks_exact_mut(taps_line).enumerate() {
                to.copy_from_slice(&framed[start + r * line..][..taps_line]);
            }
            padding.fill(bf16::ZERO);
        }
    }
}
