//! Convolution as implicit GEMM: rows of A are input patches where they lie in the slab.

use rayon::prelude::*;

use crate::gemm::{Outer, PANEL, Row, RowTable, Rows, Segment, Stretch};
use crate::level::Level;
use crate::shape::ConvShape;
use crate::slab::{Frame, Map};
use crate::workspace::{Buffer, Workspace};

/// Depth that is multiplied before the next: a panel of it stays in the first-level cache.
const DEPTH_BLOCK: usize = 384;
/// How many pixels a weight gradient's tile is summed over before the next.
const PIXEL_BLOCK: usize = 192;

/// A number of images, their framed inputs, and their framed gradients of outputs.
pub(crate) type Slab = (usize, Buffer<f32>, Buffer<f32>);

/// The tables of one convolution, for slabs of up to a given number of images.
#[derive(Debug)]
pub(crate) struct Direct {
    shape: ConvShape,
    x: Frame,
    dy: Frame,
    forward: Pass,
    /// The backward passes, one for each position of an input pixel within the stride: `stride²` convolutions of stride 1
    /// with a share of the kernel each.
    backward: Vec<Pass>,
}

/// One matrix product over a slab.
#[derive(Debug)]
struct Pass {
    rows: RowTable,
    rows_an_image: usize,
    segments: Vec<Segment>,
    /// The kernel's taps (row, column), in the order in which the segments meet them.
    taps: Vec<(usize, usize)>,
}

impl Direct {
    pub fn new(shape: ConvShape, images: usize) -> Self {
        let (x, dy) = (x_frame(&shape), dy_frame(&shape));
        let forward = forward_pass(&shape, x, images);
        let places = 0..shape.stride;
        let backward = places
            .clone()
            .flat_map(|row| places.clone().map(move |column| (row, column)))
            .map(|place| backward_pass(&shape, dy, place, images))
            .collect();
        Self { shape, x, dy, forward, backward }
    }

    pub(crate) fn x_frame(&self) -> Frame {
        self.x
    }

    pub(crate) fn dy_frame(&self) -> Frame {
        self.dy
    }

    /// Packs weights `[out, in, kernel, kernel]` as panels of B for the forward pass.
    pub(crate) fn pack_forward(&self, weight: &[f32], workspace: &Workspace) -> Buffer<f32> {
        let (input, output) = (self.shape.input(), self.shape.output());
        let at = |c: usize, o: usize, tap| self.shape.weight_index(o, c, tap);
        pack(&self.forward.taps, input.channels, output.channels, weight, at, workspace)
    }

    /// Packs weights `[out, in, kernel, kernel]` as panels of B for the gradient of the input, one B for each
    /// backward pass.
    pub(crate) fn pack_backward(&self, weight: &[f32], workspace: &Workspace) -> Vec<Buffer<f32>> {
        let (input, output) = (self.shape.input(), self.shape.output());
        let at = |o: usize, c: usize, tap| self.shape.weight_index(o, c, tap);
        let packed = self
            .backward
            .iter()
            .map(|pass| pack(&pass.taps, output.channels, input.channels, weight, at, workspace));
        packed.collect()
    }

    /// The forward pass from an x slab of `images` to outputs `[images, height, width, channels]`.
    pub fn forward(&self, level: Level, images: usize, x: &[f32], packed: &[f32], y: &mut [f32]) {
        let panels = self.shape.output().channels / PANEL;
        self.forward.run(level, images, x, packed, panels, y);
    }

    /// The backward pass from a dy slab to the gradients of the input, `[images, height, width, channels]`.
    pub(crate) fn backward_data(
        &self,
        level: Level,
        images: usize,
        dy: &[f32],
        packed: &[Buffer<f32>],
        dx: &mut [f32],
    ) {
        let panels = self.shape.input().channels / PANEL;
        if self.backward.iter().any(|pass| pass.segments.is_empty()) {
            dx.fill(0.0);
        }
        for (pass, packed) in self.backward.iter().zip(packed) {
            if !pass.segments.is_empty() {
                pass.run(level, images, dy, packed, panels, dx);
            }
        }
    }

    /// The length of the weights' gradient's accumulator, `[kernel, kernel · in, out]`.
    pub(crate) fn accumulator_len(&self) -> usize {
        let rows = self.shape.kernel * self.shape.kernel * self.shape.input().channels;
        rows * self.shape.output().channels
    }

    /// Adds slabs' share to the gradient of the weights. Tasks own their part of the accumulator and
    /// take the slabs in order, so the sums do not depend on who does them.
    /// `onto` says whether the accumulator holds a sum already.
    pub fn accumulate(&self, level: Level, slabs: &[Slab], accumulator: &mut [f32], onto: bool) {
        let tasks = accumulator.par_chunks_mut(self.part_len()).enumerate();
        tasks.for_each(|(part, c)| {
            for (at, slab) in slabs.iter().enumerate() {
                self.add(level, slab, part, c, onto || at > 0);
            }
        });
    }

