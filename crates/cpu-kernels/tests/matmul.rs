//! Matrix products against plain f64 loops.

mod support;

use logo_ssl_cpu_kernels::{Level, Matrix, Workspace, matmul};
use proptest::prelude::*;
use support::*;

/// `rows` × `columns` numbers, transposed.
fn turned(numbers: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| numbers.iter().skip(c).step_by(columns).copied()).collect()
}

struct Operands {
    size: [usize; 3],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Operands {
    fn new(size: [usize; 3], seed: u64) -> Self {
        let ([m, n, k], mut random) = (size, Random(seed));
        let mut numbers = |count| narrow(&random.normals(count));
        Self { size, a: numbers(m * k), b: numbers(k * n), c: numbers(m * n) }
    }

    fn plain(&self, accumulate: bool) -> Vec<f64> {
        let [m, n, k] = self.size;
        let mut c = if accumulate { widen(&self.c) } else { vec![0.0; m * n] };
        for i in 0..m {
            for p in 0..k {
                for j in 0..n {
                    c[i * n + j] += f64::from(self.a[i * k + p]) * f64::from(self.b[p * n + j]);
                }
            }
        }
        c
    }

    fn product(&self, level: Level, transposed: [bool; 2], accumulate: bool) -> Vec<f32> {
        let [_, n, k] = self.size;
        let [turned_a, turned_b] = [turned(&self.a, k), turned(&self.b, n)];
        let of = |transposed, plain, turned| match transposed {
            false => Matrix::plain(plain),
            true => Matrix::transposed(turned),
        };
        let a = of(transposed[0], &self.a, &turned_a);
        let b = of(transposed[1], &self.b, &turned_b);
        let mut c = self.c.clone();
        matmul(level, self.size, a, b, &mut c, accumulate, &poisoned());
        c
    }
}

const FORMS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

fn sizes(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![0..20usize, 0..most]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_product_agrees_with_plain_loops(
        m in sizes(150),
        n in sizes(300),
        k in sizes(550),
        accumulate: bool,
        seed: u64,
    ) {
        let operands = Operands::new([m, n, k], seed);
        let expected = operands.plain(accumulate);
        for level in levels() {
            for form in FORMS {
                let found = operands.product(level, form, accumulate);
                let error = distance(&widen(&found), &expected);
                prop_assert!(error < 1e-5, "{error:.2e} {level} {form:?}");
            }
        }
    }
}

#[test]
fn the_same_bytes_whatever_the_threads_and_the_form() {
    let operands = Operands::new([130, 530, 700], 3);
    let product = |threads: usize, form| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| operands.product(Level::chosen().unwrap(), form, true))
    };
    let one = product(1, FORMS[0]);
    for threads in [2, 5] {
        for form in FORMS {
            assert!(product(threads, form) == one, "{threads} threads, {form:?}");
        }
    }
}

#[test]
#[should_panic(expected = "b is k × n")]
fn operands_of_another_size_are_refused() {
    let numbers = [0.0; 6];
    let a = Matrix::plain(&numbers);
    matmul(Level::Portable, [2, 3, 3], a, a, &mut [0.0; 6], false, &Workspace::default());
}
