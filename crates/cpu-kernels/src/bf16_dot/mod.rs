//! Convolutions, and products of plain matrices ([`matrix`]), by dot products of bfloat16: operands are multiplied as
//! they are stored, pair by pair, and summed in f32.
//!
//! Everything is laid out so that tiles are pieces of memory (for convolutions the interleaved [`layout`]); [`tiles`] is
//! the one product behind all three directions and the matrices. It runs on tile registers, on vectors that multiply
//! pairs, and, for tests alone, on any others.

#[cfg(target_arch = "x86_64")]
mod amx;
mod epilogue;
mod gradient;
mod layout;
mod matrix;
mod operands;
mod pass;
mod prologue;
mod tiles;

pub use self::matrix::matmul_bf16;

use half::bf16;
use rayon::prelude::*;

use self::epilogue::{PixelGrid, backward_epilogue, epilogue};
use self::gradient::{Gradient, Share};
use self::layout::{InterleavedLayout, images_to_interleave};
use self::pass::{Pass, Planes, Tap, Weights};
use self::prologue::{Cell, Prologue, Unfold};
use self::tiles::TILE;
use crate::element::Element;
use crate::epilogue::BackwardEpilogue;
use crate::level::{Kernel, Level};
use crate::norm::{GradientSums, Moments};
use crate::shape::{ConvShape, stored_channels};
use crate::simd::Vector;
use crate::slab::{Input, InputGradient, Map, Normalised, OutputGradient, Plain, Through};
use crate::workspace::{Buffer, Workspace, sum_of};

/// The tables of one convolution.
#[derive(Debug)]
pub(crate) struct Bf16Dot {
    shape: ConvShape,
    level: Level,
    /// How many images a slab has, in all directions.
    images: usize,
    /// How many images the slabs interleave at most: slabs are filled with zeros up to a multiple of it.
    multiple: usize,
    /// The input's map as the products see it: images are patches, whose kernel is 1×1.
    input: Map,
    x: Planes,
    dy: Planes,
    forward: Pass,
    /// The backward passes, one for each position of an input pixel within the stride.
    backward: Vec<(PixelGrid, Pass)>,
    gradient: Gradient,
}

impl Bf16Dot {
    pub fn new(shape: ConvShape, level: Level) -> Self {
        let seen = Seen::of(&shape);
        let output = shape.output();
        let multiple = 2 * images_to_interleave(output.width);
        let images = images_a_slab(&seen, output, multiple);
        let interleaved =
            |channels: usize| if channels == TILE { 1 } else { images_to_interleave(output.width) };
        let x = Planes::new(seen.x_layout(output, interleaved(seen.input.channels)), images);
        let dy = Planes::new(seen.dy_layout(output, interleaved(output.channels)), images);
        let taps = seen.taps(&x.layout);
        let lines = [output.height, output.width];
        let start = |line: usize| line * seen.stride * x.layout.line();
        let forward = Pass::new(x, lines, output.channels / TILE, &taps, start);
        let backward = match shape.images {
            true => vec![],
            false => seen.backward(dy),
        };
        let gradient = Gradient::new(&seen, output, dy, images);
        Self {
            shape,
            level,
            images,
            multiple,
            input: seen.input,
            x,
            dy,
            forward,
            backward,
            gradient,
        }
    }

    /// As [`Conv::forward`](crate::Conv::forward).
    pub fn forward<E: Element>(
        &self,
        input: Input<'_, E>,
        weight: &[f32],
        y: &mut [E],
        workspace: &Workspace,
    ) -> Moments {
        let weights = self.narrow(weight, workspace);
        let packed = self.forward.pack(self.level, self.weights(&weights, false), workspace);
        let (len, map) = (self.shape.output_len(), self.shape.output());
        let slabs = y.par_chunks_mut(self.images * len).enumerate();
        let parts: Vec<Moments> = slabs
            .map(|(slab, y)| {
                let images = y.len() / len;
                let mut x = workspace.take(self.x.len());
                let planes = (self.x, Cell::Channels);
                self.prologue(input, (slab * self.images, images), planes, &mut x, workspace);
                let sums = self.forward.sums();
                let mut c = workspace.take(sums.len());
                let groups = images.div_ceil(sums.interleaved);
                self.forward.run(self.level, groups, &x, &packed, &mut c);
                let grid = PixelGrid { map, stride: 1, row: 0, column: 0 };
                epilogue(self.level, sums, grid, &c, y)
            })
            .collect();
        Moments::combine(parts)
    }

