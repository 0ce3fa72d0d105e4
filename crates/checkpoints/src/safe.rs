//! Safetensors: a length, a header in JSON, and the numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use safetensors::tensor::{Dtype, Metadata};

use crate::checkpoint::{Element, TensorInfo};
use crate::error::Problem;

/// The bytes of the header's length.
const LENGTH: u64 = 8;

/// An open file.
#[derive(Debug)]
pub(crate) struct Safetensors {
    file: Mutex<File>,
    header: Metadata,
    /// Where the numbers begin.
    start: u64,
}

impl Safetensors {
    /// Reads the header of `file`, which has so many bytes, from its beginning.
    pub(crate) fn open(
        mut file: File,
        length: u64,
    ) -> Result<(Self, BTreeMap<String, TensorInfo>), Problem> {
        let damaged = |problem: String| Problem::Safetensors(problem);
        let cut = |problem: std::io::Error| Problem::Safetensors(problem.to_string());
        let mut size = [0; LENGTH as usize];
        file.rewind().and_then(|()| file.read_exact(&mut size)).map_err(cut)?;
        let start = LENGTH.saturating_add(u64::from_le_bytes(size));
        if start > length {
            return Err(damaged(format!("its header ends at byte {start}, the file at {length}")));
        }
        let mut text = vec![0; (start - LENGTH) as usize];
        file.read_exact(&mut text).map_err(cut)?;
        let header: Metadata =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        let expected = start.saturating_add(header.data_len() as u64);
        if expected != length {
            return Err(damaged(format!("it has {length} bytes, its header says {expected}")));
        }
        let mut tensors = BTreeMap::new();
        for (name, info) in header.tensors() {
            tensors.insert(name, described(info));
        }
        Ok((Self { file: Mutex::new(file), header, start }, tensors))
    }

    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The bytes of the tensor `name`.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Problem> {
        let info = self.header.info(name).ok_or_else(|| Problem::Absent(name.to_owned()))?;
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start + from as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| Problem::Safetensors(format!("`{name}`: {error}")))?;
        Ok(bytes)
    }
}

fn described(info: &safetensors::tensor::TensorInfo) -> TensorInfo {
    let element = match info.dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::BOOL => Element::Other("BOOL"),
        Dtype::U8 => Element::Other("U8"),
        Dtype::I8 => Element::Other("I8"),
        Dtype::I16 => Element::Other("I16"),
        Dtype::U16 => Element::Other("U16"),
        Dtype::I32 => Element::Other("I32"),
        Dtype::U32 => Element::Other("U32"),
        Dtype::I64 => Element::I64,
        Dtype::U64 => Element::Other("U64"),
        _ => Element::Other("of a rare type"),
    };
    let (from, to) = info.data_offsets;
    TensorInfo { element, shape: info.shape.clone(), bytes: (to - from) as u64 }
}
