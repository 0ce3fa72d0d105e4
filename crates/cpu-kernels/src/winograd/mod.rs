//! Winograd's minimal filtering for 3×3 convolutions (Lavin and Gray, 2016): F(m×m, 3×3) computes an
//! m×m tile of outputs of stride 1 from an (m+2)×(m+2) tile of inputs with (m+2)² multiplications a
//! channel pair instead of 9 m².
//!
//! With B, G and A as in the paper, outputs are Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. The gradient of the input
//! is the same with turned weights; that of the weights is Gᵀ[Σ (Bᵀ d B) ⊙ (A dy Aᵀ)]G. In between
//! stand (m+2)² independent matrix products over the channels.
//!
//! Stride 2 falls into two filters a side: every second input meets the outer taps, which is F(4, 2)
//! with five multiplications for four outputs, and those between meet the middle tap alone, with
//! four. So 81 products make 16 outputs instead of 144; those of the middle tap share their weights.

mod filters;
mod transforms;

use rayon::prelude::*;

use self::filters::{F2, F4, Filter, S4, S4Back};
use self::transforms::{
    AtMost, Extent, Gradients, Inputs, KERNEL, Layout, Matrices, Of, Outputs, Pixels, Side, Square,
    Squares, Taps, WeightGradients, Weights, Whole,
};
use crate::gemm::{Outer, PANEL, RowTable, Rows, Segment, Stretch};
use crate::level::Level;
use crate::shape::ConvShape;
use crate::slab::{Frame, Map};
use crate::workspace::{Buffer, Workspace};

/// The tile's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tile {
    /// F(2×2, 3×3)
    Two,
    /// F(4×4, 3×3)
    Four,
    /// 4×4 outputs of stride 2.
    Strided,
}

/// What one side of a tile counts.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    inputs: usize,
    /// How far a tile's first input is from the next tile's.
    step: usize,
    products: usize,
    /// Different weights among the products'; the last is shared by the products from there on.
    weights: usize,
    outputs: usize,
}

impl Sizes {
    fn of<F: Filter>() -> Self {
        Self {
            inputs: F::INPUTS,
            step: F::STEP,
            products: F::PRODUCTS,
            weights: F::WEIGHTS,
            outputs: F::OUTPUTS,
        }
    }

    /// The side of a frame that holds `tiles`.
    fn reach(&self, tiles: usize) -> usize {
        (tiles - 1) * self.step + self.inputs
    }

    /// Every product with the number of its weights.
    fn products(self) -> impl Iterator<Item = (usize, usize)> {
        let weight = move |side: usize| side.min(self.weights - 1);
        let side = 0..self.products;
        side.clone().flat_map(move |i| {
            let at = move |j| (i * self.products + j, weight(i) * self.weights + weight(j));
            side.clone().map(at)
        })
    }
}

impl Tile {
    /// What the tile counts on the way from inputs to outputs.
    fn forward(self) -> Sizes {
        match self {
            Tile::Two => Sizes::of::<F2>(),
            Tile::Four => Sizes::of::<F4>(),
            Tile::Strided => Sizes::of::<S4>(),
        }
    }

    /// What the tile counts on the way from the outputs' gradients to the inputs'.
    fn backward(self) -> Sizes {
        match self {
            Tile::Strided => Sizes::of::<S4Back>(),
            _ => self.forward(),
        }
    }

    /// How many outputs a tile has along one side.
    pub fn outputs(self) -> usize {
        self.forward().outputs
    }

    /// How many multiplications a tile takes for a pair of channels.
    pub(crate) fn multiplications(self) -> usize {
        self.forward().products * self.forward().products
    }
}

/// How many panels of transformed gradients one task turns back.
const PANELS_A_TASK: usize = 4;
/// How many input channels of a weights' gradient are summed at a time, where they are many.
const ROWS_A_PART: usize = 64;

/// The tables of one convolution, for slabs of up to a given number of images.
#[derive(Debug)]
pub(crate) struct Winograd {
    shape: ConvShape,
    tile: Tile,
    x: Frame,
    dy: Frame,
    /// Tiles of a slab, image by image.
    tiles: Vec<Corner>,
    tiles_an_image: usize,
    /// Tiles that pass through the products together, so that what lies between the transforms
    /// stays in the second-level cache.
    group: usize,
}

