//! The tables of one direction of a convolution: which tiles of the slab meet which weights, and where the
//! sums go.

use rayon::prelude::*;

use super::layout::InterleavedLayout;
use super::operands::Step;
use super::tiles::{Block, DEPTH, OPERAND, Product, SUMS, TILE, store_pairs};
use crate::level::{Kernel, Level};
use crate::simd::Vector;
use crate::workspace::{Buffer, Workspace};
use half::bf16;

/// A kernel's tap as a pass meets it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Number within the kernel, row by row.
    pub number: usize,
    /// How far the tap's pixel is from the sum's first, in pixels of the layout.
    pub offset: usize,
}

/// A slab in bfloat16: planes of channels, each with the pixels of an interleaved layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes {
    pub layout: InterleavedLayout,
    /// How many images it has room for, whole groups of interleaved ones.
    pub images: usize,
    /// Channels of a plane: 32, or 16 where there are no more.
    pub channels: usize,
}

impl Planes {
    pub fn new(layout: InterleavedLayout, images: usize) -> Self {
        Self { layout, images, channels: layout.map.channels.min(DEPTH) }
    }

    pub fn count(&self) -> usize {
        self.layout.map.channels.div_ceil(self.channels)
    }

    /// How many pixels a plane has. The last ones are zero: as many as a tile may touch behind the last line.
    pub fn pixels(&self) -> usize {
        self.images / self.layout.interleaved * self.layout.group() + MARGIN
    }

    /// How many numbers all planes have.
    pub fn len(&self) -> usize {
        self.count() * self.pixels() * self.channels
    }
}

/// The layout of one slab's sums: `[panels, images / interleaved, lines, line, TILE]`, lines in whole tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub lines: usize,
    /// How many pixels a line has.
    pub columns: usize,
    /// How many images are interleaved with each other.
    pub interleaved: usize,
    pub images: usize,
    pub panels: usize,
}

impl Sums {
    /// How many tiles a line has.
    fn tiles(&self) -> usize {
        (self.columns * self.interleaved).div_ceil(TILE)
    }

    /// How many sums one panel of 16 channels has.
    pub fn panel(&self) -> usize {
        self.images / self.interleaved * self.lines * self.tiles() * SUMS
    }

    pub fn len(&self) -> usize {
        self.panels * self.panel()
    }

    /// Where a pixel's sums lie within a panel.
    pub fn at(&self, image: usize, line: usize) -> usize {
        let (group, image) = (image / self.interleaved, image % self.interleaved);
        (group * self.lines + line) * self.tiles() * SUMS + image * TILE
    }

    /// How far a pixel's sums are from the next column's.
    pub fn step(&self) -> usize {
        self.interleaved * TILE
    }
}

/// How many pixels there are behind the last line.
pub(crate) const MARGIN: usize = 2 * TILE;

/// What meets along the depth of a step: for each half of it, a tap and the first of 16 channels.
type Halves = [Option<(usize, usize)>; 2];

/// One product over a slab.
#[derive(Debug)]
pub(crate) struct Pass {
    planes: Planes,
    sums: Sums,
    steps: Vec<Step>,
    halves: Vec<Halves>,
    /// Where each tile of a group starts, in pixels of a plane.
    tiles: Vec<usize>,
}

impl Pass {
    /// Sums of `lines` × `columns` pixels, each over `taps`. `start(line)` is where a line's first pixel
    /// lies in a plane.
    pub fn new(
        planes: Planes,
        [lines, columns]: [usize; 2],
        panels: usize,
        taps: &[Tap],
        start: impl Fn(usize) -> usize,
    ) -> Self {
        let interleaved = planes.layout.interleaved;
        let sums = Sums { lines, columns, interleaved, images: planes.images, panels };
        let mut pass = Self { planes, sums, steps: vec![], halves: vec![], tiles: vec![] };
        for plane in 0..planes.count() {
            pass.add_steps(plane, taps);
        }
        let in_line = |line| {
            let first = start(line);
            (0..sums.tiles()).map(move |tile| first + tile * TILE)
        };
        pass.tiles = (0..lines).flat_map(in_line).collect();
        pass
    }

    /// Planes of 32 channels fill a step. In planes of 16 the next pixel fills the other half, which serves
    /// where the next tap meets it.
    fn add_steps(&mut self, plane: usize, taps: &[Tap]) {
        let Planes { channels, .. } = self.planes;
        let mut rest = taps;
        while let Some((tap, behind)) = rest.split_first() {
            rest = behind;
            let first = plane * channels;
            let exists = first + TILE < self.planes.layout.map.channels;
            let upper = match (channels == DEPTH, behind.first()) {
                (true, _) => exists.then_some((tap.number, first + TILE)),
                (false, Some(next)) if next.offset == tap.offset + 1 => {
                    rest = &behind[1..];
                    Some((next.number, first))
                }
                (false, _) => None,
            };
            let a = (plane * self.planes.pixels() + tap.offset) * channels;
            self.steps.push(Step::new(a, self.steps.len() * OPERAND));
            self.halves.push([Some((tap.number, first)), upper]);
        }
    }

