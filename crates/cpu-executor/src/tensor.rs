//! Tensors in the host's memory.

use std::ops::Range;

use cpu_kernels::bf16;
use graph::{Element, Type};

/// A tensor's elements, row by row.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// [`Element::F32`]
    F32(Vec<f32>),
    /// [`Element::S32`]
    S32(Vec<i32>),
    /// [`Element::Pred`]
    Pred(Vec<bool>),
    /// [`Element::U8`]
    U8(Vec<u8>),
    /// [`Element::Bf16`]
    Bf16(Vec<bf16>),
}

/// Elements that are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slice<'a> {
    F32(&'a [f32]),
    S32(&'a [i32]),
    Pred(&'a [bool]),
    U8(&'a [u8]),
    Bf16(&'a [bf16]),
}

/// Elements that are written.
#[derive(Debug)]
pub(crate) enum SliceMut<'a> {
    F32(&'a mut [f32]),
    S32(&'a mut [i32]),
    Pred(&'a mut [bool]),
    U8(&'a mut [u8]),
    Bf16(&'a mut [bf16]),
}

/// Does the same with the elements of any type.
macro_rules! each {
    ($from:ident, $data:expr, $x:ident => $wrap:ident $body:expr) => {
        match $data {
            $from::F32($x) => $wrap::F32($body),
            $from::S32($x) => $wrap::S32($body),
            $from::Pred($x) => $wrap::Pred($body),
            $from::U8($x) => $wrap::U8($body),
            $from::Bf16($x) => $wrap::Bf16($body),
        }
    };
    ($from:ident, $data:expr, $x:ident => $body:expr) => {
        match $data {
            $from::F32($x) => $body,
            $from::S32($x) => $body,
            $from::Pred($x) => $body,
            $from::U8($x) => $body,
            $from::Bf16($x) => $body,
        }
    };
}
pub(crate) use each;

impl Data {
    /// `len` zeros.
    pub fn zeros(element: Element, len: usize) -> Self {
        match element {
            Element::F32 => Self::F32(vec![0.0; len]),
            Element::S32 => Self::S32(vec![0; len]),
            Element::Pred => Self::Pred(vec![false; len]),
            Element::U8 => Self::U8(vec![0; len]),
            Element::Bf16 => Self::Bf16(vec![bf16::ZERO; len]),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        each!(Data, self, x => x.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their type.
    pub fn element(&self) -> Element {
        match self {
            Self::F32(_) => Element::F32,
            Self::S32(_) => Element::S32,
            Self::Pred(_) => Element::Pred,
            Self::U8(_) => Element::U8,
            Self::Bf16(_) => Element::Bf16,
        }
    }

    pub(crate) fn part(&self, range: Range<usize>) -> Slice<'_> {
        each!(Data, self, x => Slice &x[range])
    }

    /// A copy of a part.
    pub(crate) fn copy(&self, range: Range<usize>) -> Data {
        each!(Data, self, x => Data x[range].to_vec())
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::F32(vec![])
    }
}

impl<'a> Slice<'a> {
    /// A part, where there is such a one.
    pub(crate) fn part(self, range: Range<usize>) -> Option<Slice<'a>> {
        Some(each!(Slice, self, x => Slice x.get(range)?))
    }

    /// How many there are.
    pub(crate) fn len(self) -> usize {
        each!(Slice, self, x => x.len())
    }

    /// The numbers of a buffer that was planned as f32.
    pub(crate) fn f32(self) -> &'a [f32] {
        match self {
            Slice::F32(numbers) => numbers,
            other => unreachable!("planned as f32, found {other:?}"),
        }
    }

    /// The integers of a buffer that was planned as s32.
    pub(crate) fn s32(self) -> &'a [i32] {
        match self {
            Slice::S32(numbers) => numbers,
            other => unreachable!("planned as s32, found {other:?}"),
        }
    }
}

impl<'a> SliceMut<'a> {
    /// The numbers of a buffer that was planned as f32.
    pub(crate) fn f32(self) -> &'a mut [f32] {
        match self {
            SliceMut::F32(numbers) => numbers,
            other => unreachable!("planned as f32, found {other:?}"),
        }
    }

    /// The same, to read.
    pub(crate) fn read(&self) -> Slice<'_> {
        each!(SliceMut, self, x => Slice x)
    }

    /// The same, for a while.
    pub(crate) fn reborrow(&mut self) -> SliceMut<'_> {
        each!(SliceMut, self, x => SliceMut x)
    }

    /// In parts of `len` elements.
    pub(crate) fn chunks(self, len: usize) -> Vec<SliceMut<'a>> {
        each!(SliceMut, self, x => x.chunks_mut(len).map(SliceMut::from).collect())
    }
}

macro_rules! from {
    ($type:ty, $variant:ident) => {
        impl<'a> From<&'a mut [$type]> for SliceMut<'a> {
            fn from(x: &'a mut [$type]) -> Self {
                SliceMut::$variant(x)
            }
        }

        impl<'a> From<&'a [$type]> for Slice<'a> {
            fn from(x: &'a [$type]) -> Self {
                Slice::$variant(x)
            }
        }
    };
}

from!(f32, F32);
from!(i32, S32);
from!(bool, Pred);
from!(u8, U8);
from!(bf16, Bf16);

/// A tensor: its type and its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    ty: Type,
    data: Data,
}

