//! Archives: read without unpacking, or unpacked whole, and never written outside their place.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use logo_ssl_base::files::{create_folder, write_atomic};

use crate::decode::Content;
use crate::disk::read_head;
use crate::{Error, Result};

/// What an archive may hold; CIFAR-10 has 184 MB.
pub(crate) const MOST_BYTES: u64 = 1 << 30;

/// A gzipped tar to download and unpack.
#[derive(Clone, Copy, Debug)]
pub struct Archive<'a> {
    /// Where from.
    pub url: &'a str,
    /// Its MD5, in hexadecimal.
    pub md5: &'a str,
    /// Its name here.
    pub file: &'a str,
    /// The one folder in it.
    pub folder: &'a str,
}

/// Unpacks the gzipped tar `archive` so that `dir/folder` is there whole or not at all.
///
/// # Errors
/// As [`visit_archive`]; nothing is then left in `dir`.
pub fn unpack(archive: &Path, dir: &Path, folder: &str) -> Result<()> {
    let temporary = dir.join(format!("{folder}.unpacking"));
    if temporary.exists() {
        // A killed fetch left it, half full.
        fs::remove_dir_all(&temporary).map_err(Error::io("remove", &temporary))?;
    }
    let result = unpack_to(archive, &temporary).and_then(|()| {
        let whole = dir.join(folder);
        fs::rename(temporary.join(folder), &whole).map_err(Error::io("write", &whole))
    });
    // On success it is empty, on failure half full; a leftover is removed next time.
    let _ = fs::remove_dir_all(&temporary);
    result
}

fn unpack_to(archive: &Path, temporary: &Path) -> Result<()> {
    visit_archive(archive, |inside, contents| {
        let path = temporary.join(inside);
        if let Some(parent) = path.parent() {
            create_folder(parent)?;
        }
        let mut bytes = Vec::new();
        contents.read_to_end(&mut bytes).map_err(|error| damaged(archive, &error))?;
        Ok(write_atomic(&path, &bytes)?)
    })
}

/// The error that reading from `archive` failed with `problem`; if that is something else, what it is.
pub fn damaged(archive: &Path, problem: &io::Error) -> Error {
    let is_gzip = |head: &[u8]| head.starts_with(&[0x1f, 0x8b]);
    let content = read_head(archive).filter(|head| !is_gzip(head));
    match content.and_then(|head| Content::of(&head)) {
        Some(content) => Error::data(archive, content.to_string()),
        None => {
            Error::data(archive, format!("is damaged ({problem}); remove it and fetch it again"))
        }
    }
}

/// Shows every file of a gzipped tar: its path inside, and its contents.
///
/// # Errors
/// [`Error::Data`] naming archive and entry when the archive is damaged, when an entry is absolute,
/// climbs out by `..`, or is neither file nor folder, or when there is more than 1 GiB in it; and
/// whatever `visit` returns.
pub fn visit_archive(
    archive: &Path,
    mut visit: impl FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let damaged = |error: io::Error| damaged(archive, &error);
    let file = File::open(archive).map_err(Error::io("read", archive))?;
    let mut tar = tar::Archive::new(GzDecoder::new(file).take(MOST_BYTES));
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let inside = entry.path().map_err(damaged)?.into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() && stays_inside(&inside) {
            continue;
        }
        if !kind.is_file() || !stays_inside(&inside) {
            let problem = format!(
                "its entry {} would be written outside, or is no plain file; it was not unpacked. \
                 Remove the archive and fetch it from a source you trust",
                inside.display()
            );
            return Err(Error::data(archive, problem));
        }
        visit(&inside, &mut entry)?;
    }
    Ok(())
}

fn stays_inside(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;

    /// An archive with one entry, whose name the tar crate would refuse to write.
    fn archive(dir: &Path, name: &str, kind: tar::EntryType) -> PathBuf {
        let path = dir.join("a.tar.gz");
        let file = File::create(&path).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(if kind.is_file() { 4 } else { 0 });
        header.set_cksum();
        gz.write_all(header.as_bytes()).unwrap();
        if kind.is_file() {
            let mut block = [0; 512];
            block[..4].copy_from_slice(b"data");
            gz.write_all(&block).unwrap();
        }
        gz.write_all(&[0; 1024]).unwrap();
        gz.finish().unwrap();
        path
    }

    #[test]
    fn an_honest_archive_is_unpacked_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), "inner/a.bin", tar::EntryType::Regular);
        unpack(&path, folder.path(), "inner").unwrap();
        assert_eq!(fs::read(folder.path().join("inner/a.bin")).unwrap(), b"data");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_a_killed_fetch_left_does_not_end_up_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), "inner/a.bin", tar::EntryType::Regular);
        let stale = folder.path().join("inner.unpacking/inner");
        fs::create_dir_all(&stale).unwrap();
        fs::write(stale.join("stale.bin"), b"old").unwrap();
        unpack(&path, folder.path(), "inner").unwrap();
        assert_eq!(fs::read_dir(folder.path().join("inner")).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_not_called_a_damaged_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), "inner/a.bin", tar::EntryType::Regular);
        let file = folder.path().join("file");
        fs::write(&file, b"no folder").unwrap();
        let message = unpack(&path, &file, "inner").unwrap_err().to_string();
        assert!(message.starts_with("cannot create") && !message.contains("damaged"), "{message}");
    }

    #[test]
    fn an_archive_cannot_reach_outside() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        fs::create_dir(&dir).unwrap();
        for (name, kind) in [
            ("../evil", tar::EntryType::Regular),
            ("../\x1b[2Jevil", tar::EntryType::Regular),
            ("inner/../../evil", tar::EntryType::Regular),
            ("/tmp/logo-ssl-evil", tar::EntryType::Regular),
            ("inner/evil", tar::EntryType::Symlink),
            ("inner/evil", tar::EntryType::Link),
            ("inner/evil", tar::EntryType::Char),
        ] {
            let path = archive(&dir, name, kind);
            let message = unpack(&path, &dir, "inner").unwrap_err().to_string();
            assert!(message.contains("a.tar.gz") && message.contains("evil"), "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "only the archive is there");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        assert!(!Path::new("/tmp/logo-ssl-evil").exists());
    }

    #[test]
    fn a_truncated_archive_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), "inner/a.bin", tar::EntryType::Regular);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let message = unpack(&path, folder.path(), "inner").unwrap_err().to_string();
        assert!(message.contains("is damaged"), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_archive_is_named_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        for (bytes, expected) in [
            (&b"<!DOCTYPE html><title>Sign in</title>"[..], "a.tar.gz: is a web page (HTML)"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a.tar.gz: is a Git LFS pointer"),
            (b"", "a.tar.gz: is empty"),
            (b"PK\x03\x04\x14\0", "a.tar.gz: is a ZIP archive"),
            (b"\x1f\x8b\x08 and nothing more", "a.tar.gz: is damaged ("),
        ] {
            fs::write(&path, bytes).unwrap();
            let message = unpack(&path, folder.path(), "inner").unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
