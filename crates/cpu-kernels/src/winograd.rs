//! Winograd's minimal filtering for 3×3 convolutions of stride 1 (Lavin and Gray, 2016):
//! F(m×m, 3×3) computes an m×m tile of outputs from an (m+2)×(m+2) tile of inputs with
//! (m+2)² multiplications a channel pair instead of 9 m².
//!
//! With B, G and A as in the paper, outputs are Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. The gradient of the input
//! is the same with turned weights; that of the weights is Gᵀ[Σ (Bᵀ d B) ⊙ (A dy Aᵀ)]G. In between
//! stand (m+2)² independent matrix products over the channels.

use rayon::prelude::*;

use crate::conv::ConvShape;
use crate::gemm::{Outer, PANEL, RowTable, Rows, Segment, Stretch};
use crate::level::{Kernel, Level};
use crate::simd::Vector;
use crate::slab::{Frame, Map};
use crate::workspace::{Buffer, Workspace};

/// The tile's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tile {
    /// F(2×2, 3×3)
    Two,
    /// F(4×4, 3×3)
    Four,
}

impl Tile {
    /// Outputs along one side.
    pub fn outputs(self) -> usize {
        match self {
            Tile::Two => 2,
            Tile::Four => 4,
        }
    }

    /// Inputs along one side.
    fn inputs(self) -> usize {
        self.outputs() + 2
    }

    /// Matrix products.
    fn products(self) -> usize {
        self.inputs() * self.inputs()
    }
}

/// The widest tile's inputs; smaller ones leave the rest of their arrays unused.
const SIDE: usize = 6;

/// One-dimensional transforms, on vectors of channels.
trait Transform {
    const OUTPUTS: usize;
    const INPUTS: usize = Self::OUTPUTS + 2;

    /// Bᵀ d
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE];
    /// Aᵀ m
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE];
    /// A dy
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE];
    /// G g
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE];
    /// Gᵀ u
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE];
}

struct F2;
struct F4;

impl Transform for F2 {
    const OUTPUTS: usize = 2;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, ..] = d;
        let zero = V::splat(0.0);
        [d0.sub(d2), d1.add(d2), d2.sub(d1), d1.sub(d3), zero, zero]
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, ..] = m;
        let zero = V::splat(0.0);
        [m0.add(m1).add(m2), m1.sub(m2).sub(m3), zero, zero, zero, zero]
    }
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [a, b, ..] = dy;
        let zero = V::splat(0.0);
        [a, a.add(b), a.sub(b), zero.sub(b), zero, zero]
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let (zero, half) = (V::splat(0.0), V::splat(0.5));
        let sum = a.add(c);
        [a, sum.add(b).mul(half), sum.sub(b).mul(half), c, zero, zero]
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, ..] = u;
        let (zero, half) = (V::splat(0.0), V::splat(0.5));
        let sum = u1.add(u2).mul(half);
        [u0.add(sum), u1.sub(u2).mul(half), sum.add(u3), zero, zero, zero]
    }
}

