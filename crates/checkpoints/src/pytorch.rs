//! PyTorch's files. The `pytorch-reader` crate parses them; what is refused beside is here.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};
use zip::ZipArchive;

use crate::checkpoint::{Element, TensorInfo};
use crate::error::Problem;

/// The longest pickle of an archive. One of a thousand tensors, with its optimizer, takes less than one MiB;
/// every byte may become a Python object of a hundred.
const LONGEST_PICKLE: u64 = 16 << 20;

/// Modules with which a pickle would act on the machine. Nothing is called here in any case; a file that
/// names them is refused so that it is not opened elsewhere.
const ACTING_MODULES: [&str; 18] = [
    "asyncio",
    "code",
    "commands",
    "ctypes",
    "importlib",
    "multiprocessing",
    "nt",
    "os",
    "pdb",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "timeit",
    "webbrowser",
];
/// Functions of Python's own with which it would.
const ACTING_BUILTINS: [&str; 6] = ["__import__", "compile", "eval", "exec", "execfile", "open"];

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
        refuse_bomb(path, length)?;
        let unusable = |error: pytorch_reader::PytorchError| Problem::PyTorch(error.to_string());
        refuse_acting(&PytorchReader::read_pickle_data(path, None).map_err(unusable)?)?;
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

/// Refuses an archive whose entries unfold to more than the file, or whose pickle is too long.
///
/// PyTorch stores its entries as they are, so they never take more than the file; what is compressed beyond
/// that, or overlaps, is no checkpoint.
fn refuse_bomb(path: &Path, length: u64) -> Result<(), Problem> {
    let unusable = |problem: String| Problem::PyTorch(problem);
    let file = File::open(path).map_err(|error| unusable(error.to_string()))?;
    let mut archive = match ZipArchive::new(BufReader::new(file)) {
        Ok(archive) => archive,
        // The other forms are read from one end to the other and have nothing to unfold; a damaged archive is
        // refused by who reads it.
        Err(_) => return Ok(()),
    };
    let mut bytes = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| unusable(error.to_string()))?;
        let name = entry.name().map_err(|error| unusable(error.to_string()))?;
        if name.ends_with("data.pkl") && entry.size() > LONGEST_PICKLE {
            let size = entry.size();
            return Err(unusable(format!(
                "its pickle has {size} bytes, of at most {LONGEST_PICKLE}"
            )));
        }
        bytes = bytes.saturating_add(entry.size());
    }
    match bytes > length {
        true => {
            Err(Problem::Unfolds { what: "its archive's entries".to_owned(), bytes, file: length })
        }
        false => Ok(()),
    }
}

/// Refuses a pickle that names what would act on the machine.
fn refuse_acting(value: &PickleValue) -> Result<(), Problem> {
    match value {
        PickleValue::List(values) => values.iter().try_for_each(refuse_acting),
        PickleValue::Dict(values) => values.values().try_for_each(refuse_acting),
        PickleValue::Unsupported(name) if acts(name) => Err(Problem::Hostile(shown(name))),
        _ => Ok(()),
    }
}

fn acts(name: &str) -> bool {
    let Some((module, function)) = name.split_once('.') else { return false };
    match module {
        "builtins" | "__builtin__" => ACTING_BUILTINS.contains(&function),
        _ => ACTING_MODULES.contains(&module),
    }
}

/// As much of a name as a line of text bears.
fn shown(name: &str) -> String {
    name.escape_debug().take(80).collect()
}

fn described(tensor: &Tensor) -> TensorInfo {
    let element = match tensor.dtype() {
        DType::F16 => Element::F16,
        DType::BF16 => Element::Bf16,
        DType::F32 => Element::F32,
        DType::F64 => Element::F64,
        DType::I64 => Element::Other("I64"),
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
