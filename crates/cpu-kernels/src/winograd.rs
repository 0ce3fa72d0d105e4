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

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::gemm::{Outer, PANEL, RowTable, Rows, Segment, Stretch};
use crate::level::{Kernel, Level};
use crate::shape::ConvShape;
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
    /// 4×4 outputs of stride 2.
    Strided,
}

/// What one side of a tile counts.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    inputs: usize,
    /// From a tile's first input to the next one's.
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

    /// Of a frame that holds `tiles`.
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
    /// From inputs to outputs.
    fn forward(self) -> Sizes {
        match self {
            Tile::Two => Sizes::of::<F2>(),
            Tile::Four => Sizes::of::<F4>(),
            Tile::Strided => Sizes::of::<S4>(),
        }
    }

    /// From the outputs' gradients to the inputs'.
    fn backward(self) -> Sizes {
        match self {
            Tile::Strided => Sizes::of::<S4Back>(),
            _ => self.forward(),
        }
    }

    /// Outputs along one side.
    pub fn outputs(self) -> usize {
        self.forward().outputs
    }

    /// Multiplications a channel pair.
    pub fn multiplications(self) -> usize {
        self.forward().products * self.forward().products
    }
}

/// Panels whose transformed gradients one task turns back.
const PANELS_A_TASK: usize = 4;
/// Input channels of a weights' gradient that are summed at a time, where they are many.
const ROWS_A_PART: usize = 64;

/// The widest tile's inputs; smaller ones leave the rest of their arrays unused.
const SIDE: usize = 9;

/// One-dimensional transforms of one direction, on vectors of channels.
trait Filter {
    const INPUTS: usize;
    const STEP: usize;
    const PRODUCTS: usize;
    const WEIGHTS: usize;
    const OUTPUTS: usize;

    /// Bᵀ d
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE];
    /// Aᵀ m
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE];
}

/// What the weights and their gradients pass.
trait Transform: Filter {
    /// A dy
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE];
    /// G g
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE];
    /// Gᵀ u
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE];
}

/// The first numbers of a side, the rest zero.
#[inline(always)]
fn side<V: Vector, const N: usize>(numbers: [V; N]) -> [V; SIDE] {
    let mut side = [V::splat(0.0); SIDE];
    side[..N].copy_from_slice(&numbers);
    side
}

struct F2;
struct F4;

impl Filter for F2 {
    const INPUTS: usize = 4;
    const STEP: usize = 2;
    const PRODUCTS: usize = 4;
    const WEIGHTS: usize = 4;
    const OUTPUTS: usize = 2;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, ..] = d;
        side([d0.sub(d2), d1.add(d2), d2.sub(d1), d1.sub(d3)])
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, ..] = m;
        side([m0.add(m1).add(m2), m1.sub(m2).sub(m3)])
    }
}

impl Transform for F2 {
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [a, b, ..] = dy;
        side([a, a.add(b), a.sub(b), V::splat(0.0).sub(b)])
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let half = V::splat(0.5);
        let sum = a.add(c);
        side([a, sum.add(b).mul(half), sum.sub(b).mul(half), c])
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, ..] = u;
        let half = V::splat(0.5);
        let sum = u1.add(u2).mul(half);
        side([u0.add(sum), u1.sub(u2).mul(half), sum.add(u3)])
    }
}

/// With the points 0, ±1, ±2 and ∞.
impl Filter for F4 {
    const INPUTS: usize = 6;
    const STEP: usize = 4;
    const PRODUCTS: usize = 6;
    const WEIGHTS: usize = 6;
    const OUTPUTS: usize = 4;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, d4, d5, ..] = d;
        let (two, four, five) = (V::splat(2.0), V::splat(4.0), V::splat(5.0));
        let (a, b) = (d2.neg_mul_add(four, d4), d1.neg_mul_add(four, d3));
        let (c, e) = (d4.sub(d2), d3.sub(d1));
        side([
            d0.mul_add(four, d2.neg_mul_add(five, d4)),
            a.add(b),
            a.sub(b),
            e.mul_add(two, c),
            e.neg_mul_add(two, c),
            d1.mul_add(four, d3.neg_mul_add(five, d5)),
        ])
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, m5, ..] = m;
        let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
        let (a, b, c, d) = (m1.add(m2), m1.sub(m2), m3.add(m4), m3.sub(m4));
        side([m0.add(a).add(c), d.mul_add(two, b), c.mul_add(four, a), d.mul_add(eight, b).add(m5)])
    }
}

