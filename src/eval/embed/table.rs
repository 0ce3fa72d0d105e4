//! What every format writes: one row an image that could be read.

use std::io::{self, Read};

use serde_json::{Value, json};

use super::partial::Partial;
use super::{Chosen, Origin};

/// The rows, in the order of the images.
pub(super) struct Table<'a> {
    images: &'a Chosen,
    partial: &'a Partial,
}

impl<'a> Table<'a> {
    /// Of `images`, all of which are in `partial`.
    pub(super) fn new(images: &'a Chosen, partial: &'a Partial) -> Self {
        Self { images, partial }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.partial.done() - self.partial.broken().len()
    }

    /// The length of a vector.
    pub(super) fn dim(&self) -> usize {
        self.origin().dim
    }

    /// What vectors are of.
    pub(super) fn origin(&self) -> &'a Origin {
        self.partial.origin()
    }

    /// The number of each row's image.
    fn numbers(&self) -> impl Iterator<Item = usize> + use<'a> {
        let mut broken = self.partial.broken().iter().peekable();
        (0..self.partial.done()).filter(move |index| broken.next_if_eq(&index).is_none())
    }

    /// The name of each row's image.
    pub(super) fn ids(&self) -> impl Iterator<Item = String> + use<'a> {
        let images = self.images;
        self.numbers().map(|index| images.name(index))
    }

    /// The name of the part that each row's image is in.
    pub(super) fn parts(&self) -> impl Iterator<Item = &'static str> + use<'a> {
        let images = self.images;
        self.numbers().map(|index| images.part_of(index))
    }

    /// The class of each row's image, where it has one.
    pub(super) fn labels(&self) -> impl Iterator<Item = Option<usize>> + use<'a> {
        let images = self.images;
        self.numbers().map(|index| images.label(index))
    }

    /// The names of the classes, in the order of their labels.
    pub(super) fn classes(&self) -> &'a [String] {
        self.images.classes()
    }

    /// All vectors as they are stored, one behind the other.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn features(&self) -> io::Result<impl Read> {
        self.partial.rows()
    }

    /// Bytes of all vectors.
    pub(super) fn bytes(&self) -> usize {
        self.len() * self.origin().row_bytes()
    }

    /// Where the vectors come from, as JSON, with how many there are and for how many images there is none.
    pub(super) fn metadata(&self) -> Value {
        let mut metadata = self.origin().to_value();
        metadata["rows"] = json!(self.len());
        metadata["broken"] = json!(self.partial.broken().len());
        metadata
    }
}
