//! The weights' gradient: for every tap, a product of the outputs' gradients and the input over all pixels.
//!
//! The depth of a step is 16 pixels of two images. The gradients are transposed into tiles of A; the input
//! lies as pairs of images, so that a tap is a distance in it as in the other directions.

use half::bf16;
use rayon::prelude::*;

use super::Seen;
use super::layout::images_to_interleave;
use super::operands::Step;
use super::pass::{Planes, Tap};
use super::prologue::{Transpose, Unfold};
use super::tiles::{Block, OPERAND, Product, SUMS, TILE};
use crate::level::Level;
use crate::shape::ConvShape;
use crate::slab::Map;
use crate::workspace::{Buffer, Workspace};

/// How many numbers of the weights' gradient each share of a batch may have for itself.
const SMALL: usize = 160 * 1024;
/// How many numbers of both operands one round gathers at most.
const ROUND: usize = 6 * 1024 * 1024;

/// The tables of one convolution's weights' gradient.
#[derive(Debug)]
pub(crate) struct Gradient {
    /// The planes of the input: 16 channels a plane, and pairs of images for images.
    x: Planes,
    dy: Planes,
    taps: Vec<Tap>,
    /// The pixels in the planes of dy of each pair of a group's chunks; behind the line's end, zeros.
    pairs: Vec<[u32; 2]>,
    /// Where each chunk of a group starts, in pixels of a plane of x.
    chunks: Vec<usize>,
    /// How many tiles of 16 output channels there are.
    outputs: usize,
}

/// What one call adds up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// How many images' operands are there.
    pub images: usize,
    /// The first of all tiles' numbers that are meant.
    pub first: usize,
    /// Whether the tiles hold sums already.
    pub accumulate: bool,
}

impl Gradient {
    pub fn new(seen: &Seen, output: Map, dy: Planes, images: usize) -> Self {
        let pairs = images_to_interleave(output.width);
        let layout = seen.x_layout(output, pairs);
        let x = Planes { layout, images: images / 2, channels: TILE };
        let taps = seen.taps(&layout);
        let mut gradient =
            Self { x, dy, taps, pairs: vec![], chunks: vec![], outputs: output.channels / TILE };
        gradient.taps.sort_by_key(|tap| tap.number);
        for line in 0..output.height {
            let start = line * seen.stride * layout.line();
            let in_line =
                (0..(output.width * pairs).div_ceil(TILE)).map(|chunk| start + chunk * TILE);
            gradient.chunks.extend(in_line);
        }
        gradient.pairs = gradient.all_pairs(output, pairs);
        gradient
    }

    /// The pixels of all pairs of a slab, chunk by chunk.
    fn all_pairs(&self, output: Map, pairs: usize) -> Vec<[u32; 2]> {
        let narrow = |at: usize| u32::try_from(at).expect("a slab has fewer than 2^32 pixels");
        let zero = narrow(self.dy.pixels() - 1);
        let line = (output.width * pairs).next_multiple_of(TILE);
        let mut all = vec![];
        for group in 0..self.x.images / pairs {
            for row in 0..output.height {
                all.extend((0..line).map(|at| {
                    let (column, pair) = (at / pairs, group * pairs + at % pairs);
                    let pixel = |image| narrow(self.dy.layout.at(image, row, column));
                    match column < output.width {
                        true => [pixel(2 * pair), pixel(2 * pair + 1)],
                        false => [zero; 2],
                    }
                }));
            }
        }
        all
    }

    pub fn taps(&self) -> usize {
        self.taps.len()
    }

    pub fn x(&self) -> Planes {
        self.x
    }

    /// How many planes x has.
    fn inputs(&self) -> usize {
        self.x.layout.map.channels / TILE
    }

    /// The length of all tiles, `[inputs, taps, outputs, 16 outputs, 16 inputs]`.
    pub fn len(&self) -> usize {
        self.inputs() * self.taps() * self.outputs * SUMS
    }

    /// Whether shares of a batch may have tiles of their own.
    pub(crate) fn is_small(&self) -> bool {
        self.len() <= SMALL
    }

    /// The lengths of the input's operand and of the gradients' for one slab.
    fn operand_lens(&self) -> [usize; 2] {
        [self.inputs() * self.x.pixels() * 2 * TILE, self.outputs * self.pairs.len() * 2 * TILE]
    }

    pub(crate) fn slabs_a_round(&self) -> usize {
        (ROUND / self.operand_lens().iter().sum::<usize>()).max(1)
    }

    /// Room for the operands of `slabs` slabs.
    pub fn operands(&self, slabs: usize, workspace: &Workspace) -> [Buffer<bf16>; 2] {
        self.operand_lens().map(|len| workspace.take(slabs * len))
    }

