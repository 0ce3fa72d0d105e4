//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
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
    pub source: io::Error,
}

impl Error {
    /// For `map_err`: the system's error, with what it was about.
    pub fn on(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
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
    let mut file = AtomicFile::create(path)?;
    file.write_all(contents).map_err(Error::on("write", path))?;
    file.commit()
}

/// A file that is written piece by piece and is there, whole, when it is committed.
///
/// Until then the pieces are in `NAME.tmp` beside it. Dropped without that, the temporary file is removed
/// and what lay at the path is untouched; of a process that is killed the temporary file remains, and the
/// next one at the same path overwrites it.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    is_committed: bool,
}

impl AtomicFile {
    /// Begins the file that is to lie at `path`.
    ///
    /// # Errors
    /// [`Error`] naming the file.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let temporary = temporary(path);
        let file = File::create(&temporary).map_err(Error::on("write", path))?;
        let path = path.to_path_buf();
        Ok(Self { path, temporary, file: BufWriter::new(file), is_committed: false })
    }

    /// Puts the file where it is to lie, in the place of any that is there: flush, fsync, rename, fsync of
    /// the folder.
    ///
    /// # Errors
    /// [`Error`] naming the file; an old one is then untouched and the temporary one gone.
    pub fn commit(mut self) -> Result<(), Error> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written
            .and_then(|()| fs::rename(&self.temporary, &self.path))
            .map_err(Error::on("write", &self.path))?;
        self.is_committed = true;
        sync_folder(&self.path).map_err(Error::on("write", &self.path))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_committed {
            // What failed before is the failure to report; the leftover may not even exist.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
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

/// Makes the rename itself durable; only Unix lets a folder be opened for that.
fn sync_folder(path: &Path) -> io::Result<()> {
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

    #[test]
    fn pieces_are_there_when_they_are_committed_and_else_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let begin = || {
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(b"one two").unwrap();
            file.seek(SeekFrom::Start(4)).unwrap();
            file.write_all(b"2").unwrap();
            file
        };
        drop(begin());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = begin();
        assert!(!path.exists());
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one 2wo");
        drop(begin());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
