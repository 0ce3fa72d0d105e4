//! A tensor as a model holds it.

use std::borrow::Cow;
use std::ops::Range;

use crate::element::Element;
use crate::error::Error;
use crate::wire::{Field, Fields, Value, varint};

/// Axes of a tensor at most.
const MOST_AXES: usize = 16;

/// A tensor, without its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Numbers,
}

/// Where a tensor's numbers are.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// There, little-endian.
    Bytes(Range<usize>),
    /// There, each as a number of variable length: halves and whole numbers may be kept so.
    Varints(Range<usize>),
    /// Nowhere: each is this.
    All(f32),
}

/// The fields of a tensor as they are met.
#[derive(Default)]
struct Parts {
    name: Option<Range<usize>>,
    code: i32,
    shape: Vec<usize>,
    numbers: Option<Numbers>,
    is_external: bool,
}

impl Tensor {
    /// `shape` times the number `value`.
    pub(crate) fn all(value: f32, shape: Vec<usize>) -> Self {
        Self { element: Element::F32, shape, numbers: Numbers::All(value) }
    }

    /// The tensor in `range` of `bytes`, and its name.
    pub(crate) fn read(bytes: &[u8], range: Range<usize>) -> Result<(String, Self), Error> {
        let mut parts = Parts::default();
        for field in Fields::of(bytes, range) {
            parts.take(bytes, field?)?;
        }
        let name = parts.name.map(|name| text(bytes, name)).transpose()?.unwrap_or_default();
        if parts.is_external {
            return Err(Error::External(name));
        }
        let numbers = parts.numbers.unwrap_or(Numbers::Bytes(0..0));
        let tensor = Self { element: Element::of_code(parts.code), shape: parts.shape, numbers };
        tensor.check(bytes, &name)?;
        Ok((name, tensor))
    }

    /// Bytes of all numbers; of a type that this crate does not know those that are there.
    pub(crate) fn bytes(&self) -> usize {
        let count = || self.shape.iter().product::<usize>();
        match (&self.numbers, self.element.bytes()) {
            (Numbers::Bytes(range), _) => range.len(),
            (_, Some(each)) => count() * each,
            (Numbers::Varints(range), None) => range.len(),
            (Numbers::All(_), None) => 0,
        }
    }

    /// The numbers, little-endian, of a model in `bytes`.
    pub(crate) fn numbers<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
        match &self.numbers {
            Numbers::Bytes(range) => Ok(Cow::Borrowed(&bytes[range.clone()])),
            Numbers::Varints(range) => {
                let each = self.element.bytes().unwrap_or(size_of::<u64>());
                unpacked(bytes, range.clone(), each).map(Cow::Owned)
            }
            Numbers::All(value) => {
                let count = self.shape.iter().product();
                Ok(Cow::Owned(
                    [*value].repeat(count).into_iter().flat_map(f32::to_le_bytes).collect(),
                ))
            }
        }
    }

    /// Refuses numbers that are not as many as the shape says.
    fn check(&self, bytes: &[u8], name: &str) -> Result<(), Error> {
        let Some(each) = self.element.bytes() else { return Ok(()) };
        let found = match &self.numbers {
            Numbers::Bytes(range) => range.len(),
            Numbers::Varints(range)
                if matches!(self.element, Element::F16 | Element::Bf16 | Element::I64) =>
            {
                // A number ends with the one byte of it that is below 128.
                each * bytes[range.clone()].iter().filter(|byte| **byte < 0x80).count()
            }
            Numbers::Varints(_) | Numbers::All(_) => {
                return Err(Error::damaged(format!(
                    "`{name}` keeps {} in a strange way",
                    self.element
                )));
            }
        };
        let shape = &self.shape;
        let count = shape.iter().try_fold(each, |product, length| product.checked_mul(*length));
        match count.unwrap_or(usize::MAX) {
            expected if expected == found => Ok(()),
            expected => {
                let (name, shape) = (name.to_owned(), shape.clone());
                Err(Error::Length { name, shape, expected, found })
            }
        }
    }
}

impl Parts {
    /// Takes a field of `TensorProto`.
    fn take(&mut self, bytes: &[u8], Field { number, value }: Field) -> Result<(), Error> {
        match number {
            1 => match value {
                Value::Bytes(mut packed) => {
                    while !packed.is_empty() {
                        let length = varint(bytes, &mut packed)?;
                        self.axis(length)?;
                    }
                }
                value => self.axis(value.varint()?)?,
            },
            2 => self.code = value.varint()? as i32,
            8 => self.name = Some(value.bytes()?),
            // Singles, raw bytes and doubles lie in the file as they lie in memory.
            4 | 9 | 10 => self.numbers(Numbers::Bytes(value.bytes().map_err(|_| in_pieces())?))?,
            5 | 7 => self.numbers(Numbers::Varints(value.bytes().map_err(|_| in_pieces())?))?,
            13 => self.is_external = true,
            14 => self.is_external |= value.varint()? != 0,
            _ => {}
        }
        Ok(())
    }

    fn axis(&mut self, length: u64) -> Result<(), Error> {
        if self.shape.len() == MOST_AXES {
            return Err(Error::Most { what: "axes of a tensor", most: MOST_AXES });
        }
        // A negative length is a very large one here.
        let length = usize::try_from(length).ok().filter(|length| isize::try_from(*length).is_ok());
        self.shape.push(length.ok_or_else(|| Error::damaged("an axis of impossible length"))?);
        Ok(())
    }

    fn numbers(&mut self, numbers: Numbers) -> Result<(), Error> {
        match self.numbers.replace(numbers) {
            None => Ok(()),
            Some(_) => Err(in_pieces()),
        }
    }
}

fn in_pieces() -> Error {
    Error::damaged("a tensor's numbers are in several pieces")
}

/// The text in `range` of `bytes`.
pub(crate) fn text(bytes: &[u8], range: Range<usize>) -> Result<String, Error> {
    String::from_utf8(bytes[range].to_vec()).map_err(|_| Error::damaged("a name is no text"))
}

/// Numbers of `each` bytes that lie as numbers of variable length.
fn unpacked(bytes: &[u8], mut range: Range<usize>, each: usize) -> Result<Vec<u8>, Error> {
    let mut numbers = Vec::new();
    while !range.is_empty() {
        numbers.extend_from_slice(&varint(bytes, &mut range)?.to_le_bytes()[..each]);
    }
    Ok(numbers)
}
