//! What can be done with a tensor.

use std::ops::{Add, Div, Mul, Neg, Range, Sub};
use std::sync::Arc;

use crate::operation::{
    Binary, Comparison, Convolution, Dot, Number, Operation, Reduction, Unary, Window,
};
use crate::{Element, Graph, Node, Plan, Type};

impl Graph {
    /// The number `value`, a scalar of single precision.
    pub fn scalar(&self, value: f64) -> Node<'_> {
        self.full(value, Type::f32([]))
    }

    /// The number `value` everywhere.
    pub fn full(&self, value: f64, ty: Type) -> Node<'_> {
        self.push(Operation::Constant(Number::new(value)), &[], Some(ty))
    }

    /// Each element's place on `axis`.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn iota(&self, axis: usize, ty: Type) -> Node<'_> {
        self.push(Operation::Iota(axis), &[], Some(ty))
    }

    /// The number of the replica that computes, a scalar of [`Element::S32`].
    pub fn replica_id(&self) -> Node<'_> {
        self.push(Operation::ReplicaId, &[], None)
    }
}

/// Element-wise functions. Operands must have one type, or one of them be a scalar of the other's
/// element type.
///
/// # Panics
/// All panic, naming the operation and the types, where operands do not fit: such a graph is a mistake
/// of the program that builds it. [`Graph::instruction`] returns the mistake.
impl<'g> Node<'g> {
    #[track_caller]
    fn unary(self, function: Unary) -> Self {
        self.push(Operation::Unary(function), &[])
    }

    #[track_caller]
    fn binary(self, function: Binary, other: Self) -> Self {
        let [a, b] = alike(self, other);
        a.push(Operation::Binary(function), &[b])
    }

    /// The number `value` in this tensor's type, a scalar.
    fn number(self, value: f64) -> Self {
        self.graph().full(value, Type::new(self.ty().element, []))
    }

    /// |x|
    #[track_caller]
    pub fn abs(self) -> Self {
        self.unary(Unary::Abs)
    }

    /// eˣ
    #[track_caller]
    pub fn exp(self) -> Self {
        self.unary(Unary::Exponential)
    }

    /// eˣ - 1, exact near 0.
    #[track_caller]
    pub fn exp_minus_one(self) -> Self {
        self.unary(Unary::ExponentialMinusOne)
    }

    /// ln x
    #[track_caller]
    pub fn log(self) -> Self {
        self.unary(Unary::Log)
    }

    /// ln(1 + x), exact near 0.
    #[track_caller]
    pub fn log_plus_one(self) -> Self {
        self.unary(Unary::LogPlusOne)
    }

    /// 1 / (1 + e⁻ˣ)
    #[track_caller]
    pub fn logistic(self) -> Self {
        self.unary(Unary::Logistic)
    }

    /// Logical not.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "it reads as `and` and `or` do")]
    pub fn not(self) -> Self {
        self.unary(Unary::Not)
    }

    /// 1/√x
    #[track_caller]
    pub fn rsqrt(self) -> Self {
        self.unary(Unary::Rsqrt)
    }

    /// -1, 0 or 1
    #[track_caller]
    pub fn sign(self) -> Self {
        self.unary(Unary::Sign)
    }

    /// √x
    #[track_caller]
    pub fn sqrt(self) -> Self {
        self.unary(Unary::Sqrt)
    }

    /// tanh x
    #[track_caller]
    pub fn tanh(self) -> Self {
        self.unary(Unary::Tanh)
    }

    /// x²
    #[track_caller]
    pub fn square(self) -> Self {
        self * self
    }

    /// max(x, 0). Its derivative at 0 is 0, as PyTorch's.
    #[track_caller]
    pub fn relu(self) -> Self {
        let zero = self.number(0.0);
        self.gt(zero).select(self, zero)
    }

    /// ln(1 + eˣ), without overflow.
    #[track_caller]
    pub fn softplus(self) -> Self {
        self.maximum(self.number(0.0)) + (-self.abs()).exp().log_plus_one()
    }

    /// The greater of both. Where they are equal, each has half of the derivative.
    #[track_caller]
    pub fn maximum(self, other: Self) -> Self {
        self.binary(Binary::Maximum, other)
    }

    /// The lesser of both. Where they are equal, each has half of the derivative.
    #[track_caller]
    pub fn minimum(self, other: Self) -> Self {
        self.binary(Binary::Minimum, other)
    }

