//! What a program becomes before it is planned: flat arrays, and shapes only where an operation needs them.

use std::sync::Arc;

use graph::{Binary, Comparison, Convolution, Element, Plan, Reduction, Unary, Window};

use crate::strides::Affine;

/// An operation on flat arrays.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub operation: Operation,
    pub operands: Vec<usize>,
    pub element: Element,
    /// How many elements there are.
    pub len: usize,
}

/// Middle `length` of `[outer, length, inner]` brought down to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reduce {
    pub reduction: Reduction,
    pub length: usize,
    pub inner: usize,
}

/// A stack of matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub stacked: usize,
    /// Rows, columns and depth.
    pub size: [usize; 3],
    /// Which operands lie transposed.
    pub transposed: [bool; 2],
    /// Whether operands may be rounded to bfloat16.
    pub rounded: bool,
}

/// A residual network's plan and the shape of its images.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub plan: Arc<Plan>,
    pub batch: usize,
    pub size: [usize; 2],
}

/// Elements moved from places to places, zeros elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub from: Affine,
    pub to: Affine,
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Input(usize),
    Constant(f64),
    /// (place / each) mod length
    Iota {
        each: usize,
        length: usize,
    },
    /// The operand's element number (place / each) mod its length.
    Spread {
        each: usize,
    },
    /// A part of the operand from here on; no copy.
    Part(usize),
    Unary(Unary),
    Binary(Binary),
    Compare(Comparison),
    Select,
    Convert,
    Reduce(Reduce),
    Copy(Affine),
    Pad(Moved),
    /// Of `outer` rows each.
    Concatenate {
        outer: usize,
    },
    Dot(Product),
    /// Of rows of so many elements.
    Gather(usize),
    Scatter(usize),
    DynamicSlice(usize),
    DynamicUpdate(usize),
    /// The operand's shape follows.
    MaxPool(Window, Vec<usize>),
    SelectAndScatter(Window, Vec<usize>),
    /// The shapes of both operands and of the result follow.
    Convolution(Box<Convolution>, [[usize; 4]; 3]),
    /// Of images and parameters.
    Train(Network),
    /// Of a [`Operation::Train`].
    Statistics,
    /// Of a [`Operation::Train`], the features' gradient, and the train's images and parameters.
    Gradient(Network),
    /// Of images, parameters and running statistics.
    Evaluate(Network),
}

impl Operation {
    /// Whether it is computed element by element in a register.
    pub(crate) fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Self::Unary(_) | Self::Binary(_) | Self::Compare(_) | Self::Select | Self::Convert
        )
    }

    /// Whether its elements are had for nothing wherever they are needed.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self, Self::Constant(_) | Self::Iota { .. } | Self::Spread { .. })
    }

    /// Whether it is part of a loop over elements.
    pub(crate) fn is_looped(&self) -> bool {
        self.is_elementwise() || matches!(self, Self::Reduce(_))
    }
}
