//! Every way in which fetching can fail, each with the next step in its message.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::find::Kind;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error a person can act on. No message holds a user name, a password or a query of a URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The index's URL is none that can be asked.
    #[error(
        "the package index `{shown}` is no http or https URL; set PIP_INDEX_URL to one such as https://host/simple, \
         or unset it for PyPI"
    )]
    Address {
        /// The URL without credentials.
        shown: String,
    },

    /// The index, or the server that its files lie on, does not answer or refuses.
    #[error(
        "{url}: {problem}. Check the network (HTTPS_PROXY, where a proxy is needed) and PIP_INDEX_URL, \
         then run the same command again"
    )]
    NoAnswer {
        /// What was asked, without credentials.
        url: String,
        /// What happened.
        problem: String,
    },

    /// The index answers with something that is no list of files, or a file is not described well
    /// enough to be fetched.
    #[error(
        "{url}: {problem}. Set PIP_INDEX_URL to a simple package index (PEP 503), or unset it for PyPI"
    )]
    Index {
        /// What was asked, without credentials.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },

    /// The file of certificates that `PIP_CERT` names cannot be used.
    #[error("{path}: {problem}; set PIP_CERT to a file of certificates in PEM form, or unset it", path = .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// No wheels are known for this kind.
    #[error(
        "no plugin for {kind} can be fetched; install it as its maker says and name it in LOGO_SSL_PJRT_PLUGIN"
    )]
    NotFetched {
        /// The kind asked for.
        kind: Kind,
    },

    /// The index does not have the package.
    #[error(
        "{index} has no package {name}; if PIP_INDEX_URL names a mirror, ask for the package there, or unset it for PyPI"
    )]
    NoPackage {
        /// The package.
        name: String,
        /// The index, without credentials.
        index: String,
    },

    /// The package is there, and no wheel of it suits.
    #[error(
        "{index} has no wheel of {wanted} for {machine}; there are {there}. Install the plugin by hand and \
         name it in LOGO_SSL_PJRT_PLUGIN, or use a machine that is listed"
    )]
    NoWheel {
        /// The package with its versions, as in `jax-rocm7-pjrt==0.11.2`.
        wanted: String,
        /// This machine, as in `linux x86_64`.
        machine: String,
        /// The index, without credentials.
        index: String,
        /// The newest files that are there, or `none`.
        there: String,
    },

    /// A package's list of requirements has a line that is not understood.
    #[error(
        "{package} requires `{line}`, which this program does not understand; a newer release of it may"
    )]
    Requirement {
        /// The package.
        package: String,
        /// The line of its METADATA.
        line: String,
    },

    /// What arrived is not what the index promised.
    #[error(
        "{file} arrived with SHA-256 {found}, the index says {expected}; it was removed. Run the same \
         command again; if it recurs, the index or a proxy changes files and another index should be used"
    )]
    Hash {
        /// The file.
        file: String,
        /// The index's sum, in hexadecimal.
        expected: String,
        /// The file's sum.
        found: String,
    },

    /// A download broke off, again and again.
    #[error(
        "{url}: {problem} after {done} of {total} bytes; they are kept, run the same command again to go on"
    )]
    Interrupted {
        /// The file, without credentials.
        url: String,
        /// What happened.
        problem: String,
        /// Bytes that have arrived.
        done: u64,
        /// Bytes in all.
        total: u64,
    },

    /// An archive would write where it must not, or is larger than any plugin.
    #[error(
        "{archive}: its entry `{entry}` {problem}; nothing of it was installed. Use an index that you trust",
        archive = .archive.display()
    )]
    Unsafe {
        /// The archive.
        archive: PathBuf,
        /// The entry at fault.
        entry: String,
        /// What is wrong with it, as it reads after its name.
        problem: String,
    },

    /// An archive is not whole or not an archive, although it is what the index promised.
    #[error(
        "{archive} is damaged ({problem}); nothing of it was installed. Remove it and run the same command again",
        archive = .archive.display()
    )]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// There is not enough space, found before anything was written.
    #[error(
        "{path} has {free} bytes free and {needed} are needed; make room, or choose another data folder",
        path = .path.display()
    )]
    NoSpace {
        /// The folder.
        path: PathBuf,
        /// Bytes needed at the least.
        needed: u64,
        /// Bytes free.
        free: u64,
    },

    /// The disk, or the quota, ran full while writing.
    #[error(
        "the disk ran full at {path}; what has arrived is kept: make room and run the same command again",
        path = .path.display()
    )]
    DiskFull {
        /// The file being written.
        path: PathBuf,
    },

    /// Another process fetches into the same folder.
    #[error("another process is fetching into {path}; wait until it is done", path = .path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },

    /// The wheels do not hold the plugin where it is expected.
    #[error(
        "{package} holds no {plugin}; nothing was installed. A newer release of this program may know where it lies"
    )]
    NoPlugin {
        /// The package with its version.
        package: String,
        /// The path expected in it.
        plugin: String,
    },

    /// The operating system refused to read or write.
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    Io {
        /// What was attempted, as it reads after "cannot": `read`, `write`, `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an I/O error that names its file, and says so where the disk is full.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull { path },
            _ => Error::Io { action, path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_as_such() {
        let error = Error::io("write", "a/b.so")(ErrorKind::StorageFull.into());
        assert!(matches!(error, Error::DiskFull { .. }));
        assert!(error.to_string().contains("full at a/b.so"), "{error}");
        let error = Error::io("write", "a/b.so")(ErrorKind::PermissionDenied.into());
        assert!(error.to_string().starts_with("cannot write a/b.so"), "{error}");
    }
}
