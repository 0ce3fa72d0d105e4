//! A log that another process appends to, read as it grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Record;
use super::log::record_of_line;
use crate::{Error, Result};

/// Bytes that are read at most at once, so that who shows a long log can show its beginning first.
const CHUNK: u64 = 1 << 22;

/// Reads what is appended to a log, and never writes. It needs no lock: a half-written last line is left until it
/// is whole, and a log that was cut back, since its run went on from a checkpoint, is read from its beginning.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// Bytes and lines that were read.
    offset: u64,
    lines: usize,
    /// Where a line was found to be no record.
    broken: Option<u64>,
}

/// What was appended to a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// The records, in order.
    pub records: Vec<Record>,
    /// Whether they are from the log's beginning, though others were read before: the log was cut back.
    pub anew: bool,
}

impl Follower {
    /// Of the log at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), offset: 0, lines: 0, broken: None }
    }

    /// The log.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was appended since the last call, up to some megabytes: there may be more until there is nothing.
    ///
    /// # Errors
    /// [`Error::Io`] when the log cannot be read; [`Error::Data`] with the line's number when a whole line is no
    /// record, and was none when it was read again from the log's beginning.
    pub fn read(&mut self) -> Result<Appended> {
        let bytes = match self.bytes() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", &self.path)(error)),
        };
        let Some(bytes) = bytes else { return self.read_anew() };
        let mut records = Vec::new();
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if !line.ends_with(b"\n") {
                break;
            }
            match record_of_line(&self.path, self.lines + 1, line) {
                Ok(record) => records.push(record),
                // A log that was cut back and has grown since goes on in the middle of a line.
                Err(_) if self.offset > 0 && self.broken != Some(self.offset) => {
                    self.broken = Some(self.offset);
                    return self.read_anew();
                }
                Err(error) => return Err(error),
            }
            self.offset += line.len() as u64;
            self.lines += 1;
        }
        Ok(Appended { records, anew: false })
    }

    /// The bytes behind those that were read; none when the log is shorter than these or is not there.
    fn bytes(&self) -> io::Result<Option<Vec<u8>>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.offset {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn read_anew(&mut self) -> Result<Appended> {
        if self.offset == 0 {
            return Ok(Appended::default());
        }
        (self.offset, self.lines) = (0, 0);
        Ok(Appended { anew: true, ..self.read()? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;
    use crate::record::synthetic;

    struct Fixture {
        _folder: tempfile::TempDir,
        path: PathBuf,
        lines: Vec<String>,
        records: Vec<Record>,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let records = synthetic::records(2, true);
        let line = |record: &Record| serde_json::to_string(record).unwrap() + "\n";
        let lines = records.iter().map(line).collect();
        Fixture { _folder: folder, path, lines, records }
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn what_is_appended_is_read_once() {
        let Fixture { path, lines, records, .. } = &fixture();
        let mut follower = Follower::new(path);
        assert_eq!(follower.read().unwrap(), Appended::default(), "it is not there yet");
        append(path, &lines[..3].concat());
        let expected = Appended { records: records[..3].to_vec(), anew: false };
        assert_eq!(follower.read().unwrap(), expected);
        assert_eq!(follower.read().unwrap(), Appended::default());
        append(path, &lines[3]);
        assert_eq!(follower.read().unwrap().records, records[3..4]);
    }

    #[test]
    fn a_half_written_line_waits_for_its_end() {
        let Fixture { path, lines, records, .. } = &fixture();
        let mut follower = Follower::new(path);
        for cut in [1, 20, lines[2].len() - 1] {
            let (first, rest) = lines[2].split_at(cut);
            append(path, first);
            assert_eq!(follower.read().unwrap(), Appended::default(), "cut after {cut} bytes");
            append(path, rest);
            assert_eq!(follower.read().unwrap().records, records[2..3]);
        }
    }

    #[test]
    fn a_log_that_was_cut_back_is_read_from_its_beginning() {
        let Fixture { path, lines, records, .. } = &fixture();
        let mut follower = Follower::new(path);
        append(path, &lines[..10].concat());
        follower.read().unwrap();
        fs::write(path, lines[..4].concat()).unwrap();
        let expected = Appended { records: records[..4].to_vec(), anew: true };
        assert_eq!(follower.read().unwrap(), expected);
        append(path, &lines[4]);
        assert_eq!(follower.read().unwrap().records, records[4..5]);
    }

    #[test]
    fn a_log_that_was_cut_back_and_has_grown_past_what_was_read_is_noticed() {
        let Fixture { path, lines, records, .. } = &fixture();
        let mut follower = Follower::new(path);
        append(path, &lines[..4].concat());
        follower.read().unwrap();
        let other = [&lines[..2], &lines[5..20]].concat().concat();
        fs::write(path, &other).unwrap();
        let read = follower.read().unwrap();
        assert!(read.anew);
        assert_eq!(read.records, [&records[..2], &records[5..20]].concat());
    }

    #[test]
    fn a_broken_line_is_an_error_with_its_number() {
        let Fixture { path, lines, .. } = &fixture();
        append(path, &format!("{}no record\n", lines[..3].concat()));
        let message = Follower::new(path).read().unwrap_err().to_string();
        assert!(message.contains("line 4"), "{message}");
        fs::write(path, "no record\n").unwrap();
        let message = Follower::new(path).read().unwrap_err().to_string();
        assert!(message.contains("line 1"), "{message}");
    }

    #[test]
    fn a_log_of_many_megabytes_comes_in_parts_and_whole() {
        let Fixture { path, lines, records, .. } = &fixture();
        let whole = lines.concat();
        let times = 3 * CHUNK as usize / whole.len();
        append(path, &whole.repeat(times));
        let mut follower = Follower::new(path);
        let (mut parts, mut count) = (0, 0);
        loop {
            let read = follower.read().unwrap();
            if read.records.is_empty() {
                break;
            }
            assert!(!read.anew);
            parts += 1;
            count += read.records.len();
        }
        assert_eq!(count, times * records.len());
        assert!(parts >= 3, "{parts}");
    }
}