    /// The greater of each element and `least`.
    #[track_caller]
    pub fn at_least(self, least: f64) -> Self {
        self.maximum(self.number(least))
    }

    /// The remainder of a division, with this tensor's sign.
    #[track_caller]
    pub fn remainder(self, divisor: Self) -> Self {
        self.binary(Binary::Remainder, divisor)
    }

    /// Logical and.
    #[track_caller]
    pub fn and(self, other: Self) -> Self {
        self.binary(Binary::And, other)
    }

    /// Logical or.
    #[track_caller]
    pub fn or(self, other: Self) -> Self {
        self.binary(Binary::Or, other)
    }

    /// Truth values of a comparison.
    #[track_caller]
    pub fn compare(self, comparison: Comparison, other: Self) -> Self {
        let [a, b] = alike(self, other);
        a.push(Operation::Compare(comparison), &[b])
    }

    /// self = other
    #[track_caller]
    pub fn eq(self, other: Self) -> Self {
        self.compare(Comparison::Eq, other)
    }

    /// self > other
    #[track_caller]
    pub fn gt(self, other: Self) -> Self {
        self.compare(Comparison::Gt, other)
    }

    /// From truth values: `yes` where they are true, else `no`.
    #[track_caller]
    pub fn select(self, yes: Self, no: Self) -> Self {
        let [yes, no] = alike(yes, no);
        let [yes, no] = match yes.ty().rank() {
            0 => [yes, no].map(|scalar| scalar.spread(&self.shape())),
            _ => [yes, no],
        };
        let which = if self.ty().rank() == 0 { self.spread(&yes.shape()) } else { self };
        which.push(Operation::Select, &[yes, no])
    }

    /// The same numbers as another element type.
    #[track_caller]
    pub fn convert(self, element: Element) -> Self {
        let ty = self.ty();
        if ty.element == element {
            return self;
        }
        let to = Type::new(element, ty.shape);
        self.graph().push(Operation::Convert, &[self], Some(to))
    }

    /// The same value, through which no derivative passes.
    pub fn stop_gradient(self) -> Self {
        match self.instruction().operation {
            Operation::StopGradient | Operation::Constant(_) => self,
            _ => self.push(Operation::StopGradient, &[]),
        }
    }
}

/// Elements in other places.
impl<'g> Node<'g> {
    /// The same elements in the same order on other axes.
    #[track_caller]
    pub fn reshape(self, shape: &[usize]) -> Self {
        let ty = self.ty();
        if ty.shape == shape {
            return self;
        }
        let to = Type::new(ty.element, shape);
        self.graph().push(Operation::Reshape, &[self], Some(to))
    }

    /// On one axis.
    #[track_caller]
    pub fn flatten(self) -> Self {
        self.reshape(&[self.ty().len()])
    }

    /// Repeated along new axes, or along axes of length 1: axis i becomes axis `axes[i]` of `shape`.
    #[track_caller]
    pub fn broadcast(self, axes: &[usize], shape: &[usize]) -> Self {
        let ty = self.ty();
        if ty.shape == shape {
            return self;
        }
        let to = Type::new(ty.element, shape);
        self.graph().push(Operation::BroadcastInDim(axes.to_vec()), &[self], Some(to))
    }

    /// A scalar everywhere.
    #[track_caller]
    pub fn spread(self, shape: &[usize]) -> Self {
        self.broadcast(&[], shape)
    }

    /// One number for each row, repeated along all other axes of `shape`.
    #[track_caller]
    pub fn across_rows(self, shape: &[usize]) -> Self {
        self.broadcast(&[0], shape)
    }

    /// Axis i of the result is axis `permutation[i]` of this tensor.
    #[track_caller]
    pub fn transpose(self, permutation: &[usize]) -> Self {
        if permutation.iter().enumerate().all(|(at, &axis)| at == axis) {
            return self;
        }
        self.push(Operation::Transpose(permutation.to_vec()), &[])
    }

    /// Part of one axis.
    #[track_caller]
    pub fn slice(self, axis: usize, range: Range<usize>) -> Self {
        let shape = self.shape();
        if shape.get(axis) == Some(&range.len()) && range.start == 0 {
            return self;
        }
        // An axis that is not there makes a part of too many axes, which is refused.
        let rank = shape.len().max(axis + 1);
        let (mut start, mut limit, stride) = (vec![0; rank], shape, vec![1; rank]);
        limit.resize(rank, 0);
        (start[axis], limit[axis]) = (range.start, range.end);
        self.push(Operation::Slice { start, limit, stride }, &[])
    }

