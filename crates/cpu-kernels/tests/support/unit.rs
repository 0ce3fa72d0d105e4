//! A residual unit's convolution with all that surrounds it, held to plain f64 loops.

use logo_ssl_cpu_kernels::{
    Algorithm, BackwardEpilogue, Conv, ConvShape, Element, Gate, Input, InputGradient, Level,
    Normalisation, OutputGradient, bf16,
};

use super::*;

/// A residual unit's convolution: ReLU(BN(u)) in, y out, and back from the gradient behind y's batch
/// norm to those of the weights and of BN(u).
pub struct Unit {
    pub shape: ConvShape,
    pub batch: usize,
    pub seed: u64,
}

/// Relative errors by norm.
#[derive(Debug, Default)]
struct Errors(Vec<(&'static str, f64)>);

impl Unit {
    fn check<E: Element>(&self, algorithm: Algorithm, level: Level) -> Errors {
        let Unit { shape, batch, seed } = *self;
        let [height, width] = shape.output_size();
        let (in_pixels, out_pixels) = (batch * shape.height * shape.width, batch * height * width);
        let (cin, cout) = (shape.in_channels, shape.out_channels);
        let mut random = Random(seed);
        let workspace = poisoned();
        let conv = Conv::with(algorithm, shape, level);

        let (u, u_plain) = activations::<E>(&mut random, in_pixels, cin);
        let gamma = random.normals(cin).iter().map(|g| 1.0 + 0.1 * g).collect::<Vec<_>>();
        let beta = random.normals(cin);
        let (mean, variance) = moments(&u_plain, cin);
        let before = Normalisation::of_running(
            &narrow(&mean),
            &narrow(&variance),
            &narrow(&gamma),
            &narrow(&beta),
        );
        let normalised: Vec<f64> = u_plain
            .iter()
            .enumerate()
            .map(|(at, u)| {
                let c = at % cin;
                (u - mean[c]) / (variance[c] + logo_ssl_cpu_kernels::EPSILON).sqrt() * gamma[c]
                    + beta[c]
            })
            .collect();
        let x: Vec<f64> = normalised.iter().map(|x| x.max(0.0)).collect();
        let scale = 1.0 / ((cin * shape.kernel * shape.kernel) as f64).sqrt();
        let weight: Vec<f32> =
            random.normals(shape.weight_len()).iter().map(|w| (w * scale) as f32).collect();

        // Forward.
        let mut y = vec![E::default(); batch * shape.output_len()];
        let found = conv.forward(Input::Normalised(&u, &before), &weight, &mut y, &workspace);
        let mut y_expected = vec![0.0; out_pixels * cout];
        for_each_product(&shape, batch, |o, i, w| y_expected[o] += x[i] * f64::from(weight[w]));
        let y_plain = plain(&y, cout);
        let mut errors = Errors::default();
        errors.0.push(("y", distance(&y_plain, &y_expected)));
        let (y_mean, y_variance) = moments(&y_plain, cout);
        let found_variance: Vec<f64> = (0..cout).map(|c| found.variance(c)).collect();
        let spread: Vec<f64> = y_variance.iter().map(|v| v.sqrt()).collect();
        // A mean can be next to nothing, so it is measured beside the spread.
        let beside = |mean: &[f64]| [mean, &spread].concat();
        errors.0.push(("mean", distance(&beside(&found.mean[..cout]), &beside(&y_mean))));
        errors.0.push(("variance", distance(&found_variance, &y_variance)));

        // Back through a batch norm, of other numbers than y: through y's own, the gradient of a
        // filter is what remains of large terms that cancel, for batch norm ignores its scale.
        let (y, y_plain) = activations::<E>(&mut random, out_pixels, cout);
        let found = batch_moments(&y_plain, cout);
        let out_gamma: Vec<f64> = random.normals(cout).iter().map(|g| 1.0 + 0.1 * g).collect();
        let norm = Normalisation::of_batch(&found, &narrow(&out_gamma), &vec![0.0; cout]);
        let (g, g_plain) = activations::<E>(&mut random, out_pixels, cout);
        let (dy, d_gamma, d_beta) = norm_gradient(&g_plain, &y_plain, &out_gamma);
        let sums = gradient_sums(&g_plain, &y_plain, &norm, cout);
        let through = norm.gradient(&sums, 0, cout);
        // Sums of terms of either sign, which may cancel: relative to their usual size.
        let usual = (out_pixels as f64).sqrt();
        let near = |a: &[f32], b: &[f64]| {
            let from_usual = |sums: Vec<f64>| sums.iter().map(|s| s + usual).collect::<Vec<_>>();
            distance(&from_usual(widen(a)), &from_usual(b.to_vec()))
        };
        errors.0.push(("dγ", near(&through.gamma, &d_gamma)));
        errors.0.push(("dβ", near(&through.beta, &d_beta)));

        // The convolution's gradients, with a residual and through ReLU.
        let (residual, residual_plain) = activations::<E>(&mut random, in_pixels, cin);
        let mut dx = vec![E::default(); u.len()];
        let mut dw = vec![0.0; weight.len()];
        let found = conv.backward(
            Input::Normalised(&u, &before),
            OutputGradient { g: &g, y: &y, through: &through.through },
            &weight,
            Some(InputGradient {
                epilogue: BackwardEpilogue {
                    residual: Some(&residual),
                    gate: Gate::Input(&u, &before),
                    norms: [Some((&u, &before)), None],
                },
                to: &mut dx,
            }),
            &mut dw,
            &workspace,
        );
        let mut dw_expected = vec![0.0; shape.weight_len()];
        let mut dx_expected = residual_plain;
        for_each_product(&shape, batch, |o, i, w| {
            dw_expected[w] += dy[o] * x[i];
            dx_expected[i] += dy[o] * f64::from(weight[w]);
        });
        // Where the ReLU's input is within rounding of zero, either side is right.
        let dx_plain = plain(&dx, cin);
        for (at, expected) in dx_expected.iter_mut().enumerate() {
            if normalised[at].abs() < 1e-6 {
                *expected = dx_plain[at];
            } else if normalised[at] < 0.0 {
                *expected = 0.0;
            }
        }
        errors.0.push(("dw", distance(&widen(&dw), &dw_expected)));
        errors.0.push(("dx", distance(&dx_plain, &dx_expected)));
        let sums = found.expect("the input's gradient was wanted");
        let sum = |f: &dyn Fn(usize) -> f64| {
            let mut sums = vec![0.0; cin];
            for at in 0..dx_plain.len() {
                sums[at % cin] += f(at);
            }
            sums
        };
        // Nothing at all comes through where every ReLU is closed.
        let size = dx_plain.iter().map(|g| g * g).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        let near = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() / size
        };
        errors.0.push(("Σg", near(&sums.sum[..cin], &sum(&|at| dx_plain[at]))));
        let dots = sum(&|at| dx_plain[at] * (u_plain[at] - mean[at % cin]));
        errors.0.push(("Σgy", near(&sums.dots[0][..cin], &dots)));
        errors
    }
}

impl Unit {
    /// In either precision, as far as the algorithm has it.
    pub fn check_both(&self, algorithm: Algorithm, level: Level) {
        let Self { shape, batch, .. } = self;
        let context = format!("{shape:?}, batch {batch}, {level}, {algorithm:?}");
        if algorithm != Algorithm::Bf16Dot {
            self.check::<f32>(algorithm, level).assert_below(1e-5, &context);
        }
        self.check::<bf16>(algorithm, level).assert_below(1e-2, &context);
    }
}

pub fn stored(channels: usize) -> usize {
    logo_ssl_cpu_kernels::stored_channels(channels)
}

impl Errors {
    fn assert_below(&self, limit: f64, context: &str) {
        for (what, error) in &self.0 {
            assert!(error < &limit, "{what} is off by {error:.2e} (limit {limit:.0e}): {context}");
        }
    }
}

pub fn algorithms(shape: &ConvShape) -> Vec<Algorithm> {
    use Algorithm::*;
    let all = [Direct, Winograd2, Winograd4, Winograd4Strided, Bf16Dot];
    all.into_iter().filter(|algorithm| algorithm.suits(shape)).collect()
}
