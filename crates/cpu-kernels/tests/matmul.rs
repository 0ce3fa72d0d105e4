//! Matrix products against plain f64 loops.

mod support;

use logo_ssl_cpu_kernels::{Level, Matrix, Workspace, bf16, matmul, matmul_bf16};
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
        let mut c = self.c.clone();
        self.in_form(transposed, |a, b| {
            matmul(level, self.size, a, b, &mut c, accumulate, &poisoned())
        });
        c
    }

    fn rounded_product(&self, level: Level, transposed: [bool; 2]) -> Vec<f32> {
        let mut c = self.c.clone();
        self.in_form(transposed, |a, b| {
            matmul_bf16(level, self.size, a, b, &mut c, &poisoned());
        });
        c
    }

    fn in_form(&self, transposed: [bool; 2], multiply: impl FnOnce(Matrix<'_>, Matrix<'_>)) {
        let [_, n, k] = self.size;
        let [turned_a, turned_b] = [turned(&self.a, k), turned(&self.b, n)];
        let of = |transposed, plain, turned| match transposed {
            false => Matrix::plain(plain),
            true => Matrix::transposed(turned),
        };
        multiply(of(transposed[0], &self.a, &turned_a), of(transposed[1], &self.b, &turned_b));
    }

    /// The same operands, rounded to bfloat16.
    fn rounded(&self) -> Self {
        let rounded = |numbers: &[f32]| -> Vec<f32> {
            numbers.iter().map(|x| bf16::from_f32(*x).to_f32()).collect()
        };
        Self { size: self.size, a: rounded(&self.a), b: rounded(&self.b), c: self.c.clone() }
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

    #[test]
    fn any_product_in_bfloat16_is_that_of_the_rounded_operands(
        m in sizes(150),
        n in sizes(300),
        k in sizes(1100),
        seed: u64,
    ) {
        let operands = Operands::new([m, n, k], seed);
        let expected = operands.rounded().plain(false);
        for level in levels() {
            for form in FORMS {
                let found = operands.rounded_product(level, form);
                let error = distance(&widen(&found), &expected);
                prop_assert!(error < 1e-5, "{error:.2e} {level} {form:?}");
            }
        }
    }
}

#[test]
fn a_product_in_bfloat16_of_several_tasks() {
    let operands = Operands::new([530, 270, 70], 5);
    let expected = operands.rounded().plain(false);
    let level = Level::chosen().unwrap();
    let product = |threads, form| on(threads, || operands.rounded_product(level, form));
    let one = product(1, FORMS[0]);
    let error = distance(&widen(&one), &expected);
    assert!(error < 1e-5, "{error:.2e}");
    for threads in [2, 5] {
        for form in FORMS {
            assert!(product(threads, form) == one, "{threads} threads, {form:?}");
        }
    }
}

#[test]
fn the_same_bytes_whatever_the_threads_and_the_form() {
    let operands = Operands::new([130, 530, 700], 3);
    let level = Level::chosen().unwrap();
    let product = |threads, form| on(threads, || operands.product(level, form, true));
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
