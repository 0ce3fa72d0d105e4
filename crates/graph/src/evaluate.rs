//! Programs evaluated by the definitions of their operations, in double precision: what executors are
//! compared with.

use crate::infer::dilated;
use crate::operation::{Convolution, Dot, Reduction, Window, remaining};
use crate::{Binary, Comparison, Element, Instruction, Operation, Program, Type, Unary};

/// The outputs of `program` for these inputs, each a dense row-major array in the program's order.
///
/// All arithmetic is that of f64: nothing is rounded to f32 or bfloat16, nor do integers overflow. A
/// conversion to integers cuts the fraction off; truth values are 0 and 1. Residual networks are
/// [unfolded](Program::unfolded).
///
/// # Panics
/// If the program is for several replicas, or inputs are missing or have other lengths than theirs.
pub fn evaluate(program: &Program, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    evaluate_replicas(program, &[inputs.to_vec()]).remove(0)
}

/// As [`evaluate`], for all replicas of a program in lock step: each one's inputs to each one's outputs.
///
/// # Panics
/// If there are not as many replicas as the program says, where it takes sums or gathers rows over them,
/// or inputs are missing or have other lengths than theirs.
pub fn evaluate_replicas(program: &Program, inputs: &[Vec<Vec<f64>>]) -> Vec<Vec<Vec<f64>>> {
    let program = program.unfolded();
    let replicas = inputs.len();
    assert!(
        program.replicas() == 1 || program.replicas() == replicas,
        "a program for {} replicas is evaluated for {replicas}",
        program.replicas(),
    );
    for given in inputs {
        check(&program, given);
    }
    // For each instruction, its result on each replica.
    let mut results: Vec<Vec<Vec<f64>>> = Vec::new();
    for (id, instruction) in program.instructions().iter().enumerate() {
        let of_replica = |replica: usize| {
            let step = Step { program: &program, instruction, results: &results, replica };
            step.result(|| {
                let at = program.inputs().iter().position(|input| input.id == Some(id));
                inputs[replica][at.expect("a program has its parameters as inputs")].clone()
            })
        };
        let result = (0..replicas).map(of_replica).collect();
        results.push(result);
    }
    let outputs = |replica: usize| {
        program.outputs().iter().map(|output| results[output.id][replica].clone()).collect()
    };
    (0..replicas).map(outputs).collect()
}

fn check(program: &Program, given: &[Vec<f64>]) {
    let wanted = program.inputs();
    assert_eq!(given.len(), wanted.len(), "the number of inputs");
    for (input, values) in wanted.iter().zip(given) {
        assert_eq!(values.len(), input.ty.len(), "the length of input `{}`", input.name);
    }
}

/// One instruction on one replica.
struct Step<'a> {
    program: &'a Program,
    instruction: &'a Instruction,
    results: &'a [Vec<Vec<f64>>],
    replica: usize,
}

