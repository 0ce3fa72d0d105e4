//! The operations that a graph is made of, named and defined as in StableHLO's specification.

use std::sync::Arc;

use crate::Element;
use crate::residual::Plan;

/// A number that is compared and hashed by its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number(u64);

impl Number {
    /// The number `value`.
    pub fn new(value: f64) -> Self {
        Self(value.to_bits())
    }

    /// Its value.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// An element-wise function of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// |x|
    Abs,
    /// eˣ
    Exponential,
    /// eˣ - 1
    ExponentialMinusOne,
    /// ln x
    Log,
    /// ln(1 + x)
    LogPlusOne,
    /// 1 / (1 + e⁻ˣ)
    Logistic,
    /// -x
    Negate,
    /// Logical not.
    Not,
    /// 1/√x
    Rsqrt,
    /// -1, 0 or 1
    Sign,
    /// √x
    Sqrt,
    /// tanh x
    Tanh,
}

/// An element-wise function of two operands of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// a + b
    Add,
    /// Logical and.
    And,
    /// a / b
    Divide,
    /// The greater of both.
    Maximum,
    /// The lesser of both.
    Minimum,
    /// a × b
    Multiply,
    /// Logical or.
    Or,
    /// The remainder of a / b, with the sign of a.
    Remainder,
    /// a - b
    Subtract,
}

/// What two elements are compared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// a = b
    Eq,
    /// a ≥ b
    Ge,
    /// a > b
    Gt,
    /// a ≤ b
    Le,
    /// a < b
    Lt,
    /// a ≠ b
    Ne,
}

/// What several elements are brought down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The greatest.
    Maximum,
    /// Their sum.
    Sum,
}

impl Reduction {
    /// What no elements are brought down to.
    pub fn start(self, element: Element) -> f64 {
        match (self, element) {
            (Self::Sum, _) | (_, Element::U8 | Element::Pred) => 0.0,
            (Self::Maximum, Element::S32) => f64::from(i32::MIN),
            (Self::Maximum, Element::F32 | Element::Bf16) => f64::NEG_INFINITY,
        }
    }
}

/// A convolution of two spatial axes (StableHLO's `convolution`, without groups).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Steps of the window.
    pub stride: [usize; 2],
    /// Zeros before and behind each spatial axis; negative ones cut.
    pub padding: [[i64; 2]; 2],
    /// Distances between the left operand's elements; zeros come between.
    pub lhs_dilation: [usize; 2],
    /// Distances between the kernel's elements.
    pub rhs_dilation: [usize; 2],
    /// Which axes of the left operand are batch, features and the two spatial ones.
    pub lhs: [usize; 4],
    /// Which axes of the kernel are output features, input features and the two spatial ones.
    pub rhs: [usize; 4],
    /// Which axes of the result are batch, features and the two spatial ones.
    pub out: [usize; 4],
}

impl Convolution {
    /// Over images `[batch, height, width, channels]` with weights
    /// `[out_channels, in_channels, kernel, kernel]`, channels last in the result too, and the padding
    /// that keeps the size at stride 1.
    pub fn same(kernel: usize, stride: usize) -> Self {
        let padding = (kernel / 2) as i64;
        Self {
            stride: [stride; 2],
            padding: [[padding; 2]; 2],
            lhs_dilation: [1; 2],
            rhs_dilation: [1; 2],
            lhs: [0, 3, 1, 2],
            rhs: [0, 1, 2, 3],
            out: [0, 3, 1, 2],
        }
    }
}

/// A window that slides over all axes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Its lengths.
    pub lengths: Vec<usize>,
    /// Its steps.
    pub strides: Vec<usize>,
    /// How far it reaches before and behind each axis.
    pub padding: Vec<[usize; 2]>,
}

/// A product of matrices, or of stacks of them (StableHLO's `dot_general`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dot {
    /// The axes of either operand that are summed over.
    pub contracting: [Vec<usize>; 2],
    /// The axes of either operand that are stacked over; they come first in the result.
    pub batch: [Vec<usize>; 2],
    /// Whether operands may be rounded to bfloat16 before they are multiplied. Sums are f32.
    pub rounded: bool,
}

impl Dot {
    /// The axes of an operand, 0 or 1, that are stacked or summed over.
    pub(crate) fn taken(&self, operand: usize) -> Vec<usize> {
        [&self.batch[operand][..], &self.contracting[operand]].concat()
    }

    /// The other axes of an operand, 0 or 1, which has `rank` of them in all.
    pub fn free(&self, operand: usize, rank: usize) -> Vec<usize> {
        remaining(&self.taken(operand), rank)
    }
}

/// Those of `rank` axes that are not among these.
pub(crate) fn remaining(axes: &[usize], rank: usize) -> Vec<usize> {
    (0..rank).filter(|axis| !axes.contains(axis)).collect()
}

