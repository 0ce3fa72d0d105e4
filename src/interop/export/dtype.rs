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

    /// The numbers as they are stored, little-endian; the first that is not finite then is the error.
    pub(super) fn store(self, numbers: &[f32]) -> Result<Vec<u8>, f32> {
        let mut bytes = Vec::with_capacity(4 * numbers.len());
        for &number in numbers {
            let stored = match self {
                Self::F32 => {
                    bytes.extend(number.to_le_bytes());
                    number
                }
                Self::F16 => {
                    bytes.extend(f16::from_f32(number).to_le_bytes());
                    f16::from_f32(number).to_f32()
                }
                Self::Bf16 => {
                    bytes.extend(bf16::from_f32(number).to_le_bytes());
                    bf16::from_f32(number).to_f32()
                }
            };
            if !stored.is_finite() {
                return Err(number);
            }
        }
        Ok(bytes)
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
        assert_eq!(Dtype::F32.store(&[1.0]).unwrap(), [0, 0, 128, 63]);
        assert_eq!(Dtype::F16.store(&[1.0, -2.0]).unwrap(), [0, 60, 0, 192]);
        assert_eq!(Dtype::Bf16.store(&[1.0, 1.0 + 3.0 / 512.0]).unwrap(), [0x80, 63, 0x81, 63]);
        assert_eq!(Dtype::F16.store(&[65504.0, 65520.0]), Err(65520.0));
        assert!(Dtype::Bf16.store(&[65520.0]).is_ok());
        assert_eq!(Dtype::Bf16.store(&[f32::MAX]), Err(f32::MAX));
        assert_eq!(Dtype::F32.store(&[f32::INFINITY]), Err(f32::INFINITY));
        assert!("f64".parse::<Dtype>().unwrap_err().to_string().contains("f32, f16, bf16"));
    }
}