impl<'a> Step<'a> {
    /// Operand `at`, as this replica has it.
    fn operand(&self, at: usize) -> Tensor<'a> {
        self.operand_of(self.replica, at)
    }

    fn operand_of(&self, replica: usize, at: usize) -> Tensor<'a> {
        let id = self.instruction.operands[at];
        let shape = &self.program.instructions()[id].ty.shape;
        Tensor { shape, values: &self.results[id][replica] }
    }

    fn result(&self, parameter: impl FnOnce() -> Vec<f64>) -> Vec<f64> {
        use Operation as Op;
        let Instruction { operation, ty, operands } = self.instruction;
        let x = || self.operand(0);
        let two = || [self.operand(0), self.operand(1)];
        match operation {
            Op::Parameter(_) => parameter(),
            Op::Constant(number) => vec![number.value(); ty.len()],
            Op::Iota(axis) => each(ty, |index| index[*axis] as f64),
            Op::Unary(function) => x().map(|x| unary(*function, x)),
            Op::Binary(function) => {
                let [a, b] = two();
                let whole = !ty.element.is_float();
                a.with(b, |a, b| binary(*function, whole, a, b))
            }
            Op::Compare(comparison) => {
                let [a, b] = two();
                a.with(b, |a, b| f64::from(compare(*comparison, a, b)))
            }
            Op::Select => {
                let [which, yes, no] = [0, 1, 2].map(|at| self.operand(at).values);
                let pick = |at: usize| if which[at] == 0.0 { no[at] } else { yes[at] };
                (0..which.len()).map(pick).collect()
            }
            Op::Convert => x().map(|x| convert(ty.element, x)),
            Op::Reshape | Op::StopGradient => x().values.to_vec(),
            Op::BroadcastInDim(axes) => broadcast(x(), axes, ty),
            Op::Transpose(permutation) => transpose(x(), permutation, ty),
            Op::Slice { start, stride, .. } => each(ty, |index| {
                x().at((0..index.len()).map(|axis| start[axis] + index[axis] * stride[axis]))
            }),
            Op::Pad { low, interior, .. } => pad(x(), low, interior, ty),
            Op::Concatenate(axis) => {
                let parts: Vec<_> = (0..operands.len()).map(|at| self.operand(at)).collect();
                concatenate(&parts, *axis, ty)
            }
            Op::Reverse(axes) => each(ty, |index| {
                let turned = |axis: usize| match axes.contains(&axis) {
                    true => ty.shape[axis] - 1 - index[axis],
                    false => index[axis],
                };
                x().at((0..index.len()).map(turned))
            }),
            Op::Reduce(reduction, axes) => reduce(*reduction, x(), axes, ty),
            Op::MaxPool(window) => each(ty, |index| {
                let x = x();
                let best = greatest(x, window, index);
                best.map_or(Reduction::Maximum.start(ty.element), |place| x.values[place])
            }),
            Op::SelectAndScatter(window) => {
                let [x, g] = two();
                select_and_scatter(x, g, window)
            }
            Op::DotGeneral(dot) => {
                let [a, b] = two();
                dot_general(a, b, dot, ty)
            }
            Op::Convolution(of) => {
                let [x, kernel] = two();
                convolution(x, kernel, of, ty)
            }
            Op::Gather => {
                let [x, rows] = two();
                let row = |row: &f64| x.row(x.nearest(*row, 1)).to_vec();
                rows.values.iter().flat_map(row).collect()
            }
            Op::Scatter(_) => {
                let [x, rows] = two();
                scatter(x, rows.values, ty)
            }
            Op::DynamicSlice(count) => {
                let [x, at] = two();
                let start = x.nearest(at.values[0], *count);
                (start..start + count).flat_map(|row| x.row(row).to_vec()).collect()
            }
            Op::DynamicUpdateSlice => {
                let [x, rows] = two();
                let start = x.nearest(self.operand(2).values[0], rows.shape[0]);
                let mut to = x.values.to_vec();
                let from = start * x.row_len();
                to[from..from + rows.values.len()].copy_from_slice(rows.values);
                to
            }
            Op::AllReduce { replicas } => {
                let all: Vec<_> = (0..*replicas).map(|at| self.operand_of(at, 0).values).collect();
                (0..ty.len()).map(|at| all.iter().map(|values| values[at]).sum()).collect()
            }
            Op::AllGather { replicas } => {
                (0..*replicas).flat_map(|at| self.operand_of(at, 0).values.to_vec()).collect()
            }
            Op::ReplicaId => vec![self.replica as f64],
            Op::ResidualTrain(_)
            | Op::ResidualStatistics
            | Op::ResidualGradient
            | Op::ResidualEval(_) => {
                unreachable!("{} is unfolded before it is evaluated", operation.name())
            }
        }
    }
}

/// A dense row-major array.
#[derive(Clone, Copy)]
struct Tensor<'a> {
    shape: &'a [usize],
    values: &'a [f64],
}

impl<'a> Tensor<'a> {
    fn at(self, index: impl IntoIterator<Item = usize>) -> f64 {
        self.values[place(self.shape, index)]
    }

    fn map(self, function: impl Fn(f64) -> f64) -> Vec<f64> {
        self.values.iter().map(|&x| function(x)).collect()
    }

    fn with(self, other: Self, function: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        self.values.iter().zip(other.values).map(|(&a, &b)| function(a, b)).collect()
    }

    fn row_len(self) -> usize {
        self.shape[1..].iter().product()
    }

    fn row(self, row: usize) -> &'a [f64] {
        let len = self.row_len();
        &self.values[row * len..(row + 1) * len]
    }

    /// Where `count` rows from `at` on begin: as near as lets them all be rows of this.
    fn nearest(self, at: f64, count: usize) -> usize {
        at.clamp(0.0, (self.shape[0] - count) as f64) as usize
    }
}

