//! Named f32 tensors and one text of metadata, in a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::model::params::{State, TensorData};
use crate::{Error, Result};
use logo_ssl_base::files::write_atomic;

/// The one metadata key used: with a single key the same contents give the same bytes.
const KEY: &str = "logo_ssl";

// Numbers are written as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "safetensors files are little-endian");

/// Writes `state` to `path`, atomically.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(path: &Path, state: &State, metadata: String) -> Result<()> {
    let views = state.iter().map(|(name, TensorData { shape, values })| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytemuck::cast_slice(values));
        (name.as_str(), view.expect("the bytes are the shape's"))
    });
    let metadata = HashMap::from([(KEY.to_owned(), metadata)]);
    let bytes = safetensors::serialize(views, Some(metadata))
        .map_err(|error| Error::io("write", path)(std::io::Error::other(error)))?;
    Ok(write_atomic(path, &bytes)?)
}

/// Reads what [`write()`] wrote, or any other safetensors file of f32 tensors; the metadata is
/// absent in a file of other origin.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Data`] when it is damaged or holds another type.
pub fn read(path: &Path) -> Result<(State, Option<String>)> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let damaged =
        |problem: String| Error::data(path, format!("no usable safetensors file: {problem}"));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
    let metadata = header.metadata().as_ref().and_then(|map| map.get(KEY).cloned());
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
    let mut state = State::new();
    for (name, view) in tensors.iter() {
        // PyTorch's counters of batches say nothing about the weights.
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        if view.dtype() != Dtype::F32 {
            return Err(damaged(format!("`{name}` is {:?}, expected F32", view.dtype())));
        }
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        state.insert(name.to_owned(), TensorData::new(values, view.shape().to_vec()));
    }
    Ok((state, metadata))
}
