//! How the numbers of a feature vector are stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::interop::export::Dtype as Stored;
use crate::{Error, Result};

/// The type of stored numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE 754 numbers of 32 bits, as they are computed.
    #[default]
    F32,
    /// Of 16 bits, the nearest: half the file, three decimal digits, at most 65,504.
    F16,
}

impl Dtype {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F32, Self::F16];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// Of one number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// Appends the numbers to `bytes`, little-endian; the first that is not finite when stored is the error.
    pub(super) fn store(self, numbers: &[f32], bytes: &mut Vec<u8>) -> Result<(), f32> {
        match self {
            Self::F32 => Stored::F32.store(numbers, bytes),
            Self::F16 => Stored::F16.store(numbers, bytes),
        }
    }

    /// What to do where `number` does not fit, as the end of a sentence.
    pub(super) fn advice(self, number: f32) -> &'static str {
        match self {
            Self::F16 if number.is_finite() => "; take f32, or vectors of unit length",
            _ => ": the network's numbers overflow on it",
        }
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
    fn numbers_are_stored_little_endian_and_what_does_not_fit_is_named() {
        let stored = |dtype: Dtype, numbers: &[f32]| {
            let mut bytes = Vec::new();
            dtype.store(numbers, &mut bytes).map(|()| bytes)
        };
        assert_eq!(stored(Dtype::F32, &[1.0]).unwrap(), [0, 0, 128, 63]);
        assert_eq!(stored(Dtype::F16, &[1.0, -2.0]).unwrap(), [0, 60, 0, 192]);
        assert_eq!(stored(Dtype::F16, &[65504.0, 65520.0]), Err(65520.0));
        assert!(stored(Dtype::F32, &[65520.0]).is_ok());
        assert_eq!(stored(Dtype::F32, &[f32::INFINITY]), Err(f32::INFINITY));
        assert!(Dtype::F16.advice(65520.0).contains("f32"));
        assert!("f64".parse::<Dtype>().unwrap_err().to_string().contains("f32"));
    }
}
