//! The epilogues of a product in bfloat16: from a slab's sums back to activations as stored. That of the
//! forward pass stores outputs and takes their moments, that of the backward pass takes gradients past what
//! lies between two convolutions, as in [`crate::norm`]. Both go line by line, so that a line is read from the
//! first-level cache for each vector of its channels.

use super::pass::Sums;
use super::tiles::TILE;
use crate::element::Element;
use crate::level::{Kernel, Level};
use crate::norm::{BackwardEpilogue, Gate, GradientSums, Moments};
use crate::simd::Vector;
use crate::slab::Map;

/// Which pixels of a map the sums are of: every `stride`-th from (`row`, `column`) on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelGrid {
    pub map: Map,
    pub stride: usize,
    pub row: usize,
    pub column: usize,
}

impl PixelGrid {
    /// Lines and columns of pixels.
    pub fn size(&self) -> [usize; 2] {
        let of = |whole: usize, first: usize| whole.saturating_sub(first).div_ceil(self.stride);
        [of(self.map.height, self.row), of(self.map.width, self.column)]
    }

    /// Where a line's first pixel lies among the activations.
    fn line(&self, image: usize, line: usize) -> usize {
        let row = image * self.map.height + self.row + line * self.stride;
        (row * self.map.width + self.column) * self.map.channels
    }

    fn step(&self) -> usize {
        self.stride * self.map.channels
    }
}

/// Asserts that sums and activations are of the same pixels, and there.
fn check(sums: &Sums, grid: &PixelGrid, c: &[f32], activations: usize) -> usize {
    assert!(c.len() >= sums.len(), "the sums are too short");
    assert_eq!(grid.size(), [sums.lines, sums.columns], "other pixels");
    assert_eq!(grid.map.channels, sums.panels * TILE, "other channels");
    assert_eq!(activations % grid.map.len(), 0, "whole images");
    let images = activations / grid.map.len();
    assert!(images <= sums.images, "more images than sums");
    images
}

/// Stores outputs and takes their moments on the way, of the numbers as stored.
pub(crate) fn epilogue<E: Element>(
    level: Level,
    sums: Sums,
    grid: PixelGrid,
    c: &[f32],
    y: &mut [E],
) -> Moments {
    let images = check(&sums, &grid, c, y.len());
    level.run(Epilogue { sums, grid, images, c, y })
}

struct Epilogue<'a, E> {
    sums: Sums,
    grid: PixelGrid,
    images: usize,
    c: &'a [f32],
    y: &'a mut [E],
}

impl<E: Element> Kernel for Epilogue<'_, E> {
    type Output = Moments;

    #[inline(always)]
    fn run<V: Vector>(self) -> Moments {
        let Self { sums, grid, images, c, y } = self;
        let channels = grid.map.channels;
        // Deviations from the first pixel, so that a large mean costs no digits.
        let first: Vec<f32> = c.chunks(sums.panel()).flat_map(|c| &c[..TILE]).copied().collect();
        let mut totals = vec![[0.0f32; 2 * TILE]; sums.panels];
        for image in 0..images {
            for line in 0..sums.lines {
                let mut channel = 0;
                while channel < channels {
                    let (panel, lane) = (channel / TILE, channel % TILE);
                    // SAFETY: `check` has shown that sums and activations have these pixels.
                    unsafe {
                        let total = totals[panel].as_mut_ptr().add(lane);
                        let pivot = V::load(first.as_ptr().add(channel));
                        let (mut sum, mut square) = (V::load(total), V::load(total.add(TILE)));
                        let start = panel * sums.panel() + sums.at(image, line) + lane;
                        let mut from = c.as_ptr().add(start);
                        let mut to = y.as_mut_ptr().add(grid.line(image, line) + channel);
                        for _ in 0..sums.columns {
                            E::store(to, V::load(from));
                            let difference = E::load::<V>(to).sub(pivot);
                            sum = sum.add(difference);
                            square = difference.mul_add(difference, square);
                            from = from.wrapping_add(sums.step());
                            to = to.wrapping_add(grid.step());
                        }
                        sum.store(total);
                        square.store(total.add(TILE));
                    }
                    channel += V::LANES;
                }
            }
        }
        moments(images * sums.lines * sums.columns, &first, &totals)
    }
}

/// From sums of deviations from `first` and of their squares.
fn moments(count: usize, first: &[f32], totals: &[[f32; 2 * TILE]]) -> Moments {
    let of = |c: usize| {
        let (total, lane) = (&totals[c / TILE], c % TILE);
        [first[c], total[lane], total[TILE + lane]].map(f64::from)
    };
    let channels = 0..first.len();
    let mean = |[first, sum, _]: [f64; 3]| first + sum / count as f64;
    let deviation = |[_, sum, square]: [f64; 3]| (square - sum * sum / count as f64).max(0.0);
    Moments {
        count,
        mean: channels.clone().map(of).map(mean).collect(),
        deviation: channels.map(of).map(deviation).collect(),
    }
}

/// Adds the residual to gradients, lets pass what the ReLU let pass, stores that, and sums it for the
/// normalisations before the ReLU. `epilogue` describes the images in `to`.
pub(crate) fn backward_epilogue<E: Element>(
    level: Level,
    sums: Sums,
    grid: PixelGrid,
    c: &[f32],
    epilogue: BackwardEpilogue<'_, E>,
    to: &mut [E],
) -> GradientSums {
    let images = check(&sums, &grid, c, to.len());
    epilogue.check(to.len(), grid.map.channels);
    level.run(BackwardKernel { sums, grid, images, c, epilogue, to })
}

