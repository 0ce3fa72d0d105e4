//! Convolutions with all that surrounds them against plain f64 loops: random shapes, odd sizes,
//! channels that fill no vector, a single image; every level this processor has, every algorithm,
//! both storage types.

mod support;

use logo_ssl_cpu_kernels::{Conv, ConvShape, Input, Level, Normalisation, OutputGradient};
use proptest::prelude::*;
use support::unit::{Unit, algorithms, stored};
use support::*;

fn shapes() -> impl Strategy<Value = ConvShape> {
    let kernels = prop_oneof![Just((3, 1)), Just((3, 2)), Just((1, 1)), Just((1, 2)), Just((7, 2))];
    (1..12usize, 1..12usize, 1..40usize, 1..40usize, kernels).prop_map(
        |(height, width, in_channels, out_channels, (kernel, stride))| ConvShape {
            height,
            width,
            in_channels,
            out_channels,
            kernel,
            stride,
            images: false,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_shape_agrees_with_plain_loops(shape in shapes(), batch in 1..5usize, seed: u64) {
        // Batch norm over fewer numbers is ill-conditioned whoever computes it.
        let [height, width] = shape.output_size();
        prop_assume!(batch * height * width >= 8);
        let unit = Unit { shape, batch, seed };
        for level in levels() {
            for algorithm in algorithms(&shape) {
                unit.check_both(algorithm, level);
            }
        }
    }
}

/// The shapes a ResNet is made of, larger than the random ones.
#[test]
fn the_shapes_of_a_resnet_agree_with_plain_loops() {
    let shape = |size, cin, cout, kernel, stride| ConvShape {
        height: size,
        width: size,
        in_channels: cin,
        out_channels: cout,
        kernel,
        stride,
        images: false,
    };
    let shapes = [
        shape(32, 16, 16, 3, 1),
        shape(32, 16, 32, 3, 2),
        shape(32, 16, 32, 1, 2),
        shape(8, 64, 64, 3, 1),
        shape(4, 128, 128, 3, 1),
        shape(7, 80, 48, 3, 1),
        shape(2, 128, 128, 3, 1),
        shape(1, 32, 32, 3, 1),
    ];
    for shape in shapes {
        let unit = Unit { shape, batch: 9, seed: 7 };
        for algorithm in algorithms(&shape) {
            for level in levels().into_iter().filter(|level| *level != Level::Portable) {
                unit.check_both(algorithm, level);
            }
        }
    }
}

/// The stem reads images `[batch, 3, height, width]` and gives gradients to its weights alone.
#[test]
fn a_stem_over_images_agrees_with_plain_loops() {
    for (kernel, stride, size) in [(3, 1, 8), (7, 2, 15), (3, 1, 5)] {
        let shape = ConvShape {
            height: size,
            width: size + 2,
            in_channels: 3,
            out_channels: 20,
            kernel,
            stride,
            images: true,
        };
        let batch = 3;
        let pixels = shape.height * shape.width;
        let mut random = Random(11);
        let images = narrow(&random.normals(batch * 3 * pixels));
        let weight = narrow(&random.normals(shape.weight_len()));
        let x: Vec<f64> = (0..batch * pixels * 3)
            .map(|at| {
                let (pixel, c) = (at / 3, at % 3);
                f64::from(images[(pixel / pixels * 3 + c) * pixels + pixel % pixels])
            })
            .collect();
        for level in levels() {
            let conv = Conv::new::<f32>(shape, level);
            let workspace = poisoned();
            let mut y = vec![0f32; batch * shape.output_len()];
            let found = conv.forward(Input::Images(&images), &weight, &mut y, &workspace);
            let mut expected = vec![0.0; y.len() / stored(20) * 20];
            for_each_product(&shape, batch, |o, i, w| expected[o] += x[i] * f64::from(weight[w]));
            assert!(distance(&plain(&y, 20), &expected) < 1e-5);

            let norm = Normalisation::of_batch(&found, &[1.0; 20], &[0.0; 20]);
            let out_pixels = y.len() / stored(20);
            let (g, g_plain) = activations::<f32>(&mut random, out_pixels, 20);
            let sums = gradient_sums(&g_plain, &plain(&y, 20), &norm, 20);
            let through = norm.gradient(&sums, 0, 20);
            let gradient = OutputGradient { g: &g, y: &y, through: &through.through };
            let mut found = vec![0.0; weight.len()];
            let input = Input::Images(&images);
            conv.backward(input, gradient, &weight, None, &mut found, &workspace);
            let (dy, _, _) = norm_gradient(&g_plain, &expected, &[1.0; 20]);
            let mut dw = vec![0.0; weight.len()];
            for_each_product(&shape, batch, |o, i, w| dw[w] += dy[o] * x[i]);
            let error = distance(&widen(&found), &dw);
            assert!(error < 1e-5, "{error:.2e} {kernel} {level}");
        }
    }
}