    pub fn sums(&self) -> Sums {
        self.sums
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Packs weights in bfloat16 as `[panels, steps, 16 pairs of from-channels, 16 to-channels]`.
    pub fn pack(&self, level: Level, weights: Weights<'_>, workspace: &Workspace) -> Buffer<bf16> {
        let panel = self.steps.len() * OPERAND;
        let mut packed = workspace.take(self.sums.panels * panel);
        packed.par_chunks_mut(panel.max(1)).enumerate().for_each(|(panel, packed)| {
            let halves = &self.halves;
            level.run(Pack { weights, halves, to_channel: panel * TILE, packed });
        });
        packed
    }

    /// Computes the sums over a slab whose first `groups` groups of interleaved images are there.
    pub fn run(&self, level: Level, groups: usize, slab: &[bf16], packed: &[bf16], c: &mut [f32]) {
        let panels = self.sums.panels;
        let mut first = 0;
        while first < panels {
            let product = Product {
                steps: &self.steps,
                a: slab,
                a_row: self.planes.channels,
                b: packed,
                c: &mut *c,
                accumulate: false,
            };
            let width = (panels - first).min(2);
            match width {
                2 => product.run(level, self.blocks::<2, 2>(groups, first)),
                _ => product.run(level, self.blocks::<4, 1>(groups, first)),
            }
            first += width;
        }
    }

    /// The blocks of all tiles under `NB` panels from `first` on, `NA` at a time; the last one again where they run
    /// out.
    fn blocks<const NA: usize, const NB: usize>(
        &self,
        groups: usize,
        first: usize,
    ) -> impl Iterator<Item = Block<NA, NB>> {
        let count = groups * self.tiles.len();
        let (panel, channels) = (self.steps.len() * OPERAND, self.planes.channels);
        (0..count).step_by(NA).map(move |at| {
            let tile: [usize; NA] = std::array::from_fn(|i| (at + i).min(count - 1));
            let start = |tile: usize| {
                let (group, tile) = (tile / self.tiles.len(), tile % self.tiles.len());
                (group * self.planes.layout.group() + self.tiles[tile]) * channels
            };
            Block {
                a: tile.map(start),
                b: std::array::from_fn(|j| (first + j) * panel),
                c: tile.map(|tile| {
                    std::array::from_fn(|j| (first + j) * self.sums.panel() + tile * SUMS)
                }),
            }
        })
    }
}

/// A convolution's weights in bfloat16, `[out, taps, in]` with both channels as stored.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub numbers: &'a [bf16],
    pub input: usize,
    pub taps: usize,
    /// Whether the sums run over the output channels, as on the way back.
    pub turned: bool,
}

impl Weights<'_> {
    /// 16 input channels from `first` on of one output channel and tap.
    fn row(&self, out: usize, tap: usize, first: usize) -> &[bf16] {
        &self.numbers[(out * self.taps + tap) * self.input + first..][..TILE]
    }
}

/// One panel of packed weights.
struct Pack<'a> {
    weights: Weights<'a>,
    halves: &'a [Halves],
    to_channel: usize,
    packed: &'a mut [bf16],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { weights, halves, to_channel, packed } = self;
        for (halves, tile) in halves.iter().zip(packed.chunks_exact_mut(OPERAND)) {
            match weights.turned {
                true => {
                    for (half, tile) in halves.iter().zip(tile.chunks_exact_mut(OPERAND / 2)) {
                        match half {
                            Some(half) => pack_turned::<V>(&weights, *half, to_channel, tile),
                            None => tile.fill(bf16::ZERO),
                        }
                    }
                }
                false => pack_plain::<V>(&weights, *halves, to_channel, tile),
            }
        }
    }
}

/// Eight pairs of output channels by 16 input channels: rows as they lie, two by two.
#[inline(always)]
fn pack_turned<V: Vector>(
    weights: &Weights<'_>,
    (tap, from): (usize, usize),
    to: usize,
    tile: &mut [bf16],
) {
    for (pair, line) in tile.chunks_exact_mut(2 * TILE).enumerate() {
        let even = weights.row(from + 2 * pair, tap, to);
        let odd = weights.row(from + 2 * pair + 1, tap, to);
        for lane in (0..TILE).step_by(V::LANES) {
            // SAFETY: rows have TILE numbers and the line as many pairs; lanes divide TILE.
            unsafe {
                let even = V::load_bf16(even.as_ptr().add(lane).cast());
                let odd = V::load_bf16(odd.as_ptr().add(lane).cast());
                V::store_pairs(even, odd, line.as_mut_ptr().add(2 * lane).cast());
            }
        }
    }
}

/// 16 pairs of input channels by 16 output channels: rows of pairs become columns.
#[inline(always)]
fn pack_plain<V: Vector>(weights: &Weights<'_>, halves: Halves, to: usize, tile: &mut [bf16]) {
    let mut rows = [[0u32; TILE]; TILE];
    for (o, row) in rows.iter_mut().enumerate() {
        for (half, pairs) in halves.iter().zip(row.chunks_exact_mut(TILE / 2)) {
            let Some((tap, from)) = *half else { continue };
            let numbers = weights.row(to + o, tap, from).chunks_exact(2);
            for (pair, numbers) in pairs.iter_mut().zip(numbers) {
                *pair = u32::from(numbers[0].to_bits()) | u32::from(numbers[1].to_bits()) << 16;
            }
        }
    }
    let mut columns = [[0u32; TILE]; TILE];
    V::transpose(&rows, &mut columns);
    store_pairs(&columns, tile);
}
