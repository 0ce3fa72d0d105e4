//! The middle of a resized image, as the field evaluates: torchvision's `Resize` and `CenterCrop` of an image of
//! Pillow, byte for byte.
//!
//! Views in training are made of floating-point numbers, but an encoder is compared with others on this one, so
//! it is Pillow's arithmetic (`Resample.c`): columns first, then rows, by weights of 22 bits behind the point,
//! each rounded to bytes.

use std::ops::Range;

use super::planes;
use crate::data::Image;

/// Bits behind the point of a weight.
const BITS: u32 = 22;

/// Resizes `image` so that its shorter side has `shorter` pixels, and writes the middle of it to `out`:
/// `[3, size, size]` in [0, 1].
///
/// The longer side is rounded down. Pixels beside the middle are seen where the triangle filter reaches them.
///
/// # Panics
/// If `out` has another length, or `size` is more than `shorter`.
pub(super) fn resized_middle(image: Image<'_>, shorter: usize, size: usize, out: &mut [f32]) {
    assert_eq!(out.len(), 3 * size * size, "a view is [3, size, size]");
    assert!(size <= shorter, "the middle {size} pixels of {shorter}");
    let Image { width, height, pixels } = image;
    let [rows, columns] = [height, width].map(|length| {
        let resized = shorter * length / width.min(height);
        let before = before_middle(resized - size);
        let window = |at| Window::triangle(at, length, resized);
        (before..before + size).map(window).collect::<Vec<_>>()
    });
    let seen = seen(&rows);
    // Each row that is seen, resized: [rows, size, 3].
    let mut narrow = Vec::with_capacity(3 * size * seen.len());
    for row in pixels[..3 * width * seen.end].chunks_exact(3 * width).skip(seen.start) {
        for window in &columns {
            narrow.extend([0, 1, 2].map(|channel| window.blend(|at| row[3 * at + channel])));
        }
    }
    for (channel, plane) in planes(out).into_iter().enumerate() {
        for (window, out) in rows.iter().zip(plane.chunks_exact_mut(size)) {
            for (x, out) in out.iter_mut().enumerate() {
                let at = |row| narrow[3 * ((row - seen.start) * size + x) + channel];
                *out = f32::from(window.blend(at)) / 255.0;
            }
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

/// The inputs that windows read.
fn seen(windows: &[Window]) -> Range<usize> {
    let first = windows.iter().map(|window| window.first).min().unwrap_or(0);
    let ends = windows.iter().map(|window| window.first + window.weights.len());
    first..ends.max().unwrap_or(first)
}

/// What one output of a one-dimensional resize reads, and with what weights.
struct Window {
    /// The first input.
    first: usize,
    /// With [`BITS`] bits behind the point.
    weights: Vec<i32>,
}

impl Window {
    /// Output number `at` of the triangle filter from `input` to `output` samples, which widens when it
    /// shrinks the image.
    fn triangle(at: usize, input: usize, output: usize) -> Self {
        let scale = input as f64 / output as f64;
        let support = scale.max(1.0);
        let center = (at as f64 + 0.5) * scale;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(input);
        let weight = |sample: usize| {
            let distance = (sample as f64 - center + 0.5) * (1.0 / support);
            (1.0 - distance.abs()).max(0.0)
        };
        let sum: f64 = (first..end).map(weight).sum();
        let rounded = |weight: f64| (0.5 + weight / sum * f64::from(1 << BITS)) as i32;
        Self { first, weights: (first..end).map(weight).map(rounded).collect() }
    }

    /// The weighted sum of what `byte` gives for each input.
    fn blend(&self, byte: impl Fn(usize) -> u8) -> u8 {
        let inputs = (self.first..).zip(&self.weights);
        let sum: i32 = inputs.map(|(at, weight)| weight * i32::from(byte(at))).sum();
        ((sum + (1 << (BITS - 1))) >> BITS).clamp(0, 255) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::golden;

    #[test]
    fn middles_are_those_of_torchvision() {
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
    fn any_shape_has_a_middle() {
        for [width, height] in [[1, 1], [1, 40], [40, 1], [7, 5], [5, 64]] {
            let pixels = vec![200; 3 * width * height];
            let mut out = vec![0.0; 3 * 4 * 4];
            resized_middle(Image { width, height, pixels: &pixels }, 6, 4, &mut out);
            assert!(out.iter().all(|&value| value == 200.0 / 255.0), "{width} × {height}: {out:?}");
        }
    }
}
