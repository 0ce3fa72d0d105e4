//! Exports as files, each whole or not there.

use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl_base::files::{create_folder, write_atomic};
use serde::Serialize;

use super::format::{Format, Parts};
use super::source::Export;
use super::{hugging_face, onnx, pth, safe, stable_hlo};
use crate::interop::import;
use crate::interop::tensors;
use crate::{Error, Result, presets};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Export {
    /// Writes the encoder to `out`, a file or with [`Format::HuggingFace`] a folder. The same encoder gives the
    /// same bytes. What lies there already is overwritten only with `overwrite`.
    ///
    /// # Errors
    /// [`Error::Data`] where something lies there, the format cannot express the network, there are no heads,
    /// or a number does not fit its type; [`Error::Io`] naming a file that cannot be written. Nothing is
    /// written then but, of a folder, the files before that one.
    pub fn write(
        &self,
        format: Format,
        parts: Parts,
        out: &Path,
        overwrite: bool,
    ) -> Result<Written> {
        let is_folder = format == Format::HuggingFace;
        if !overwrite && is_taken(out, is_folder) {
            let problem = "exists already; remove it, choose another name, or overwrite it";
            return Err(Error::data(out, problem));
        }
        let files = self.files(format, parts, out)?;
        let folder = if is_folder { Some(out) } else { out.parent() };
        if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) {
            create_folder(folder)?;
        }
        let mut written = Written { files: Vec::new(), bytes: 0 };
        for (path, bytes) in files {
            write_atomic(&path, &bytes)?;
            written.bytes += bytes.len() as u64;
            written.files.push(path);
        }
        Ok(written)
    }

    /// The files to be written, with their contents.
    fn files(&self, format: Format, parts: Parts, out: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let file = match format {
            Format::Safetensors => {
                let config = self.config().map(presets::to_toml);
                let stem = self.architecture().stem;
                let metadata = match config.as_deref() {
                    Some(config) => Some([tensors::KEY, config]),
                    None => import::stem_metadata(stem),
                };
                safe::file(self.path(), &self.stored(parts)?, metadata)?
            }
            Format::Pth => pth::file(&self.stored(parts)?).map_err(Error::io("write", out))?,
            Format::Onnx { fold_batch_norm } => onnx::file(self, parts, fold_batch_norm)?,
            Format::StableHlo { images, size } => {
                stable_hlo::file(self, parts, images, size)?.into_bytes()
            }
            Format::HuggingFace => {
                let inside = hugging_face::files(self, parts)?.into_iter();
                return Ok(inside.map(|(name, bytes)| (out.join(name), bytes)).collect());
            }
        };
        Ok(vec![(out.to_path_buf(), file)])
    }
}

/// Whether something lies at `out` that writing would change; an empty folder does not.
fn is_taken(out: &Path, is_folder: bool) -> bool {
    match fs::read_dir(out) {
        Ok(mut entries) => !is_folder || entries.next().is_some(),
        Err(_) => fs::symlink_metadata(out).is_ok(),
    }
}
