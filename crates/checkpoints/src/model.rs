//! ONNX: a model whose tensors are called as PyTorch's modules call them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};

use onnx::Weights;

use crate::checkpoint::{Element, TensorInfo};
use crate::error::Problem;

/// The longest message that protobuf allows, and so the longest model in one file.
const LONGEST: u64 = 1 << 31;

/// Whether a file that begins with these bytes may be a model.
pub(crate) fn may_be(first: &[u8]) -> bool {
    Weights::may_be(first)
}

/// Reads the model in `file`, which has so many bytes, from its beginning.
pub(crate) fn open(
    mut file: File,
    length: u64,
) -> Result<(Weights, BTreeMap<String, TensorInfo>), Problem> {
    if length > LONGEST {
        let most = onnx::Error::Most { what: "bytes", most: LONGEST as usize };
        return Err(Problem::Onnx(most));
    }
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.take(length).read_to_end(&mut bytes))
        .map_err(|error| Problem::Onnx(onnx::Error::Damaged(error.to_string())))?;
    let weights = Weights::read(bytes).map_err(Problem::Onnx)?;
    let described = |(name, info): (&String, &onnx::TensorInfo)| (name.clone(), described(info));
    let tensors = weights.tensors().iter().map(described).collect();
    Ok((weights, tensors))
}

/// The bytes of the tensor `name`.
pub(crate) fn bytes(weights: &Weights, name: &str) -> Result<Vec<u8>, Problem> {
    weights.numbers(name).map(std::borrow::Cow::into_owned).map_err(Problem::Onnx)
}

fn described(info: &onnx::TensorInfo) -> TensorInfo {
    let element = match info.element {
        onnx::Element::F16 => Element::F16,
        onnx::Element::Bf16 => Element::Bf16,
        onnx::Element::F32 => Element::F32,
        onnx::Element::F64 => Element::F64,
        onnx::Element::I64 => Element::I64,
        onnx::Element::Other(_) => Element::Other("of another type"),
    };
    TensorInfo { element, shape: info.shape.clone(), bytes: info.bytes }
}
