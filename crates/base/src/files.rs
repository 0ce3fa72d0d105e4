//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The operating system refused to read or write a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}", path = .path.display())]
pub struct Error {
    /// What was attempted, as it reads after "cannot": `read`, `write`, `create`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's own words.
    pub source: std::io::Error,
}

impl Error {
    /// For `map_err`: the system's error, with what it was about.
    pub fn on(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self { action, path, source }
    }
}

/// Writes `contents` to `path` so that a reader, or a crash at any moment, sees the old file or the
/// new one: a temporary file beside it, fsync, rename, fsync of the folder.
///
/// # Errors
/// [`Error`] naming the file; the old one is then untouched and the temporary one gone.
pub fn write_atomic(path: &Path, contents: &[u8]) -> Result<(), Error> {
    let temporary = temporary(path);
    let written = write_synced(&temporary, contents)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_folder(path));
    written.map_err(|source| {
        // The first failure is the one to report; the leftover may not even exist.
        let _ = fs::remove_file(&temporary);
        Error::on("write", path)(source)
    })
}

/// Creates the folder `path` and those above it.
///
/// # Errors
/// [`Error`] naming the folder.
pub fn create_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::on("create", path))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    path.with_file_name(name)
}

fn write_synced(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Makes the rename itself durable; only Unix lets a folder be opened for that.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_whole_files_and_leaves_no_temporary() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"one")?;
        write_atomic(&path, b"two")?;
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        Ok(())
    }

    #[test]
    fn a_failure_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/a.txt");
        let error = write_atomic(&path, b"one").unwrap_err();
        assert!(error.to_string().contains("missing/a.txt"), "{error}");
    }
}