    /// Adds one slab's share to the gradient of the weights, by the calling thread alone.
    pub(crate) fn accumulate_slab(
        &self,
        level: Level,
        slab: &Slab,
        accumulator: &mut [f32],
        onto: bool,
    ) {
        let parts = accumulator.chunks_mut(self.part_len()).enumerate();
        parts.for_each(|(part, c)| self.add(level, slab, part, c, onto));
    }

    /// The length of a part of the accumulator that is summed at a time.
    fn part_len(&self) -> usize {
        rows_a_part(self.shape.kernel * self.shape.input().channels) * self.shape.output().channels
    }

    /// Adds a slab's share to one part of the accumulator, `c`.
    fn add(&self, level: Level, (images, x, dy): &Slab, part: usize, c: &mut [f32], onto: bool) {
        let (columns, line) =
            (self.shape.output().channels, self.shape.kernel * self.shape.input().channels);
        // A part's rows are within one line of the kernel: rows_a_part divides its length.
        let (rows, first) = (c.len() / columns, part * rows_a_part(line));
        let a_offset = self.x.of_frame(0, first / line, 0) + first % line;
        for (at, block) in pixel_blocks(&self.stretches(*images)).enumerate() {
            let (stretches, c, accumulate) = (block, &mut *c, onto || at > 0);
            Outer { stretches, a: x, a_offset, rows, d: dy, columns, c, accumulate }.run(level);
        }
    }

    /// Output pixels line by line: where the patch's corner lies in x, and the pixel in dy.
    fn stretches(&self, images: usize) -> Vec<Stretch> {
        let (stride, output) = (self.shape.stride, self.shape.output());
        let lines = (0..images).flat_map(|image| (0..output.height).map(move |row| (image, row)));
        lines
            .map(|(image, row)| Stretch {
                a: self.x.of_frame(image, row * stride, 0),
                d: self.dy.at(image, row, 0),
                a_step: stride * self.x.map.channels,
                d_step: output.channels,
                count: output.width,
            })
            .collect()
    }

    /// Writes the accumulator to `weight` as `[out, in, kernel, kernel]`.
    pub(crate) fn finish_weights(&self, accumulator: &[f32], weight: &mut [f32]) {
        let (shape, stored) = (&self.shape, self.shape.output().channels);
        let taps = shape.kernel * shape.kernel;
        weight.par_chunks_mut(shape.in_channels * taps).enumerate().for_each(|(o, filter)| {
            for (c, kernel) in filter.chunks_mut(taps).enumerate() {
                for (tap, value) in kernel.iter_mut().enumerate() {
                    *value = accumulator[(tap * shape.input().channels + c) * stored + o];
                }
            }
        });
    }
}

/// About an eighth of a line, whole register tiles where the line has them.
fn rows_a_part(line: usize) -> usize {
    let divisors = (1..=line).filter(|d| line.is_multiple_of(*d));
    divisors.filter(|d| *d <= 48.min(line)).max().unwrap_or(line)
}

/// Consecutive stretches of at most [`PIXEL_BLOCK`] pixels together.
fn pixel_blocks(stretches: &[Stretch]) -> impl Iterator<Item = &[Stretch]> {
    let width = stretches.first().map_or(1, |s| s.count.max(1));
    stretches.chunks((PIXEL_BLOCK / width).max(1))
}

impl Pass {
    fn run(
        &self,
        level: Level,
        images: usize,
        a: &[f32],
        packed: &[f32],
        panels: usize,
        c: &mut [f32],
    ) {
        let rows: &[Row] = &self.rows.rows()[..images * self.rows_an_image];
        let depth: usize = self.segments.iter().map(|s| s.len).sum();
        let mut done = 0;
        for block in depth_blocks(&self.segments) {
            let b = &packed[done * PANEL..];
            let (segments, panel_stride, accumulate) = (&block[..], depth * PANEL, done > 0);
            let c = (&mut *c).into();
            Rows { rows, segments, a, b, panel_stride, panels, c, accumulate }.run(level);
            done += block.iter().map(|s| s.len).sum::<usize>();
        }
    }
}

/// The segments in groups of at most [`DEPTH_BLOCK`], longer ones cut.
fn depth_blocks(segments: &[Segment]) -> Vec<Vec<Segment>> {
    let mut blocks: Vec<Vec<Segment>> = vec![];
    let mut room = 0;
    for segment in segments {
        let mut rest = *segment;
        while rest.len > 0 {
            if room == 0 {
                blocks.push(vec![]);
                room = DEPTH_BLOCK;
            }
            let len = rest.len.min(room);
            if let Some(block) = blocks.last_mut() {
                block.push(Segment { offset: rest.offset, len });
            }
            rest = Segment { offset: rest.offset + len, len: rest.len - len };
            room -= len;
        }
    }
    blocks
}

fn x_frame(shape: &ConvShape) -> Frame {
    let (map, output) = (shape.input(), shape.output());
    let reach = |out: usize| (out - 1) * shape.stride + shape.kernel;
    let (height, width) = (reach(output.height), reach(output.width));
    Frame { map, before: shape.padding(), height, width }
}

