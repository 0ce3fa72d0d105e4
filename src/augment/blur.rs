//! Gaussian blur, as torchvision's `gaussian_blur` on float tensors.

/// The kernel's size for a view of `side` pixels: a tenth of it, odd, at least 3 (SimCLR's choice:
/// 23 at 224 pixels).
pub(super) fn kernel_size(side: usize) -> usize {
    ((side / 10) | 1).max(3)
}

/// Weights below this add nothing to a sum of numbers near 1 in f32.
const NEGLIGIBLE: f32 = 1e-8;
/// Sums that are kept in registers at a time.
const LANES: usize = 32;

/// Blurs a planar view `[3, side, side]` in place with a Gaussian of deviation `sigma` pixels, cut
/// off to `kernel` taps. Beyond its edges the view is mirrored, the edge itself not repeated.
///
/// # Panics
/// If `kernel` is even, or half of it reaches further than `side - 1` pixels.
#[inline(always)]
pub(super) fn gaussian_blur(view: &mut [f32], side: usize, kernel: usize, sigma: f32) {
    assert!(kernel % 2 == 1, "a kernel has a middle");
    assert!(kernel / 2 < side, "a mirror shows no more than the view");
    let taps = gaussian(kernel, sigma);
    let radius = taps.len() / 2;
    let mut rows = vec![0.0; side * side];
    let mut padded = vec![0.0; side + 2 * radius];
    for plane in view.chunks_exact_mut(side * side) {
        for (row, out) in plane.chunks_exact(side).zip(rows.chunks_exact_mut(side)) {
            pad(row, radius, &mut padded);
            weighted_sum(&taps, |tap| &padded[tap..], out);
        }
        for (y, out) in plane.chunks_exact_mut(side).enumerate() {
            weighted_sum(&taps, |tap| &rows[mirror(y + tap, radius, side) * side..], out);
        }
    }
}

/// Weights of a Gaussian around the middle of `kernel` taps, without those at either end that add
/// nothing; they sum to 1.
fn gaussian(kernel: usize, sigma: f32) -> Vec<f32> {
    let weight = |tap| {
        let distance = (tap as f32 - (kernel / 2) as f32) / sigma;
        (-0.5 * distance * distance).exp()
    };
    let mut weights: Vec<f32> = (0..kernel).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    let idle = weights.iter().take(kernel / 2).take_while(|&&weight| weight < NEGLIGIBLE).count();
    weights[idle..kernel - idle].to_vec()
}

/// Where position `at` of a line padded by `radius` on both sides lies in the line of `side`.
#[inline(always)]
fn mirror(at: usize, radius: usize, side: usize) -> usize {
    let inside = at.abs_diff(radius);
    if inside < side { inside } else { 2 * (side - 1) - inside }
}

/// `row` with `radius` mirrored pixels on both sides.
#[inline(always)]
fn pad(row: &[f32], radius: usize, out: &mut [f32]) {
    let side = row.len();
    out[radius..radius + side].copy_from_slice(row);
    for at in 0..radius {
        out[at] = row[mirror(at, radius, side)];
        let end = radius + side + at;
        out[end] = row[mirror(end, radius, side)];
    }
}

/// The sum of lines, each times its weight. `line` gives those of `out`'s length or more.
#[inline(always)]
fn weighted_sum<'a>(weights: &[f32], line: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    let whole = out.len() / LANES * LANES;
    let (blocks, rest) = out.split_at_mut(whole);
    for (block, out) in blocks.chunks_exact_mut(LANES).enumerate() {
        let mut sums = [0.0; LANES];
        for (tap, weight) in weights.iter().enumerate() {
            let values = &line(tap)[block * LANES..][..LANES];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += weight * value;
            }
        }
        out.copy_from_slice(&sums);
    }
    for (at, out) in rest.iter_mut().enumerate() {
        let products =
            weights.iter().enumerate().map(|(tap, weight)| weight * line(tap)[whole + at]);
        *out = products.sum();
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
