//! Pooling over space.

use rayon::prelude::*;

use crate::element::Element;
use crate::epilogue::{BackwardEpilogue, backward_epilogue};
use crate::level::{Kernel, Level};
use crate::norm::GradientSums;
use crate::shape::stored_channels;
use crate::simd::Vector;
use crate::workspace::Workspace;

/// How many images a task has; fixed, so that sums over a batch do not depend on the threads.
const IMAGES_A_TASK: usize = 8;

/// The mean of each channel over all pixels: from activations `[batch, height, width, channels]` as stored to
/// features `[batch, channels]` without the channels that storage adds.
///
/// # Panics
/// If `x` is no whole number of images of `pixels` pixels.
pub fn average<E: Element>(level: Level, x: &[E], pixels: usize, channels: usize) -> Vec<f32> {
    let stored = stored_channels(channels);
    assert!(pixels > 0 && x.len().is_multiple_of(pixels * stored), "whole images");
    let mut features = vec![0.0; x.len() / (pixels * stored) * channels];
    let images = x.par_chunks(pixels * stored);
    features.par_chunks_mut(channels).zip(images).for_each(|(features, x)| {
        level.run(Average { x, stored, features });
    });
    features
}

struct Average<'a, E> {
    x: &'a [E],
    stored: usize,
    features: &'a mut [f32],
}

impl<E: Element> Kernel for Average<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let share = 1.0 / (self.x.len() / self.stored) as f32;
        for (block, features) in self.features.chunks_mut(16).enumerate() {
            let mut lanes = [0.0f32; 16];
            let mut lane = 0;
            while lane < 16 {
                let mut sum = V::splat(0.0);
                for pixel in self.x.chunks_exact(self.stored) {
                    let pixel = &pixel[block * 16 + lane..][..V::LANES];
                    // SAFETY: the slice just taken is one vector long.
                    sum = sum.add(unsafe { E::load(pixel.as_ptr()) });
                }
                // SAFETY: lanes come in whole vectors.
                unsafe { sum.mul(V::splat(share)).store(lanes.as_mut_ptr().add(lane)) };
                lane += V::LANES;
            }
            features.copy_from_slice(&lanes[..features.len()]);
        }
    }
}

/// The backward pass of [`average`]: from the gradients of features `[batch, channels]` to those of the
/// activations `to`, `[batch, height, width, channels]`, past what `epilogue` says. Returns the sums that it asks
/// for.
///
/// # Panics
/// If the sizes do not fit.
pub fn average_backward<E: Element>(
    level: Level,
    gradient: &[f32],
    channels: usize,
    epilogue: BackwardEpilogue<'_, E>,
    to: &mut [E],
    workspace: &Workspace,
) -> GradientSums {
    let stored = stored_channels(channels);
    let batch = gradient.len() / channels;
    assert!(batch > 0 && gradient.len() == batch * channels, "whole rows");
    let image = to.len() / batch;
    assert!(image * batch == to.len() && image.is_multiple_of(stored), "whole images");
    let tasks = to.par_chunks_mut(IMAGES_A_TASK * image).enumerate();
    let parts: Vec<GradientSums> = tasks
        .map(|(task, to)| {
            let first = task * IMAGES_A_TASK;
            let mut spread = workspace.zeroed::<f32>(to.len());
            let share = stored as f32 / image as f32;
            let rows = gradient[first * channels..].chunks(channels);
            for (map, row) in spread.chunks_mut(image).zip(rows) {
                for pixel in map.chunks_mut(stored) {
                    pixel.iter_mut().zip(row).for_each(|(to, g)| *to = g * share);
                }
            }
            let span = first * image..first * image + to.len();
            backward_epilogue(level, stored, &spread, epilogue.part(span), to)
        })
        .collect();
    GradientSums::combine(parts)
}

/// A max-pool of 3×3 with stride 2 and padding 1, as in ResNet's stem for large images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// The height of the input in pixels.
    pub height: usize,
    /// The width of the input in pixels.
    pub width: usize,
    /// The number of channels, without those that storage adds.
    pub channels: usize,
}

impl MaxPool {
    /// The height and width of the output in pixels.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height, self.width].map(|size| (size - 1) / 2 + 1)
    }

    /// How many numbers one image's output has as activations store it.
    pub fn output_len(&self) -> usize {
        let [height, width] = self.output_size();
        height * width * stored_channels(self.channels)
    }

    fn lens(&self) -> [usize; 2] {
        [self.height * self.width * stored_channels(self.channels), self.output_len()]
    }

    /// The input pixels under the window of output (row, column).
    fn window(&self, row: usize, column: usize) -> impl Iterator<Item = usize> {
        let rows = (2 * row).saturating_sub(1)..(2 * row + 2).min(self.height);
        let columns = (2 * column).saturating_sub(1)..(2 * column + 2).min(self.width);
        let width = self.width;
        rows.flat_map(move |r| columns.clone().map(move |c| r * width + c))
    }

    /// Takes activations `[batch, height, width, channels]` to half the height and width, and says in `winners`
    /// at which pixel of the input image each maximum was, the first of equals.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn forward<E: Element>(&self, x: &[E], out: &mut [E], winners: &mut [u32]) {
        let ([input, output], stored) = (self.lens(), stored_channels(self.channels));
        let batch = out.len() / output;
        assert!(out.len() == batch * output && x.len() == batch * input, "sizes differ");
        assert_eq!(winners.len(), out.len(), "sizes differ");
        let [_, width] = self.output_size();
        let images = out.par_chunks_mut(output).zip(winners.par_chunks_mut(output));
        images.zip(x.par_chunks(input)).for_each(|((out, winners), x)| {
            let pixels = out.chunks_mut(stored).zip(winners.chunks_mut(stored));
            for (at, (out, winners)) in pixels.enumerate() {
                out.fill(E::from_f32(f32::NEG_INFINITY));
                for pixel in self.window(at / width, at % width) {
                    let from = &x[pixel * stored..][..stored];
                    for ((best, winner), value) in out.iter_mut().zip(&mut *winners).zip(from) {
                        if value.to_f32() > best.to_f32() {
                            (*best, *winner) = (*value, pixel as u32);
                        }
                    }
                }
            }
        });
    }

    /// The backward pass: from gradients `g` of the outputs to those of the inputs, past what `epilogue` says.
    /// Returns the sums that it asks for.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn backward<E: Element>(
        &self,
        level: Level,
        g: &[E],
        winners: &[u32],
        epilogue: BackwardEpilogue<'_, E>,
        to: &mut [E],
        workspace: &Workspace,
    ) -> GradientSums {
        let ([input, output], stored) = (self.lens(), stored_channels(self.channels));
        let batch = g.len() / output;
        assert!(g.len() == batch * output && to.len() == batch * input, "sizes differ");
        assert_eq!(winners.len(), g.len(), "sizes differ");
        let parts: Vec<GradientSums> = to
            .par_chunks_mut(input)
            .enumerate()
            .map(|(image, to)| {
                let mut spread = workspace.zeroed::<f32>(input);
                let span = image * output..(image + 1) * output;
                for (at, (g, winner)) in g[span.clone()].iter().zip(&winners[span]).enumerate() {
                    spread[*winner as usize * stored + at % stored] += g.to_f32();
                }
                let span = image * input..(image + 1) * input;
                backward_epilogue(level, stored, &spread, epilogue.part(span), to)
            })
            .collect();
        GradientSums::combine(parts)
    }
}
