//! Everything at the portable level, on operands so small that Miri can run it:
//! `cargo +nightly miri test -p cpu-kernels --test portable`.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use logo_ssl_cpu_kernels::{
    BackwardEpilogue, Bank, ConvShape, Element, Gate, Level, Matrix, MaxPool, Normalisation,
    Shortcut, Workspace, average, average_backward, bf16, join, matmul, stored_channels,
};
use support::unit::{Unit, algorithms};
use support::*;

const LEVEL: Level = Level::Portable;

#[test]
fn convolutions_by_every_algorithm_agree_with_plain_loops() {
    for (kernel, stride) in [(3, 1), (3, 2), (1, 2)] {
        let (height, width, in_channels, out_channels) = (3, 4, 5, 17);
        let shape =
            ConvShape { height, width, in_channels, out_channels, kernel, stride, images: false };
        for algorithm in algorithms(&shape) {
            Unit { shape, batch: 2, seed: 7 }.check_both(algorithm, LEVEL);
        }
    }
}

#[test]
fn pools_and_joins_touch_what_is_theirs() {
    pools_and_joins::<f32>();
    pools_and_joins::<bf16>();
}

fn pools_and_joins<E: Element>() {
    let (height, width, channels) = (3, 4, 17);
    let pool = MaxPool { height, width, channels };
    let mut random = Random(3);
    let workspace = Workspace::default();
    let (x, _) = activations::<E>(&mut random, 2 * height * width, channels);
    let [zeros, ones] = [0.0, 1.0].map(|number| vec![number; channels]);
    let norm = Normalisation::of_running(&zeros, &ones, &ones, &zeros);
    let norms = [Some((&x[..], &norm)), Some((&x[..], &norm))];
    let epilogue = BackwardEpilogue { residual: Some(&x[..]), gate: Gate::Input(&x, &norm), norms };
    let mut to = vec![E::default(); x.len()];

    let features = average(LEVEL, &x, height * width, channels);
    let sums = average_backward(LEVEL, &features, channels, epilogue, &mut to, &workspace);
    assert_eq!(sums.dots.each_ref().map(Vec::len), [stored_channels(channels); 2]);

    let mut out = vec![E::default(); 2 * pool.output_len()];
    let mut winners = vec![0; out.len()];
    pool.forward(&x, &mut out, &mut winners);
    let sums = pool.backward(LEVEL, &out, &winners, epilogue, &mut to, &workspace);
    assert_eq!(sums.sum.len(), stored_channels(channels));

    for shortcut in [Shortcut::None, Shortcut::Identity(&x), Shortcut::Projection(&x, &norm)] {
        join(LEVEL, &x, &norm, shortcut, &mut to);
        assert!(to.iter().all(|x| x.to_f32() >= 0.0));
    }
}

#[test]
fn products_of_odd_sizes_agree_with_plain_loops() {
    let [m, n, k] = [5, 18, 7];
    let mut random = Random(5);
    let (a, b) = (random.normals(m * k), random.normals(k * n));
    let mut expected = vec![0.0; m * n];
    for (at, c) in expected.iter_mut().enumerate() {
        *c = (0..k).map(|i| a[at / n * k + i] * b[i * n + at % n]).sum();
    }
    let mut turned = vec![0.0; k * n];
    for (at, number) in b.iter().enumerate() {
        turned[at % n * k + at / n] = *number;
    }
    let (a, b, turned) = (narrow(&a), narrow(&b), narrow(&turned));
    for b in [Matrix::plain(&b), Matrix::transposed(&turned)] {
        let mut c = vec![0.0; m * n];
        let workspace = Workspace::default();
        matmul(LEVEL, [m, n, k], Matrix::plain(&a), b, &mut c, false, &workspace);
        assert!(distance(&widen(&c), &expected) < 1e-6);
    }
}

#[test]
fn every_row_of_a_bank_is_nearest_to_itself() {
    let (rows, dim) = (21, 6);
    let mut numbers = vec![0.0; rows * dim];
    for (row, numbers) in numbers.chunks_mut(dim).enumerate() {
        let angle = row as f32 / rows as f32 * std::f32::consts::TAU;
        (numbers[row % 3], numbers[3 + row % 3]) = (angle.cos(), angle.sin());
    }
    let bank = Bank::new(LEVEL, &numbers, dim);
    let visited = AtomicUsize::new(0);
    let nearest = bank.nearest(&numbers, 2, |_, nearest| {
        visited.fetch_add(1, Ordering::Relaxed);
        nearest[0].1 as usize
    });
    assert!(nearest.into_iter().eq(0..rows));
    assert_eq!(visited.into_inner(), rows);
}