    /// As [`Conv::backward`](crate::Conv::backward).
    pub fn backward<E: Element>(
        &self,
        input: Input<'_, E>,
        gradient: OutputGradient<'_, E>,
        weight: &[f32],
        wanted: Option<InputGradient<'_, E>>,
        to: &mut [f32],
        workspace: &Workspace,
    ) -> Option<GradientSums> {
        let packed: Vec<Buffer<bf16>> = match wanted {
            None => vec![],
            Some(_) => {
                let weights = self.narrow(weight, workspace);
                let weights = self.weights(&weights, true);
                self.backward
                    .iter()
                    .map(|(_, pass)| pass.pack(self.level, weights, workspace))
                    .collect()
            }
        };
        let back = Backward { conv: self, input, gradient, packed, workspace };
        let batch = gradient.g.len() / self.shape.output_len();
        let (tiles, sums) = match self.gradient.is_small() {
            true => back.slab_by_slab(batch, wanted),
            false => back.in_rounds(batch, wanted),
        };
        self.gradient.finish(&self.shape, &tiles, to);
        sums
    }

    /// Rounds weights `[out, in, kernel, kernel]` to `[out, taps, in]` in bfloat16, channels as stored.
    fn narrow(&self, weight: &[f32], workspace: &Workspace) -> Buffer<bf16> {
        let (shape, input, taps) = (&self.shape, self.input.channels, self.gradient.taps());
        let mut narrow = workspace.take::<bf16>(taps * input * self.shape.output().channels);
        let filters = shape.weight_len() / shape.out_channels;
        let (there, padding) = narrow.split_at_mut(shape.out_channels * taps * input);
        padding.fill(bf16::ZERO);
        let filters = there.par_chunks_mut(taps * input).zip(weight.par_chunks(filters));
        filters.with_min_len(FILTERS_A_TASK).for_each(|(to, filter)| match shape.images {
            true => patch_from_filter(shape.kernel, filter, to),
            false => self.level.run(Narrow { filter, taps, to }),
        });
        narrow
    }

    fn weights<'a>(&self, numbers: &'a [bf16], turned: bool) -> Weights<'a> {
        Weights { numbers, input: self.input.channels, taps: self.gradient.taps(), turned }
    }

    /// Fills `slab` with the images (first, count) of the input, in the form of the planes and their cells.
    fn prologue<E: Element>(
        &self,
        input: Input<'_, E>,
        (first, images): (usize, usize),
        (planes, cell): (Planes, Cell),
        slab: &mut [bf16],
        workspace: &Workspace,
    ) {
        let multiple = self.multiple;
        match input {
            Input::Plain(x) => {
                Prologue { planes, cell, source: Plain { x }, first, images, multiple, slab }
                    .run_on(self.level);
            }
            Input::Normalised(y, norm) => {
                norm.assert_channels(planes.layout.map.channels);
                let source = Normalised { y, norm };
                Prologue { planes, cell, source, first, images, multiple, slab }.run_on(self.level);
            }
            Input::Images(x) => {
                let patches = self.unfold(x, first, images, workspace);
                let source = Plain { x: &patches[..] };
                Prologue { planes, cell, source, first: 0, images, multiple, slab }
                    .run_on(self.level);
            }
        }
    }

    fn unfold(
        &self,
        x: &[f32],
        first: usize,
        images: usize,
        workspace: &Workspace,
    ) -> Buffer<bf16> {
        let ConvShape { height, width, kernel, stride, .. } = self.shape;
        let stored = self.input.channels;
        let output = self.shape.output_size();
        let unfold = Unfold { height, width, kernel, stride, output, stored };
        let image = self.shape.in_channels * height * width;
        let mut patches = workspace.take(images * self.input.len());
        let mut framed = workspace.take(unfold.framed_len());
        let from = x[first * image..].chunks(image);
        for (patches, planes) in patches.chunks_mut(self.input.len()).zip(from) {
            unfold.image(planes, &mut framed, patches);
        }
        patches
    }
}

