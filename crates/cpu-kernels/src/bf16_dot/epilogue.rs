//! The epilogues of a product in bfloat16: from a slab's sums back to activations as stored. That of the
//! forward pass stores outputs and takes their moments, that of the backward pass takes gradients past what
//! lies between two convolutions, as in [`crate::norm`]. Both go line by line, so that a line is read from the
//! first-level cache for each vector of its channels.

use super::pass::Sums;
use super::tiles::TILE;
use crate::element::Element;
use crate::epilogue::{BackwardEpilogue, GradientTotals, PixelRun};
use crate::level::{Kernel, Level};
use crate::norm::{GradientSums, Moments};
use crate::simd::Vector;
use crate::slab::Map;

/// The pixels of a map that the sums are of: every `stride`-th from (`row`, `column`) on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelGrid {
    pub map: Map,
    pub stride: usize,
    pub row: usize,
    pub column: usize,
}

impl PixelGrid {
    /// How many lines and columns of pixels there are.
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

/// The forward epilogue: stores outputs and takes the moments of the numbers as stored on the way.
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

/// The moments that follow from sums of deviations from `first` and of their squares.
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

/// The backward epilogue: takes gradients past what `epilogue` says of the images in `to`, stores them, and sums them for the
/// normalisations before.
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
    fn run<V: Vector>(self) -> GradientSums {
        let Self { sums, grid, images, c, epilogue, to } = self;
        let mut totals = GradientTotals::new(grid.map.channels);
        for image in 0..images {
            for line in 0..sums.lines {
                for channel in (0..grid.map.channels).step_by(V::LANES) {
                    let from =
                        channel / TILE * sums.panel() + sums.at(image, line) + channel % TILE;
                    // SAFETY: `check` has shown that sums and activations have these pixels, and
                    // `BackwardEpilogue::check` that what the gradient passes is as long.
                    unsafe {
                        let run = PixelRun {
                            pixels: sums.columns,
                            channel,
                            from: c.as_ptr().add(from),
                            from_step: sums.step(),
                            at: grid.line(image, line) + channel,
                            step: grid.step(),
                        };
                        epilogue.apply::<V>(run, to.as_mut_ptr(), &mut totals);
                    }
                }
            }
        }
        totals.sums()
    }
}