/// Where a tile lies, in tiles.
#[derive(Clone, Copy, Debug)]
struct Corner {
    image: usize,
    row: usize,
    column: usize,
}

/// A slab as its weight gradient sees it: `[products, tiles, channels]` each.
#[derive(Debug)]
pub(crate) struct Transformed {
    tiles: usize,
    x: Buffer<f32>,
    dy: Buffer<f32>,
}

impl Transformed {
    /// How far a tile's channels are from the next tile's. This and the distance of products are no powers of two,
    /// so that a tile's numbers do not all fall into one set of the cache.
    fn tile_step(frame: Frame) -> usize {
        frame.map.channels + PANEL
    }

    /// How far a product's tiles are from the next product's.
    fn step(tiles: usize, frame: Frame) -> usize {
        tiles * Self::tile_step(frame) + PANEL
    }
}

impl Winograd {
    pub fn new(shape: ConvShape, tile: Tile, images: usize) -> Self {
        let (input, output) = (shape.input(), shape.output());
        let [down, across] = [output.height, output.width].map(|n| n.div_ceil(tile.outputs()));
        let framed = |map: Map, sizes: Sizes, before: usize| Frame {
            map,
            before,
            height: sizes.reach(down),
            width: sizes.reach(across),
        };
        let corner = move |at: usize| Corner {
            image: at / (down * across),
            row: at / across % down,
            column: at % across,
        };
        let x = framed(input, tile.forward(), 1);
        let dy = framed(output, tile.backward(), if tile == Tile::Strided { 0 } else { 1 });
        let group = group_size(tile, &shape);
        let tiles_an_image = down * across;
        let tiles = (0..images * tiles_an_image).map(corner);
        Self { shape, tile, x, dy, tiles: tiles.collect(), tiles_an_image, group }
    }

    pub(crate) fn x_frame(&self) -> Frame {
        self.x
    }

    pub(crate) fn dy_frame(&self) -> Frame {
        self.dy
    }

    /// Transforms weights `[out, in, 3, 3]` and packs them as panels of B for each product of the forward pass.
    pub(crate) fn pack_forward(
        &self,
        level: Level,
        weight: &[f32],
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let (from, to) = (self.shape.input().channels, self.shape.output().channels);
        let kernels = Kernels { weight, at: |c, o| self.shape.weight_index(o, c, (0, 0)) };
        self.pack(level, [from, to], kernels, std::convert::identity, workspace)
    }

    /// Transforms weights `[out, in, 3, 3]` and packs them for the gradient of the input: turned by 180°, channels
    /// exchanged.
    pub(crate) fn pack_backward(
        &self,
        level: Level,
        weight: &[f32],
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let (from, to) = (self.shape.output().channels, self.shape.input().channels);
        let kernels = Kernels { weight, at: |o, c| self.shape.weight_index(o, c, (0, 0)) };
        self.pack(level, [from, to], kernels, |tap| TAPS - 1 - tap, workspace)
    }

    /// Transforms kernels and packs them as `[panels, weights, from, PANEL]`.
    fn pack(
        &self,
        level: Level,
        [from, to]: [usize; 2],
        kernels: Kernels<'_, impl Fn(usize, usize) -> Option<usize> + Sync>,
        place: impl Fn(usize) -> usize + Sync,
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let mut packed = workspace.take(self.weights() * from * to);
        let panel_len = self.weights() * from * PANEL;
        packed.par_chunks_mut(panel_len).enumerate().for_each(|(panel, b)| {
            let mut taps = [0.0; TAPS * PANEL];
            for f in 0..from {
                for lane in 0..PANEL {
                    let kernel = kernels.get(f, panel * PANEL + lane);
                    for (tap, value) in kernel.into_iter().enumerate() {
                        taps[place(tap) * PANEL + lane] = value;
                    }
                }
                let squares = Squares {
                    from: (&taps, Taps),
                    to: (&mut *b, Matrices(from * PANEL)),
                    channels: PANEL,
                    squares: std::iter::once(Square { from: 0, to: f * PANEL, extent: Whole }),
                };
                self.run::<Weights, _, _, _, _>(level, squares);
            }
        });
        packed
    }

    /// How many matrices of transformed weights there are.
    fn weights(&self) -> usize {
        self.tile.forward().weights * self.tile.forward().weights
    }

