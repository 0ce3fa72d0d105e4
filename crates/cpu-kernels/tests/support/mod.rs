//! A residual unit in plain f64 loops, and random operands for it.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod unit;

use logo_ssl_cpu_kernels::{
    ConvShape, Element, GradientSums, Level, Moments, Normalisation, Workspace, stored_channels,
};

/// A small random generator (Steele et al., 2014): tests need no better one.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Roughly normal.
    pub fn normal(&mut self) -> f64 {
        (0..6).map(|_| (self.bits() >> 11) as f64 / (1u64 << 53) as f64 - 0.5).sum::<f64>() * 1.4
    }

    pub fn normals(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.normal()).collect()
    }
}

/// Activations `[batch, height, width, channels]` as stored, with zeros for the padding channels,
/// and the same numbers, rounded as stored, without them.
pub fn activations<E: Element>(
    random: &mut Random,
    pixels: usize,
    channels: usize,
) -> (Vec<E>, Vec<f64>) {
    let stored = stored_channels(channels);
    let mut padded = vec![E::default(); pixels * stored];
    let mut plain = vec![0.0; pixels * channels];
    for pixel in 0..pixels {
        for c in 0..channels {
            let value = E::from_f32(random.normal() as f32);
            padded[pixel * stored + c] = value;
            plain[pixel * channels + c] = f64::from(value.to_f32());
        }
    }
    (padded, plain)
}

/// Buffers full of what no kernel may read.
pub fn poisoned() -> Workspace {
    let workspace = Workspace::default();
    let sizes = (6..20).flat_map(|bits| [1 << bits; 4]);
    let mut buffers: Vec<_> = sizes.map(|len| workspace.take::<f32>(len)).collect();
    buffers.iter_mut().for_each(|buffer| buffer.fill(f32::NAN));
    drop(buffers);
    workspace
}

/// Stored activations without their padding channels.
pub fn plain<E: Element>(stored: &[E], channels: usize) -> Vec<f64> {
    let pixels = stored.chunks(stored_channels(channels));
    pixels.flat_map(|p| p[..channels].iter().map(|x| f64::from(x.to_f32()))).collect()
}

/// ‖a - b‖ / ‖b‖
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |xs: &mut dyn Iterator<Item = f64>| xs.map(|x| x * x).sum::<f64>().sqrt();
    let norm = square(&mut b.iter().copied());
    square(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm.max(1e-30)
}

pub fn widen(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

pub fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

/// Every (output, input, weight) triple of a convolution: indices into channels-last activations
/// and `[out, in, kernel, kernel]`.
pub fn for_each_product(shape: &ConvShape, batch: usize, mut f: impl FnMut(usize, usize, usize)) {
    let [out_height, out_width] = shape.output_size();
    let (k, p) = (shape.kernel, shape.kernel / 2);
    for n in 0..batch {
        for i in 0..out_height {
            for j in 0..out_width {
                for r in 0..k {
                    for s in 0..k {
                        let (h, w) = (i * shape.stride + r, j * shape.stride + s);
                        if h < p || w < p || h - p >= shape.height || w - p >= shape.width {
                            continue;
                        }
                        let x =
                            ((n * shape.height + h - p) * shape.width + w - p) * shape.in_channels;
                        let y = ((n * out_height + i) * out_width + j) * shape.out_channels;
                        for o in 0..shape.out_channels {
                            for c in 0..shape.in_channels {
                                let weight = ((o * shape.in_channels + c) * k + r) * k + s;
                                f(y + o, x + c, weight);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Mean and biased variance of each channel.
pub fn moments(y: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (y.len() / channels) as f64;
    let mean: Vec<f64> =
        (0..channels).map(|c| y.iter().skip(c).step_by(channels).sum::<f64>() / count).collect();
    let variance = (0..channels).map(|c| {
        y.iter().skip(c).step_by(channels).map(|y| (y - mean[c]).powi(2)).sum::<f64>() / count
    });
    (mean.clone(), variance.collect())
}

/// The same as a convolution's forward pass returns them.
pub fn batch_moments(y: &[f64], channels: usize) -> Moments {
    let count = y.len() / channels;
    let (mean, variance) = moments(y, channels);
    Moments { count, mean, deviation: variance.iter().map(|v| v * count as f64).collect() }
}

/// The sums of a gradient for the one normalisation before it, as a convolution's backward pass returns them.
pub fn gradient_sums(g: &[f64], y: &[f64], norm: &Normalisation, channels: usize) -> GradientSums {
    let (mut sum, mut dot) = (vec![0.0; channels], vec![0.0; channels]);
    for (at, (g, y)) in g.iter().zip(y).enumerate() {
        let c = at % channels;
        sum[c] += g;
        dot[c] += g * (y - f64::from(norm.mean()[c]));
    }
    GradientSums { sum, dots: [dot, vec![]] }
}

/// Batch norm's gradient to its input, and those of γ and β.
pub fn norm_gradient(g: &[f64], y: &[f64], gamma: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let channels = gamma.len();
    let count = (y.len() / channels) as f64;
    let (mean, variance) = moments(y, channels);
    let inverse: Vec<f64> =
        variance.iter().map(|v| 1.0 / (v + logo_ssl_cpu_kernels::EPSILON).sqrt()).collect();
    let (mut d_gamma, mut d_beta) = (vec![0.0; channels], vec![0.0; channels]);
    for (at, (g, y)) in g.iter().zip(y).enumerate() {
        let c = at % channels;
        d_gamma[c] += g * (y - mean[c]) * inverse[c];
        d_beta[c] += g;
    }
    let dy = g.iter().zip(y).enumerate().map(|(at, (g, y))| {
        let c = at % channels;
        let normalised = (y - mean[c]) * inverse[c];
        gamma[c] * inverse[c] * (g - d_beta[c] / count - normalised * d_gamma[c] / count)
    });
    (dy.collect(), d_gamma, d_beta)
}

/// What `work` returns on so many threads.
pub fn on<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// The levels to test: all this processor has.
pub fn levels() -> Vec<Level> {
    Level::available()
}
