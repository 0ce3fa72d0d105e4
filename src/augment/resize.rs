//! A part of an image, resized to a view: torchvision's `resized_crop`, and its `resize` followed by
//! `center_crop`, both with bilinear interpolation and `antialias=True`.

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

/// Resizes `image` so that its shorter side has `shorter` pixels, and writes the middle of it to `out`:
/// `[3, size, size]` in [0, 1].
///
/// The bytes are those of torchvision on images of Pillow, as the field evaluates: columns are resized first,
/// then rows, each rounded to bytes; the longer side is rounded down, and half of an odd number of pixels that
/// are left out is rounded to an even number. Pixels beside the middle are seen where the triangle filter
/// reaches them.
///
/// # Panics
/// If `out` has another length, or `size` is more than `shorter`.
pub(super) fn resized_middle(image: Image<'_>, shorter: usize, size: usize, out: &mut [f32]) {
    assert_eq!(out.len(), 3 * size * size, "a view is [3, size, size]");
    assert!(size <= shorter, "the middle {size} pixels of {shorter}");
    let [rows, columns] = [image.height, image.width].map(|length| {
        let resized = shorter * length / image.width.min(image.height);
        Filter::triangle(length, resized).middle(size)
    });
    let mut pixels = vec![0.0; 3 * columns.len + PADDING];
    // Each row that is seen, resized: [rows, 3, size].
    let mut narrow = vec![0.0; rows.len * 3 * size];
    for (row, narrow) in (rows.start..).zip(narrow.chunks_exact_mut(3 * size)) {
        blend_rows(image, [columns.start, row], &[1.0], &mut pixels[..3 * columns.len]);
        columns.filter.apply(&pixels, planes(narrow));
        narrow.iter_mut().for_each(round_to_byte);
    }
    for (plane, out) in planes(out).into_iter().enumerate() {
        for (window, out) in rows.filter.windows.iter().zip(out.chunks_exact_mut(size)) {
            out.fill(0.0);
            for (row, weight) in (window.first..).zip(rows.filter.weights(window)) {
                let narrow = &narrow[(3 * row + plane) * size..][..size];
                out.iter_mut().zip(narrow).for_each(|(sum, value)| *sum += weight * value);
            }
            out.iter_mut().for_each(round_to_byte);
        }
    }
}

/// To the nearest of the 256 values of a byte, halves up.
fn round_to_byte(value: &mut f32) {
    *value = (*value * 255.0 + 0.5).floor() / 255.0;
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

/// A [`Filter`] that reads a part of the inputs alone.
struct Middle {
    /// The first input that it reads, which its windows count from.
    start: usize,
    /// How many inputs it reads.
    len: usize,
    filter: Filter,
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

    /// The middle `size` outputs alone.
    fn middle(mut self, size: usize) -> Middle {
        let before = before_middle(self.windows.len() - size);
        self.windows.drain(..before);
        self.windows.truncate(size);
        let start = self.windows.iter().map(|window| window.first).min().unwrap_or(0);
        let ends = self.windows.iter().map(|window| window.first + window.len);
        let len = ends.max().unwrap_or(0) - start;
        self.windows.iter_mut().for_each(|window| window.first -= start);
        Middle { start, len, filter: self }
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

/// Half of the pixels that are left out around a middle, rounded to an even number as Python's `round` does it.
fn before_middle(left_out: usize) -> usize {
    match left_out % 4 {
        3 => left_out.div_ceil(2),
        _ => left_out / 2,
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
    fn resized_middles_are_those_of_torchvision() {
        let golden = golden::load();
        for case in &golden.middles {
            let mut out = vec![0.0; 3 * case.size * case.size];
            resized_middle(golden.source.image(), case.shorter, case.size, &mut out);
            let name = format!("the middle {} of {}", case.size, case.shorter);
            golden::assert_close(&name, &out, &case.result);
        }
    }

    #[test]
    fn of_an_odd_number_left_out_half_is_rounded_to_even() {
        for (left_out, before) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (7, 4), (9, 4)] {
            assert_eq!(before_middle(left_out), before, "of {left_out}");
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
