//! Pooling against plain loops.

mod support;

use logo_ssl_cpu_kernels::{
    BackwardEpilogue, Gate, MaxPool, Workspace, average, average_backward, stored_channels,
};
use proptest::prelude::*;
use support::{Random, activations, distance, narrow, plain, widen};

const OPEN: BackwardEpilogue<'static, f32> =
    BackwardEpilogue { residual: None, gate: Gate::Open, norms: [None, None] };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn averages_agree_with_plain_loops(
        batch in 1..20usize,
        pixels in 1..30usize,
        channels in 1..40usize,
        seed: u64,
    ) {
        let mut random = Random(seed);
        let (x, exact) = activations::<f32>(&mut random, batch * pixels, channels);
        let mut expected = vec![0.0; batch * channels];
        for (at, x) in exact.iter().enumerate() {
            expected[at / (pixels * channels) * channels + at % channels] += x / pixels as f64;
        }
        let g = random.normals(batch * channels);
        for level in support::levels() {
            let found = average(level, &x, pixels, channels);
            prop_assert!(distance(&widen(&found), &expected) < 1e-5);
            let mut to = vec![0.0f32; x.len()];
            average_backward(level, &narrow(&g), channels, OPEN, &mut to, &Workspace::default());
            let spread: Vec<f64> = (0..batch * pixels * channels)
                .map(|at| g[at / (pixels * channels) * channels + at % channels] / pixels as f64)
                .collect();
            prop_assert!(distance(&plain(&to, channels), &spread) < 1e-5);
        }
    }

    #[test]
    fn max_pools_agree_with_plain_loops(
        batch in 1..4usize,
        height in 1..12usize,
        width in 1..12usize,
        channels in 1..20usize,
        seed: u64,
    ) {
        let mut random = Random(seed);
        let pool = MaxPool { height, width, channels };
        let [out_height, out_width] = pool.output_size();
        let (x, exact) = activations::<f32>(&mut random, batch * height * width, channels);
        let out_pixels = batch * out_height * out_width;
        let (g, exact_g) = activations::<f32>(&mut random, out_pixels, channels);
        let mut expected = vec![f64::NEG_INFINITY; out_pixels * channels];
        let mut expected_back = vec![0.0; exact.len()];
        for (at, best) in expected.iter_mut().enumerate() {
            let (pixel, c) = (at / channels, at % channels);
            let (row, column) = (pixel / out_width % out_height, pixel % out_width);
            let image = pixel / (out_width * out_height);
            let mut winner = 0;
            for h in (2 * row).saturating_sub(1)..(2 * row + 2).min(height) {
                for w in (2 * column).saturating_sub(1)..(2 * column + 2).min(width) {
                    let from = ((image * height + h) * width + w) * channels + c;
                    if exact[from] > *best {
                        (*best, winner) = (exact[from], from);
                    }
                }
            }
            expected_back[winner] += exact_g[at];
        }
        let mut out = vec![0.0f32; out_pixels * stored_channels(channels)];
        let mut winners = vec![0; out.len()];
        pool.forward(&x, &mut out, &mut winners);
        prop_assert_eq!(plain(&out, channels), expected);
        for level in support::levels() {
            let mut to = vec![0.0f32; x.len()];
            pool.backward(level, &g, &winners, OPEN, &mut to, &Workspace::default());
            prop_assert!(distance(&plain(&to, channels), &expected_back) < 1e-5);
        }
    }
}
