//! The types of arrays.

use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Truth values, a byte each.
    Pred,
    /// Signed integers of 8 bits.
    S8,
    /// Signed integers of 16 bits.
    S16,
    /// Signed integers of 32 bits.
    S32,
    /// Signed integers of 64 bits.
    S64,
    /// Unsigned integers of 8 bits.
    U8,
    /// Unsigned integers of 16 bits.
    U16,
    /// Unsigned integers of 32 bits.
    U32,
    /// Unsigned integers of 64 bits.
    U64,
    /// IEEE's half precision.
    F16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// The upper half of single precision.
    Bf16,
}

/// Each type with its number in the C interface, its size in bytes, XLA's name and StableHLO's
/// name.
const TYPES: [(ElementType, i32, usize, &str, &str); 13] = [
    (ElementType::Pred, 1, 1, "pred", "i1"),
    (ElementType::S8, 2, 1, "s8", "i8"),
    (ElementType::S16, 3, 2, "s16", "i16"),
    (ElementType::S32, 4, 4, "s32", "i32"),
    (ElementType::S64, 5, 8, "s64", "i64"),
    (ElementType::U8, 6, 1, "u8", "ui8"),
    (ElementType::U16, 7, 2, "u16", "ui16"),
    (ElementType::U32, 8, 4, "u32", "ui32"),
    (ElementType::U64, 9, 8, "u64", "ui64"),
    (ElementType::F16, 10, 2, "f16", "f16"),
    (ElementType::F32, 11, 4, "f32", "f32"),
    (ElementType::F64, 12, 8, "f64", "f64"),
    (ElementType::Bf16, 13, 2, "bf16", "bf16"),
];

impl ElementType {
    /// All types, in the order of their declaration.
    pub fn all() -> impl Iterator<Item = Self> {
        TYPES.iter().map(|&(element, ..)| element)
    }

    /// The size of one element in bytes.
    pub fn bytes(self) -> usize {
        TYPES[self as usize].2
    }

    /// The name of the type in StableHLO texts, such as `ui8`.
    pub fn stablehlo(self) -> &'static str {
        TYPES[self as usize].4
    }

    /// The number of the type in the C interface.
    pub(crate) fn code(self) -> i32 {
        TYPES[self as usize].1
    }

    pub(crate) fn of_code(wanted: i32) -> Option<Self> {
        TYPES.iter().find(|(_, code, ..)| *code == wanted).map(|&(element, ..)| element)
    }

    pub(crate) fn of_stablehlo(wanted: &str) -> Option<Self> {
        TYPES.iter().find(|(.., name)| *name == wanted).map(|&(element, ..)| element)
    }
}

impl fmt::Display for ElementType {
    /// XLA's name of the type, such as `u8`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(TYPES[*self as usize].3)
    }
}

/// The element type and the dimensions of an array, written as `f32[2,3]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The type of the elements.
    pub element: ElementType,
    /// The dimensions, the slowest varying first; none for a scalar.
    pub dims: Vec<usize>,
}

impl Shape {
    /// The size of the array in bytes when it lies dense, or none where that overflows.
    pub fn bytes(&self) -> Option<usize> {
        self.dims.iter().try_fold(self.element.bytes(), |bytes, dim| bytes.checked_mul(*dim))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(usize::to_string).collect();
        write!(formatter, "{}[{}]", self.element, dims.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_declaration() {
        for (at, element) in ElementType::all().enumerate() {
            assert_eq!(element as usize, at);
            assert_eq!(ElementType::of_code(element.code()), Some(element));
            assert_eq!(ElementType::of_stablehlo(element.stablehlo()), Some(element));
        }
        let shape = Shape { element: ElementType::Bf16, dims: vec![2, 3] };
        assert_eq!((shape.to_string().as_str(), shape.bytes()), ("bf16[2,3]", Some(12)));
        let endless = Shape { element: ElementType::F64, dims: vec![usize::MAX, 2] };
        assert_eq!(endless.bytes(), None);
    }
}
