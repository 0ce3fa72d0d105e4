//! Downloads and archives: resumable, checked, and never written outside their place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use md5::{Digest, Md5};

use crate::{Error, Result};
use logo_ssl_base::files::{create_folder, write_atomic};

/// What an archive may hold; CIFAR-10 has 184 MB.
const MOST_BYTES: u64 = 1 << 30;

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

/// Told how many bytes are there, and of how many if the server says.
pub type Progress<'a> = dyn FnMut(u64, Option<u64>) + 'a;

/// Downloads `archive` and unpacks it into `data_dir`, unless it lies there; returns its folder.
///
/// # Errors
/// [`Error::Data`] when the download fails, breaks off or has another checksum, [`Error::Io`] when
/// the folder cannot be written. What has arrived is kept, and the next call goes on from there.
pub fn fetch(
    archive: &Archive<'_>,
    data_dir: &Path,
    progress: &mut Progress<'_>,
) -> Result<PathBuf> {
    let folder = data_dir.join(archive.folder);
    if folder.is_dir() {
        return Ok(folder);
    }
    create_folder(data_dir)?;
    let file = data_dir.join(archive.file);
    if !file.is_file() {
        download(archive, data_dir, progress)?;
    }
    unpack(&file, data_dir, archive.folder)?;
    Ok(folder)
}

/// Downloads `archive` into `dir` under its name, going on from what an earlier call left in
/// `NAME.part`.
///
/// # Errors
/// As [`fetch`].
pub fn download(archive: &Archive<'_>, dir: &Path, progress: &mut Progress<'_>) -> Result<PathBuf> {
    let whole = dir.join(archive.file);
    let part = dir.join(format!("{}.part", archive.file));
    receive(archive, &part, progress)?;
    let sum = md5_of(&part)?;
    if sum != archive.md5 {
        fs::remove_file(&part).map_err(Error::io("remove", &part))?;
        return Err(Error::data(
            part,
            format!(
                "{} arrived with MD5 {sum}, expected {}; it was removed, fetch it again",
                archive.url, archive.md5
            ),
        ));
    }
    fs::rename(&part, &whole).map_err(Error::io("write", &whole))?;
    Ok(whole)
}

fn receive(archive: &Archive<'_>, part: &Path, progress: &mut Progress<'_>) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).read(true).write(true).open(part);
    let mut file = file.map_err(Error::io("create", part))?;
    let have = file.seek(SeekFrom::End(0)).map_err(Error::io("read", part))?;
    let failed = |problem: String| {
        Error::data(
            part,
            format!("{}: {problem}; run the same command again to go on", archive.url),
        )
    };
    let mut request = ureq::get(archive.url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        // Nothing is left to send: the part is whole already, or its checksum will tell.
        Err(ureq::Error::StatusCode(416)) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    // A server that knows no ranges answers 200 and sends everything.
    let kept = if response.status() == 206 { have } else { 0 };
    file.set_len(kept)
        .and_then(|()| file.seek(SeekFrom::Start(kept)))
        .map_err(Error::io("write", part))?;
    let total = response.body().content_length().map(|length| kept + length);
    let mut body = response.into_body().into_with_config().limit(MOST_BYTES).reader();
    let mut done = kept;
    let mut buffer = vec![0; 1 << 16];
    loop {
        progress(done, total);
        let count = body.read(&mut buffer).map_err(|error| failed(error.to_string()))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(Error::io("write", part))?;
        done += count as u64;
    }
    file.sync_all().map_err(Error::io("write", part))?;
    match total.is_some_and(|total| done < total) {
        true => Err(failed(format!("broke off after {done} bytes"))),
        false => Ok(()),
    }
}

fn md5_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
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