/// Elements that do not make a tensor of the wanted shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found} elements do not make a tensor of {ty}")]
pub struct WrongLength {
    /// The tensor's type.
    pub ty: Type,
    /// How many elements there are.
    pub found: usize,
}

impl Tensor {
    /// Elements with axes of these lengths.
    ///
    /// # Errors
    /// [`WrongLength`], if they are more or fewer.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Self, WrongLength> {
        let ty = Type::new(data.element(), shape);
        match ty.len() == data.len() {
            true => Ok(Self { ty, data }),
            false => Err(WrongLength { ty, found: data.len() }),
        }
    }

    /// Elements of the length that `ty` says, whose type is known.
    pub(crate) fn of(ty: Type, data: Data) -> Self {
        debug_assert_eq!((ty.element, ty.len()), (data.element(), data.len()));
        Self { ty, data }
    }

    /// Single precision.
    ///
    /// # Panics
    /// If there are more or fewer numbers than the shape says.
    #[track_caller]
    pub fn f32(shape: impl Into<Vec<usize>>, numbers: impl Into<Vec<f32>>) -> Self {
        Self::expected(shape, Data::F32(numbers.into()))
    }

    /// Integers.
    ///
    /// # Panics
    /// If there are more or fewer numbers than the shape says.
    #[track_caller]
    pub fn s32(shape: impl Into<Vec<usize>>, numbers: impl Into<Vec<i32>>) -> Self {
        Self::expected(shape, Data::S32(numbers.into()))
    }

    /// Truth values.
    ///
    /// # Panics
    /// If there are more or fewer than the shape says.
    #[track_caller]
    pub fn pred(shape: impl Into<Vec<usize>>, values: impl Into<Vec<bool>>) -> Self {
        Self::expected(shape, Data::Pred(values.into()))
    }

    /// Bytes.
    ///
    /// # Panics
    /// If there are more or fewer than the shape says.
    #[track_caller]
    pub fn u8(shape: impl Into<Vec<usize>>, bytes: impl Into<Vec<u8>>) -> Self {
        Self::expected(shape, Data::U8(bytes.into()))
    }

    /// bfloat16.
    ///
    /// # Panics
    /// If there are more or fewer numbers than the shape says.
    #[track_caller]
    pub fn bf16(shape: impl Into<Vec<usize>>, numbers: impl Into<Vec<bf16>>) -> Self {
        Self::expected(shape, Data::Bf16(numbers.into()))
    }

    #[track_caller]
    fn expected(shape: impl Into<Vec<usize>>, data: Data) -> Self {
        Self::new(shape, data).unwrap_or_else(|error| panic!("{error}"))
    }

    /// One number, without axes.
    pub fn scalar(number: f32) -> Self {
        Self { ty: Type::f32([]), data: Data::F32(vec![number]) }
    }

    /// One integer, without axes.
    pub fn index(number: i32) -> Self {
        Self { ty: Type::new(Element::S32, []), data: Data::S32(vec![number]) }
    }

    /// Zeros.
    pub fn zeros(ty: Type) -> Self {
        Self { data: Data::zeros(ty.element, ty.len()), ty }
    }

    /// Its type.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Its elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Its elements, taken out.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// Its numbers, where they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(numbers) => Some(numbers),
            _ => None,
        }
    }
}