/// Where an element lies.
fn place(shape: &[usize], index: impl IntoIterator<Item = usize>) -> usize {
    index.into_iter().zip(shape).fold(0, |place, (at, length)| place * length + at)
}

/// Every index of a shape, in order.
fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..shape.iter().product()).map(|mut place: usize| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            (index[axis], place) = (place % shape[axis], place / shape[axis]);
        }
        index
    })
}

/// An array of which each element is a function of its index.
fn each(ty: &Type, element: impl Fn(&[usize]) -> f64) -> Vec<f64> {
    indices(&ty.shape).map(|index| element(&index)).collect()
}

fn unary(function: Unary, x: f64) -> f64 {
    match function {
        Unary::Abs => x.abs(),
        Unary::Exponential => x.exp(),
        Unary::ExponentialMinusOne => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::LogPlusOne => x.ln_1p(),
        Unary::Logistic => 1.0 / (1.0 + (-x).exp()),
        Unary::Negate => -x,
        Unary::Not => f64::from(x == 0.0),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Sign if x == 0.0 || x.is_nan() => x,
        Unary::Sign => x.signum(),
        Unary::Sqrt => x.sqrt(),
        Unary::Tanh => x.tanh(),
    }
}

fn binary(function: Binary, whole: bool, a: f64, b: f64) -> f64 {
    match function {
        Binary::Add => a + b,
        Binary::And => a * b,
        Binary::Divide if whole => (a / b).trunc(),
        Binary::Divide => a / b,
        Binary::Maximum | Binary::Or => greater(a, b),
        Binary::Minimum => -greater(-a, -b),
        Binary::Multiply => a * b,
        Binary::Remainder => a % b,
        Binary::Subtract => a - b,
    }
}

/// The greater of both; what is no number goes on.
fn greater(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}

fn compare(comparison: Comparison, a: f64, b: f64) -> bool {
    match comparison {
        Comparison::Eq => a == b,
        Comparison::Ge => a >= b,
        Comparison::Gt => a > b,
        Comparison::Le => a <= b,
        Comparison::Lt => a < b,
        Comparison::Ne => a != b,
    }
}

fn convert(to: Element, x: f64) -> f64 {
    match to {
        Element::F32 | Element::Bf16 => x,
        Element::S32 | Element::U8 => x.trunc(),
        Element::Pred => f64::from(x != 0.0),
    }
}

fn broadcast(x: Tensor<'_>, axes: &[usize], ty: &Type) -> Vec<f64> {
    each(ty, |index| {
        let from = |(axis, &to): (usize, &usize)| if x.shape[axis] == 1 { 0 } else { index[to] };
        x.at(axes.iter().enumerate().map(from))
    })
}

fn transpose(x: Tensor<'_>, permutation: &[usize], ty: &Type) -> Vec<f64> {
    each(ty, |index| {
        let mut from = vec![0; index.len()];
        for (&to, &axis) in index.iter().zip(permutation) {
            from[axis] = to;
        }
        x.at(from)
    })
}

/// Element i of an axis that has zeros between its elements, where it is one of them.
fn between(at: i64, dilation: usize) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    at.is_multiple_of(dilation).then(|| at / dilation)
}

fn pad(x: Tensor<'_>, low: &[i64], interior: &[usize], ty: &Type) -> Vec<f64> {
    each(ty, |index| {
        let from: Option<Vec<usize>> = (0..index.len())
            .map(|axis| {
                let at = between(index[axis] as i64 - low[axis], interior[axis] + 1);
                at.filter(|&at| at < x.shape[axis])
            })
            .collect();
        from.map_or(0.0, |from| x.at(from))
    })
}

