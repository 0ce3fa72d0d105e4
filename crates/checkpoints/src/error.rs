use std::path::{Path, PathBuf};

use logo_ssl_base::files;

/// What keeps a checkpoint from being read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused to read the file.
    #[error(transparent)]
    Io(#[from] files::Error),
    /// The file's contents are not usable.
    #[error("{path}: {problem}", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It begins as none of the formats that are read.
    #[error("no usable safetensors file, no checkpoint of PyTorch and no ONNX model: {0}")]
    Unknown(String),
    /// It is safetensors, and damaged.
    #[error("no usable safetensors file: {0}; get it again, or write it again")]
    Safetensors(String),
    /// It is of PyTorch, and damaged, or holds what is no plain tensor.
    #[error("no usable PyTorch checkpoint: {0}; get it again, or save its state dict alone")]
    PyTorch(String),
    /// It is an ONNX model whose weights cannot be read.
    #[error(transparent)]
    Onnx(onnx::Error),
    /// It would run a command when Python opens it.
    #[error(
        "this file calls `{0}` when Python opens it, which no weights need; nothing of it was run here. Do not open \
         it, and get the weights from a source that you trust"
    )]
    Hostile(String),
    /// It unfolds to more than it can hold.
    #[error(
        "{what} would take {bytes} bytes, and the file has {file}: no honest checkpoint does. Get it again from a \
         source that you trust"
    )]
    Unfolds {
        /// What takes so much.
        what: String,
        /// How much it takes.
        bytes: u64,
        /// The length of the file in bytes.
        file: u64,
    },
    /// A tensor is not of numbers that weights are made of.
    #[error("`{name}` is {element}, expected F16, BF16, F32 or F64")]
    Type {
        /// The tensor.
        name: String,
        /// What it is made of.
        element: String,
    },
    /// A tensor is not the one whole number that it should be.
    #[error("`{name}` is {element} of shape {shape:?}, expected one number of I64")]
    NoInteger {
        /// The tensor.
        name: String,
        /// What it is made of.
        element: String,
        /// The lengths of its axes.
        shape: Vec<usize>,
    },
    /// There is no such tensor.
    #[error("there is no tensor `{0}`")]
    Absent(String),
}

impl Problem {
    /// This as an error about the file at `path`.
    pub(crate) fn of(self, path: &Path) -> Error {
        Error::Unusable { path: path.to_path_buf(), problem: self }
    }
}