fn forward_pass(shape: &ConvShape, x: Frame, images: usize) -> Pass {
    let (kernel, stride, out) = (shape.kernel, shape.stride, shape.output());
    let pixels = pixels(images, out);
    let rows = RowTable::new(pixels.enumerate().map(|(at, (image, row, column))| {
        (x.of_frame(image, row * stride, column * stride), at * out.channels)
    }));
    let len = kernel * x.map.channels;
    let segments = (0..kernel).map(|r| Segment { offset: x.of_frame(0, r, 0), len }).collect();
    let taps = (0..kernel).flat_map(|r| (0..kernel).map(move |s| (r, s))).collect();
    Pass { rows, rows_an_image: out.pixels(), segments, taps }
}

/// (image, row, column) of every pixel, in the order of memory.
fn pixels(images: usize, map: Map) -> impl Iterator<Item = (usize, usize, usize)> {
    let Map { height, width, .. } = map;
    let place = move |at: usize| (at / (height * width), at / width % height, at % width);
    (0..images * map.pixels()).map(place)
}

/// The kernel positions that connect an input pixel at `place` within the stride to outputs, each
/// with the output's distance: input i = stride·q + place meets output q + distance at position
/// place + padding - stride·distance. In order of distance.
pub(crate) fn meetings(kernel: usize, stride: usize, place: usize) -> Vec<(isize, usize)> {
    let (stride, reach) = (stride as isize, (place + kernel / 2) as isize);
    let farthest = reach.div_euclid(stride);
    let nearest = -((kernel as isize - 1 - reach).div_euclid(stride));
    (nearest..=farthest)
        .filter_map(|distance| {
            let tap = usize::try_from(reach - stride * distance).ok()?;
            (tap < kernel).then_some((distance, tap))
        })
        .collect()
}

fn dy_frame(shape: &ConvShape) -> Frame {
    let (map, input) = (shape.output(), shape.input());
    let distances: Vec<isize> = (0..shape.stride)
        .flat_map(|p| meetings(shape.kernel, shape.stride, p))
        .map(|(distance, _)| distance)
        .collect();
    let before = distances.iter().min().map_or(0, |d| (-d).max(0)) as usize;
    let after = distances.iter().max().map_or(0, |d| (*d).max(0)) as usize;
    let size =
        |input: usize, output: usize| before + output.max(input.div_ceil(shape.stride) + after);
    let height = size(input.height, map.height);
    Frame { map, before, height, width: size(input.width, map.width) }
}

fn backward_pass(shape: &ConvShape, dy: Frame, place: (usize, usize), images: usize) -> Pass {
    let (stride, input) = (shape.stride, shape.input());
    let [down, across] =
        [place.0, place.1].map(|place| meetings(shape.kernel, shape.stride, place));
    let at_place =
        move |&(_, row, column): &(usize, usize, usize)| (row % stride, column % stride) == place;
    let rows = RowTable::new(pixels(images, input).filter(at_place).map(|(image, row, column)| {
        let to = ((image * input.height + row) * input.width + column) * input.channels;
        (dy.of_frame(image, row / stride, column / stride), to)
    }));
    let frame_row = |distance: isize| (dy.before as isize + distance) as usize;
    let len = across.len() * dy.map.channels;
    let segments = match across.first() {
        // Output pixels one after the other: the distances across are consecutive.
        Some(&(left, _)) => down
            .iter()
            .map(|&(d, _)| Segment { offset: dy.of_frame(0, frame_row(d), frame_row(left)), len })
            .collect(),
        None => vec![],
    };
    let taps = down.iter().flat_map(|&(_, r)| across.iter().map(move |&(_, s)| (r, s))).collect();
    let rows_an_image = rows.rows().len() / images.max(1);
    Pass { rows, rows_an_image, segments, taps }
}

/// B from weights: for each panel of 16 of `to` channels, for each tap, for each of `from` channels,
/// a row of the panel. `at(from, to, tap)` finds the weight; there is none for padding channels.
fn pack(
    taps: &[(usize, usize)],
    from: usize,
    to: usize,
    weight: &[f32],
    at: impl Fn(usize, usize, (usize, usize)) -> Option<usize> + Sync,
    workspace: &Workspace,
) -> Buffer<f32> {
    let mut packed = workspace.take(taps.len() * from * to);
    let panel_len = (taps.len() * from * PANEL).max(1);
    packed.par_chunks_mut(panel_len).enumerate().for_each(|(panel, b)| {
        for (&tap, lines) in taps.iter().zip(b.chunks_mut(from * PANEL)) {
            for (f, line) in lines.chunks_mut(PANEL).enumerate() {
                for (column, value) in line.iter_mut().enumerate() {
                    *value = at(f, panel * PANEL + column, tap).map_or(0.0, |at| weight[at]);
                }
            }
        }
    });
    packed
}