/// What an instruction does with its operands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A value from outside.
    Parameter(String),
    /// The same number everywhere.
    Constant(Number),
    /// Each element's place on an axis.
    Iota(usize),
    /// Element by element.
    Unary(Unary),
    /// Element by element.
    Binary(Binary),
    /// Element by element, to truth values.
    Compare(Comparison),
    /// From a truth value and two elements: the first where it is true.
    Select,
    /// To the result's element type.
    Convert,
    /// The same elements in the same order on other axes.
    Reshape,
    /// Repeated along new axes, or along axes of length 1: operand axis i becomes result axis `axes[i]`.
    BroadcastInDim(Vec<usize>),
    /// Result axis i is operand axis `permutation[i]`.
    Transpose(Vec<usize>),
    /// From `start` to before `limit` of every axis, in steps.
    Slice {
        /// First of each axis.
        start: Vec<usize>,
        /// One past the last of each axis.
        limit: Vec<usize>,
        /// Steps of each axis.
        stride: Vec<usize>,
    },
    /// With zeros before, behind, and between the elements of every axis.
    Pad {
        /// How many before; negative ones cut.
        low: Vec<i64>,
        /// How many behind; negative ones cut.
        high: Vec<i64>,
        /// How many between two elements.
        interior: Vec<usize>,
    },
    /// One behind the other on an axis.
    Concatenate(usize),
    /// These axes the other way round.
    Reverse(Vec<usize>),
    /// These axes brought down to one number each; they vanish.
    Reduce(Reduction, Vec<usize>),
    /// Windows brought down to their greatest element (`reduce_window` with maximum).
    MaxPool(Window),
    /// From an operand and a value for each of its windows: the value at the window's greatest element,
    /// summed over windows (`select_and_scatter`). It is the way back of [`Operation::MaxPool`].
    SelectAndScatter(Window),
    /// A product of matrices.
    DotGeneral(Dot),
    /// A convolution.
    Convolution(Box<Convolution>),
    /// The rows of the first operand that the second, s32 `[rows]`, names (`gather`).
    Gather,
    /// From rows and their places, s32 `[rows]`: that many rows in all, each the sum of those whose place it is
    /// (`scatter`). It is the way back of [`Operation::Gather`].
    Scatter(usize),
    /// So many rows of the first operand from the second, an s32 scalar, on.
    DynamicSlice(usize),
    /// The first operand with the second's rows from the third, an s32 scalar, on.
    DynamicUpdateSlice,
    /// The operand, through which no derivative passes.
    StopGradient,
    /// The sum over all replicas.
    AllReduce {
        /// How many there are.
        replicas: usize,
    },
    /// The rows of all replicas, one behind the other. Its derivative is that of a function which every
    /// replica computes alike: each replica's own rows of it.
    AllGather {
        /// How many there are.
        replicas: usize,
    },
    /// The number of this replica, s32.
    ReplicaId,
    /// Images `[batch, 3, height, width]` and all parameters to features `[batch, channels]`, batch norm
    /// by the batch's statistics.
    ResidualTrain(Arc<Plan>),
    /// The batch's means and unbiased variances of a [`Operation::ResidualTrain`], as its plan lays them out.
    ResidualStatistics,
    /// From a [`Operation::ResidualTrain`] and its features' gradient: the gradient of its parameters.
    ResidualGradient,
    /// Images, all parameters and running statistics to features.
    ResidualEval(Arc<Plan>),
}

impl Operation {
    /// Its name in StableHLO's specification, or the project's.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Parameter(_) => "parameter",
            Self::Constant(_) => "constant",
            Self::Iota(_) => "iota",
            Self::Unary(unary) => unary.name(),
            Self::Binary(binary) => binary.name(),
            Self::Compare(_) => "compare",
            Self::Select => "select",
            Self::Convert => "convert",
            Self::Reshape => "reshape",
            Self::BroadcastInDim(_) => "broadcast_in_dim",
            Self::Transpose(_) => "transpose",
            Self::Slice { .. } => "slice",
            Self::Pad { .. } => "pad",
            Self::Concatenate(_) => "concatenate",
            Self::Reverse(_) => "reverse",
            Self::Reduce(..) => "reduce",
            Self::MaxPool(_) => "reduce_window",
            Self::SelectAndScatter(_) => "select_and_scatter",
            Self::DotGeneral(_) => "dot_general",
            Self::Convolution(_) => "convolution",
            Self::Gather => "gather",
            Self::Scatter(_) => "scatter",
            Self::DynamicSlice(_) => "dynamic_slice",
            Self::DynamicUpdateSlice => "dynamic_update_slice",
            Self::StopGradient => "stop_gradient",
            Self::AllReduce { .. } => "all_reduce",
            Self::AllGather { .. } => "all_gather",
            Self::ReplicaId => "replica_id",
            Self::ResidualTrain(_) => "residual_train",
            Self::ResidualStatistics => "residual_statistics",
            Self::ResidualGradient => "residual_gradient",
            Self::ResidualEval(_) => "residual_eval",
        }
    }
}

impl Unary {
    /// Its name in StableHLO's specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Exponential => "exponential",
            Self::ExponentialMinusOne => "exponential_minus_one",
            Self::Log => "log",
            Self::LogPlusOne => "log_plus_one",
            Self::Logistic => "logistic",
            Self::Negate => "negate",
            Self::Not => "not",
            Self::Rsqrt => "rsqrt",
            Self::Sign => "sign",
            Self::Sqrt => "sqrt",
            Self::Tanh => "tanh",
        }
    }
}

impl Binary {
    /// Its name in StableHLO's specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::And => "and",
            Self::Divide => "divide",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::Multiply => "multiply",
            Self::Or => "or",
            Self::Remainder => "remainder",
            Self::Subtract => "subtract",
        }
    }
}