    /// Some of the first axis.
    #[track_caller]
    pub fn rows(self, range: Range<usize>) -> Self {
        self.slice(0, range)
    }

    /// The first axis in so many equal parts.
    ///
    /// # Panics
    /// If they are not equal.
    #[track_caller]
    pub fn chunk(self, parts: usize) -> Vec<Self> {
        let rows = self.shape()[0];
        assert!(rows.is_multiple_of(parts), "{rows} rows are not {parts} equal parts");
        let each = rows / parts;
        (0..parts).map(|part| self.rows(part * each..(part + 1) * each)).collect()
    }

    /// With zeros before, behind and between the elements of every axis.
    #[track_caller]
    pub fn pad(self, low: &[i64], high: &[i64], interior: &[usize]) -> Self {
        let (low, high, interior) = (low.to_vec(), high.to_vec(), interior.to_vec());
        self.push(Operation::Pad { low, high, interior }, &[])
    }

    /// These axes the other way round.
    #[track_caller]
    pub fn reverse(self, axes: &[usize]) -> Self {
        self.push(Operation::Reverse(axes.to_vec()), &[])
    }

    /// The rows that `rows`, s32 `[count]`, names.
    #[track_caller]
    pub fn gather(self, rows: Self) -> Self {
        self.push(Operation::Gather, &[rows])
    }

    /// So many rows in all, each the sum of this tensor's rows whose place in `rows`, s32 `[count]`, it is.
    #[track_caller]
    pub fn scatter(self, rows: Self, count: usize) -> Self {
        self.push(Operation::Scatter(count), &[rows])
    }

    /// So many rows from `at`, an s32 scalar, on. Where they reach over the end, the last ones.
    #[track_caller]
    pub fn dynamic_slice(self, at: Self, count: usize) -> Self {
        self.push(Operation::DynamicSlice(count), &[at])
    }

    /// With `rows` from `at`, an s32 scalar, on. Where they reach over the end, as the last ones.
    #[track_caller]
    pub fn dynamic_update_slice(self, rows: Self, at: Self) -> Self {
        self.push(Operation::DynamicUpdateSlice, &[rows, at])
    }
}

/// Tensors one behind the other on `axis`.
///
/// # Panics
/// If there are none, or they do not fit.
#[track_caller]
pub fn concatenate<'g>(tensors: &[Node<'g>], axis: usize) -> Node<'g> {
    match tensors {
        [] => panic!("concatenate of no tensors"),
        [one] => *one,
        [first, ..] => first.graph().push(Operation::Concatenate(axis), tensors, None),
    }
}

/// Sums and products.
impl<'g> Node<'g> {
    #[track_caller]
    fn reduce(self, reduction: Reduction, axes: &[usize]) -> Self {
        match axes {
            [] => self,
            _ => self.push(Operation::Reduce(reduction, axes.to_vec()), &[]),
        }
    }

    /// The sum over these axes, which vanish.
    #[track_caller]
    pub fn sum(self, axes: &[usize]) -> Self {
        self.reduce(Reduction::Sum, axes)
    }

    /// The sum of all elements, a scalar.
    #[track_caller]
    pub fn sum_all(self) -> Self {
        self.sum(&(0..self.ty().rank()).collect::<Vec<_>>())
    }

    /// The mean over these axes, which vanish.
    #[track_caller]
    pub fn mean(self, axes: &[usize]) -> Self {
        let shape = self.shape();
        let count: usize = axes.iter().filter_map(|&axis| shape.get(axis)).product();
        self.sum(axes) / count as f64
    }

    /// The mean of all elements, a scalar.
    #[track_caller]
    pub fn mean_all(self) -> Self {
        self.mean(&(0..self.ty().rank()).collect::<Vec<_>>())
    }

    /// The greatest over these axes, which vanish.
    #[track_caller]
    pub fn max(self, axes: &[usize]) -> Self {
        self.reduce(Reduction::Maximum, axes)
    }

    /// Windows brought down to their greatest element.
    #[track_caller]
    pub fn max_pool(self, window: Window) -> Self {
        self.push(Operation::MaxPool(window), &[])
    }

