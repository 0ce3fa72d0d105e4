//! What ends a command: the library's errors, and what the program refuses by itself.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use super::hints;

/// A command's result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command ends early. Its text is the line that a person at the command line sees.
#[derive(Debug)]
pub(crate) enum Error {
    /// The arguments cannot be met. The message says what would be accepted.
    Usage(String),
    /// They can be met, but not now. The message says what to do.
    Failed(String),
    /// What the library says.
    Library(logo_ssl::Error),
}

impl Error {
    /// 2 when the request was wrong, 1 when it was right and could not be met.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Failed(_) => 1,
            Error::Library(error) => error.exit_code(),
        }
    }

    /// For `map_err`: an I/O error that names its file.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let named = logo_ssl::Error::io(action, path);
        move |error| Error::Library(named(error))
    }

    /// An [`Error::Failed`] about `path`.
    pub(crate) fn about(path: impl AsRef<Path>, problem: &str) -> Self {
        Error::Failed(format!("{}: {problem}", path.as_ref().display()))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(message) | Error::Failed(message) => f.write_str(message),
            Error::Library(error) => f.write_str(&hints::line(error)),
        }
    }
}

impl std::error::Error for Error {}

impl From<logo_ssl::Error> for Error {
    fn from(error: logo_ssl::Error) -> Self {
        Error::Library(error)
    }
}

impl From<logo_ssl_data::Error> for Error {
    fn from(error: logo_ssl_data::Error) -> Self {
        Error::Library(error.into())
    }
}
