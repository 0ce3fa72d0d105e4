//! Reverse-mode derivatives, as a graph of their own beside the one they are of.

use std::collections::HashMap;

use crate::infer::dilated;
use crate::node::concatenate;
use crate::operation::{Binary, Comparison, Convolution, Dot, Reduction, Unary, remaining};
use crate::{Element, Graph, Instruction, Node, Operation, Type};

/// The derivatives of `loss`, a scalar, by each of the nodes `of`; zeros where it does not depend on one.
///
/// Each of them is a variable of its own: where one is computed from another, that is not followed.
///
/// # Panics
/// If `loss` is no scalar, or depends on a node through an operation without derivative.
#[track_caller]
pub fn gradients<'g>(loss: Node<'g>, of: &[Node<'g>]) -> Vec<Node<'g>> {
    assert!(loss.ty().rank() == 0, "gradients of {loss:?}: a loss is a scalar");
    let one = loss.graph().full(1.0, loss.ty());
    pull_back(&[(loss, one)], of)
}

/// The derivatives of Σ ⟨output, cotangent⟩ by each of the nodes `of`; zeros where no output depends on
/// one. Each of them is a variable of its own, as for [`gradients`].
///
/// # Panics
/// If a cotangent has another type than its output, or an output depends on a node through an operation
/// without derivative.
#[track_caller]
pub fn pull_back<'g>(outputs: &[(Node<'g>, Node<'g>)], of: &[Node<'g>]) -> Vec<Node<'g>> {
    let Some((first, _)) = outputs.first() else {
        return of.iter().map(|node| node.graph().full(0.0, node.ty())).collect();
    };
    let graph = first.graph();
    let active = depending(graph, of);
    let mut found = Cotangents::default();
    for &(output, cotangent) in outputs {
        assert_eq!(output.ty(), cotangent.ty(), "the cotangent of {output:?}");
        found.add(output.id(), cotangent);
    }
    let last = outputs.iter().map(|(output, _)| output.id()).max().unwrap_or(0);
    let variable = |id: usize| of.iter().any(|node| node.id() == id);
    for id in (0..=last).rev().filter(|&id| active[id] && !variable(id)) {
        let Some(&cotangent) = found.by_id.get(&id) else { continue };
        let result = graph.node(id);
        let step = Step { graph, instruction: result.instruction(), result, cotangent };
        let operands = step.instruction.operands.iter().enumerate();
        for (at, &operand) in operands.filter(|(_, operand)| active[**operand]) {
            found.add(operand, step.by_operand(at));
        }
    }
    of.iter().map(|node| found.of(*node)).collect()
}

/// Whether `node`'s derivative by `by` can be other than zero.
pub fn depends(node: Node<'_>, by: Node<'_>) -> bool {
    depending(node.graph(), &[by])[node.id()]
}

/// For each instruction, whether a derivative passes through it to one of the nodes `of`.
fn depending(graph: &Graph, of: &[Node<'_>]) -> Vec<bool> {
    graph.read(|all| {
        let mut active = vec![false; all.len()];
        for (id, instruction) in all.iter().enumerate() {
            active[id] = of.iter().any(|node| node.id() == id)
                || passes(instruction)
                    && instruction.operands.iter().any(|&operand| active[operand]);
        }
        active
    })
}

/// Whether derivatives pass through an instruction at all: a comparison has none, nor has what is no
/// real number.
fn passes(instruction: &Instruction) -> bool {
    let blocks = matches!(
        instruction.operation,
        Operation::StopGradient | Operation::Compare(_) | Operation::ResidualStatistics
    );
    !blocks && instruction.ty.element.is_float()
}

/// What is known so far of the derivatives by each instruction.
#[derive(Default)]
struct Cotangents<'g> {
    by_id: HashMap<usize, Node<'g>>,
}

impl<'g> Cotangents<'g> {
    fn add(&mut self, id: usize, cotangent: Node<'g>) {
        let sum = match self.by_id.get(&id) {
            Some(&before) => before + cotangent,
            None => cotangent,
        };
        self.by_id.insert(id, sum);
    }