/// How many filters are worth a task.
const FILTERS_A_TASK: usize = 8;

/// Rounds one filter `[in, taps]` to `[taps, in]` in bfloat16.
struct Narrow<'a> {
    filter: &'a [f32],
    taps: usize,
    to: &'a mut [bf16],
}

impl Kernel for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { filter, taps, to } = self;
        let channels = filter.len() / taps;
        let stored = to.len() / taps;
        assert!(filter.len() == channels * taps && channels <= stored, "whole filters");
        let whole = channels / V::LANES * V::LANES;
        for tap in 0..taps {
            let to = &mut to[tap * stored..][..stored];
            let mut c = 0;
            while c < whole {
                // SAFETY: `LANES` channels from `c` on are in the filter and in `to`.
                unsafe {
                    let numbers = V::gather(filter.as_ptr().add(c * taps + tap), taps);
                    numbers.store_bf16(to.as_mut_ptr().add(c).cast());
                }
                c += V::LANES;
            }
            let rest = filter[whole * taps..].iter().skip(tap).step_by(taps);
            to[whole..].fill(bf16::ZERO);
            to[whole..].iter_mut().zip(rest).for_each(|(to, x)| *to = bf16::from_f32(*x));
        }
    }
}

fn patch_from_filter(kernel: usize, filter: &[f32], to: &mut [bf16]) {
    to.fill(bf16::ZERO);
    for (at, x) in filter.iter().enumerate() {
        let (colour, tap) = (at / (kernel * kernel), at % (kernel * kernel));
        to[Unfold::place(kernel, [colour, tap / kernel, tap % kernel])] = bf16::from_f32(*x);
    }
}

/// A convolution as the products see it.
pub(crate) struct Seen {
    pub input: Map,
    pub kernel: usize,
    pub stride: usize,
}

impl Seen {
    fn of(shape: &ConvShape) -> Self {
        let (kernel, stride) = (shape.kernel, shape.stride);
        match shape.images {
            false => Self { input: shape.input(), kernel, stride },
            true => {
                let [height, width] = shape.output_size();
                let channels = stored_channels(shape.in_channels * kernel * kernel);
                Self { input: Map { height, width, channels }, kernel: 1, stride: 1 }
            }
        }
    }

    pub(crate) fn x_layout(&self, output: Map, interleaved: usize) -> InterleavedLayout {
        let reach = |out: usize| (out - 1) * self.stride + self.kernel;
        let (rows, columns) = (reach(output.height), reach(output.width));
        let before = self.kernel / 2;
        InterleavedLayout {
            map: self.input,
            before,
            rows,
            columns,
            stride: self.stride,
            interleaved,
        }
    }

    /// Every tap's distance in a layout of the input, those next to each other one after the other.
    pub fn taps(&self, layout: &InterleavedLayout) -> Vec<Tap> {
        let k = self.kernel;
        let offset = |tap: usize| layout.of_frame(0, tap / k, tap % k);
        let mut taps: Vec<Tap> =
            (0..k * k).map(|number| Tap { number, offset: offset(number) }).collect();
        taps.sort_by_key(|tap| tap.offset);
        taps
    }

    /// What meets along one side: the kernel positions that connect an input pixel at `place` within the stride to
    /// outputs, each with the output's distance.
    fn meetings(&self, place: usize) -> Vec<(isize, usize)> {
        crate::direct::meetings(self.kernel, self.stride, place)
    }

    fn dy_layout(&self, output: Map, interleaved: usize) -> InterleavedLayout {
        let places = (0..self.stride).flat_map(|place| self.meetings(place));
        let distances: Vec<isize> = places.map(|(distance, _)| distance).collect();
        let before = distances.iter().min().map_or(0, |d| (-d).max(0)) as usize;
        let after = distances.iter().max().map_or(0, |d| (*d).max(0)) as usize;
        let size =
            |input: usize, output: usize| before + output.max(input.div_ceil(self.stride) + after);
        let rows = size(self.input.height, output.height);
        let columns = size(self.input.width, output.width);
        InterleavedLayout { map: output, before, rows, columns, stride: 1, interleaved }
    }

