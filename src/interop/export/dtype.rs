//! How the numbers of exported weights are stored.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};

use crate::{Error, Result};

/// The type of stored numbers. What is not single precision is rounded to the nearest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE 754 numbers of 32 bits, as they were trained.
    #[default]
    F32,
    /// Of 16 bits: three decimal digits, at most 65,504.
    F16,
    /// The upper half of 32 bits: two decimal digits, and their whole range.
    Bf16,
}

impl Dtype {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Appends the numbers to `bytes`, little-endian; the first that is not finite when stored is the error.
    pub(crate) fn store(self, numbers: &[f32], bytes: &mut Vec<u8>) -> Result<(), f32> {
        for &number in numbers {
            let stored = match self {
                Self::F32 => {
                    bytes.extend(number.to_le_bytes());
                    number
                }
                Self::F16 => {
                    let half = f16::from_f32(number);
                    bytes.extend(half.to_le_bytes());
                    half.to_f32()
                }
                Self::Bf16 => {
                    let brain = bf16::from_f32(number);
                    bytes.extend(brain.to_le_bytes());
                    brain.to_f32()
                }
            };
            if !stored.is_finite() {
                return Err(number);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::name("type of numbers", name, format!("expected one of: {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_what_overflows_is_named() {
        let stored = |dtype: Dtype, numbers: &[f32]| {
            let mut bytes = Vec::new();
            dtype.store(numbers, &mut bytes).map(|()| bytes)
        };
        assert_eq!(stored(Dtype::F32, &[1.0]).unwrap(), [0, 0, 128, 63]);
        assert_eq!(stored(Dtype::F16, &[1.0, -2.0]).unwrap(), [0, 60, 0, 192]);
        assert_eq!(stored(Dtype::Bf16, &[1.0, 1.0 + 3.0 / 512.0]).unwrap(), [0x80, 63, 0x81, 63]);
        assert_eq!(stored(Dtype::F16, &[65504.0, 65520.0]), Err(65520.0));
        assert!(stored(Dtype::Bf16, &[65520.0]).is_ok());
        assert_eq!(stored(Dtype::Bf16, &[f32::MAX]), Err(f32::MAX));
        assert_eq!(stored(Dtype::F32, &[f32::INFINITY]), Err(f32::INFINITY));
        assert!("f64".parse::<Dtype>().unwrap_err().to_string().contains("f32, f16, bf16"));
    }
}
