use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use logo_ssl_base::files;

use crate::error::{Error, Problem};
use crate::model;
use crate::pytorch::PyTorch;
use crate::safe::Safetensors;

/// How many times its own length the tensors may take that are read from one file. Modules that are saved
/// under two names share their storage, so once would be too few.
const MOST_UNFOLDED: u64 = 4;
/// The longest header of a safetensors file, as the format has it.
const LONGEST_HEADER: u64 = 100_000_000;

/// A file of named tensors whose numbers are read when they are asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    length: u64,
    tensors: BTreeMap<String, TensorInfo>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    PyTorch(PyTorch),
    Safetensors(Safetensors),
    Onnx(onnx::Weights),
}

/// What a tensor is, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// What its numbers are.
    pub element: Element,
    /// The lengths of its axes, the outermost first.
    pub shape: Vec<usize>,
    /// How many bytes its numbers take, as they are in the file.
    pub bytes: u64,
}

/// What a tensor's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Whole numbers of 64 bits, as counters are.
    I64,
    /// Anything else, such as masks, by its name.
    Other(&'static str),
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Element::F16 => "F16",
            Element::Bf16 => "BF16",
            Element::F32 => "F32",
            Element::F64 => "F64",
            Element::I64 => "I64",
            Element::Other(name) => name,
        })
    }
}

impl Checkpoint {
    /// Opens the file at `path`: what tensors it has, and where.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::Unusable`] naming it where it is of another format, damaged,
    /// or made to harm.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Io(files::Error::on("read", path)(source));
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut first = Vec::new();
        file.by_ref().take(512).read_to_end(&mut first).map_err(unreadable)?;
        let (source, tensors) = match Kind::of(&first, length) {
            Kind::Safetensors => {
                let (source, tensors) = Safetensors::open(file, length).map_err(|p| p.of(path))?;
                (Source::Safetensors(source), tensors)
            }
            Kind::PyTorch => {
                let (source, tensors) = PyTorch::open(path, length).map_err(|p| p.of(path))?;
                (Source::PyTorch(source), tensors)
            }
            Kind::Onnx => {
                let (source, tensors) = model::open(file, length).map_err(|p| p.of(path))?;
                (Source::Onnx(source), tensors)
            }
            Kind::Unknown(problem) => return Err(Problem::Unknown(problem).of(path)),
        };
        Ok(Self { path: path.to_path_buf(), length, tensors, source })
    }

    /// Whether it is one of PyTorch's.
    pub fn is_pytorch(&self) -> bool {
        matches!(self.source, Source::PyTorch(_))
    }

    /// Every tensor by its name. In PyTorch's files that is the path through dicts, lists and modules, with
    /// dots between: `state_dict.module.conv1.weight`.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// The text that a safetensors file has under `key` beside its tensors.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        match &self.source {
            Source::Safetensors(file) => file.metadata(key),
            Source::PyTorch(_) | Source::Onnx(_) => None,
        }
    }

    /// The numbers of the tensor `name`, row by row, as f32.
    ///
    /// # Errors
    /// [`Error::Unusable`] where there is no such tensor, it is of no real numbers, it unfolds to more than the
    /// file holds, or the file is damaged there; [`Error::Io`] where it cannot be read.
    pub fn numbers(&self, name: &str) -> Result<Vec<f32>, Error> {
        self.read(name).map_err(|problem| problem.of(&self.path))
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, Problem> {
        let info = self.info(name)?;
        match info.element {
            Element::F16 | Element::Bf16 | Element::F32 | Element::F64 => {
                Ok(numbers(info.element, &self.bytes(name, info)?))
            }
            element => {
                let (name, element) = (name.to_owned(), element.to_string());
                Err(Problem::Type { name, element })
            }
        }
    }

    /// The one whole number that the tensor `name` holds, such as a counter.
    ///
    /// # Errors
    /// As [`Checkpoint::numbers`].
    pub fn integer(&self, name: &str) -> Result<i64, Error> {
        self.read_integer(name).map_err(|problem| problem.of(&self.path))
    }

    fn read_integer(&self, name: &str) -> Result<i64, Problem> {
        let info = self.info(name)?;
        let no_integer = || Problem::NoInteger {
            name: name.to_owned(),
            element: info.element.to_string(),
            shape: info.shape.clone(),
        };
        match info.element {
            Element::I64 => {
                let bytes = self.bytes(name, info)?;
                bytes.try_into().map(i64::from_le_bytes).map_err(|_| no_integer())
            }
            _ => Err(no_integer()),
        }
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, Problem> {
        self.tensors.get(name).ok_or_else(|| Problem::Absent(name.to_owned()))
    }

    fn bytes(&self, name: &str, info: &TensorInfo) -> Result<Vec<u8>, Problem> {
        if info.bytes > self.length {
            let (what, bytes, file) = (format!("`{name}`"), info.bytes, self.length);
            return Err(Problem::Unfolds { what, bytes, file });
        }
        match &self.source {
            Source::PyTorch(file) => file.bytes(name),
            Source::Safetensors(file) => file.bytes(name),
            Source::Onnx(weights) => model::bytes(weights, name),
        }
    }

    /// Refuses tensors that together unfold to many times what the file holds, as one storage under a
    /// thousand names does.
    ///
    /// # Errors
    /// [`Error::Unusable`] with [`Problem::Unfolds`].
    pub fn refuse_unfolding<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), Error> {
        let sizes = names.into_iter().filter_map(|name| self.tensors.get(name));
        let bytes = sizes.fold(0_u64, |sum, info| sum.saturating_add(info.bytes));
        match bytes > self.length.saturating_mul(MOST_UNFOLDED) {
            true => {
                let (what, file) = ("its tensors".to_owned(), self.length);
                Err(Problem::Unfolds { what, bytes, file }.of(&self.path))
            }
            false => Ok(()),
        }
    }
}

/// What a file is by how it begins.
enum Kind {
    PyTorch,
    Safetensors,
    Onnx,
    /// None of them; why it is no safetensors file.
    Unknown(String),
}

impl Kind {
    fn of(first: &[u8], length: u64) -> Self {
        let header = first.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let is_header = header.is_some_and(|header| header <= LONGEST_HEADER);
        // The length of a header may begin as a pickle does, so what follows it decides.
        if is_header && first.get(8) == Some(&b'{') {
            return Kind::Safetensors;
        }
        let is_tar = first.get(257..262) == Some(b"ustar");
        match first {
            _ if is_tar => Kind::PyTorch,
            // A zip file; a pickle of protocol 2 to 5; one of protocol 0, whose first object is a number of
            // PyTorch's; an empty dict.
            [b'P', b'K', 3 | 5, 4 | 6, ..] | [0x80, 2..=5, ..] | [b'L', b'1', ..] => Kind::PyTorch,
            _ if model::may_be(first) => Kind::Onnx,
            _ if length < 10 => Kind::Unknown(format!("it has {length} bytes")),
            _ if !is_header => Kind::Unknown("its header would be longer than any".to_owned()),
            _ => Kind::Unknown("its header is no JSON".to_owned()),
        }
    }
}

/// The numbers that `bytes` are.
fn numbers(element: Element, bytes: &[u8]) -> Vec<f32> {
    fn of<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        let (numbers, _) = bytes.as_chunks::<N>();
        numbers.iter().map(|bytes| number(*bytes)).collect()
    }
    match element {
        Element::F16 => of(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Element::Bf16 => of(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Element::F32 => of(bytes, f32::from_le_bytes),
        Element::F64 => of(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        Element::I64 | Element::Other(_) => Vec::new(),
    }
}