    /// The passes from the outputs' gradients to the inputs', for each position within the stride.
    fn backward(&self, dy: Planes) -> Vec<(PixelGrid, Pass)> {
        let (map, stride) = (self.input, self.stride);
        let places = (0..stride).flat_map(|row| (0..stride).map(move |column| (row, column)));
        let grids = places.map(|(row, column)| PixelGrid { map, stride, row, column });
        let there = grids.filter(|grid| !grid.size().contains(&0));
        there.map(|grid| (grid, self.backward_pass(dy, grid))).collect()
    }

    fn backward_pass(&self, dy: Planes, grid: PixelGrid) -> Pass {
        let before = dy.layout.before as isize;
        let frame = |distance: isize| (before + distance) as usize;
        let (down, across) = (self.meetings(grid.row), self.meetings(grid.column));
        let taps = down.iter().flat_map(|&(d, r)| across.iter().map(move |&(e, s)| (d, e, r, s)));
        let taps: Vec<Tap> = taps
            .map(|(d, e, r, s)| Tap {
                number: r * self.kernel + s,
                offset: dy.layout.of_frame(0, frame(d), frame(e)),
            })
            .collect();
        let start = |line: usize| line * dy.layout.line();
        Pass::new(dy, grid.size(), self.input.channels / TILE, &taps, start)
    }
}

/// How many images a slab has: those whose sums fill about a quarter of a second-level cache, whole groups of those that any of the
/// slabs interleaves. Depends on the shape alone: the statistics are taken slab by slab.
fn images_a_slab(seen: &Seen, output: Map, multiple: usize) -> usize {
    let numbers = output.len().max(seen.input.len());
    (128 * 1024 / numbers).max(1).next_multiple_of(multiple)
}

/// One call of [`Bf16Dot::backward`].
struct Backward<'a, E> {
    conv: &'a Bf16Dot,
    input: Input<'a, E>,
    gradient: OutputGradient<'a, E>,
    packed: Vec<Buffer<bf16>>,
    workspace: &'a Workspace,
}

/// A slab's part of what is wanted of the input's gradient.
type Part<'a, E> = Option<(BackwardEpilogue<'a, E>, &'a mut [E])>;

