//! Files of a dataset: opened, read from many threads at once.

use std::fs::File;
use std::io::{self, Read};
#[cfg(unix)]
use std::os::unix::fs::FileExt;
#[cfg(windows)]
use std::os::windows::fs::FileExt;
use std::path::Path;

/// Opens the plain file `path`. Links are followed wherever they lead: a person made them, or a cache.
///
/// # Errors
/// When there is no such file, or when it is a pipe, a device or a folder.
pub(crate) fn open_plain(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for somebody to write to it.
    match path.metadata()?.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("it is no plain file")),
    }
}

/// All that `reader` gives, but no more than one byte above `limit`, which is enough to see that it
/// is too long.
///
/// # Errors
/// Those of `reader`.
pub(crate) fn read_capped(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The first thousand bytes of the file `path`; none if it cannot be read.
pub(crate) fn read_head(path: &Path) -> Option<Vec<u8>> {
    const HEAD_BYTES: usize = 1024;
    let mut head = read_capped(File::open(path).ok()?, HEAD_BYTES).ok()?;
    head.truncate(HEAD_BYTES);
    Some(head)
}

/// Fills `buffer` with what `file` holds from byte `offset` on, whatever other threads read of it.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::UnexpectedEof`] when the file ends before.
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        #[cfg(unix)]
        let read = file.read_at(buffer, offset);
        #[cfg(windows)]
        let read = file.seek_read(buffer, offset);
        match read {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The lines of `text` that are not blank, without the blanks around them.
pub(crate) fn lines(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bytes_are_read_at_their_offset_and_not_beyond_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, b"0123456789").unwrap();
        let file = open_plain(&path).unwrap();
        let mut buffer = [0; 3];
        for (offset, expected) in [(7, b"789"), (0, b"012")] {
            read_exact_at(&file, &mut buffer, offset).unwrap();
            assert_eq!(&buffer, expected);
        }
        for offset in [8, 10, 1 << 40] {
            let error = read_exact_at(&file, &mut buffer, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset}");
        }
    }

    #[test]
    fn a_reader_without_end_is_cut_off() {
        assert_eq!(read_capped(io::repeat(7), 5).unwrap(), [7; 6]);
        assert_eq!(read_capped(&[1, 2][..], 5).unwrap(), [1, 2]);
    }

    #[test]
    fn lines_are_trimmed_and_blank_ones_dropped() {
        assert_eq!(lines(b"\na \r\n\n b\xff\n"), ["a", "b\u{fffd}"]);
    }

    #[cfg(unix)]
    #[test]
    fn only_plain_files_are_opened_and_links_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, outer) = (dir.path().join("inner"), dir.path().join("outer"));
        fs::create_dir(&inner).unwrap();
        fs::create_dir(&outer).unwrap();
        fs::write(outer.join("a"), b"a").unwrap();
        std::os::unix::fs::symlink(outer.join("a"), inner.join("file")).unwrap();
        std::os::unix::fs::symlink(&outer, inner.join("folder")).unwrap();
        for name in ["file", "folder/a"] {
            open_plain(&inner.join(name)).unwrap();
        }
        for path in [&inner, &inner.join("folder")] {
            let message = open_plain(path).unwrap_err().to_string();
            assert!(message.contains("no plain file"), "{message}");
        }
        let missing = open_plain(&inner.join("b")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
