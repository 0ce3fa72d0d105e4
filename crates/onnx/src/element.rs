use std::fmt;

/// What a tensor's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    Bf16,
    /// Double precision.
    F64,
    /// Whole numbers of 64 bits.
    I64,
    /// Anything else, by ONNX's number for it (`TensorProto.DataType`).
    Other(i32),
}

impl Element {
    /// ONNX's number for it.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::F32 => 1,
            Self::I64 => 7,
            Self::F16 => 10,
            Self::F64 => 11,
            Self::Bf16 => 16,
            Self::Other(code) => code,
        }
    }

    pub(crate) fn of_code(code: i32) -> Self {
        let known = [Self::F32, Self::I64, Self::F16, Self::F64, Self::Bf16];
        known.into_iter().find(|known| known.code() == code).unwrap_or(Self::Other(code))
    }

    /// Bytes of one number; nothing of types whose numbers this crate does not read.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::F16 | Self::Bf16 => Some(2),
            Self::F32 => Some(4),
            Self::F64 | Self::I64 => Some(8),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str("F32"),
            Self::F16 => f.write_str("F16"),
            Self::Bf16 => f.write_str("BF16"),
            Self::F64 => f.write_str("F64"),
            Self::I64 => f.write_str("I64"),
            Self::Other(code) => write!(f, "of ONNX's type {code}"),
        }
    }
}