    /// Transposes a slab of gradients to tiles of A. Only the first `images` images of the slab are there.
    pub fn transpose(&self, level: Level, images: usize, slab: &[bf16], to: &mut [bf16]) {
        let group = self.group_pairs();
        let groups = images.div_ceil(2 * self.x.layout.interleaved);
        let pairs = &self.pairs[..groups * group];
        Transpose { planes: self.dy, slab, pairs, to, stride: self.pairs.len() }.run_on(level);
    }

    /// How many pairs one group of interleaved images has.
    fn group_pairs(&self) -> usize {
        self.chunks.len() * TILE
    }

    /// How many numbers of tiles a task takes: those of two planes of x.
    pub fn task(&self) -> usize {
        2 * self.taps() * self.outputs * SUMS
    }

    /// Adds the products over the operands' first images to a part of all tiles.
    pub fn add(&self, level: Level, share: Share, [x, dy]: [&[bf16]; 2], tiles: &mut [f32]) {
        let Share { images, first, accumulate } = share;
        let steps = self.steps(images);
        // One for each tile of inputs and tap.
        let column = self.outputs * SUMS;
        let columns = first / column..(first + tiles.len()) / column;
        let product = Product { steps: &steps, a: dy, a_row: 2 * TILE, b: x, c: tiles, accumulate };
        match (self.outputs, self.taps() % 3) {
            (1, _) => product.run(level, self.blocks::<1, 3>(columns)),
            (_, 0) => product.run(level, self.blocks::<2, 3>(columns)),
            _ => product.run(level, self.blocks::<2, 2>(columns)),
        }
    }

    /// The steps of all chunks of the groups that have images.
    fn steps(&self, images: usize) -> Vec<Step> {
        let [x_len, dy_len] = self.operand_lens();
        let a_slab = self.x.images / self.x.layout.interleaved;
        let chunks = self.chunks.len();
        let groups = 0..images.div_ceil(2 * self.x.layout.interleaved);
        groups
            .flat_map(|group| {
                let (slab, group) = (group / a_slab, group % a_slab);
                let (a, b) = (slab * dy_len + group * chunks * OPERAND, slab * x_len);
                let first = group * self.x.layout.group();
                let chunk = move |(at, chunk): (usize, &usize)| {
                    Step::new(a + at * OPERAND, b + (first + chunk) * 2 * TILE)
                };
                self.chunks.iter().enumerate().map(chunk)
            })
            .collect()
    }

    /// The blocks of `columns` × all outputs; the last one again where they run out.
    fn blocks<const NA: usize, const NB: usize>(
        &self,
        columns: std::ops::Range<usize>,
    ) -> impl Iterator<Item = Block<NA, NB>> {
        let starts = columns.clone().step_by(NB);
        let taps = self.taps();
        starts.flat_map(move |at| {
            let columns = columns.clone();
            (0..self.outputs).step_by(NA).map(move |output| {
                let output: [usize; NA] =
                    std::array::from_fn(|i| (output + i).min(self.outputs - 1));
                let column: [usize; NB] = std::array::from_fn(|j| (at + j).min(columns.end - 1));
                let tile = |output: usize, column: usize| {
                    ((column - columns.start) * self.outputs + output) * SUMS
                };
                Block {
                    a: output.map(|output| output * self.pairs.len() * 2 * TILE),
                    b: column.map(|column| {
                        let (plane, tap) = (column / taps, column % taps);
                        (plane * self.x.pixels() + self.taps[tap].offset) * 2 * TILE
                    }),
                    c: output.map(|output| column.map(|column| tile(output, column))),
                }
            })
        })
    }

    /// Writes the tiles to `weight` as `[out, in, kernel, kernel]`.
    pub fn finish(&self, shape: &ConvShape, tiles: &[f32], weight: &mut [f32]) {
        let filter = shape.weight_len() / shape.out_channels;
        let taps = self.taps();
        let at = |o: usize, c: usize, tap: usize| {
            let column = c / TILE * taps + tap;
            (column * self.outputs + o / TILE) * SUMS + o % TILE * TILE + c % TILE
        };
        weight.par_chunks_mut(filter).with_min_len(8).enumerate().for_each(|(o, filter)| {
            if shape.images {
                for (index, value) in filter.iter_mut().enumerate() {
                    let (colour, tap) = (index / shape.kernel.pow(2), index % shape.kernel.pow(2));
                    let place = [colour, tap / shape.kernel, tap % shape.kernel];
                    *value = tiles[at(o, Unfold::place(shape.kernel, place), 0)];
                }
                return;
            }
            for (block, kernels) in filter.chunks_mut(TILE * taps).enumerate() {
                for tap in 0..taps {
                    let row = &tiles[at(o, block * TILE, tap)..][..TILE];
                    let to = kernels[tap..].iter_mut().step_by(taps);
                    to.zip(row).for_each(|(to, x)| *to = *x);
                }
            }
        });
    }
}