impl<E: Element> Backward<'_, E> {
    /// The tiles of the weights' gradient where they are few: tasks take a share of the slabs each, with tiles of
    /// their own.
    fn slab_by_slab(
        &self,
        batch: usize,
        wanted: Option<InputGradient<'_, E>>,
    ) -> (Buffer<f32>, Option<GradientSums>) {
        let (conv, workspace) = (self.conv, self.workspace);
        let slabs = self.slabs(0..batch, wanted);
        let share = slabs.len().div_ceil(SHARES);
        let mut shares: Vec<Vec<_>> = vec![];
        for slab in slabs {
            match shares.last_mut() {
                Some(last) if last.len() < share => last.push(slab),
                _ => shares.push(vec![slab]),
            }
        }
        let parts: Vec<(Buffer<f32>, Vec<Option<GradientSums>>)> = shares
            .into_par_iter()
            .map(|slabs| {
                let mut tiles = workspace.take::<f32>(conv.gradient.len());
                let mut operands = conv.gradient.operands(1, workspace);
                let each = slabs.into_iter().enumerate().map(|(at, (span, part))| {
                    let [x, dy] = operands.each_mut().map(|o| &mut o[..]);
                    let sums = self.slab(span, part, x, dy);
                    let operands = operands.each_ref().map(|o| &o[..]);
                    let part = Share { images: span.1, first: 0, accumulate: at > 0 };
                    conv.gradient.add(conv.level, part, operands, &mut tiles);
                    sums
                });
                let sums = each.collect();
                (tiles, sums)
            })
            .collect();
        let (tiles, sums): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (sum_of(tiles), combine(sums.into_iter().flatten()))
    }

    /// The tiles of the weights' gradient where they are many: some slabs' operands first, then tasks take a share of
    /// the tiles each.
    fn in_rounds(
        &self,
        batch: usize,
        mut wanted: Option<InputGradient<'_, E>>,
    ) -> (Buffer<f32>, Option<GradientSums>) {
        let (conv, workspace) = (self.conv, self.workspace);
        let mut tiles = workspace.take::<f32>(conv.gradient.len());
        let count = conv.gradient.slabs_a_round().min(batch.div_ceil(conv.images));
        let mut operands = conv.gradient.operands(count, workspace);
        let [x_len, dy_len] = operands.each_ref().map(|o| o.len() / count);
        let mut sums = vec![];
        for first in (0..batch).step_by(count * conv.images) {
            let span = first..batch.min(first + count * conv.images);
            let there = span.len();
            let slabs = self.slabs(span, wanted.as_mut().map(InputGradient::reborrow));
            let [x, dy] = operands.each_mut().map(|o| &mut o[..]);
            let places = x.par_chunks_mut(x_len).zip(dy.par_chunks_mut(dy_len));
            let round: Vec<Option<GradientSums>> = slabs
                .into_par_iter()
                .zip(places)
                .map(|((span, part), (x, dy))| self.slab(span, part, x, dy))
                .collect();
            sums.extend(round);
            let operands = operands.each_ref().map(|o| &o[..]);
            let task = conv.gradient.task();
            tiles.par_chunks_mut(task).enumerate().for_each(|(at, tiles)| {
                let part = Share { images: there, first: at * task, accumulate: first > 0 };
                conv.gradient.add(conv.level, part, operands, tiles);
            });
        }
        (tiles, combine(sums))
    }

    /// The slabs of some images: which images, and their part of what is wanted.
    fn slabs<'b>(
        &self,
        images: std::ops::Range<usize>,
        wanted: Option<InputGradient<'b, E>>,
    ) -> Vec<((usize, usize), Part<'b, E>)> {
        let step = self.conv.images;
        let spans = images.clone().step_by(step).map(|first| (first, step.min(images.end - first)));
        let Some(InputGradient { epilogue, to }) = wanted else {
            return spans.map(|span| (span, None)).collect();
        };
        let len = self.conv.input.len();
        let parts = to[images.start * len..images.end * len].chunks_mut(step * len);
        spans
            .zip(parts)
            .map(|((first, count), to)| {
                let epilogue = epilogue.part(first * len..(first + count) * len);
                ((first, count), Some((epilogue, to)))
            })
            .collect()
    }

    /// Takes one slab's operands of the weights' gradient to `x` and `dy`, and its gradient of the input to that
    /// one's place.
    fn slab(
        &self,
        span: (usize, usize),
        part: Part<'_, E>,
        x: &mut [bf16],
        dy: &mut [bf16],
    ) -> Option<GradientSums> {
        let Self { conv, workspace, .. } = self;
        let mut slab = workspace.take(conv.dy.len());
        let OutputGradient { g, y, through } = self.gradient;
        through.assert_channels(conv.dy.layout.map.channels);
        let (first, images) = span;
        Prologue {
            planes: conv.dy,
            cell: Cell::Channels,
            source: Through { g, y, through },
            first,
            images,
            multiple: conv.multiple,
            slab: &mut slab,
        }
        .run_on(conv.level);
        let sums = part.map(|(epilogue, to)| self.input_gradient(&slab, images, epilogue, to));
        conv.gradient.transpose(conv.level, images, &slab, dy);
        let pairs = (conv.gradient.x(), Cell::Pairs);
        conv.prologue(self.input, span, pairs, x, workspace);
        sums
    }

    fn input_gradient(
        &self,
        slab: &[bf16],
        images: usize,
        epilogue: BackwardEpilogue<'_, E>,
        to: &mut [E],
    ) -> GradientSums {
        let Self { conv, workspace, packed, .. } = self;
        let parts = conv.backward.iter().zip(packed).map(|((grid, pass), packed)| {
            let sums = pass.sums();
            let mut c = workspace.take(sums.len());
            match pass.is_empty() {
                true => c.fill(0.0),
                false => {
                    let groups = images.div_ceil(sums.interleaved);
                    pass.run(conv.level, groups, slab, packed, &mut c);
                }
            }
            backward_epilogue(conv.level, sums, *grid, &c, epilogue, to)
        });
        GradientSums::combine(parts)
    }
}

/// How many shares of a batch have a weights' gradient each; fixed, so that sums do not depend on the threads.
const SHARES: usize = 16;

fn combine(sums: impl IntoIterator<Item = Option<GradientSums>>) -> Option<GradientSums> {
    let sums: Option<Vec<GradientSums>> = sums.into_iter().collect();
    sums.map(GradientSums::combine)
}
