//! Protobuf's encoding, walked without a copy.
//!
//! Decoded into structs, two bytes of an empty message would take a hundred in memory, and a hostile file of
//! some megabytes all there is. Here nothing is allocated.

use std::ops::Range;

use crate::error::Error;

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) value: Value,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A whole number.
    Varint(u64),
    /// Where a text, a message or numbers one behind the other lie.
    Bytes(Range<usize>),
    /// One number of 4 or 8 bytes.
    Fixed,
}

impl Value {
    pub(crate) fn varint(&self) -> Result<u64, Error> {
        match self {
            Self::Varint(number) => Ok(*number),
            _ => Err(Error::damaged("a number is of another type than it should be")),
        }
    }

    pub(crate) fn bytes(self) -> Result<Range<usize>, Error> {
        match self {
            Self::Bytes(range) => Ok(range),
            _ => Err(Error::damaged("a text or message is of another type than it should be")),
        }
    }
}

/// The fields of the message that lies in some range of `bytes`, in order; after an error no more.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    range: Range<usize>,
}

impl<'a> Fields<'a> {
    /// # Panics
    /// If the range leaves the bytes.
    pub(crate) fn of(bytes: &'a [u8], range: Range<usize>) -> Self {
        assert!(range.end <= bytes.len(), "a message lies within the bytes");
        Self { bytes, range }
    }

    fn field(&mut self) -> Result<Field, Error> {
        let key = varint(self.bytes, &mut self.range)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(self.bytes, &mut self.range)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint(self.bytes, &mut self.range)?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            kind => return Err(Error::damaged(format!("a field of the unknown kind {kind}"))),
        };
        Ok(Field { number: key >> 3, value })
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, Error> {
        if length > self.range.len() {
            return Err(Error::damaged(format!(
                "a part of {length} bytes begins {} bytes before the end of what it is in",
                self.range.len()
            )));
        }
        let taken = self.range.start..self.range.start + length;
        self.range.start = taken.end;
        Ok(taken)
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.range.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.range.start = self.range.end;
        }
        Some(field)
    }
}

/// The number of variable length that `range` of `bytes` begins with, which is then behind it.
pub(crate) fn varint(bytes: &[u8], range: &mut Range<usize>) -> Result<u64, Error> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        if Range::is_empty(range) {
            return Err(Error::damaged("it ends within a number"));
        }
        let byte = bytes[range.start];
        range.start += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Error::damaged("a number is of more than ten bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field>, Error> {
        Fields::of(bytes, 0..bytes.len()).collect()
    }

    #[test]
    fn fields_of_every_kind_are_walked() {
        // Field 1, the number 300; field 2, three bytes; fields 3 and 4, numbers of 8 and 4 bytes.
        let mut bytes = vec![0x08, 0xac, 0x02, 0x12, 3, 1, 2, 3, 0x19];
        bytes.extend([0; 8]);
        bytes.push(0x25);
        bytes.extend([0; 4]);
        let found = fields(&bytes).unwrap();
        let numbers: Vec<u64> = found.iter().map(|field| field.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(found[0].value, Value::Varint(300));
        assert_eq!(found[1].value, Value::Bytes(5..8));
        assert_eq!(fields(&[]).unwrap(), []);
    }

    #[test]
    fn what_is_cut_or_too_long_is_an_error_and_the_end() {
        let long = [0x08].into_iter().chain([0xff; 11]).collect::<Vec<u8>>();
        let longer_than_all = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        for bytes in [&[0x08][..], &[0x08, 0x80], &[0x0a, 2, 1], &[0x0b], &long, &longer_than_all] {
            assert!(matches!(fields(bytes), Err(Error::Damaged(_))), "{bytes:?}");
            assert!(Fields::of(bytes, 0..bytes.len()).count() <= bytes.len());
        }
    }
}