struct BackwardKernel<'a, E> {
    sums: Sums,
    grid: PixelGrid,
    images: usize,
    c: &'a [f32],
    epilogue: BackwardEpilogue<'a, E>,
    to: &'a mut [E],
}

impl<E: Element> Kernel for BackwardKernel<'_, E> {
    type Output = GradientSums;

    #[inline(always)]
    fn run<V: Vector>(mut self) -> GradientSums {
        let channels = self.grid.map.channels;
        let mut totals = [vec![0.0f32; channels], vec![0.0; channels], vec![0.0; channels]];
        for image in 0..self.images {
            for line in 0..self.sums.lines {
                let mut channel = 0;
                while channel < channels {
                    // SAFETY: `check` has shown that sums and activations have these pixels, and
                    // `BackwardEpilogue::check` that what the gradient passes is as long.
                    unsafe { self.line::<V>(image, line, channel, &mut totals) };
                    channel += V::LANES;
                }
            }
        }
        let [sum, first, second] = totals.map(|t| t.into_iter().map(f64::from).collect());
        GradientSums { sum, dots: [first, second] }
    }
}

impl<E: Element> BackwardKernel<'_, E> {
    /// One line's gradients in `V::LANES` channels: with as many normalisations as there are.
    ///
    /// # Safety
    /// The line and the channels must exist in all that takes part.
    #[inline(always)]
    unsafe fn line<V: Vector>(
        &mut self,
        image: usize,
        line: usize,
        channel: usize,
        totals: &mut [Vec<f32>; 3],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let totals = totals.each_mut().map(|t| t.as_mut_ptr().add(channel));
            let sums = &self.sums;
            let from = channel / TILE * sums.panel() + sums.at(image, line) + channel % TILE;
            let at = self.grid.line(image, line) + channel;
            let line = Line { from, at, channel, totals };
            match self.epilogue.norms.iter().flatten().count() {
                0 => self.gated::<V, 0>(line),
                1 => self.gated::<V, 1>(line),
                _ => self.gated::<V, 2>(line),
            }
        }
    }

    /// # Safety
    /// As [`BackwardKernel::line`]; `NORMS` normalisations must be there, the first ones.
    #[inline(always)]
    unsafe fn gated<V: Vector, const NORMS: usize>(&mut self, line: Line) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.epilogue.gate {
                Gate::Open => self.pixels::<V, NORMS, _>(line, AlwaysOpen),
                Gate::Output(x) => self.pixels::<V, NORMS, _>(line, OutputGate(x.as_ptr())),
                Gate::Input(y, norm) => {
                    let [mean, scale, shift] = norm.load::<V>(line.channel);
                    let gate = InputGate { y: y.as_ptr(), mean, scale, shift };
                    self.pixels::<V, NORMS, _>(line, gate);
                }
            }
        }
    }

    /// # Safety
    /// As [`BackwardKernel::gated`].
    #[inline(always)]
    unsafe fn pixels<V: Vector, const NORMS: usize, O: GateInput<V>>(
        &mut self,
        Line { from, at, channel, totals }: Line,
        gate: O,
    ) {
        let (from_step, step) = (self.sums.step(), self.grid.step());
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [V::load(totals[0]), V::load(totals[1]), V::load(totals[2])];
            let mut means = [V::splat(0.0); NORMS];
            let mut ys = [self.to.as_ptr(); NORMS];
            for (i, (y, norm)) in self.epilogue.norms.iter().flatten().enumerate().take(NORMS) {
                means[i] = V::load(norm.mean().as_ptr().add(channel));
                ys[i] = y.as_ptr();
            }
            let c = self.c.as_ptr().add(from);
            for pixel in 0..self.sums.columns {
                let at = at + pixel * step;
                let mut value = V::load(c.add(pixel * from_step));
                if let Some(residual) = self.epilogue.residual {
                    value = value.add(E::load(residual.as_ptr().add(at)));
                }
                let to = self.to.as_mut_ptr().add(at);
                E::store(to, value.where_positive(gate.at(at)));
                let value: V = E::load(to);
                sums[0] = sums[0].add(value);
                for i in 0..NORMS {
                    let y: V = E::load(ys[i].add(at));
                    sums[i + 1] = y.sub(means[i]).mul_add(value, sums[i + 1]);
                }
            }
            for (total, sum) in totals.into_iter().zip(sums) {
                sum.store(total);
            }
        }
    }
}

/// What a gradient's gate looks at: positive where it is open.
trait GateInput<V> {
    /// # Safety
    /// There must be `V::LANES` numbers from `at` on.
    unsafe fn at(&self, at: usize) -> V;
}

struct AlwaysOpen;

impl<V: Vector> GateInput<V> for AlwaysOpen {
    #[inline(always)]
    unsafe fn at(&self, _at: usize) -> V {
        V::splat(1.0)
    }
}

struct OutputGate<E>(*const E);

impl<V: Vector, E: Element> GateInput<V> for OutputGate<E> {
    #[inline(always)]
    unsafe fn at(&self, at: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe { E::load(self.0.add(at)) }
    }
}

struct InputGate<V, E> {
    y: *const E,
    mean: V,
    scale: V,
    shift: V,
}

impl<V: Vector, E: Element> GateInput<V> for InputGate<V, E> {
    #[inline(always)]
    unsafe fn at(&self, at: usize) -> V {
        // SAFETY: the caller's promise.
        let y: V = unsafe { E::load(self.y.add(at)) };
        y.sub(self.mean).mul_add(self.scale, self.shift)
    }
}

/// A line of pixels in one vector of channels.
#[derive(Clone, Copy)]
struct Line {
    /// Of its first pixel among the sums.
    from: usize,
    /// Of its first pixel among the activations.
    at: usize,
    channel: usize,
    totals: [*mut f32; 3],
}
