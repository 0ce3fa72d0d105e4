//! Safetensors.

use std::collections::HashMap;

use safetensors::tensor::{Dtype as Type, TensorView};

use super::dtype::Dtype;
use super::stored::{Kind, Stored};
use crate::{Error, Result};

/// The bytes of a file of `tensors`, with one text of metadata at most: of several, the crate writes one or
/// the other first.
///
/// # Errors
/// [`Error::Data`] about `path` where the format has no place for so much.
pub(super) fn file(
    path: &std::path::Path,
    tensors: &[Stored],
    metadata: Option<[&str; 2]>,
) -> Result<Vec<u8>> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(element(tensor.kind), tensor.shape.clone(), &tensor.bytes);
        (tensor.name.as_str(), view.expect("the bytes are the shape's"))
    });
    let metadata = metadata.map(|[key, text]| HashMap::from([(key.to_owned(), text.to_owned())]));
    safetensors::serialize(views, metadata)
        .map_err(|error| Error::data(path, format!("does not fit safetensors: {error}")))
}

fn element(kind: Kind) -> Type {
    match kind {
        Kind::Number(Dtype::F32) => Type::F32,
        Kind::Number(Dtype::F16) => Type::F16,
        Kind::Number(Dtype::Bf16) => Type::BF16,
        Kind::Counter => Type::I64,
    }
}