/// With the points 0, ±1, ±2 and ∞.
impl Transform for F4 {
    const OUTPUTS: usize = 4;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, d4, d5] = d;
        let (two, four, five) = (V::splat(2.0), V::splat(4.0), V::splat(5.0));
        let (a, b) = (d2.neg_mul_add(four, d4), d1.neg_mul_add(four, d3));
        let (c, e) = (d4.sub(d2), d3.sub(d1));
        [
            d0.mul_add(four, d2.neg_mul_add(five, d4)),
            a.add(b),
            a.sub(b),
            e.mul_add(two, c),
            e.neg_mul_add(two, c),
            d1.mul_add(four, d3.neg_mul_add(five, d5)),
        ]
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, m5] = m;
        let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
        let (a, b, c, d) = (m1.add(m2), m1.sub(m2), m3.add(m4), m3.sub(m4));
        let zero = V::splat(0.0);
        [
            m0.add(a).add(c),
            d.mul_add(two, b),
            c.mul_add(four, a),
            d.mul_add(eight, b).add(m5),
            zero,
            zero,
        ]
    }
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [y0, y1, y2, y3, ..] = dy;
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (even, odd) = (y0.add(y2), y1.add(y3));
        let (even_two, odd_two) = (y2.mul_add(four, y0), y3.mul_add(four, y1).mul(two));
        [y0, even.add(odd), even.sub(odd), even_two.add(odd_two), even_two.sub(odd_two), y3]
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let sixth = V::splat(-1.0 / 6.0);
        let (ends, wide) = (a.add(c), c.mul_add(V::splat(4.0), a).mul(V::splat(1.0 / 24.0)));
        let middle = b.mul(V::splat(1.0 / 12.0));
        [
            a.mul(V::splat(0.25)),
            ends.add(b).mul(sixth),
            ends.sub(b).mul(sixth),
            wide.add(middle),
            wide.sub(middle),
            c,
        ]
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, u4, u5] = u;
        let (sixth, zero) = (V::splat(-1.0 / 6.0), V::splat(0.0));
        let (a, b) = (u1.add(u2).mul(sixth), u1.sub(u2).mul(sixth));
        let (c, d) = (u3.add(u4), u3.sub(u4));
        [
            u0.mul_add(V::splat(0.25), c.mul_add(V::splat(1.0 / 24.0), a)),
            d.mul_add(V::splat(1.0 / 12.0), b),
            c.mul_add(V::splat(1.0 / 6.0), a).add(u5),
            zero,
            zero,
            zero,
        ]
    }
}

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

/// A tile's upper left output.
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

impl Winograd {
    pub fn new(shape: ConvShape, tile: Tile, images: usize) -> Self {
        let map = shape.input();
        let across = |size: usize| size.div_ceil(tile.outputs());
        let framed = |map: Map| Frame {
            map,
            before: 1,
            height: across(map.height) * tile.outputs() + 2,
            width: across(map.width) * tile.outputs() + 2,
        };
        let tiles = (0..images).flat_map(|image| {
            (0..across(map.height)).flat_map(move |row| {
                (0..across(map.width)).map(move |column| Corner {
                    image,
                    row: row * tile.outputs(),
                    column: column * tile.outputs(),
                })
            })
        });
        let (x, dy) = (framed(map), framed(shape.output()));
        let group = group_size(tile, &shape);
        let tiles_an_image = across(map.height) * across(map.width);
        Self { shape, tile, x, dy, tiles: tiles.collect(), tiles_an_image, group }
    }

    pub fn x_frame(&self) -> Frame {
        self.x
    }

    pub fn dy_frame(&self) -> Frame {
        self.dy
    }

    /// Weights `[out, in, 3, 3]`, transformed, as panels of B for each product.
    pub fn pack_forward(&self, level: Level, weight: &[f32], workspace: &Workspace) -> Buffer<f32> {
        let (from, to) = (self.shape.input().channels, self.shape.output().channels);
        let at = |c: usize, o: usize, tap: usize| self.shape.weight_index(o, c, (tap / 3, tap % 3));
        self.pack(level, from, to, weight, at, workspace)
    }

    /// The same for the gradient of the input: turned by 180°, channels exchanged.
    pub fn pack_backward(
        &self,
        level: Level,
        weight: &[f32],
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let (from, to) = (self.shape.output().channels, self.shape.input().channels);
        let at = |o: usize, c: usize, tap: usize| {
            let tap = 8 - tap;
            self.shape.weight_index(o, c, (tap / 3, tap % 3))
        };
        self.pack(level, from, to, weight, at, workspace)
    }

    /// `[panels, products, from, PANEL]`
    fn pack(
        &self,
        level: Level,
        from: usize,
        to: usize,
        weight: &[f32],
        at: impl Fn(usize, usize, usize) -> Option<usize> + Sync,
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let mut packed = workspace.take(self.tile.products() * from * to);
        let panel_len = self.tile.products() * from * PANEL;
        packed.par_chunks_mut(panel_len).enumerate().for_each(|(panel, b)| {
            for f in 0..from {
                let mut kernels = [[0.0; PANEL]; 9];
                for (tap, lanes) in kernels.iter_mut().enumerate() {
                    for (lane, value) in lanes.iter_mut().enumerate() {
                        *value = at(f, panel * PANEL + lane, tap).map_or(0.0, |at| weight[at]);
                    }
                }
                let to = Strided { data: &mut *b, start: f * PANEL, step: from * PANEL };
                let weights = Weights { kernels: &kernels, to };
                match self.tile {
                    Tile::Two => level.run(Of(weights, F2)),
                    Tile::Four => level.run(Of(weights, F4)),
                }
            }
        });
        packed
    }

