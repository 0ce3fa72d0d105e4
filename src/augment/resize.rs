//! A part of an image, resized to a view: torchvision's `resized_crop` with bilinear interpolation and
//! `antialias=True`.

use super::crop::CropBox;
use super::planes;
use crate::data::Image;

/// Values behind a row of pixels, so that four can be read where the last three are.
const PADDING: usize = 1;

/// Resizes the part of `image` within `crop` to `out`: `[3, size, size]` in [0, 1], mirrored left to
/// right if `flip`.
///
/// The triangle filter widens when it shrinks the image, and sees nothing outside the box.
///
/// # Panics
/// If the box leaves the image, or `out` has another length.
#[inline(always)]
pub(super) fn resized_crop(
    image: Image<'_>,
    crop: CropBox,
    flip: bool,
    size: usize,
    out: &mut [f32],
) {
    assert_eq!(out.len(), 3 * size * size, "a view is [3, size, size]");
    let inside = crop.x + crop.width <= image.width && crop.y + crop.height <= image.height;
    assert!(inside, "{crop:?} leaves an image of {} x {}", image.width, image.height);
    let rows = Filter::triangle(crop.height, size);
    let mut columns = Filter::triangle(crop.width, size);
    if flip {
        columns.windows.reverse();
    }
    let mut blended = vec![0.0; 3 * crop.width + PADDING];
    let [red, green, blue] = planes(out).map(|plane| plane.chunks_exact_mut(size));
    for (window, ((red, green), blue)) in rows.windows.iter().zip(red.zip(green).zip(blue)) {
        let pixels = &mut blended[..3 * crop.width];
        blend_rows(image, [crop.x, crop.y + window.first], rows.weights(window), pixels);
        columns.apply(&blended, [red, green, blue]);
    }
}

/// The weighted sum of rows from column `x` and row `y` on, one for each weight, brought to [0, 1]:
/// `[width, 3]`.
#[inline(always)]
fn blend_rows(image: Image<'_>, [x, y]: [usize; 2], weights: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for (row, weight) in (y..).zip(weights) {
        let start = 3 * (row * image.width + x);
        let source = &image.pixels[start..start + out.len()];
        let weight = weight / 255.0;
        for (sum, &byte) in out.iter_mut().zip(source) {
            *sum += weight * f32::from(byte);
        }
    }
}

/// Which inputs each output of a one-dimensional resize reads, and with what weights.
struct Filter {
    windows: Vec<Window>,
    /// The weights of all windows, one after another.
    weights: Vec<f32>,
}

/// What one output reads.
struct Window {
    /// The first input.
    first: usize,
    /// Where in [`Filter::weights`] its weights are.
    start: usize,
    /// How many inputs it reads, and weights it has.
    len: usize,
}

impl Filter {
    /// The triangle filter from `input` to `output` samples, as Pillow's `precompute_coeffs`.
    fn triangle(input: usize, output: usize) -> Self {
        let scale = input as f32 / output as f32;
        let support = scale.max(1.0);
        let mut weights = Vec::with_capacity(output * (2 * support.ceil() as usize + 1));
        let windows = (0..output).map(|at| {
            let center = (at as f32 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(input);
            let start = weights.len();
            weights.extend((first..end).map(|sample| {
                let distance = (sample as f32 + 0.5 - center).abs();
                (1.0 - distance / support).max(0.0)
            }));
            normalise(&mut weights[start..]);
            let len = end - first;
            Window { first, start, len }
        });
        Filter { windows: windows.collect(), weights }
    }

    fn weights(&self, window: &Window) -> &[f32] {
        &self.weights[window.start..][..window.len]
    }

    /// Resizes one interleaved row `[input, 3]`, with [`PADDING`], into one row of each plane,
    /// `[output]`.
    #[inline(always)]
    fn apply(&self, row: &[f32], [red, green, blue]: [&mut [f32]; 3]) {
        let outputs = red.iter_mut().zip(green).zip(blue);
        for (window, ((red, green), blue)) in self.windows.iter().zip(outputs) {
            // A pixel and the value behind it make one vector.
            let mut sums = [0.0_f32; 4];
            let pixels = &row[3 * window.first..][..3 * window.len + PADDING];
            for (at, weight) in self.weights(window).iter().enumerate() {
                let pixel = &pixels[3 * at..][..4];
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += weight * value;
                }
            }
            [*red, *green, *blue] = [sums[0], sums[1], sums[2]];
        }
    }
}

/// Scales `weights` to sum to 1.
fn normalise(weights: &mut [f32]) {
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::golden;

    #[test]
    fn resized_crops_are_those_of_torchvision() {
        let golden = golden::load();
        for case in &golden.crops {
            let [x, y, width, height] = case.crop;
            let crop = CropBox { x, y, width, height };
            let mut out = vec![0.0; 3 * case.size * case.size];
            resized_crop(golden.source.image(), crop, case.flip, case.size, &mut out);
            golden::assert_close(&format!("{crop:?}"), &out, &case.result);
        }
    }

    #[test]
    fn a_crop_of_the_output_size_copies_pixels() {
        let golden = golden::load();
        let mut out = vec![0.0; 3 * 8 * 8];
        let whole = CropBox { x: 0, y: 0, width: 8, height: 8 };
        resized_crop(golden.view.image(), whole, false, 8, &mut out);
        golden::assert_close("copy", &out, &golden.view.planar());
    }
}
