//! Thrift's compact protocol, in which Parquet describes itself:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// Structures of Parquet lie less than half as deep.
const MOST_DEPTH: usize = 32;
/// Seven bits each make 64 and some.
const MOST_VARINT_BYTES: u32 = 10;

/// What a field or an element of a list holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A whole number of any width, or a truth value as 0 or 1.
    Number(i64),
    /// Bytes, or text.
    Bytes(&'a [u8]),
    /// Elements in their order.
    List(Vec<Value<'a>>),
    /// A structure.
    Struct(Fields<'a>),
    /// What Parquet has no need of: fractions, maps.
    Opaque,
}

/// The fields of a structure: their numbers, and what they hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields<'a>(Vec<(i16, Value<'a>)>);

/// Why bytes are no structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// They end before it does.
    Ends,
    /// They break the rules of the protocol.
    Malformed,
}

impl<'a> Fields<'a> {
    /// The structure that `bytes` begin with, and how many of them it takes. Memory is reserved for
    /// what is there alone, whatever length a list claims to have.
    ///
    /// # Errors
    /// When there is no whole structure, or one deeper than any of Parquet.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Problem> {
        let mut reader = Reader { rest: bytes };
        let fields = reader.fields(MOST_DEPTH)?;
        Ok((fields, bytes.len() - reader.rest.len()))
    }

    fn get(&self, id: i16) -> Option<&Value<'a>> {
        self.0.iter().find(|field| field.0 == id).map(|field| &field.1)
    }

    /// The number in field `id`.
    pub(super) fn number(&self, id: i16) -> Option<i64> {
        match self.get(id)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The bytes in field `id`.
    pub(super) fn bytes(&self, id: i16) -> Option<&'a [u8]> {
        match self.get(id)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The structure in field `id`.
    pub(super) fn fields(&self, id: i16) -> Option<&Fields<'a>> {
        match self.get(id)? {
            Value::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// The structures in the list in field `id`; none where there is no such list.
    pub(super) fn structs(&self, id: i16) -> impl Iterator<Item = &Fields<'a>> {
        let list = match self.get(id) {
            Some(Value::List(list)) => list.as_slice(),
            _ => &[],
        };
        list.iter().filter_map(|value| match value {
            Value::Struct(fields) => Some(fields),
            _ => None,
        })
    }
}

/// How the protocol numbers its types.
mod kind {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const MAP: u8 = 11;
    pub(super) const STRUCT: u8 = 12;
    pub(super) const UUID: u8 = 13;
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], Problem> {
        let count = usize::try_from(count).map_err(|_| Problem::Ends)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Problem::Ends)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Result<u64, Problem> {
        let mut number = 0;
        for place in 0..MOST_VARINT_BYTES {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Problem::Malformed)
    }

    fn zigzag(&mut self) -> Result<i64, Problem> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The fields of a structure that has at most `depth` levels below it.
    fn fields(&mut self, depth: usize) -> Result<Fields<'a>, Problem> {
        let mut fields = Fields::default();
        let mut id: i16 = 0;
        loop {
            let head = self.byte()?;
            let (delta, kind) = (head >> 4, head & 0xf);
            if kind == kind::STOP {
                return Ok(fields);
            }
            id = match delta {
                0 => i16::try_from(self.zigzag()?).map_err(|_| Problem::Malformed)?,
                _ => id.checked_add(delta.into()).ok_or(Problem::Malformed)?,
            };
            let value = match kind {
                kind::TRUE => Value::Number(1),
                kind::FALSE => Value::Number(0),
                _ => self.value(kind, depth)?,
            };
            fields.0.push((id, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value<'a>, Problem> {
        let below = depth.checked_sub(1).ok_or(Problem::Malformed)?;
        match kind {
            kind::TRUE | kind::FALSE | kind::BYTE => Ok(Value::Number(self.byte()?.into())),
            kind::I16..=kind::I64 => self.zigzag().map(Value::Number),
            kind::DOUBLE => self.take(8).map(|_| Value::Opaque),
            kind::UUID => self.take(16).map(Value::Bytes),
            kind::BINARY => {
                let length = self.varint()?;
                self.take(length).map(Value::Bytes)
            }
            kind::LIST | kind::SET => self.list(below).map(Value::List),
            kind::MAP => self.map(below).map(|()| Value::Opaque),
            kind::STRUCT => self.fields(below).map(Value::Struct),
            _ => Err(Problem::Malformed),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value<'a>>, Problem> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => count.into(),
        };
        (0..count).map(|_| self.value(head & 0xf, depth)).collect()
    }

    fn map(&mut self, depth: usize) -> Result<(), Problem> {
        let count = self.varint()?;
        let kinds = if count > 0 { self.byte()? } else { 0 };
        for _ in 0..count {
            self.value(kinds >> 4, depth)?;
            self.value(kinds & 0xf, depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 1: -3; field 2: "ab"; field 4: true; field 20: a list of two structures, of which the
    /// first has a number in field 1.
    const SAMPLE: [u8; 15] =
        [0x15, 5, 0x18, 2, b'a', b'b', 0x21, 0x09, 40, 0x2c, 0x15, 14, 0, 0, 0];

    #[test]
    fn fields_are_read_by_their_numbers() {
        let longer = [&SAMPLE[..], &[9; 3]].concat();
        let (fields, length) = Fields::parse(&longer).unwrap();
        assert_eq!(length, SAMPLE.len());
        assert_eq!(fields.number(1), Some(-3));
        assert_eq!(fields.bytes(2), Some(&b"ab"[..]));
        assert_eq!(fields.number(4), Some(1));
        let inner: Vec<_> = fields.structs(20).map(|fields| fields.number(1)).collect();
        assert_eq!(inner, [Some(7), None]);
        assert!(fields.number(2).is_none() && fields.bytes(3).is_none());
        assert!(fields.structs(1).next().is_none());
    }

    #[test]
    fn every_shorter_piece_ends_too_early() {
        for length in 0..SAMPLE.len() {
            assert_eq!(Fields::parse(&SAMPLE[..length]), Err(Problem::Ends), "{length}");
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        for at in 0..SAMPLE.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = SAMPLE;
                bytes[at] = byte;
                if let Ok((_, length)) = Fields::parse(&bytes) {
                    assert!(length <= bytes.len());
                }
            }
        }
    }

    #[test]
    fn a_list_longer_than_memory_and_a_bottomless_one_are_refused() {
        let long = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(Fields::parse(&long), Err(Problem::Ends));
        assert_eq!(Fields::parse(&[0x1c; 1000]), Err(Problem::Malformed));
        let lists = [&[0x19][..], &[0x19; 1000]].concat();
        assert_eq!(Fields::parse(&lists), Err(Problem::Malformed));
        let empty_maps = [&[0x1b, 0xff, 0xff, 0xff, 0xff, 0x7f][..], &[0x11]].concat();
        assert_eq!(Fields::parse(&empty_maps), Err(Problem::Ends));
    }
}