    /// The forward pass from an x slab of `images` to outputs `[images, height, width, channels]`.
    pub fn forward(
        &self,
        level: Level,
        images: usize,
        x: &[f32],
        packed: &[f32],
        y: &mut [f32],
        workspace: &Workspace,
    ) {
        let direction = Direction { slab: x, frame: self.x, packed, map: self.shape.output() };
        match self.tile {
            Tile::Two => self.filter::<F2>(level, images, direction, y, workspace),
            Tile::Four => self.filter::<F4>(level, images, direction, y, workspace),
            Tile::Strided => self.filter::<S4>(level, images, direction, y, workspace),
        }
    }

    /// The backward pass from a dy slab to the gradients of the input, `[images, height, width, channels]`.
    pub(crate) fn backward_data(
        &self,
        level: Level,
        images: usize,
        dy: &[f32],
        packed: &[f32],
        dx: &mut [f32],
        workspace: &Workspace,
    ) {
        let direction = Direction { slab: dy, frame: self.dy, packed, map: self.shape.input() };
        match self.tile {
            Tile::Two => self.filter::<F2>(level, images, direction, dx, workspace),
            Tile::Four => self.filter::<F4>(level, images, direction, dx, workspace),
            Tile::Strided => self.filter::<S4Back>(level, images, direction, dx, workspace),
        }
    }

    fn filter<F: Filter>(
        &self,
        level: Level,
        images: usize,
        direction: Direction<'_>,
        out: &mut [f32],
        workspace: &Workspace,
    ) {
        let Direction { slab, frame, packed, map } = direction;
        let (from, to, sizes) = (frame.map.channels, map.channels, Sizes::of::<F>());
        let products = sizes.products * sizes.products;
        let (v_step, m_step) = (self.group * from + PANEL, self.group * to + PANEL);
        let mut v = workspace.take::<f32>(products * v_step);
        let mut m = workspace.take::<f32>(products * m_step);
        let segments = [Segment { offset: 0, len: from }];
        for corners in self.tiles[..images * self.tiles_an_image].chunks(self.group) {
            let start =
                |at: &Corner| frame.of_frame(at.image, at.row * F::STEP, at.column * F::STEP);
            let to_v = (&mut v[..], Matrices(v_step));
            squares(slab, frame, corners, start, to_v, from).run::<Of<Inputs, F>>(level);
            let table = RowTable::strided(corners.len(), from, to);
            for (product, weights) in sizes.products() {
                Rows {
                    rows: table.rows(),
                    segments: &segments,
                    a: &v[product * v_step..][..v_step],
                    b: &packed[weights * from * PANEL..],
                    panel_stride: self.weights() * from * PANEL,
                    panels: to / PANEL,
                    c: (&mut m[product * m_step..][..m_step]).into(),
                    accumulate: false,
                }
                .run(level);
            }
            let from_m = (&m[..], Matrices(m_step));
            outputs(from_m, corners, F::OUTPUTS, map, out).run::<Of<Outputs, F>>(level);
        }
    }

