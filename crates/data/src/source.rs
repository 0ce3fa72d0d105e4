//! The kinds of datasets by name: one line each in [`SOURCES`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use logo_ssl_base::suggest;
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::{
    Dataset, Error, Ignored, Result, Split, Unmeasured, cifar10, cifar100, folder, idx,
    imagenet100, pack, parquet, shapes, stl10, webdataset,
};

/// Every kind of dataset, in the order in which they are listed to a person.
static SOURCES: [&Source; 11] = [
    &shapes::SOURCE,
    &cifar10::SOURCE,
    &cifar100::SOURCE,
    &stl10::SOURCE,
    &idx::MNIST,
    &idx::FASHION_MNIST,
    &folder::SOURCE,
    &imagenet100::SOURCE,
    &webdataset::SOURCE,
    &parquet::SOURCE,
    &pack::SOURCE,
];

/// A kind of dataset: what a config can name.
#[derive(Debug)]
pub struct Source {
    /// As configs and flags have it.
    pub name: &'static str,
    /// The preset whose normalisation, views and evaluation suit its images.
    pub preset: &'static str,
    /// The mean and the standard deviation of each channel over the training set, for pixel values in [0, 1],
    /// where they are others than the preset's.
    pub statistics: Option<[[f64; 3]; 2]>,
    /// How it gets onto this machine.
    pub origin: Origin,
    /// Opens it.
    pub load: fn(&Location) -> Result<Parts>,
}

/// Who gets a dataset.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// The program downloads this archive.
    Archive(Archive<'static>),
    /// A person does, in two steps: it is downloaded, and its folder is named.
    Person {
        /// Why no program does.
        why: &'static str,
        /// The first step, an imperative without a full stop.
        download: &'static str,
        /// Where it lies then; none where the person chooses.
        folder: Option<&'static str>,
    },
    /// It is a person's own already, as this sentence says: its folder is named.
    Own(&'static str),
    /// It is made of another dataset, by [`pack`](crate::pack::pack).
    Packed,
    /// It comes with this crate.
    Embedded,
}

/// A part of a dataset, of whatever kind; none where it has no such part.
pub type Part = Option<Arc<dyn Dataset>>;

/// What a source finds.
#[derive(Clone, Default)]
pub struct Parts {
    /// What is trained on; where there are labels, also the bank of the kNN.
    pub train: Part,
    /// What is classified.
    pub test: Part,
    /// Images without labels, which are trained on instead of `train` where there are any.
    pub unlabelled: Part,
    /// Why a kNN would say nothing, where that is so and the source knows it better than the images show.
    pub unmeasured: Option<Unmeasured>,
    /// What lies beside the images and was not read.
    pub ignored: Vec<Ignored>,
}

impl Parts {
    /// What `load` makes of each split.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn of_splits<D: Dataset + 'static>(
        load: impl Fn(Split) -> Result<Option<D>>,
    ) -> Result<Self> {
        Ok(Self::of([load(Split::Train)?, load(Split::Test)?]))
    }

    /// A part to train on and one to test on.
    pub fn of<D: Dataset + 'static>(parts: [Option<D>; 2]) -> Self {
        let [train, test] = parts.map(shared);
        Self { train, test, ..Self::default() }
    }

    /// With images without labels beside them.
    #[must_use]
    pub fn with_unlabelled(mut self, images: impl Dataset + 'static) -> Self {
        self.unlabelled = shared(Some(images));
        self
    }
}

fn shared(part: Option<impl Dataset + 'static>) -> Part {
    part.map(|part| Arc::new(part) as Arc<dyn Dataset>)
}

/// Where a dataset lies: the folder that was named, or that of all datasets.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a>(Option<&'a Path>);

impl<'a> Location<'a> {
    /// The folder that was named, if any.
    pub fn new(named: Option<&'a Path>) -> Self {
        Self(named)
    }

    /// The folder; see [`data_dir`]. A dataset that is embedded never asks for it.
    ///
    /// # Errors
    /// As [`data_dir`].
    pub fn folder(&self) -> Result<PathBuf> {
        data_dir(self.0)
    }

    /// The first of `names` that is a folder in this one, else this one: for datasets whose files are
    /// called as another's.
    ///
    /// # Errors
    /// As [`data_dir`].
    pub fn own_folder(&self, names: &[&str]) -> Result<PathBuf> {
        let dir = self.folder()?;
        let own = names.iter().map(|name| dir.join(name)).find(|folder| folder.is_dir());
        Ok(own.unwrap_or(dir))
    }
}

/// The folder of datasets: `named`, else `$LOGO_SSL_DATA`, else `logo-ssl` in the user's data
/// directory.
///
/// # Errors
/// [`Error::NoUserFolder`] when the system names no such directory.
pub fn data_dir(named: Option<&Path>) -> Result<PathBuf> {
    let named = named.map(Path::to_path_buf);
    let from_environment = || std::env::var_os("LOGO_SSL_DATA").filter(|dir| !dir.is_empty());
    named
        .or_else(|| from_environment().map(PathBuf::from))
        .or_else(|| dirs::data_dir().map(|dir| dir.join("logo-ssl")))
        .ok_or(Error::NoUserFolder)
}

/// The name of a kind of dataset that there is.
#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(into = "&'static str", try_from = "String")]
pub struct DatasetName(&'static Source);

impl DatasetName {
    /// The embedded, procedurally drawn dataset.
    pub const SHAPES: Self = Self(&shapes::SOURCE);
    /// CIFAR-10, in any of its layouts.
    pub const CIFAR10: Self = Self(&cifar10::SOURCE);
    /// Any folder of pictures, with or without a folder for each class.
    pub const FOLDER: Self = Self(&folder::SOURCE);

    /// The name of `source`.
    pub(crate) const fn of(source: &'static Source) -> Self {
        Self(source)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        SOURCES.iter().map(|source| Self(source))
    }

    /// As configs and flags have it.
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// What is known of it.
    pub fn source(self) -> &'static Source {
        self.0
    }
}

impl PartialEq for DatasetName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for DatasetName {}

impl fmt::Debug for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.name)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::all().find(|known| known.as_str() == name).ok_or_else(|| {
            let hint = suggest(name, Self::all().map(Self::as_str));
            Error::Name { given: name.to_owned(), hint }
        })
    }
}

impl TryFrom<String> for DatasetName {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<DatasetName> for &'static str {
    fn from(name: DatasetName) -> Self {
        name.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_found() {
        let names: Vec<&str> = DatasetName::all().map(DatasetName::as_str).collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
            let found: DatasetName = name.parse().unwrap();
            assert_eq!(found.to_string(), *name);
            if let Origin::Person { why, download, .. } = found.source().origin {
                assert!(why.contains(' ') && download.contains(' '), "{name}");
            }
        }
        let message = "cifar".parse::<DatasetName>().unwrap_err().to_string();
        assert!(message.contains("did you mean `cifar10`?"), "{message}");
    }
}