    /// From an x slab of `images` to outputs `[images, height, width, channels]`.
    pub fn forward(
        &self,
        level: Level,
        images: usize,
        x: &[f32],
        packed: &[f32],
        y: &mut [f32],
        workspace: &Workspace,
    ) {
        self.filter(level, images, x, self.x, packed, y, self.shape.output(), workspace);
    }

    /// From a dy slab to the gradients of the input.
    pub fn backward_data(
        &self,
        level: Level,
        images: usize,
        dy: &[f32],
        packed: &[f32],
        dx: &mut [f32],
        workspace: &Workspace,
    ) {
        self.filter(level, images, dy, self.dy, packed, dx, self.shape.input(), workspace);
    }

    #[allow(clippy::too_many_arguments, reason = "the operands of one product")]
    fn filter(
        &self,
        level: Level,
        images: usize,
        slab: &[f32],
        frame: Frame,
        packed: &[f32],
        out: &mut [f32],
        map: Map,
        workspace: &Workspace,
    ) {
        let (from, to, products) = (frame.map.channels, map.channels, self.tile.products());
        let (v_step, m_step) = (self.group * from + PANEL, self.group * to + PANEL);
        let mut v = workspace.take::<f32>(products * v_step);
        let mut m = workspace.take::<f32>(products * m_step);
        let segments = [Segment { offset: 0, len: from }];
        for corners in self.tiles[..images * self.tiles_an_image].chunks(self.group) {
            let scatter =
                Scatter { slab, frame, corners, to: &mut v, step: v_step, tile_step: from };
            self.run(level, Inputs(scatter));
            let table = RowTable::strided(corners.len(), from, to);
            for product in 0..products {
                Rows {
                    rows: table.rows(),
                    segments: &segments,
                    a: &v[product * v_step..][..v_step],
                    b: &packed[product * from * PANEL..],
                    panel_stride: products * from * PANEL,
                    panels: to / PANEL,
                    c: &mut m[product * m_step..][..m_step],
                    accumulate: false,
                }
                .run(level);
            }
            self.run(level, Outputs { m: &m, step: m_step, corners, map, out: &mut *out });
        }
    }

    fn run<K>(&self, level: Level, kernel: K)
    where
        Of<K, F2>: Kernel<Output = ()>,
        Of<K, F4>: Kernel<Output = ()>,
    {
        match self.tile {
            Tile::Two => level.run(Of(kernel, F2)),
            Tile::Four => level.run(Of(kernel, F4)),
        }
    }

    /// Both operands of the weights' gradient, transformed.
    pub fn transform(
        &self,
        level: Level,
        images: usize,
        x: &[f32],
        dy: &[f32],
        workspace: &Workspace,
    ) -> Transformed {
        let corners = &self.tiles[..images * self.tiles_an_image];
        let (tiles, products) = (corners.len(), self.tile.products());
        let tile_steps = [self.x, self.dy].map(|frame| frame.map.channels + PANEL);
        let steps = tile_steps.map(|step| tiles * step + PANEL);
        let [mut to_x, mut to_dy] = steps.map(|step| workspace.take(products * step));
        let scatter = Scatter {
            slab: x,
            frame: self.x,
            corners,
            to: &mut to_x,
            step: steps[0],
            tile_step: tile_steps[0],
        };
        self.run(level, Inputs(scatter));
        let scatter = Scatter {
            slab: dy,
            frame: self.dy,
            corners,
            to: &mut to_dy,
            step: steps[1],
            tile_step: tile_steps[1],
        };
        self.run(level, Gradients(scatter));
        Transformed { tiles, x: to_x, dy: to_dy }
    }