    /// Transforms squares by what has the role `R` for this tile.
    fn run<R, A, B, X, I>(&self, level: Level, squares: Squares<'_, A, B, I>)
    where
        Of<R, F2>: Side,
        Of<R, F4>: Side,
        Of<R, S4>: Side,
        A: Layout,
        B: Layout,
        X: Extent,
        I: Iterator<Item = Square<X>>,
    {
        match self.tile {
            Tile::Two => squares.run::<Of<R, F2>>(level),
            Tile::Four => squares.run::<Of<R, F4>>(level),
            Tile::Strided => squares.run::<Of<R, S4>>(level),
        }
    }

    /// Transforms both operands of the weights' gradient.
    pub fn transform(
        &self,
        level: Level,
        images: usize,
        x: &[f32],
        dy: &[f32],
        workspace: &Workspace,
    ) -> Transformed {
        let corners = &self.tiles[..images * self.tiles_an_image];
        let mut operands = self.operands(corners.len(), workspace);
        self.transform_tiles(level, corners, (x, dy), &mut operands);
        operands
    }

    /// Room for the operands of so many tiles.
    fn operands(&self, tiles: usize, workspace: &Workspace) -> Transformed {
        let [x, dy] = [self.x, self.dy].map(|frame| {
            workspace.take(self.tile.multiplications() * Transformed::step(tiles, frame))
        });
        Transformed { tiles, x, dy }
    }

    fn transform_tiles(
        &self,
        level: Level,
        corners: &[Corner],
        (x, dy): (&[f32], &[f32]),
        operands: &mut Transformed,
    ) {
        let Sizes { step, outputs, .. } = self.tile.forward();
        let tiles = corners.len();
        operands.tiles = tiles;
        let start = |at: &Corner| self.x.of_frame(at.image, at.row * step, at.column * step);
        let to = (&mut operands.x[..], Matrices(Transformed::step(tiles, self.x)));
        let tile_step = Transformed::tile_step(self.x);
        self.run::<Inputs, _, _, _, _>(level, squares(x, self.x, corners, start, to, tile_step));
        let start = |at: &Corner| self.dy.at(at.image, at.row * outputs, at.column * outputs);
        let to = (&mut operands.dy[..], Matrices(Transformed::step(tiles, self.dy)));
        let tile_step = Transformed::tile_step(self.dy);
        self.run::<Gradients, _, _, _, _>(
            level,
            squares(dy, self.dy, corners, start, to, tile_step),
        );
    }

    /// The length of the weights' gradient's accumulator, `[weights, in, out]`.
    pub(crate) fn accumulator_len(&self) -> usize {
        self.weights() * self.shape.input().channels * self.shape.output().channels
    }

    /// Adds slabs' share to the transformed gradient of the weights. Tasks own their part of the
    /// accumulator and take the slabs in order, so the sums do not depend on who does them.
    /// `onto` says whether the accumulator holds a sum already.
    pub fn accumulate(
        &self,
        level: Level,
        slabs: &[Transformed],
        accumulator: &mut [f32],
        onto: bool,
    ) {
        let tasks = accumulator.par_chunks_mut(self.part_len()).enumerate();
        tasks.for_each(|(part, c)| {
            for (at, slab) in slabs.iter().enumerate() {
                self.add(level, slab, part, c, onto || at > 0);
            }
        });
    }

    /// Adds one slab's share, of (images, x, dy), by the calling thread alone: its tiles are
    /// transformed and multiplied group by group.
    pub(crate) fn accumulate_slab(
        &self,
        level: Level,
        (images, x, dy): (usize, &[f32], &[f32]),
        accumulator: &mut [f32],
        onto: bool,
        workspace: &Workspace,
    ) {
        let mut operands = self.operands(self.group, workspace);
        let groups = self.tiles[..images * self.tiles_an_image].chunks(self.group);
        for (at, corners) in groups.enumerate() {
            self.transform_tiles(level, corners, (x, dy), &mut operands);
            let parts = accumulator.chunks_mut(self.part_len()).enumerate();
            parts.for_each(|(part, c)| self.add(level, &operands, part, c, onto || at > 0));
        }
    }

    /// The length of a part of the accumulator that is summed at a time: input channels of one matrix
    /// that stay in the second-level cache over all slabs.
    fn part_len(&self) -> usize {
        self.rows_a_part() * self.shape.output().channels
    }

    fn rows_a_part(&self) -> usize {
        let from = self.shape.input().channels;
        if from.is_multiple_of(ROWS_A_PART) { ROWS_A_PART } else { from }
    }

    /// Adds tiles' share to one part of the accumulator, `c`.
    fn add(
        &self,
        level: Level,
        operands: &Transformed,
        part: usize,
        c: &mut [f32],
        accumulate: bool,
    ) {
        let Transformed { tiles, x, dy } = operands;
        let (from, first) = (self.shape.input().channels, part * self.rows_a_part());
        let (weights, a_offset) = (first / from, first % from);
        let [a_len, d_len] = [self.x, self.dy].map(|frame| Transformed::step(*tiles, frame));
        let met = self.tile.forward().products().filter(|&(_, met)| met == weights);
        let stretches = met.map(|(product, _)| Stretch {
            a: product * a_len,
            d: product * d_len,
            a_step: Transformed::tile_step(self.x),
            d_step: Transformed::tile_step(self.dy),
            count: *tiles,
        });
        let columns = self.shape.output().channels;
        Outer {
            stretches: &stretches.collect::<Vec<_>>(),
            a: x,
            a_offset,
            rows: c.len() / columns,
            d: dy,
            columns,
            c,
            accumulate,
        }
        .run(level);
    }

    /// Writes the accumulator to `weight` as `[out, in, 3, 3]`.
    pub(crate) fn finish_weights(&self, level: Level, accumulator: &[f32], weight: &mut [f32]) {
        let (shape, stored) = (&self.shape, self.shape.output().channels);
        let filter = shape.in_channels * TAPS;
        // A few panels a task, whose lines lie one behind the other in the accumulator.
        let filters = PANELS_A_TASK * PANEL;
        weight.par_chunks_mut(filters * filter).enumerate().for_each(|(task, weight)| {
            let mut taps = [0.0; TAPS * PANEL];
            for c in 0..shape.in_channels {
                for (panel, weight) in weight.chunks_mut(PANEL * filter).enumerate() {
                    let step = shape.input().channels * stored;
                    let start = c * stored + task * filters + panel * PANEL;
                    let squares = Squares {
                        from: (accumulator, Matrices(step)),
                        to: (&mut taps[..], Taps),
                        channels: PANEL,
                        squares: std::iter::once(Square { from: start, to: 0, extent: Whole }),
                    };
                    self.run::<WeightGradients, _, _, _, _>(level, squares);
                    for (o, filter) in weight.chunks_mut(filter).enumerate() {
                        for (tap, value) in filter[c * TAPS..][..TAPS].iter_mut().enumerate() {
                            *value = taps[tap * PANEL + o];
                        }
                    }
                }
            }
        });
    }
}

/// Tiles so many that what lies between the transforms fills about half of a second-level cache;
/// whole register tiles.
fn group_size(tile: Tile, shape: &ConvShape) -> usize {
    let a_tile = tile.multiplications() * (shape.input().channels + shape.output().channels);
    let fitting = 64 * 1024 / a_tile;
    (fitting / 12 * 12).clamp(32, 96)
}

/// How many numbers a kernel of 3×3 has.
const TAPS: usize = KERNEL * KERNEL;

/// Kernels of 3×3, and where those start that connect two channels, from and to.
struct Kernels<'a, F> {
    weight: &'a [f32],
    at: F,
}