    fn of(&self, node: Node<'g>) -> Node<'g> {
        match self.by_id.get(&node.id()) {
            Some(&found) => found,
            None => node.graph().full(0.0, node.ty()),
        }
    }
}

/// One instruction, from its result's cotangent to its operands'.
struct Step<'g> {
    graph: &'g Graph,
    instruction: Instruction,
    result: Node<'g>,
    cotangent: Node<'g>,
}

impl<'g> Step<'g> {
    fn operand(&self, at: usize) -> Node<'g> {
        self.graph.node(self.instruction.operands[at])
    }

    /// Operand `at`'s cotangent.
    #[track_caller]
    fn by_operand(&self, at: usize) -> Node<'g> {
        use Operation as Op;
        let g = self.cotangent;
        let x = self.operand(at);
        match &self.instruction.operation {
            Op::Unary(function) => self.unary(*function, x),
            Op::Binary(function) => self.binary(*function, at),
            Op::Select => {
                let zero = self.graph.full(0.0, g.ty());
                let which = self.operand(0);
                if at == 1 { which.select(g, zero) } else { which.select(zero, g) }
            }
            Op::Convert => g.convert(x.ty().element),
            Op::Reshape => g.reshape(&x.shape()),
            Op::BroadcastInDim(axes) => sum_to(g, axes, &x.shape()),
            Op::Transpose(permutation) => g.transpose(&inverse(permutation)),
            Op::Slice { start, stride, .. } => unslice(g, &x.shape(), start, stride),
            Op::Pad { low, high, interior } => unpad(g, low, high, interior),
            Op::Concatenate(axis) => self.part(at, *axis),
            Op::Reverse(axes) => g.reverse(axes),
            Op::Reduce(reduction, axes) => self.reduce(*reduction, axes, x),
            Op::MaxPool(window) => x.push(Op::SelectAndScatter(window.clone()), &[g]),
            Op::DotGeneral(dot) => self.dot_general(dot, at),
            Op::Convolution(of) if at == 0 => self.by_images(of),
            Op::Convolution(of) => self.by_kernel(of),
            Op::Gather => g.scatter(self.operand(1), x.shape()[0]),
            Op::Scatter(_) => g.gather(self.operand(1)),
            Op::AllReduce { replicas } => g.all_reduce(*replicas),
            Op::AllGather { .. } => {
                let rows = x.shape()[0];
                let place = self.graph.replica_id()
                    * self.graph.full(rows as f64, Type::new(Element::S32, []));
                g.dynamic_slice(place, rows)
            }
            Op::ResidualTrain(plan) if at == 1 => {
                let to = Type::f32([plan.parameters()]);
                self.graph.push(Op::ResidualGradient, &[self.result, g], Some(to))
            }
            other => panic!("{} has no derivative by operand {at}", other.name()),
        }
    }

    fn unary(&self, function: Unary, x: Node<'g>) -> Node<'g> {
        let (g, y) = (self.cotangent, self.result);
        match function {
            Unary::Abs => g * x.sign(),
            Unary::Exponential => g * y,
            Unary::ExponentialMinusOne => g * (y + 1.0),
            Unary::Log => g / x,
            Unary::LogPlusOne => g / (x + 1.0),
            Unary::Logistic => g * y * (1.0 - y),
            Unary::Negate => -g,
            Unary::Rsqrt => g * y / x * -0.5,
            Unary::Sqrt => g * 0.5 / y,
            Unary::Tanh => g * (1.0 - y * y),
            Unary::Sign | Unary::Not => self.graph.full(0.0, x.ty()),
        }
    }

    #[track_caller]
    fn binary(&self, function: Binary, at: usize) -> Node<'g> {
        let g = self.cotangent;
        let [a, b] = [0, 1].map(|at| self.operand(at));
        match (function, at) {
            (Binary::Add, _) | (Binary::Subtract, 0) => g,
            (Binary::Subtract, _) => -g,
            (Binary::Multiply, 0) => g * b,
            (Binary::Multiply, _) => g * a,
            (Binary::Divide, 0) => g / b,
            (Binary::Divide, _) => -(g * self.result / b),
            (Binary::Maximum, 0) => share(g, a, b),
            (Binary::Maximum, _) => share(g, b, a),
            (Binary::Minimum, 0) => share(g, b, a),
            (Binary::Minimum, _) => share(g, a, b),
            (other, _) => panic!("{} has no derivative", other.name()),
        }
    }

    /// Operand `at`'s part of what was put together on `axis`.
    fn part(&self, at: usize, axis: usize) -> Node<'g> {
        let length = |at: usize| self.operand(at).shape()[axis];
        let start = (0..at).map(length).sum();
        self.cotangent.slice(axis, start..start + length(at))
    }

    fn reduce(&self, reduction: Reduction, axes: &[usize], x: Node<'g>) -> Node<'g> {
        let shape = x.shape();
        let kept = remaining(axes, shape.len());
        let g = self.cotangent.broadcast(&kept, &shape);
        match reduction {
            Reduction::Sum => g,
            Reduction::Maximum => {
                let greatest = x.compare(Comparison::Eq, self.result.broadcast(&kept, &shape));
                let share = greatest.convert(x.ty().element);
                g * share / share.sum(axes).broadcast(&kept, &shape)
            }
        }
    }

    /// A product's cotangent by one operand is a product with the other, its axes put back in order.
    fn dot_general(&self, dot: &Dot, at: usize) -> Node<'g> {
        let other = 1 - at;
        let [x, y] = [at, other].map(|side| self.operand(side));
        let rank = x.ty().rank();
        let (stacked, own, others) =
            (dot.batch[0].len(), dot.free(at, rank), dot.free(other, y.ty().rank()));
        // The result's axes are the stacked ones, the left operand's free ones, the right one's.
        let start = stacked + if at == 0 { own.len() } else { 0 };
        let contracting = [(start..start + others.len()).collect(), others];
        let batch = [(0..stacked).collect(), dot.batch[other].clone()];
        let made = self.cotangent.dot_general(y, Dot { contracting, batch, rounded: dot.rounded });
        // What was made has the stacked axes, x's free ones, and the summed ones in y's order.
        let mut summed: Vec<(usize, usize)> = dot.contracting[other]
            .iter()
            .copied()
            .zip(dot.contracting[at].iter().copied())
            .collect();
        summed.sort_unstable();
        let order: Vec<usize> = dot.batch[at]
            .iter()
            .chain(&own)
            .copied()
            .chain(summed.into_iter().map(|(_, of_x)| of_x))
            .collect();
        debug_assert_eq!(order.len(), rank);
        made.transpose(&inverse(&order))
    }

    /// How far the images, the kernel and the result reach along both spatial axes: the images' and the
    /// kernel's elements apart as the convolution takes them, the result's as its windows are.
    fn reaches(&self, of: &Convolution) -> [[i64; 3]; 2] {
        let [x, kernel] = [0, 1].map(|at| self.operand(at).shape());
        let out = &self.instruction.ty.shape;
        [0, 1].map(|axis| {
            let images = dilated(x[of.lhs[axis + 2]], of.lhs_dilation[axis]);
            let window = dilated(kernel[of.rhs[axis + 2]], of.rhs_dilation[axis]);
            let windows = dilated(out[of.out[axis + 2]], of.stride[axis]);
            [images, window, windows].map(|length| length as i64)
        })
    }

    /// By the images: a convolution of the cotangent, the kernel turned around.
    fn by_images(&self, of: &Convolution) -> Node<'g> {
        let reaches = self.reaches(of);
        let padding = [0, 1].map(|axis| {
            let [images, window, windows] = reaches[axis];
            let before = window - of.padding[axis][0] - 1;
            [before, images + window - 1 - windows - before]
        });
        let [output, input, height, width] = of.rhs;
        let turned = self.operand(1).reverse(&[height, width]);
        let back = Convolution {
            stride: of.lhs_dilation,
            padding,
            lhs_dilation: of.stride,
            rhs_dilation: of.rhs_dilation,
            lhs: of.out,
            rhs: [input, output, height, width],
            out: of.lhs,
        };
        self.cotangent.convolution(turned, back)
    }

    /// By the kernel: a convolution of the images with the cotangent, summed over the batch.
    fn by_kernel(&self, of: &Convolution) -> Node<'g> {
        let reaches = self.reaches(of);
        let padding = [0, 1].map(|axis| {
            let [images, window, windows] = reaches[axis];
            let before = of.padding[axis][0];
            [before, windows - images + window - before - 1]
        });
        let swapped = |[a, b, height, width]: [usize; 4]| [b, a, height, width];
        let back = Convolution {
            stride: of.rhs_dilation,
            padding,
            lhs_dilation: of.lhs_dilation,
            rhs_dilation: of.stride,
            lhs: swapped(of.lhs),
            rhs: swapped(of.out),
            out: swapped(of.rhs),
        };
        self.operand(0).convolution(self.cotangent, back)
    }
}

