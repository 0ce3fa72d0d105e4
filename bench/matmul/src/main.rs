//! Matrix products of the heads, ours and the `gemm` crate's in turns, in GFLOP/s of the shortest time:
//! `cargo run --release --manifest-path bench/matmul/Cargo.toml -- [ROUNDS]`.

use std::time::Instant;

use cpu_kernels::{Level, Matrix, Workspace, matmul};
use gemm::Parallelism;

/// m, n, k, and whether a and b lie transposed.
const CASES: [([usize; 3], [bool; 2]); 14] = [
    ([512, 2048, 512], [false, true]),
    ([512, 2048, 2048], [false, true]),
    ([512, 512, 2048], [false, true]),
    ([1024, 64, 4096], [false, true]),
    ([256, 128, 128], [false, true]),
    ([512, 4096, 128], [false, true]),
    // The same layers' gradients of inputs,
    ([512, 512, 2048], [false, false]),
    ([512, 2048, 2048], [false, false]),
    ([512, 2048, 512], [false, false]),
    ([256, 128, 128], [false, false]),
    // and of weights.
    ([2048, 512, 512], [true, false]),
    ([2048, 2048, 512], [true, false]),
    ([512, 2048, 512], [true, false]),
    ([128, 128, 256], [true, false]),
];

fn main() {
    let rounds = std::env::args().nth(1).map_or(9, |n| n.parse().expect("a number"));
    let level = Level::chosen().expect("a level");
    println!("{level}, {} threads", rayon::current_num_threads());
    for (size, form) in CASES {
        // On a thread of the pool, as a pass through a network is.
        let [ours, theirs] = rayon::scope(|_| compare(level, size, form, rounds));
        println!("{size:?} {form:?}: {ours:.0}, gemm {theirs:.0}; ratio {:.2}", ours / theirs);
    }
}

fn compare(level: Level, [m, n, k]: [usize; 3], form: [bool; 2], rounds: usize) -> [f64; 2] {
    let numbers = |len: usize| (0..len).map(|at| (at % 17) as f32 * 0.1 - 0.7).collect::<Vec<_>>();
    let (a, b) = (numbers(m * k), numbers(k * n));
    let (mut c, mut d) = (vec![0.0; m * n], vec![0.0; m * n]);
    let workspace = Workspace::default();
    let [left, right] =
        [(&a, form[0]), (&b, form[1])].map(|(numbers, transposed)| Matrix { numbers, transposed });
    let mut seconds = [f64::INFINITY; 2];
    let repeat = (2e8 / (2 * m * n * k) as f64).ceil() as usize;
    for _ in 0..rounds {
        let start = Instant::now();
        for _ in 0..repeat {
            matmul(level, [m, n, k], left, right, &mut c, false, &workspace);
        }
        seconds[0] = seconds[0].min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        for _ in 0..repeat {
            theirs([m, n, k], [&a, &b], form, &mut d);
        }
        seconds[1] = seconds[1].min(start.elapsed().as_secs_f64());
    }
    assert!(c.iter().zip(&d).all(|(c, d)| (c - d).abs() < 1e-2 + 1e-4 * d.abs()), "they differ");
    seconds.map(|seconds| (2 * m * n * k * repeat) as f64 / seconds / 1e9)
}

fn theirs([m, n, k]: [usize; 3], [a, b]: [&[f32]; 2], form: [bool; 2], c: &mut [f32]) {
    // Column and row strides.
    let strides = |transposed, rows, columns| match transposed {
        false => (1, columns as isize),
        true => (rows as isize, 1),
    };
    let ((a_columns, a_rows), (b_columns, b_rows)) =
        (strides(form[0], m, k), strides(form[1], k, n));
    // SAFETY: the slices hold matrices of these sizes and strides.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.as_ptr(),
            a_columns,
            a_rows,
            b.as_ptr(),
            b_columns,
            b_rows,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::Rayon(0),
        );
    }
}