    /// Numbers of the accumulator of the weights' gradient: `[products, in, out]`.
    pub fn accumulator_len(&self) -> usize {
        self.tile.products() * self.shape.input().channels * self.shape.output().channels
    }

    /// Adds slabs' share to the transformed gradient of the weights. Tasks own their part of the
    /// accumulator and take the slabs in order, so the sums do not depend on who does them.
    pub fn accumulate(&self, level: Level, slabs: &[Transformed], accumulator: &mut [f32]) {
        let (from, to) = (self.shape.input().channels, self.shape.output().channels);
        let rows_a_task = from.min(48 * PANEL);
        accumulator.par_chunks_mut(rows_a_task * to).enumerate().for_each(|(task, c)| {
            let (product, row) = (task * rows_a_task / from, task * rows_a_task % from);
            for slab in slabs {
                let (a_step, d_step) = (from + PANEL, to + PANEL);
                let (a_len, d_len) = (slab.tiles * a_step + PANEL, slab.tiles * d_step + PANEL);
                let all = Stretch { a: 0, d: 0, a_step, d_step, count: slab.tiles };
                Outer {
                    stretches: &[all],
                    a: &slab.x[product * a_len..][..a_len],
                    a_offset: row,
                    rows: c.len() / to,
                    d: &slab.dy[product * d_len..][..d_len],
                    columns: to,
                    c: &mut *c,
                }
                .run(level);
            }
        });
    }

    /// The accumulator as `[out, in, 3, 3]`.
    pub fn finish_weights(&self, level: Level, accumulator: &[f32]) -> Vec<f32> {
        let (shape, stored) = (&self.shape, self.shape.output().channels);
        let mut weight = vec![0.0; shape.weight_len()];
        let filter = shape.in_channels * 9;
        // Sixteen filters a task, as many as a panel has columns.
        weight.par_chunks_mut(PANEL * filter).enumerate().for_each(|(panel, filters)| {
            for c in 0..shape.in_channels {
                let mut kernels = [[0.0; PANEL]; 9];
                let step = shape.input().channels * stored;
                let start = c * stored + panel * PANEL;
                let gradients = WeightGradients { from: accumulator, start, step };
                match self.tile {
                    Tile::Two => level.run(Of((gradients, &mut kernels), F2)),
                    Tile::Four => level.run(Of((gradients, &mut kernels), F4)),
                }
                for (o, filter) in filters.chunks_mut(filter).enumerate() {
                    for (tap, value) in filter[c * 9..][..9].iter_mut().enumerate() {
                        *value = kernels[tap][o];
                    }
                }
            }
        });
        weight
    }
}

/// Tiles so many that what lies between the transforms fills about half of a second-level cache;
/// whole register tiles.
fn group_size(tile: Tile, shape: &ConvShape) -> usize {
    let a_tile = tile.products() * (shape.input().channels + shape.output().channels);
    let fitting = 64 * 1024 / a_tile;
    (fitting / 12 * 12).clamp(32, 96)
}

/// A kernel for one tile size.
struct Of<K, T>(K, T);

/// Numbers at equal distances.
struct Strided<'a> {
    data: &'a mut [f32],
    start: usize,
    step: usize,
}

/// U = G g Gᵀ for a panel of filters.
struct Weights<'a> {
    kernels: &'a [[f32; PANEL]; 9],
    to: Strided<'a>,
}

impl<T: Transform> Kernel for Of<Weights<'_>, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Of(Weights { kernels, to }, _) = self;
        let last = to.start + (T::INPUTS * T::INPUTS - 1) * to.step + PANEL;
        assert!(last <= to.data.len(), "the packed weights are too short");
        let zero = V::splat(0.0);
        let mut lane = 0;
        while lane < PANEL {
            let mut columns = [[zero; SIDE]; SIDE];
            for s in 0..3 {
                let mut g = [zero; SIDE];
                for r in 0..3 {
                    // SAFETY: each of the nine has PANEL lanes.
                    g[r] = unsafe { V::load(kernels[r * 3 + s].as_ptr().add(lane)) };
                }
                columns[s] = T::weight(g);
            }
            for i in 0..T::INPUTS {
                let mut row = [zero; SIDE];
                for s in 0..3 {
                    row[s] = columns[s][i];
                }
                let row = T::weight(row);
                for j in 0..T::INPUTS {
                    let at = to.start + (i * T::INPUTS + j) * to.step + lane;
                    // SAFETY: within what was asserted above.
                    unsafe { row[j].store(to.data.as_mut_ptr().add(at)) };
                }
            }
            lane += V::LANES;
        }
    }
}

