//! What the tests share: random tensors, and programs held against the evaluator in double precision.

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::sync::{Arc, OnceLock};

use graph::{Element, Node, Program, Type};
use half::bf16;
use logo_ssl_cpu_executor::{Data, Engine, Executable, Levels, Tensor};

pub(crate) fn engine() -> Arc<Engine> {
    static ENGINE: OnceLock<Arc<Engine>> = OnceLock::new();
    Arc::clone(ENGINE.get_or_init(|| Arc::new(Engine::new(Levels::chosen().unwrap()))))
}

/// Numbers that look random.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 >> 32) ^ self.0;
        mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Eighths from -2 to 2, which every type of numbers has.
    pub(crate) fn number(&mut self) -> f64 {
        self.below(33) as f64 / 8.0 - 2.0
    }

    pub(crate) fn tensor(&mut self, ty: &Type) -> Tensor {
        let len = ty.len();
        let shape = ty.shape.clone();
        match ty.element {
            Element::F32 => {
                Tensor::f32(shape, (0..len).map(|_| self.number() as f32).collect::<Vec<_>>())
            }
            Element::Bf16 => {
                let number = |_| bf16::from_f64(self.number());
                Tensor::bf16(shape, (0..len).map(number).collect::<Vec<_>>())
            }
            Element::S32 => {
                Tensor::s32(shape, (0..len).map(|_| self.below(9) as i32 - 4).collect::<Vec<_>>())
            }
            Element::U8 => {
                Tensor::u8(shape, (0..len).map(|_| self.below(12) as u8).collect::<Vec<_>>())
            }
            Element::Pred => {
                Tensor::pred(shape, (0..len).map(|_| self.below(2) == 1).collect::<Vec<_>>())
            }
        }
    }
}

pub(crate) fn doubles(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        Data::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
        Data::S32(x) => x.iter().map(|&x| f64::from(x)).collect(),
        Data::Pred(x) => x.iter().map(|&x| f64::from(u8::from(x))).collect(),
        Data::U8(x) => x.iter().map(|&x| f64::from(x)).collect(),
        Data::Bf16(x) => x.iter().map(|x| x.to_f64()).collect(),
    }
}

pub(crate) fn inputs(program: &Program, random: &mut Random) -> Vec<Arc<Tensor>> {
    program.inputs().iter().map(|input| Arc::new(random.tensor(&input.ty))).collect()
}

pub(crate) fn run(program: &Program, inputs: Vec<Arc<Tensor>>) -> Vec<Arc<Tensor>> {
    Executable::new(program, engine()).unwrap().run(inputs).unwrap()
}

/// Every element of every output against the evaluator's, within `tolerance` of the largest.
#[track_caller]
pub(crate) fn assert_close(
    program: &Program,
    inputs: &[Arc<Tensor>],
    outputs: &[Arc<Tensor>],
    tolerance: f64,
) {
    let given: Vec<Vec<f64>> = inputs.iter().map(|tensor| doubles(tensor)).collect();
    let expected = graph::evaluate(program, &given);
    for (at, (expected, found)) in expected.iter().zip(outputs).enumerate() {
        assert_eq!(found.ty(), program.output_type(at));
        let largest = expected.iter().filter(|x| x.is_finite()).fold(1.0f64, |a, b| a.max(b.abs()));
        for (place, (&expected, found)) in expected.iter().zip(doubles(found)).enumerate() {
            let alike = expected == found
                || expected.is_nan() && found.is_nan()
                || (expected - found).abs() <= tolerance * largest;
            let name = &program.outputs()[at].name;
            assert!(
                alike,
                "{name}[{place}]: {found}, not {expected}, in\n{program}{:?} {:?}",
                program.inputs(),
                program.outputs(),
            );
        }
    }
}

/// Runs a program on random inputs, twice, and holds it against the evaluator.
#[track_caller]
pub(crate) fn check(program: &Program, seed: u64, tolerance: f64) {
    let inputs = inputs(program, &mut Random(seed));
    let kept: Vec<Tensor> = inputs.iter().map(|tensor| Tensor::clone(tensor)).collect();
    let executable = Executable::new(program, engine()).unwrap();
    let first = executable.run(inputs.clone()).unwrap();
    assert_close(program, &inputs, &first, tolerance);
    for (input, kept) in inputs.iter().zip(&kept) {
        assert_eq!(**input, *kept, "an input held elsewhere stays as it was");
    }
    let given = kept.into_iter().map(Arc::new).collect();
    assert_same(&executable.run(given).unwrap(), &first, "given up inputs", program);
}

/// The same bytes; a NaN is a NaN.
#[track_caller]
pub(crate) fn assert_same(
    found: &[Arc<Tensor>],
    first: &[Arc<Tensor>],
    what: &str,
    program: &Program,
) {
    let bits = |tensors: &[Arc<Tensor>]| -> Vec<Vec<u64>> {
        let bits = |x: f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
        tensors.iter().map(|tensor| doubles(tensor).into_iter().map(bits).collect()).collect()
    };
    assert!(bits(found) == bits(first), "{what}, in\n{program}");
}

/// The same of a program with one output.
#[track_caller]
pub(crate) fn check_node(node: Node<'_>, of: &[Node<'_>], tolerance: f64) {
    let program = Program::new(node.graph(), of, &[("y", node)]).unwrap();
    check(&program, 7, tolerance);
}
