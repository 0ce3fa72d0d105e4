//! Where images come from: one file per format, one trait.

pub mod cifar10;
pub mod fetch;
pub mod loader;
pub mod shapes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::DatasetName;
use crate::{Error, Result};

/// An RGB image, 8 bits a channel, interleaved: `[height, width, 3]`.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` bytes, row by row.
    pub pixels: &'a [u8],
}

/// Images with their labels, held in memory and read from many threads.
pub trait Dataset: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image number `index`.
    ///
    /// # Panics
    /// If `index >= self.len()`.
    fn image(&self, index: usize) -> Image<'_>;

    /// The class of image `index`, counted from 0.
    ///
    /// # Panics
    /// If `index >= self.len()`.
    fn label(&self, index: usize) -> usize;

    /// The names of the classes, in the order of their labels.
    fn classes(&self) -> &[String];
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Trained on, and the bank of the kNN.
    Train,
    /// Classified by the kNN.
    Test,
}

/// Both parts of a dataset.
#[derive(Clone)]
pub struct Splits {
    /// Trained on, and the bank of the kNN.
    pub train: Arc<dyn Dataset>,
    /// Classified by the kNN.
    pub test: Arc<dyn Dataset>,
}

impl Splits {
    /// Loads the dataset called `name`; one that is not embedded from `data_dir` (see
    /// [`data_dir()`]).
    ///
    /// # Errors
    /// [`crate::Error::Data`] when it is missing or damaged.
    pub fn load(name: DatasetName, data_dir: Option<&Path>) -> Result<Self> {
        let load = |split| -> Result<Arc<dyn Dataset>> {
            Ok(match name {
                DatasetName::Shapes => Arc::new(shapes::Shapes::embedded(split)),
                DatasetName::Cifar10 => {
                    Arc::new(cifar10::Cifar10::load(&self::data_dir(data_dir)?, split)?)
                }
            })
        };
        Ok(Self { train: load(Split::Train)?, test: load(Split::Test)? })
    }
}

/// The folder of datasets: `flag`, else `$LOGO_SSL_DATA`, else `logo-ssl` in the user's data
/// directory.
///
/// # Errors
/// [`crate::Error::Usage`] when the system names no such directory.
pub fn data_dir(flag: Option<&Path>) -> Result<PathBuf> {
    let named = flag.map(Path::to_path_buf);
    let from_environment = || std::env::var_os("LOGO_SSL_DATA").filter(|dir| !dir.is_empty());
    named
        .or_else(|| from_environment().map(PathBuf::from))
        .or_else(|| dirs::data_dir().map(|dir| dir.join("logo-ssl")))
        .ok_or_else(|| {
            Error::Usage("there is no user data directory here; name one with --data-dir".into())
        })
}
