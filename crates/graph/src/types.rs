//! What a tensor is: the type of its elements and its shape.

use std::fmt;

/// The type of a tensor's elements, named as in StableHLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Element {
    /// Single precision.
    F32,
    /// bfloat16: the upper half of an [`Element::F32`].
    Bf16,
    /// Signed 32-bit integers, of which indices are.
    S32,
    /// Unsigned bytes, as pixels are stored.
    U8,
    /// Truth values, a byte each.
    Pred,
}

impl Element {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::S32 => 4,
            Self::Bf16 => 2,
            Self::U8 | Self::Pred => 1,
        }
    }

    /// Whether it is a floating-point type, which alone has derivatives.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::Bf16)
    }

    /// Its name in StableHLO's text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::S32 => "i32",
            Self::U8 => "ui8",
            Self::Pred => "i1",
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Elements of one type in a dense, row-major array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// What the array is of.
    pub element: Element,
    /// The lengths of its axes; a scalar has none.
    pub shape: Vec<usize>,
}

impl Type {
    /// An array of `element` with axes of these lengths.
    pub fn new(element: Element, shape: impl Into<Vec<usize>>) -> Self {
        Self { element, shape: shape.into() }
    }

    /// An array of single precision.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self::new(Element::F32, shape)
    }

    /// How many axes there are.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether an axis has length 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.len() * self.element.bytes()
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.element, self.shape)
    }
}