fn concatenate(parts: &[Tensor<'_>], axis: usize, ty: &Type) -> Vec<f64> {
    each(ty, |index| {
        let mut index = index.to_vec();
        let mut part = 0;
        while index[axis] >= parts[part].shape[axis] {
            index[axis] -= parts[part].shape[axis];
            part += 1;
        }
        parts[part].at(index)
    })
}

fn reduce(reduction: Reduction, x: Tensor<'_>, axes: &[usize], ty: &Type) -> Vec<f64> {
    let mut to = vec![reduction.start(ty.element); ty.len()];
    let kept = remaining(axes, x.shape.len());
    for (index, &value) in indices(x.shape).zip(x.values) {
        let sum = &mut to[place(&ty.shape, kept.iter().map(|&axis| index[axis]))];
        *sum = match (reduction, ty.element) {
            (Reduction::Sum, Element::Pred) | (Reduction::Maximum, _) => greater(*sum, value),
            (Reduction::Sum, _) => *sum + value,
        };
    }
    to
}

/// Where the first greatest element of a window is, where the window has any.
fn greatest(x: Tensor<'_>, window: &Window, index: &[usize]) -> Option<usize> {
    let places = indices(&window.lengths).filter_map(|offset| {
        let at: Option<Vec<usize>> = (0..index.len())
            .map(|axis| {
                let at = index[axis] * window.strides[axis] + offset[axis];
                at.checked_sub(window.padding[axis][0]).filter(|&at| at < x.shape[axis])
            })
            .collect();
        Some(place(x.shape, at?))
    });
    places.reduce(|best, next| if x.values[best] >= x.values[next] { best } else { next })
}

fn select_and_scatter(x: Tensor<'_>, g: Tensor<'_>, window: &Window) -> Vec<f64> {
    let mut to = vec![0.0; x.values.len()];
    for (index, g) in indices(g.shape).zip(g.values) {
        if let Some(best) = greatest(x, window, &index) {
            to[best] += g;
        }
    }
    to
}

fn dot_general(a: Tensor<'_>, b: Tensor<'_>, dot: &Dot, ty: &Type) -> Vec<f64> {
    let sides = [a, b];
    let free = [0, 1].map(|side| dot.free(side, sides[side].shape.len()));
    let summed: Vec<usize> = dot.contracting[0].iter().map(|&axis| a.shape[axis]).collect();
    each(ty, |index| {
        let (stacked, rest) = index.split_at(dot.batch[0].len());
        let own: [&[usize]; 2] = rest.split_at(free[0].len()).into();
        let product = |inner: Vec<usize>| {
            let [a, b] = [0, 1].map(|side| {
                let mut at = vec![0; sides[side].shape.len()];
                let axes = dot.batch[side].iter().chain(&free[side]).chain(&dot.contracting[side]);
                let from = stacked.iter().chain(own[side]).chain(&inner);
                axes.zip(from).for_each(|(&axis, &from)| at[axis] = from);
                sides[side].at(at)
            });
            a * b
        };
        indices(&summed).map(product).sum()
    })
}

fn convolution(x: Tensor<'_>, kernel: Tensor<'_>, of: &Convolution, ty: &Type) -> Vec<f64> {
    let [features, height, width] = [1, 2, 3].map(|axis| kernel.shape[of.rhs[axis]]);
    // The row or column of `x` that a window's element meets, where it is none of the zeros.
    let meets = |axis: usize, out: usize, inner: usize| {
        let at = (out * of.stride[axis] + inner * of.rhs_dilation[axis]) as i64;
        let at = at - of.padding[axis][0];
        let length = dilated(x.shape[of.lhs[axis + 2]], of.lhs_dilation[axis]) as i64;
        if at < length { between(at, of.lhs_dilation[axis]) } else { None }
    };
    each(ty, |index| {
        let [image, channel, row, column] = of.out.map(|axis| index[axis]);
        let term = |inner: Vec<usize>| {
            let (mut from, mut with) = ([0; 4], [0; 4]);
            let met = [image, inner[0], meets(0, row, inner[1])?, meets(1, column, inner[2])?];
            let weight = [channel, inner[0], inner[1], inner[2]];
            for at in 0..4 {
                from[of.lhs[at]] = met[at];
                with[of.rhs[at]] = weight[at];
            }
            Some(x.at(from) * kernel.at(with))
        };
        indices(&[features, height, width]).filter_map(term).sum()
    })
}

/// Rows whose place is no row of the result are left out.
fn scatter(x: Tensor<'_>, rows: &[f64], ty: &Type) -> Vec<f64> {
    let mut to = vec![0.0; ty.len()];
    let len = x.row_len();
    for (from, &row) in rows.iter().enumerate() {
        if row >= 0.0 && row < ty.shape[0] as f64 {
            let target = &mut to[row as usize * len..][..len];
            target.iter_mut().zip(x.row(from)).for_each(|(to, x)| *to += x);
        }
    }
    to
}
