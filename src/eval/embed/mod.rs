//! Features of any images, in a file that other programs read.
//!
//! Rows are written as they are made, so that memory is bounded whatever the number of images. They go to
//! `OUT.part` first; a call that is killed at any moment leaves it, and the same call again goes on there
//! and ends with the bytes of an undisturbed one.
//!
//! ```
//! use logo_ssl::data::DatasetName;
//! use logo_ssl::eval::embed::{Chosen, Dtype, Embedding, Which};
//! use logo_ssl::executor::Device;
//! use logo_ssl::presets::Layers;
//! use logo_ssl::train::Learner;
//!
//! # fn main() -> logo_ssl::Result<()> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let out = folder.path().join("features.npz");
//! let config = Layers::preset("quickstart")?.set("model.width=2")?.build()?;
//! // Or a trained one: `weights::read("weights.safetensors".as_ref(), &device)?`.
//! let encoder = Learner::new(&config, &Device::cpu())?.encoder();
//! let images = Chosen::load(DatasetName::SHAPES, None, Which::Test, 0.0)?;
//! let embedding = Embedding {
//!     encoder: &encoder,
//!     source: "weights.safetensors".as_ref(),
//!     images: &images,
//!     config: &config,
//!     dtype: Dtype::F32,
//!     unit: false,
//! };
//! let written = embedding.write(&out, &mut |_, _| Ok(true))?.expect("never stopped");
//! assert_eq!((written.rows, written.dim), (images.len(), encoder.backbone_dim()));
//! # Ok(())
//! # }
//! ```

mod chosen;
mod dtype;
mod format;
mod npy;
mod npz;
mod origin;
mod parquet;
mod partial;
mod record;
mod safetensors;
mod table;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::chosen::{Chosen, Which};
pub use self::dtype::Dtype;
pub use self::format::Format;
pub use self::origin::Origin;

use self::partial::Partial;
use self::table::Table;
use super::features::{self, Batch, normalise};
use super::{Encoder, Progress};
use crate::config::{Config, Features};
use crate::{Error, Result};

/// What is embedded, by what, and how the vectors are stored.
#[derive(Clone, Copy)]
pub struct Embedding<'a> {
    /// The network.
    pub encoder: &'a Encoder,
    /// The file that it was read from, which the features' file names.
    pub source: &'a Path,
    /// The images.
    pub images: &'a Chosen,
    /// How images are seen (`eval.resize`, `eval.crop`, `data.mean`, `data.std`), and which output of the
    /// network is taken (`eval.features`).
    pub config: &'a Config,
    /// The type of the numbers.
    pub dtype: Dtype,
    /// Whether each vector is brought to unit length, as kNN compares them.
    pub unit: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The files: that of the features, and before it that of the names, where those are beside it.
    pub files: Vec<PathBuf>,
    /// Vectors.
    pub rows: usize,
    /// The length of each.
    pub dim: usize,
    /// Images that could not be read, and have none.
    pub broken: usize,
    /// Images that an earlier call had done already.
    pub resumed: usize,
}

impl Embedding<'_> {
    /// Writes the features of all images that can be read to `out`, in the format that its name ends with
    /// (see [`Format`]): whole or not at all. `progress` is told how many images are done, and of how many;
    /// where it says no, none is returned and the same call goes on later.
    ///
    /// # Errors
    /// [`Error::Name`] for an unknown format; [`Error::Data`] when `out` exists, or when `out.part` is of other
    /// weights, images or settings, or in use; [`Error::Images`] when the format has no place for the names,
    /// when a number is not finite, or when images are of different sizes; [`Error::Io`] when a file cannot be
    /// written; [`Error::Broken`] when too many images cannot be read; [`Error::Device`] where the device
    /// fails. What has been made until then stays in `out.part`.
    pub fn write(&self, out: &Path, progress: &mut Progress<'_>) -> Result<Option<Written>> {
        let format = Format::of_path(out)?;
        format.check(self.images)?;
        let origin = self.origin()?;
        let part = beside(out, "part");
        let taken = format.files(out).into_iter().find(|file| file.exists());
        // Beside a partial file it is what a call left that was killed at its very end.
        if let (Some(file), false) = (taken, part.exists()) {
            let problem = "exists already; remove it, or choose another name";
            return Err(Error::data(file, problem));
        }
        let mut partial = Partial::open(part, origin)?;
        let resumed = partial.done();
        self.look_again(partial.broken())?;
        if !self.fill(&mut partial, progress)? {
            return Ok(None);
        }
        let table = Table::new(self.images, &partial);
        format.write(&table, out)?;
        let (rows, broken) = (table.len(), partial.broken().len());
        let written = Written { files: format.files(out), rows, dim: table.dim(), broken, resumed };
        partial.remove()?;
        Ok(Some(written))
    }

    fn origin(&self) -> Result<Origin> {
        let of = self.config.eval.features;
        if of == Features::Projector && !self.encoder.has_projector() {
            let problem = "holds a backbone alone, which has no projector; take the backbone's features, or the run's \
                           last checkpoint";
            return Err(Error::data(self.source, problem));
        }
        Origin::of(self)
    }

    /// Counts images among the broken ones that an earlier call passed over, so that no more are allowed
    /// than in one call.
    fn look_again(&self, broken: &[usize]) -> Result<()> {
        for &index in broken {
            self.images.read(index, |picture| picture.open()?.pixels().map(drop))?;
        }
        Ok(())
    }

    /// Makes what is missing; says whether everything is there then.
    fn fill(&self, partial: &mut Partial, progress: &mut Progress<'_>) -> Result<bool> {
        let total = self.images.len();
        if partial.done() == total {
            return Ok(true);
        }
        let first = partial.done();
        progress(first, total)?;
        features::in_batches(self.encoder, self.images, self.config, first, &mut |batch| {
            partial.append(&batch, self.stored(&batch)?)?;
            progress(batch.images.end, total)
        })
    }

    /// The vectors of a batch as they are stored.
    fn stored(&self, batch: &Batch) -> Result<Vec<u8>> {
        let mut rows = batch.rows.clone();
        let dim = (rows.len() / batch.read.len().max(1)).max(1);
        let mut bytes = Vec::with_capacity(rows.len() * self.dtype.bytes());
        for (row, &index) in rows.chunks_mut(dim).zip(&batch.read) {
            if self.unit {
                normalise(row);
            }
            self.dtype.store(row, &mut bytes).map_err(|number| {
                Error::Images(format!(
                    "{}: its features hold {number}, which is no finite number of type {}{}",
                    self.images.name(index),
                    self.dtype,
                    self.dtype.advice(number),
                ))
            })?;
        }
        Ok(bytes)
    }
}

/// `path` with `.extension` behind its whole name.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().map(OsStr::to_os_string).unwrap_or_default();
    name.push(".");
    name.push(extension);
    path.with_file_name(name)
}