/// `g` where `a` is the greater, half of it where both are equal, else 0.
fn share<'g>(g: Node<'g>, a: Node<'g>, b: Node<'g>) -> Node<'g> {
    let zero = g.graph().full(0.0, g.ty());
    let unequal = a.gt(b).select(g, zero);
    a.eq(b).select(g * 0.5, unequal)
}

/// Sums a broadcast's cotangent to what was repeated.
fn sum_to<'g>(g: Node<'g>, axes: &[usize], shape: &[usize]) -> Node<'g> {
    let long = g.shape();
    let repeated = |axis: &usize| match axes.iter().position(|to| to == axis) {
        None => true,
        Some(from) => shape[from] != long[*axis],
    };
    let (summed, kept): (Vec<usize>, Vec<usize>) = (0..long.len()).partition(repeated);
    // What is left has the kept axes in the result's order; the operand's order may be another.
    let order: Vec<usize> =
        axes.iter().filter_map(|to| kept.iter().position(|axis| axis == to)).collect();
    g.sum(&summed).transpose(&order).reshape(shape)
}

/// Zeros around the part that a slice took.
fn unslice<'g>(g: Node<'g>, shape: &[usize], start: &[usize], stride: &[usize]) -> Node<'g> {
    let part = g.shape();
    let low: Vec<i64> = start.iter().map(|&start| start as i64).collect();
    let interior: Vec<usize> = stride.iter().map(|stride| stride - 1).collect();
    let high = (0..shape.len()).map(|axis| {
        let taken = dilated(part[axis], stride[axis]);
        (shape[axis] - start[axis]) as i64 - taken as i64
    });
    g.pad(&low, &high.collect::<Vec<_>>(), &interior)
}

/// The part that a pad put between zeros.
fn unpad<'g>(g: Node<'g>, low: &[i64], high: &[i64], interior: &[usize]) -> Node<'g> {
    // Undoing the pad at both ends cuts zeros off, or puts zeros where elements were cut.
    let [low, high] = [low, high].map(|by| by.iter().map(|by| -by).collect::<Vec<_>>());
    let none = vec![0; interior.len()];
    let whole = g.pad(&low, &high, &none);
    let stride: Vec<usize> = interior.iter().map(|between| between + 1).collect();
    let limit = whole.shape();
    whole.push(Operation::Slice { start: none, limit, stride }, &[])
}

/// The order that undoes `permutation`.
fn inverse(permutation: &[usize]) -> Vec<usize> {
    let mut back = vec![0; permutation.len()];
    for (to, &from) in permutation.iter().enumerate() {
        back[from] = to;
    }
    back
}

/// A loss's derivatives by several nodes, each on one axis, one behind the other.
#[track_caller]
pub fn flat_gradient<'g>(loss: Node<'g>, of: &[Node<'g>]) -> Node<'g> {
    let flat: Vec<_> = gradients(loss, of).into_iter().map(Node::flatten).collect();
    concatenate(&flat, 0)
}