/// Gᵀ u G for a panel of filters.
struct WeightGradients<'a> {
    from: &'a [f32],
    start: usize,
    step: usize,
}

impl<T: Transform> Kernel for Of<(WeightGradients<'_>, &mut [[f32; PANEL]; 9]), T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Of((WeightGradients { from, start, step }, kernels), _) = self;
        let last = start + (T::INPUTS * T::INPUTS - 1) * step + PANEL;
        assert!(last <= from.len(), "the accumulator is too short");
        let zero = V::splat(0.0);
        let mut lane = 0;
        while lane < PANEL {
            let mut columns = [[zero; SIDE]; SIDE];
            for j in 0..T::INPUTS {
                let mut u = [zero; SIDE];
                for i in 0..T::INPUTS {
                    let at = start + (i * T::INPUTS + j) * step + lane;
                    // SAFETY: within what was asserted above.
                    u[i] = unsafe { V::load(from.as_ptr().add(at)) };
                }
                columns[j] = T::weight_gradient(u);
            }
            for r in 0..3 {
                let mut row = [zero; SIDE];
                for j in 0..T::INPUTS {
                    row[j] = columns[j][r];
                }
                let row = T::weight_gradient(row);
                for s in 0..3 {
                    // SAFETY: each of the nine has PANEL lanes.
                    unsafe { row[s].store(kernels[r * 3 + s].as_mut_ptr().add(lane)) };
                }
            }
            lane += V::LANES;
        }
    }
}

/// Tiles on their way from a slab to `[products, tiles, channels]`, products `step` apart: not a
/// power of two, so that a tile's numbers do not all fall into one set of the cache.
struct Scatter<'a> {
    slab: &'a [f32],
    frame: Frame,
    corners: &'a [Corner],
    to: &'a mut [f32],
    step: usize,
    /// From one tile's channels to the next's.
    tile_step: usize,
}

impl Scatter<'_> {
    /// # Panics
    /// If a tile of `inputs` would reach beyond the slab, or its place beyond `to`.
    fn check(&self, inputs: usize, before: usize) {
        let channels = self.frame.map.channels;
        for corner in self.corners {
            let (row, column) = (corner.row + before + inputs, corner.column + before + inputs);
            assert!(row <= self.frame.height && column <= self.frame.width, "tile out of frame");
            assert!((corner.image + 1) * self.frame.len() <= self.slab.len(), "slab too short");
        }
        assert!(channels <= self.tile_step, "tiles overlap");
        assert!(self.corners.len() * self.tile_step <= self.step, "products overlap");
    }
}

/// Bᵀ d B
struct Inputs<'a>(Scatter<'a>);

impl<T: Transform> Kernel for Of<Inputs<'_>, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let scatter = self.0.0;
        scatter.check(T::INPUTS, 0);
        assert!(T::INPUTS * T::INPUTS * scatter.step <= scatter.to.len(), "no room");
        let channels = scatter.frame.map.channels;
        let line = scatter.frame.width * channels;
        let zero = V::splat(0.0);
        for (tile, corner) in scatter.corners.iter().enumerate() {
            let start = scatter.frame.of_frame(corner.image, corner.row, corner.column);
            let mut channel = 0;
            while channel < channels {
                // SAFETY: `check` has shown that the tile lies in the slab and its place in `to`.
                unsafe {
                    let from = scatter.slab.as_ptr().add(start + channel);
                    let to = scatter.to.as_mut_ptr().add(tile * scatter.tile_step + channel);
                    let mut columns = [[zero; SIDE]; SIDE];
                    for j in 0..T::INPUTS {
                        let mut d = [zero; SIDE];
                        for i in 0..T::INPUTS {
                            d[i] = V::load(from.add(i * line + j * channels));
                        }
                        columns[j] = T::input(d);
                    }
                    for i in 0..T::INPUTS {
                        let mut row = [zero; SIDE];
                        for j in 0..T::INPUTS {
                            row[j] = columns[j][i];
                        }
                        let row = T::input(row);
                        for j in 0..T::INPUTS {
                            row[j].store(to.add((i * T::INPUTS + j) * scatter.step));
                        }
                    }
                }
                channel += V::LANES;
            }
        }
    }
}

