//! Downloads: resumable and checked.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use logo_ssl_base::files::create_folder;
use md5::{Digest, Md5};

use crate::archive::{Archive, MOST_BYTES, unpack};
use crate::{Error, Result};

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
        Error::data(part, format!("{}: {problem}; fetch it again to go on", archive.url))
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
}