impl Transform for F4 {
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [y0, y1, y2, y3, ..] = dy;
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (even, odd) = (y0.add(y2), y1.add(y3));
        let (even_two, odd_two) = (y2.mul_add(four, y0), y3.mul_add(four, y1).mul(two));
        side([y0, even.add(odd), even.sub(odd), even_two.add(odd_two), even_two.sub(odd_two), y3])
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let sixth = V::splat(-1.0 / 6.0);
        let (ends, wide) = (a.add(c), c.mul_add(V::splat(4.0), a).mul(V::splat(1.0 / 24.0)));
        let middle = b.mul(V::splat(1.0 / 12.0));
        side([
            a.mul(V::splat(0.25)),
            ends.add(b).mul(sixth),
            ends.sub(b).mul(sixth),
            wide.add(middle),
            wide.sub(middle),
            c,
        ])
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, u4, u5, ..] = u;
        let sixth = V::splat(-1.0 / 6.0);
        let (a, b) = (u1.add(u2).mul(sixth), u1.sub(u2).mul(sixth));
        let (c, d) = (u3.add(u4), u3.sub(u4));
        side([
            u0.mul_add(V::splat(0.25), c.mul_add(V::splat(1.0 / 24.0), a)),
            d.mul_add(V::splat(1.0 / 12.0), b),
            c.mul_add(V::splat(1.0 / 6.0), a).add(u5),
        ])
    }
}

/// Every second output. With e the inputs 0, 2, 4, 6, 8, y = F(4, 2)(e) under the outer taps (points 0,
/// ±1, 2 and ∞) plus the inputs between under the middle one.
struct S4;
/// From the gradients of five such outputs to those of eight inputs: the even ones have met the
/// middle tap alone, the odd ones the outer two.
struct S4Back;

/// F(4, 2) of five inputs.
#[inline(always)]
fn outer_input<V: Vector>([e0, e1, e2, e3, e4]: [V; 5]) -> [V; 5] {
    let (two, three) = (V::splat(2.0), V::splat(3.0));
    let (a, b) = (e3.sub(e1), e0.sub(e2));
    [
        b.mul_add(two, a),
        e1.mul_add(two, e2.sub(e3)),
        e2.mul_add(three, e1.neg_mul_add(two, V::splat(0.0).sub(e3))),
        a,
        e4.sub(e2).sub(a.mul(two)),
    ]
}

/// F(4, 2)'s four outputs.
#[inline(always)]
fn outer_output<V: Vector>([m0, m1, m2, m3, m4]: [V; 5]) -> [V; 4] {
    let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
    let (sum, difference) = (m1.add(m2), m1.sub(m2));
    [
        m0.add(sum).add(m3),
        m3.mul_add(two, difference),
        m3.mul_add(four, sum),
        m3.mul_add(eight, difference).add(m4),
    ]
}

impl Filter for S4 {
    const INPUTS: usize = 9;
    const STEP: usize = 8;
    const PRODUCTS: usize = 9;
    const WEIGHTS: usize = 6;
    const OUTPUTS: usize = 4;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [e0, o0, e1, o1, e2, o2, e3, o3, e4] = d;
        let [v0, v1, v2, v3, v4] = outer_input([e0, e1, e2, e3, e4]);
        [v0, v1, v2, v3, v4, o0, o1, o2, o3]
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, o0, o1, o2, o3] = m;
        let [y0, y1, y2, y3] = outer_output([m0, m1, m2, m3, m4]);
        side([y0.add(o0), y1.add(o1), y2.add(o2), y3.add(o3)])
    }
}

impl Transform for S4 {
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [y0, y1, y2, y3, ..] = dy;
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (even, odd) = (y0.add(y2), y1.add(y3));
        let twos = y2.mul_add(four, y0).add(y3.mul_add(four, y1).mul(two));
        [y0, even.add(odd), even.sub(odd), twos, y3, y0, y1, y2, y3]
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let (half, sixth) = (V::splat(0.5), V::splat(1.0 / 6.0));
        let (sum, difference) = (a.add(c).mul(half), a.sub(c).mul(sixth));
        side([a.mul(half), sum, difference, c.mul_add(V::splat(2.0), a).mul(sixth), c, b])
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, u4, middle, ..] = u;
        let (half, sixth, third) = (V::splat(0.5), V::splat(1.0 / 6.0), V::splat(1.0 / 3.0));
        let first = u0.add(u1).mul(half).add(u2.add(u3).mul(sixth));
        let last = u3.mul_add(third, u1.mul(half)).add(u2.neg_mul_add(sixth, u4));
        side([first, middle, last])
    }
}