/// A dy Aᵀ
struct Gradients<'a>(Scatter<'a>);

impl<T: Transform> Kernel for Of<Gradients<'_>, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let scatter = self.0.0;
        let before = scatter.frame.before;
        scatter.check(T::OUTPUTS, before);
        assert!(T::INPUTS * T::INPUTS * scatter.step <= scatter.to.len(), "no room");
        let channels = scatter.frame.map.channels;
        let line = scatter.frame.width * channels;
        let zero = V::splat(0.0);
        for (tile, corner) in scatter.corners.iter().enumerate() {
            let start = scatter.frame.at(corner.image, corner.row, corner.column);
            let mut channel = 0;
            while channel < channels {
                // SAFETY: `check` has shown that the tile lies in the slab and its place in `to`.
                unsafe {
                    let from = scatter.slab.as_ptr().add(start + channel);
                    let to = scatter.to.as_mut_ptr().add(tile * scatter.tile_step + channel);
                    let mut columns = [[zero; SIDE]; SIDE];
                    for j in 0..T::OUTPUTS {
                        let mut dy = [zero; SIDE];
                        for i in 0..T::OUTPUTS {
                            dy[i] = V::load(from.add(i * line + j * channels));
                        }
                        columns[j] = T::gradient(dy);
                    }
                    for i in 0..T::INPUTS {
                        let mut row = [zero; SIDE];
                        for j in 0..T::OUTPUTS {
                            row[j] = columns[j][i];
                        }
                        let row = T::gradient(row);
                        for j in 0..T::INPUTS {
                            row[j].store(to.add((i * T::INPUTS + j) * scatter.step));
                        }
                    }
                }
                channel += V::LANES;
            }
        }
    }
}

/// Aᵀ m A, to the outputs that exist.
struct Outputs<'a> {
    m: &'a [f32],
    step: usize,
    corners: &'a [Corner],
    map: Map,
    out: &'a mut [f32],
}

impl<T: Transform> Kernel for Of<Outputs<'_>, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Outputs { m, step, corners, map, out } = self.0;
        let channels = map.channels;
        assert!(corners.len() * channels <= step, "products overlap");
        assert!(T::INPUTS * T::INPUTS * step <= m.len(), "a product is missing");
        let zero = V::splat(0.0);
        for (tile, corner) in corners.iter().enumerate() {
            assert!((corner.image + 1) * map.len() <= out.len(), "an image is missing");
            let rows = T::OUTPUTS.min(map.height - corner.row);
            let width = T::OUTPUTS.min(map.width - corner.column);
            let pixel = (corner.image * map.height + corner.row) * map.width + corner.column;
            let mut channel = 0;
            while channel < channels {
                // SAFETY: tiles and products lie in `m`, as asserted; rows and columns of the tile
                // are clipped to the map, which lies in `out`.
                unsafe {
                    let from = m.as_ptr().add(tile * channels + channel);
                    let to = out.as_mut_ptr().add(pixel * channels + channel);
                    let mut columns = [[zero; SIDE]; SIDE];
                    for j in 0..T::INPUTS {
                        let mut d = [zero; SIDE];
                        for i in 0..T::INPUTS {
                            d[i] = V::load(from.add((i * T::INPUTS + j) * step));
                        }
                        columns[j] = T::output(d);
                    }
                    for i in 0..rows {
                        let mut row = [zero; SIDE];
                        for j in 0..T::INPUTS {
                            row[j] = columns[j][i];
                        }
                        let row = T::output(row);
                        for j in 0..width {
                            row[j].store(to.add((i * map.width + j) * channels));
                        }
                    }
                }
                channel += V::LANES;
            }
        }
    }
}