    /// A product of matrices or stacks of them.
    #[track_caller]
    pub fn dot_general(self, other: Self, dot: Dot) -> Self {
        self.push(Operation::DotGeneral(dot), &[other])
    }

    /// `[m, k]` times `[k, n]`.
    #[track_caller]
    pub fn matmul(self, other: Self) -> Self {
        let contracting = [vec![1], vec![0]];
        self.dot_general(other, Dot { contracting, batch: [vec![], vec![]], rounded: false })
    }

    /// `[m, k]` times the transpose of `[n, k]`.
    #[track_caller]
    pub fn matmul_transposed(self, other: Self) -> Self {
        let contracting = [vec![1], vec![1]];
        self.dot_general(other, Dot { contracting, batch: [vec![], vec![]], rounded: false })
    }

    /// A convolution with `kernel`.
    #[track_caller]
    pub fn convolution(self, kernel: Self, convolution: Convolution) -> Self {
        self.push(Operation::Convolution(Box::new(convolution)), &[kernel])
    }

    /// The sum over `replicas` replicas.
    pub fn all_reduce(self, replicas: usize) -> Self {
        match replicas {
            1 => self,
            _ => self.push(Operation::AllReduce { replicas }, &[]),
        }
    }

    /// The rows of `replicas` replicas, one behind the other.
    #[track_caller]
    pub fn all_gather(self, replicas: usize) -> Self {
        match replicas {
            1 => self,
            _ => self.push(Operation::AllGather { replicas }, &[]),
        }
    }
}

/// A residual network as one operation.
impl<'g> Node<'g> {
    /// Images `[batch, 3, height, width]` and all parameters, as `plan` lays them out, to features
    /// `[batch, channels]`. Batch norm takes the batch's statistics, which
    /// [`Node::residual_statistics`] gives. Differentiable in the parameters.
    #[track_caller]
    pub fn residual_train(self, parameters: Self, plan: &Arc<Plan>) -> Self {
        self.push(Operation::ResidualTrain(Arc::clone(plan)), &[parameters])
    }

    /// The batch's means and unbiased variances of a [`Node::residual_train`], as its plan lays them out.
    ///
    /// # Panics
    /// If this is none.
    #[track_caller]
    pub fn residual_statistics(self) -> Self {
        let Operation::ResidualTrain(plan) = self.instruction().operation else {
            panic!("residual_statistics of {self:?}, which is no residual_train");
        };
        let to = Type::f32([plan.statistics()]);
        self.graph().push(Operation::ResidualStatistics, &[self], Some(to))
    }

    /// Images, all parameters and running statistics to features.
    #[track_caller]
    pub fn residual_eval(self, parameters: Self, running: Self, plan: &Arc<Plan>) -> Self {
        self.push(Operation::ResidualEval(Arc::clone(plan)), &[parameters, running])
    }
}

/// Both as one type: a scalar is repeated.
#[track_caller]
fn alike<'g>(a: Node<'g>, b: Node<'g>) -> [Node<'g>; 2] {
    match [a.ty().rank(), b.ty().rank()] {
        [0, 0] => [a, b],
        [0, _] => [a.spread(&b.shape()), b],
        [_, 0] => [a, b.spread(&a.shape())],
        _ => [a, b],
    }
}

macro_rules! operator {
    ($operator:ident, $method:ident, $function:ident) => {
        impl<'g> $operator for Node<'g> {
            type Output = Node<'g>;

            #[track_caller]
            fn $method(self, other: Node<'g>) -> Node<'g> {
                self.binary(Binary::$function, other)
            }
        }

        impl<'g> $operator<f64> for Node<'g> {
            type Output = Node<'g>;

            #[track_caller]
            fn $method(self, other: f64) -> Node<'g> {
                self.binary(Binary::$function, self.number(other))
            }
        }

        impl<'g> $operator<Node<'g>> for f64 {
            type Output = Node<'g>;

            #[track_caller]
            fn $method(self, other: Node<'g>) -> Node<'g> {
                other.number(self).binary(Binary::$function, other)
            }
        }
    };
}

operator!(Add, add, Add);
operator!(Div, div, Divide);
operator!(Mul, mul, Multiply);
operator!(Sub, sub, Subtract);

impl<'g> Neg for Node<'g> {
    type Output = Node<'g>;

    #[track_caller]
    fn neg(self) -> Node<'g> {
        self.unary(Unary::Negate)
    }
}