impl Filter for S4Back {
    const INPUTS: usize = 5;
    const STEP: usize = 4;
    const PRODUCTS: usize = 9;
    const WEIGHTS: usize = 6;
    const OUTPUTS: usize = 8;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, d4, ..] = d;
        let [v0, v1, v2, v3, v4] = outer_input([d0, d1, d2, d3, d4]);
        [v0, v1, v2, v3, v4, d0, d1, d2, d3]
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, e0, e1, e2, e3] = m;
        let [o0, o1, o2, o3] = outer_output([m0, m1, m2, m3, m4]);
        side([e0, o0, e1, o1, e2, o2, e3, o3])
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
    /// From one tile's channels to the next's; no power of two, like products' distances.
    fn tile_step(frame: Frame) -> usize {
        frame.map.channels + PANEL
    }

    /// From one product's tiles to the next's.
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

    pub fn x_frame(&self) -> Frame {
        self.x
    }

    pub fn dy_frame(&self) -> Frame {
        self.dy
    }

    /// Weights `[out, in, 3, 3]`, transformed, as panels of B for each product.
    pub fn pack_forward(&self, level: Level, weight: &[f32], workspace: &Workspace) -> Buffer<f32> {
        let (from, to) = (self.shape.input().channels, self.shape.output().channels);
        let filters = Filters { weight, at: |c, o| self.shape.weight_index(o, c, (0, 0)) };
        self.pack(level, [from, to], filters, std::convert::identity, workspace)
    }

    /// The same for the gradient of the input: turned by 180°, channels exchanged.
    pub fn pack_backward(
        &self,
        level: Level,
        weight: &[f32],
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let (from, to) = (self.shape.output().channels, self.shape.input().channels);
        let filters = Filters { weight, at: |o, c| self.shape.weight_index(o, c, (0, 0)) };
        self.pack(level, [from, to], filters, |tap| 8 - tap, workspace)
    }

    /// `[panels, weights, from, PANEL]`
    fn pack(
        &self,
        level: Level,
        [from, to]: [usize; 2],
        filters: Filters<'_, impl Fn(usize, usize) -> Option<usize> + Sync>,
        place: impl Fn(usize) -> usize + Sync,
        workspace: &Workspace,
    ) -> Buffer<f32> {
        let mut packed = workspace.take(self.weights() * from * to);
        let panel_len = self.weights() * from * PANEL;
        packed.par_chunks_mut(panel_len).enumerate().for_each(|(panel, b)| {
            let mut kernels = [[0.0; PANEL]; 9];
            for f in 0..from {
                for lane in 0..PANEL {
                    let filter = filters.get(f, panel * PANEL + lane);
                    for (tap, value) in filter.into_iter().enumerate() {
                        kernels[place(tap)][lane] = value;
                    }
                }
                let to = Strided { data: &mut *b, start: f * PANEL, step: from * PANEL };
                self.run(level, Weights { kernels: &kernels, to });
            }
        });
        packed
    }

    /// Matrices of weights.
    fn weights(&self) -> usize {
        self.tile.forward().weights * self.tile.forward().weights
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
        let pass = Pass { slab: x, frame: self.x, packed, map: self.shape.output() };
        match self.tile {
            Tile::Two => self.filter::<F2>(level, images, pass, y, workspace),
            Tile::Four => self.filter::<F4>(level, images, pass, y, workspace),
            Tile::Strided => self.filter::<S4>(level, images, pass, y, workspace),
        }
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
        let pass = Pass { slab: dy, frame: self.dy, packed, map: self.shape.input() };
        match self.tile {
            Tile::Two => self.filter::<F2>(level, images, pass, dx, workspace),
            Tile::Four => self.filter::<F4>(level, images, pass, dx, workspace),
            Tile::Strided => self.filter::<S4Back>(level, images, pass, dx, workspace),
        }
    }

    fn filter<F: Filter>(
        &self,
        level: Level,
        images: usize,
        pass: Pass<'_>,
        out: &mut [f32],
        workspace: &Workspace,
    ) {
        let Pass { slab, frame, packed, map } = pass;
        let (from, to, sizes) = (frame.map.channels, map.channels, Sizes::of::<F>());
        let products = sizes.products * sizes.products;
        let (v_step, m_step) = (self.group * from + PANEL, self.group * to + PANEL);
        let mut v = workspace.take::<f32>(products * v_step);
        let mut m = workspace.take::<f32>(products * m_step);
        let segments = [Segment { offset: 0, len: from }];
        for corners in self.tiles[..images * self.tiles_an_image].chunks(self.group) {
            let (to_v, tile_step) = (&mut v[..], from);
            let scatter = Scatter { slab, frame, corners, to: to_v, step: v_step, tile_step };
            level.run(Of(Inputs(scatter), PhantomData::<F>));
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
            let outputs = Outputs { m: &m, step: m_step, corners, map, out: &mut *out };
            level.run(Of(outputs, PhantomData::<F>));
        }
    }

    fn run<K>(&self, level: Level, kernel: K)
    where
        Of<K, F2>: Kernel<Output = ()>,
        Of<K, F4>: Kernel<Output = ()>,
        Of<K, S4>: Kernel<Output = ()>,
    {
        match self.tile {
            Tile::Two => level.run(Of(kernel, PhantomData::<F2>)),
            Tile::Four => level.run(Of(kernel, PhantomData::<F4>)),
            Tile::Strided => level.run(Of(kernel, PhantomData::<S4>)),
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
        let Transformed { tiles, x: to_x, dy: to_dy } = operands;
        *tiles = corners.len();
        let scatter = |slab, frame, to| Scatter {
            slab,
            frame,
            corners,
            to,
            step: Transformed::step(corners.len(), frame),
            tile_step: Transformed::tile_step(frame),
        };
        self.run(level, Inputs(scatter(x, self.x, to_x)));
        self.run(level, Gradients(scatter(dy, self.dy, to_dy)));
    }

    /// Numbers of the accumulator of the weights' gradient: `[weights, in, out]`.
    pub fn accumulator_len(&self) -> usize {
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

    /// The same for one slab of (images, x, dy), by the calling thread alone: its tiles are
    /// transformed and multiplied group by group.
    pub fn accumulate_slab(
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

    /// Numbers of a part of the accumulator that is summed at a time: input channels of one matrix
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

    /// The accumulator as `[out, in, 3, 3]`.
    pub fn finish_weights(&self, level: Level, accumulator: &[f32], weight: &mut [f32]) {
        let (shape, stored) = (&self.shape, self.shape.output().channels);
        let filter = shape.in_channels * 9;
        // A few panels a task, whose lines lie one behind the other in the accumulator.
        let filters = PANELS_A_TASK * PANEL;
        weight.par_chunks_mut(filters * filter).enumerate().for_each(|(task, weight)| {
            let mut kernels = [[0.0; PANEL]; 9];
            for c in 0..shape.in_channels {
                for (panel, weight) in weight.chunks_mut(PANEL * filter).enumerate() {
                    let step = shape.input().channels * stored;
                    let start = c * stored + task * filters + panel * PANEL;
                    let gradients = WeightGradients { from: accumulator, start, step };
                    self.run(level, (gradients, &mut kernels));
                    for (o, filter) in weight.chunks_mut(filter).enumerate() {
                        for (tap, value) in filter[c * 9..][..9].iter_mut().enumerate() {
                            *value = kernels[tap][o];
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

/// The nine numbers of 3×3 filters, and where those start that connect two channels, from and to.
struct Filters<'a, F> {
    weight: &'a [f32],
    at: F,
}

impl<F: Fn(usize, usize) -> Option<usize>> Filters<'_, F> {
    /// Zero for padding channels.
    fn get(&self, from: usize, to: usize) -> [f32; 9] {
        let mut filter = [0.0; 9];
        if let Some(at) = (self.at)(from, to) {
            filter.copy_from_slice(&self.weight[at..at + 9]);
        }
        filter
    }
}

/// One direction's operands.
struct Pass<'a> {
    slab: &'a [f32],
    frame: Frame,
    packed: &'a [f32],
    /// Of what comes out.
    map: Map,
}

/// A kernel for one tile size.
struct Of<K, T>(K, PhantomData<T>);

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
        let last = to.start + (T::WEIGHTS * T::WEIGHTS - 1) * to.step + PANEL;
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
            for i in 0..T::WEIGHTS {
                let mut row = [zero; SIDE];
                for s in 0..3 {
                    row[s] = columns[s][i];
                }
                let row = T::weight(row);
                for j in 0..T::WEIGHTS {
                    let at = to.start + (i * T::WEIGHTS + j) * to.step + lane;
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
        let last = start + (T::WEIGHTS * T::WEIGHTS - 1) * step + PANEL;
        assert!(last <= from.len(), "the accumulator is too short");
        let zero = V::splat(0.0);
        let mut lane = 0;
        while lane < PANEL {
            let mut columns = [[zero; SIDE]; SIDE];
            for j in 0..T::WEIGHTS {
                let mut u = [zero; SIDE];
                for i in 0..T::WEIGHTS {
                    let at = start + (i * T::WEIGHTS + j) * step + lane;
                    // SAFETY: within what was asserted above.
                    u[i] = unsafe { V::load(from.as_ptr().add(at)) };
                }
                columns[j] = T::weight_gradient(u);
            }
            for r in 0..3 {
                let mut row = [zero; SIDE];
                for j in 0..T::WEIGHTS {
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
    /// If a tile of `reach` pixels a side, `step` from the next, would reach beyond the slab, or its
    /// place beyond `to`.
    fn check(&self, reach: usize, step: usize, before: usize, products: usize) {
        let channels = self.frame.map.channels;
        for corner in self.corners {
            let [row, column] = [corner.row, corner.column].map(|at| at * step + before + reach);
            assert!(row <= self.frame.height && column <= self.frame.width, "tile out of frame");
            assert!((corner.image + 1) * self.frame.len() <= self.slab.len(), "slab too short");
        }
        assert!(channels <= self.tile_step, "tiles overlap");
        assert!(self.corners.len() * self.tile_step <= self.step, "products overlap");
        assert!(products * products * self.step <= self.to.len(), "no room");
    }
}

/// Bᵀ d B
struct Inputs<'a>(Scatter<'a>);

impl<T: Filter> Kernel for Of<Inputs<'_>, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let scatter = self.0.0;
        scatter.check(T::INPUTS, T::STEP, 0, T::PRODUCTS);
        let channels = scatter.frame.map.channels;
        let line = scatter.frame.width * channels;
        let zero = V::splat(0.0);
        for (tile, corner) in scatter.corners.iter().enumerate() {
            let (row, column) = (corner.row * T::STEP, corner.column * T::STEP);
            let start = scatter.frame.of_frame(corner.image, row, column);
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
                    for i in 0..T::PRODUCTS {
                        let mut row = [zero; SIDE];
                        for j in 0..T::INPUTS {
                            row[j] = columns[j][i];
                        }
                        let row = T::input(row);
                        for j in 0..T::PRODUCTS {
                            row[j].store(to.add((i * T::PRODUCTS + j) * scatter.step));
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
        scatter.check(T::OUTPUTS, T::OUTPUTS, before, T::PRODUCTS);
        let channels = scatter.frame.map.channels;
        let line = scatter.frame.width * channels;
        let zero = V::splat(0.0);
        for (tile, corner) in scatter.corners.iter().enumerate() {
            let (row, column) = (corner.row * T::OUTPUTS, corner.column * T::OUTPUTS);
            let start = scatter.frame.at(corner.image, row, column);
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
                    for i in 0..T::PRODUCTS {
                        let mut row = [zero; SIDE];
                        for j in 0..T::OUTPUTS {
                            row[j] = columns[j][i];
                        }
                        let row = T::gradient(row);
                        for j in 0..T::PRODUCTS {
                            row[j].store(to.add((i * T::PRODUCTS + j) * scatter.step));
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

impl<T: Filter> Kernel for Of<Outputs<'_>, T> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Outputs { m, step, corners, map, out } = self.0;
        let channels = map.channels;
        assert!(corners.len() * channels <= step, "products overlap");
        assert!(T::PRODUCTS * T::PRODUCTS * step <= m.len(), "a product is missing");
        let zero = V::splat(0.0);
        for (tile, corner) in corners.iter().enumerate() {
            assert!((corner.image + 1) * map.len() <= out.len(), "an image is missing");
            let (top, left) = (corner.row * T::OUTPUTS, corner.column * T::OUTPUTS);
            let rows = T::OUTPUTS.min(map.height - top);
            let width = T::OUTPUTS.min(map.width - left);
            let pixel = (corner.image * map.height + top) * map.width + left;
            let mut channel = 0;
            while channel < channels {
                // SAFETY: tiles and products lie in `m`, as asserted; rows and columns of the tile
                // are clipped to the map, which lies in `out`.
                unsafe {
                    let from = m.as_ptr().add(tile * channels + channel);
                    let to = out.as_mut_ptr().add(pixel * channels + channel);
                    let mut columns = [[zero; SIDE]; SIDE];
                    for j in 0..T::PRODUCTS {
                        let mut d = [zero; SIDE];
                        for i in 0..T::PRODUCTS {
                            d[i] = V::load(from.add((i * T::PRODUCTS + j) * step));
                        }
                        columns[j] = T::output(d);
                    }
                    for i in 0..rows {
                        let mut row = [zero; SIDE];
                        for j in 0..T::PRODUCTS {
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