/// The error that reading from `archive` failed with `problem`.
pub fn damaged(archive: &Path, problem: &io::Error) -> Error {
    Error::data(archive, format!("is damaged ({problem}); remove it and fetch it again"))
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
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    const BODY: &[u8] = b"the quick brown fox jumps over the lazy dog";
    const BODY_MD5: &str = "77add1d5f41223d5582fca736a5cb335";

    /// What the server does with one request.
    #[derive(Clone, Copy)]
    enum Answer {
        Honest,
        IgnoresRanges,
        BreaksOffAfter(usize),
    }

    /// A server for as many requests as there are answers; it returns their `Range` headers.
    fn serve(answers: Vec<Answer>) -> (String, JoinHandle<Vec<Option<usize>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let handle = std::thread::spawn(move || {
            answers.into_iter().map(|answer| answer_one(&listener, answer)).collect()
        });
        (url, handle)
    }

    fn answer_one(listener: &TcpListener, answer: Answer) -> Option<usize> {
        let (mut stream, _) = listener.accept().unwrap();
        let mut range = None;
        for line in BufReader::new(stream.try_clone().unwrap()).lines() {
            let line = line.unwrap().to_lowercase();
            if let Some(from) = line.strip_prefix("range: bytes=") {
                range = from.trim_end_matches('-').parse().ok();
            }
            if line.is_empty() {
                break;
            }
        }
        let from = match answer {
            Answer::IgnoresRanges => 0,
            _ => range.unwrap_or(0),
        };
        let status = match (answer, range) {
            (Answer::IgnoresRanges, _) | (_, None) => "200 OK",
            _ if from >= BODY.len() => "416 Range Not Satisfiable",
            _ => "206 Partial Content",
        };
        let body = BODY.get(from..).unwrap_or_default();
        let sent = match answer {
            Answer::BreaksOffAfter(count) => &body[..count],
            _ => body,
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(sent).unwrap();
        range
    }

    fn get(url: &str, md5: &str, dir: &Path) -> Result<PathBuf> {
        download(&Archive { url, md5, file: "x.bin", folder: "x" }, dir, &mut |_, _| {})
    }

    #[test]
    fn a_download_that_broke_off_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::BreaksOffAfter(10), Answer::Honest]);
        let message = get(&url, BODY_MD5, folder.path()).unwrap_err().to_string();
        assert!(message.contains("again to go on"), "{message}");
        let path = get(&url, BODY_MD5, folder.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), BODY);
        assert_eq!(server.join().unwrap(), [None, Some(10)]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no part is left");
    }

    #[test]
    fn a_server_without_ranges_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::BreaksOffAfter(10), Answer::IgnoresRanges]);
        get(&url, BODY_MD5, folder.path()).unwrap_err();
        let path = get(&url, BODY_MD5, folder.path()).unwrap();
        assert_eq!(fs::read(path).unwrap(), BODY);
        server.join().unwrap();
    }

    #[test]
    fn a_part_that_is_whole_is_only_checked() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.bin.part"), BODY).unwrap();
        let (url, server) = serve(vec![Answer::Honest]);
        get(&url, BODY_MD5, folder.path()).unwrap();
        assert_eq!(server.join().unwrap(), [Some(BODY.len())]);
    }

    #[test]
    fn another_checksum_is_refused_and_the_part_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (url, server) = serve(vec![Answer::Honest]);
        let message = get(&url, &"0".repeat(32), folder.path()).unwrap_err().to_string();
        assert!(message.contains(BODY_MD5) && message.contains(&"0".repeat(32)), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        server.join().unwrap();
    }

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
            ("inner/../../evil", tar::EntryType::Regular),
            ("/tmp/logo-ssl-evil", tar::EntryType::Regular),
            ("inner/evil", tar::EntryType::Symlink),
            ("inner/evil", tar::EntryType::Link),
            ("inner/evil", tar::EntryType::Char),
        ] {
            let path = archive(&dir, name, kind);
            let message = unpack(&path, &dir, "inner").unwrap_err().to_string();
            assert!(message.contains("a.tar.gz") && message.contains("evil"), "{message}");
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
}
