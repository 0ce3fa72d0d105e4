//! Gaussian blur, as torchvision's `gaussian_blur` on float tensors.

/// The kernel's size for a view of `side` pixels: a tenth of it, odd, at least 3 (SimCLR's choice:
/// 23 at 224 pixels).
pub fn kernel_size(side: usize) -> usize {
    ((side / 10) | 1).max(3)
}

/// Blurs a planar view `[3, side, side]` in place with a Gaussian of deviation `sigma` pixels, cut
/// off to `kernel` taps. Beyond its edges the view is mirrored, the edge itself not repeated.
///
/// # Panics
/// If `kernel` is even, or half of it reaches further than `side - 1` pixels.
pub fn gaussian_blur(view: &mut [f32], side: usize, kernel: usize, sigma: f32) {
    assert!(kernel % 2 == 1, "a kernel has a middle");
    assert!(kernel / 2 < side, "a mirror shows no more than the view");
    let taps = gaussian(kernel, sigma);
    let mut rows = vec![0.0; side * side];
    let mut padded = vec![0.0; side + kernel - 1];
    for plane in view.chunks_exact_mut(side * side) {
        for (row, out) in plane.chunks_exact(side).zip(rows.chunks_exact_mut(side)) {
            pad(row, kernel / 2, &mut padded);
            weighted_sum(&taps, padded.windows(side), out);
        }
        for (y, out) in plane.chunks_exact_mut(side).enumerate() {
            let around = (0..kernel).map(|tap| {
                let row = mirror(y + tap, kernel / 2, side);
                &rows[row * side..][..side]
            });
            weighted_sum(&taps, around, out);
        }
    }
}

/// Weights of a Gaussian around the middle of `kernel` taps; they sum to 1.
fn gaussian(kernel: usize, sigma: f32) -> Vec<f32> {
    let weight = |tap| {
        let distance = (tap as f32 - (kernel / 2) as f32) / sigma;
        (-0.5 * distance * distance).exp()
    };
    let weights: Vec<f32> = (0..kernel).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Where position `at` of a line padded by `radius` on both sides lies in the line of `side`.
fn mirror(at: usize, radius: usize, side: usize) -> usize {
    let inside = at.abs_diff(radius);
    if inside < side { inside } else { 2 * (side - 1) - inside }
}

/// `row` with `radius` mirrored pixels on both sides.
fn pad(row: &[f32], radius: usize, out: &mut [f32]) {
    for (at, value) in out.iter_mut().enumerate() {
        *value = row[mirror(at, radius, row.len())];
    }
}

/// The sum of `lines`, each times its weight.
fn weighted_sum<'a>(weights: &[f32], lines: impl Iterator<Item = &'a [f32]>, out: &mut [f32]) {
    out.fill(0.0);
    for (weight, line) in weights.iter().zip(lines) {
        for (sum, value) in out.iter_mut().zip(line) {
            *sum += weight * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::golden;

    #[test]
    fn blurs_are_those_of_torchvision() {
        let golden = golden::load();
        for case in &golden.blurs {
            let mut view = golden.view.planar();
            gaussian_blur(&mut view, golden.view.width, case.kernel, case.sigma);
            let name = format!("kernel {}, sigma {}", case.kernel, case.sigma);
            golden::assert_close(&name, &view, &case.result);
        }
    }

    #[test]
    fn kernels_are_a_tenth_of_the_side_and_odd() {
        let sizes = [8, 32, 64, 96, 224].map(kernel_size);
        assert_eq!(sizes, [3, 3, 7, 9, 23]);
    }

    #[test]
    fn the_mirror_does_not_repeat_the_edge() {
        let mut padded = [0.0; 7];
        pad(&[1.0, 2.0, 3.0], 2, &mut padded);
        assert_eq!(padded, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
    }
}
