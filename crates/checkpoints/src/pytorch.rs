//! PyTorch's files. The `pytorch-reader` crate parses them; what is refused beside is here.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};
use zip::{ZipArchive, ZipReadOptions};

use crate::acting;
use crate::checkpoint::{Element, TensorInfo};
use crate::error::Problem;

/// The longest pickle of an archive. One of a thousand tensors, with its optimizer, takes less than one MiB;
/// every byte may become a Python object of a hundred.
const LONGEST_PICKLE: u64 = 16 << 20;

/// An open file.
#[derive(Debug)]
pub(crate) struct PyTorch {
    tensors: HashMap<String, Tensor>,
}

impl PyTorch {
    /// Opens the file at `path`, which has so many bytes.
    pub(crate) fn open(
        path: &Path,
        length: u64,
    ) -> Result<(Self, BTreeMap<String, TensorInfo>), Problem> {
        refuse_harm(path, length)?;
        let unusable = |error: pytorch_reader::PytorchError| Problem::PyTorch(error.to_string());
        acting::refuse_in_value(&PytorchReader::read_pickle_data(path, None).map_err(unusable)?)?;
        let tensors = PytorchReader::new(path).map_err(unusable)?.into_tensors();
        let described = tensors.iter().map(|(name, tensor)| (name.clone(), described(tensor)));
        let described = described.collect();
        Ok((Self { tensors }, described))
    }

    /// The bytes of the tensor `name`, row by row.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Problem> {
        let tensor = self.tensors.get(name).ok_or_else(|| Problem::Absent(name.to_owned()))?;
        tensor.read().map_err(|error| Problem::PyTorch(error.to_string()))
    }
}

/// Refuses an archive whose entries unfold to more than the file, or whose pickle is too long; and a pickle
/// that would act on the machine.
///
/// PyTorch stores its entries as they are, so they never take more than the file; what is compressed beyond
/// that, or overlaps, is no checkpoint.
fn refuse_harm(path: &Path, length: u64) -> Result<(), Problem> {
    let unusable = |error: &dyn Error| Problem::PyTorch(error.to_string());
    let mut file = File::open(path).map_err(|error| unusable(&error))?;
    let Ok(mut archive) = ZipArchive::new(BufReader::new(&file)) else {
        // The other forms are read from one end to the other and have nothing to unfold. A damaged archive is
        // refused by who reads it.
        let mut first = Vec::new();
        file.rewind()
            .and_then(|()| file.take(LONGEST_PICKLE).read_to_end(&mut first))
            .map_err(|error| unusable(&error))?;
        return acting::refuse_in_opcodes(&first);
    };
    let (mut bytes, mut pickles) = (0_u64, Vec::new());
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| unusable(&error))?;
        bytes = bytes.saturating_add(entry.size());
        if entry.name().map_err(|error| unusable(&error))?.ends_with("data.pkl") {
            pickles.push(index);
        }
    }
    if bytes > length {
        let what = "its archive's entries".to_owned();
        return Err(Problem::Unfolds { what, bytes, file: length });
    }
    for index in pickles {
        // Whoever reads the pickle holds it to its checksum, which may be absent.
        let options = ZipReadOptions::new().ignore_crc32(true);
        let entry =
            archive.by_index_with_options(index, options).map_err(|error| unusable(&error))?;
        let mut pickle = Vec::new();
        entry
            .take(LONGEST_PICKLE + 1)
            .read_to_end(&mut pickle)
            .map_err(|error| unusable(&error))?;
        if pickle.len() as u64 > LONGEST_PICKLE {
            let problem = format!("its pickle has more than {LONGEST_PICKLE} bytes");
            return Err(Problem::PyTorch(problem));
        }
        acting::refuse_in_opcodes(&pickle)?;
    }
    Ok(())
}

fn described(tensor: &Tensor) -> TensorInfo {
    let element = match tensor.dtype() {
        DType::F16 => Element::F16,
        DType::BF16 => Element::Bf16,
        DType::F32 => Element::F32,
        DType::F64 => Element::F64,
        DType::I64 => Element::I64,
        DType::I32 => Element::Other("I32"),
        DType::I16 => Element::Other("I16"),
        DType::I8 => Element::Other("I8"),
        DType::U64 => Element::Other("U64"),
        DType::U32 => Element::Other("U32"),
        DType::U16 => Element::Other("U16"),
        DType::U8 => Element::Other("U8"),
        DType::Bool => Element::Other("BOOL"),
    };
    TensorInfo { element, shape: tensor.shape().to_vec(), bytes: tensor.byte_len() as u64 }
}
