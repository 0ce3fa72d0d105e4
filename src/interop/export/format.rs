//! What can be written.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::dtype::Dtype;
use super::source::Export;

/// A format that weights are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Safetensors under torchvision's names.
    Safetensors,
    /// A state dict that `torch.load(weights_only=True)` opens, under torchvision's names.
    Pth,
    /// An ONNX model of images to features.
    Onnx {
        /// Whether batch norms become part of the convolutions before them.
        fold_batch_norm: bool,
    },
    /// A folder for timm and Hugging Face's transformers.
    HuggingFace,
    /// The program of images to features as StableHLO text, for images of one shape.
    StableHlo {
        /// How many images it takes.
        images: usize,
        /// Their side in pixels; none is that of the views by which the encoder is evaluated or was trained.
        size: Option<usize>,
    },
}

/// Which tensors are written, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The type of the numbers.
    pub dtype: Dtype,
    /// Whether what was trained on the backbone goes along: projector, predictor, f_d. Of a network that is
    /// run, as in ONNX, it is the projector.
    pub heads: bool,
}

impl Format {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Pth => "pth",
            Self::Onnx { .. } => "onnx",
            Self::HuggingFace => "hf",
            Self::StableHlo { .. } => "stablehlo",
        }
    }

    /// Where an export is written when no place is named. Of a run it is `RUN/export/resnet18` with the
    /// format's ending, of a file the same name beside it; what is not in single precision, and what is
    /// folded, says so in its name.
    pub fn default_path(self, export: &Export, parts: Parts) -> PathBuf {
        let origin = export.path();
        let mut name = match export.run() {
            Some(run) => run.join("export").join(export.architecture().name()).into_os_string(),
            None => origin.with_extension("").into_os_string(),
        };
        if parts.heads {
            name.push("-heads");
        }
        if parts.dtype != Dtype::F32 {
            name.push("-");
            name.push(parts.dtype.name());
        }
        if self == (Self::Onnx { fold_batch_norm: true }) {
            name.push("-folded");
        }
        name.push(self.ending());
        other_than(origin, name)
    }

    /// What names end with.
    fn ending(self) -> &'static str {
        match self {
            Self::Safetensors => ".safetensors",
            Self::Pth => ".pth",
            Self::Onnx { .. } => ".onnx",
            Self::HuggingFace => "-hf",
            Self::StableHlo { .. } => ".mlir",
        }
    }
}

/// The path `name`; where that is the file at `origin` itself, with `.export` in it.
fn other_than(origin: &Path, name: OsString) -> PathBuf {
    let path = PathBuf::from(name);
    match path.extension().map(OsStr::to_string_lossy) {
        Some(extension) if path == origin => path.with_extension(format!("export.{extension}")),
        _ => path,
    }
}
