//! Every way in which reading a dataset can fail, each with the next step in its message.

use std::io;
use std::path::{Path, PathBuf};

use logo_ssl_base::files;

use crate::decode::printable;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error a person can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The images are missing, truncated or not what they claim to be.
    #[error("{path}: {message}", path = .path.display())]
    Data {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is wrong with it, and what to do about it.
        message: String,
        /// What mends it, where this crate knows how.
        remedy: Option<Remedy>,
    },

    /// More images are broken than is allowed.
    #[error(
        "{found} of the {images} images cannot be read, at most {allowed} may be so. Repair or remove them, or raise \
         data.max_bad_fraction. The first are\n  {first}"
    )]
    Broken {
        /// How many were found until it was given up.
        found: usize,
        /// Images in all.
        images: usize,
        /// How many of them were allowed to be broken.
        allowed: usize,
        /// The first of them with what is wrong with each, a line each.
        first: String,
    },

    /// The operating system refused to read or write.
    #[error(transparent)]
    Io(#[from] files::Error),

    /// There is no dataset of the name that was given.
    #[error("there is no dataset `{given}`: {hint}")]
    Name {
        /// The name that was given.
        given: String,
        /// The nearest name, or all that there are.
        hint: String,
    },

    /// The images are sound, and cannot be used as was asked.
    #[error("{0}")]
    Images(String),

    /// No folder was named, and the system has none for a user's data.
    #[error("there is no user data directory here; name a folder")]
    NoUserFolder,
}

/// What is wrong with the contents of a file, as it reads behind the file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl<S: Into<String>> From<S> for Malformed {
    fn from(problem: S) -> Self {
        Self(problem.into())
    }
}

/// What mends a dataset that is missing or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// To fetch it into a folder, once more if it is damaged.
    Fetch {
        /// Its name.
        dataset: &'static str,
        /// Where to.
        folder: PathBuf,
    },
    /// To get it by hand, as the origin of its source says.
    ByHand {
        /// Its name.
        dataset: &'static str,
    },
    /// To pack a dataset.
    Pack,
}

impl Error {
    /// For `map_err`: an I/O error that names its file.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let named = files::Error::on(action, path);
        move |error| Error::Io(named(error))
    }

    /// An [`Error::Data`] about `path`. What a terminal would obey is taken out of the `message`, which may
    /// have parts of the file in it.
    pub fn data(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        let message = printable(message.into());
        Error::Data { path: path.as_ref().to_path_buf(), message, remedy: None }
    }

    /// With what mends it, if it is an [`Error::Data`].
    #[must_use]
    pub fn mended_by(mut self, cure: Remedy) -> Self {
        if let Error::Data { remedy, .. } = &mut self {
            *remedy = Some(cure);
        }
        self
    }
}
