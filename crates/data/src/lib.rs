//! Datasets of images: CIFAR-10 and -100, STL-10, MNIST's format, folders of pictures, ImageNet-100,
//! WebDataset's shards, Hugging Face's Parquet files, and packs of any of them in one file.
//!
//! Each is one file here and one trait, [`Dataset`]. A picture is handed over as it lies there, and
//! whoever needs its pixels decodes them; images that cannot be read are counted, named and passed over
//! by [`Images`]. Nothing here knows of views or networks.
//!
//! ```
//! use logo_ssl_data::{Dataset, DatasetName, Splits};
//!
//! # fn main() -> logo_ssl_data::Result<()> {
//! let splits = Splits::load("shapes".parse()?, None)?;
//! let pixels = splits.train.picture(0)?;
//! println!("{} images, {:?}", splits.train.len(), splits.train.classes());
//! # Ok(())
//! # }
//! ```

pub mod archive;
pub mod cifar;
pub mod cifar10;
pub mod cifar100;
pub mod decode;
mod disk;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod fingerprint;
#[cfg(test)]
mod fixture;
pub mod folder;
mod hub_cache;
pub mod idx;
pub mod imagenet100;
mod images;
mod joined;
mod leftovers;
mod listing;
pub mod pack;
pub mod parquet;
pub mod pickle;
mod recognise;
mod seen;
pub mod shapes;
mod sharded;
mod source;
mod split_names;
mod splits;
pub mod stl10;
pub mod survey;
mod unmeasured;
mod view;
pub mod webdataset;

use std::borrow::Cow;

pub use decode::{DecodeError, Encoded};
pub use error::{Error, Malformed, Remedy, Result};
pub use fingerprint::{Fingerprint, StoredFile};
pub use images::Images;
pub use joined::Joined;
pub use recognise::{Recognised, recognise};
pub use seen::{Ignored, Seen};
pub use source::{DatasetName, Location, Origin, Part, Parts, Source, data_dir};
pub use splits::{Labelled, Splits};
pub use unmeasured::Unmeasured;

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

/// The same, with its pixels borrowed or its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `height * width * 3` bytes, row by row.
    pub bytes: Cow<'a, [u8]>,
}

impl Pixels<'_> {
    /// The image.
    pub fn image(&self) -> Image<'_> {
        Image { width: self.width, height: self.height, pixels: &self.bytes }
    }
}

/// One image as its source holds it.
#[derive(Clone, Debug)]
pub enum Picture<'a> {
    /// Its pixels.
    Pixels(Pixels<'a>),
    /// The bytes of an image file: JPEG, PNG and so on. Whoever needs the pixels decodes them.
    File(Cow<'a, [u8]>),
}

impl<'a> From<Image<'a>> for Picture<'a> {
    fn from(Image { width, height, pixels }: Image<'a>) -> Self {
        Picture::Pixels(Pixels { width, height, bytes: Cow::Borrowed(pixels) })
    }
}

impl Picture<'_> {
    /// Reads as much as says how large the image is.
    ///
    /// # Errors
    /// When it is a file and that is damaged, or of no known format.
    pub fn open(&self) -> Result<Opened<'_>, DecodeError> {
        match self {
            Picture::Pixels(pixels) => Ok(Opened::Pixels(pixels.image())),
            Picture::File(bytes) => Encoded::open(bytes).map(Opened::File),
        }
    }
}

/// A [`Picture`] of known size.
pub enum Opened<'a> {
    /// Its pixels.
    Pixels(Image<'a>),
    /// A file whose header has been read.
    File(Encoded<'a>),
}

impl<'a> Opened<'a> {
    /// Width and height, pixels.
    pub fn size(&self) -> [usize; 2] {
        match self {
            Opened::Pixels(image) => [image.width, image.height],
            Opened::File(file) => [file.width(), file.height()],
        }
    }

    /// Its pixels.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn pixels(self) -> Result<Pixels<'a>, DecodeError> {
        match self {
            Opened::Pixels(Image { width, height, pixels }) => {
                Ok(Pixels { width, height, bytes: Cow::Borrowed(pixels) })
            }
            Opened::File(file) => file.decode(),
        }
    }
}

/// Images with their labels, read from many threads.
pub trait Dataset: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Image number `index`.
    ///
    /// # Errors
    /// [`crate::Error::Data`] or [`crate::Error::Io`] naming the file when it can no longer be read.
    ///
    /// # Panics
    /// If `index >= self.len()`.
    fn picture(&self, index: usize) -> Result<Picture<'_>>;

    /// The class of image `index`, counted from 0; none where there are no labels, or where this image
    /// has none.
    ///
    /// # Panics
    /// If `index >= self.len()`.
    fn label(&self, index: usize) -> Option<usize>;

    /// The names of the classes, in the order of their labels; empty where there are no labels.
    fn classes(&self) -> &[String];

    /// Where image `index` is from, for messages: a file, or a file and the place in it.
    ///
    /// # Panics
    /// If `index >= self.len()`.
    fn name(&self, index: usize) -> String;

    /// File number `index` of those that the images are read from, for a [`Fingerprint`]: one for each
    /// image, or fewer that hold several. None beyond the last, and none at all by default.
    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        let _ = index;
        None
    }
}

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Trained on, and the bank of the kNN.
    Train,
    /// Classified by the kNN.
    Test,
}

impl Split {
    /// The one that this is not.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Train => Self::Test,
            Self::Test => Self::Train,
        }
    }
}

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