impl<F: Fn(usize, usize) -> Option<usize>> Kernels<'_, F> {
    /// The kernel that connects two channels; zero for padding channels.
    fn get(&self, from: usize, to: usize) -> [f32; TAPS] {
        let mut kernel = [0.0; TAPS];
        if let Some(at) = (self.at)(from, to) {
            kernel.copy_from_slice(&self.weight[at..at + TAPS]);
        }
        kernel
    }
}

/// The operands of one direction.
struct Direction<'a> {
    slab: &'a [f32],
    frame: Frame,
    packed: &'a [f32],
    /// The map of the outputs.
    map: Map,
}

/// Tiles on their way from a slab to products, where tiles are `tile_step` apart. `start` says where a tile begins.
fn squares<'a>(
    slab: &'a [f32],
    frame: Frame,
    corners: &'a [Corner],
    start: impl Fn(&Corner) -> usize,
    to: (&'a mut [f32], Matrices),
    tile_step: usize,
) -> Squares<'a, Pixels, Matrices, impl Iterator<Item = Square<Whole>>> {
    let channels = frame.map.channels;
    let square = move |(tile, corner): (usize, &Corner)| Square {
        from: start(corner),
        to: tile * tile_step,
        extent: Whole,
    };
    Squares {
        from: (slab, Pixels { line: frame.width * channels, pixel: channels }),
        to,
        channels,
        squares: corners.iter().enumerate().map(square),
    }
}

/// Tiles of `side` outputs on their way from products to those outputs that exist.
fn outputs<'a>(
    from: (&'a [f32], Matrices),
    corners: &'a [Corner],
    side: usize,
    map: Map,
    to: &'a mut [f32],
) -> Squares<'a, Matrices, Pixels, impl Iterator<Item = Square<AtMost>>> {
    let Map { height, width, channels } = map;
    let square = move |(tile, corner): (usize, &Corner)| {
        let (top, left) = (corner.row * side, corner.column * side);
        let pixel = (corner.image * height + top) * width + left;
        Square {
            from: tile * channels,
            to: pixel * channels,
            extent: AtMost([height - top, width - left]),
        }
    };
    Squares {
        from,
        to: (to, Pixels { line: width * channels, pixel: channels }),
        channels,
        squares: corners.iter().enumerate().map(square),
    }
}
