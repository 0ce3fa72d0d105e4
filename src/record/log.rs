//! The two logs of a run, one JSON object a line: how they are written, and read back.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{KINDS, Record, SCHEMA, is_kind};
use crate::{Error, Result};

/// A file of one JSON object a line.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Log {
    /// Opens a log to append to, or makes it. Of one that is there, the first `keep` bytes are kept; where
    /// `keep` is none, all whole lines.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; [`Error::Run`] when it is shorter than `keep`.
    pub(super) fn open(path: &Path, keep: Option<u64>) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(path);
        let mut file = file.map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let bytes = match keep {
            Some(bytes) => bytes,
            None => whole_lines(path)?,
        };
        if length < bytes {
            return Err(Error::run(
                path,
                format!(
                    "has {length} bytes, but the checkpoint was written after {bytes}; restore it to resume"
                ),
            ));
        }
        file.set_len(bytes)
            .and_then(|()| file.seek(SeekFrom::Start(bytes)))
            .map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_path_buf(), file, bytes })
    }

    /// Adds one line.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(super) fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record).expect("a record is plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable and returns the file's length in bytes.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(super) fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().map_err(Error::io("write", &self.path))?;
        Ok(self.bytes)
    }
}

/// The length of a log without the half line that a killed process can leave at its end.
fn whole_lines(path: &Path) -> Result<u64> {
    let contents = fs::read(path).map_err(Error::io("read", path))?;
    let end = contents.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    Ok(end as u64)
}

/// Reads a log.
///
/// A last line without its newline that is no whole record is what a killed process leaves behind;
/// it is ignored.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Data`] with the line's number when any
/// other line is no record.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let mut records = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match record_of_line(path, index + 1, line) {
            Ok(record) => records.push(record),
            Err(_) if !line.ends_with(b"\n") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

/// The record on line `number` of the log at `path`.
///
/// # Errors
/// [`Error::Data`] with the line's number when it is none.
pub(super) fn record_of_line(path: &Path, number: usize, line: &[u8]) -> Result<Record> {
    serde_json::from_slice(line).map_err(|error| {
        unknown_kind(path, number, line).unwrap_or_else(|| broken_line(path, number, &error))
    })
}

/// The error of a whole line whose kind is not of this schema version; none of any other line.
fn unknown_kind(path: &Path, number: usize, line: &[u8]) -> Option<Error> {
    #[derive(Deserialize)]
    struct Line {
        kind: String,
    }
    let Line { kind } = serde_json::from_slice(line).ok()?;
    let message = format!(
        "line {number} is a record of kind `{kind}`, which this version of logo-ssl does not know (schema version \
         {SCHEMA}: {}); read the run with the version that wrote it",
        KINDS.join(", ")
    );
    (!is_kind(&kind)).then(|| Error::data(path, message))
}

fn broken_line(path: &Path, number: usize, error: &serde_json::Error) -> Error {
    let message =
        format!("line {number} is no record of a run ({error}); delete that line and try again");
    Error::data(path, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::scalars::LOSS;
    use crate::record::synthetic;

    fn read_text(text: &str) -> Result<Vec<Record>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    fn to_line(record: &Record) -> String {
        serde_json::to_string(record).unwrap() + "\n"
    }

    #[test]
    fn a_log_goes_on_after_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, "1\n2\n{\"half").unwrap();
        Log::open(&path, None).unwrap().append(&3).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n3\n");
        Log::open(&path, Some(2)).unwrap().append(&4).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n4\n");
        let message = Log::open(&path, Some(9)).unwrap_err().to_string();
        assert!(message.contains("has 4 bytes"), "{message}");
    }

    #[test]
    fn every_record_comes_back_as_it_was_written() {
        let mut records = synthetic::records(3, true);
        records.extend(synthetic::records(1, false));
        records.extend(synthetic::timings(2));
        let text: String = records.iter().map(to_line).collect();
        assert_eq!(read_text(&text).unwrap(), records);
    }

    #[test]
    fn a_line_is_flat_and_names_its_kind() {
        let line = to_line(&synthetic::records(1, false)[0]);
        assert!(line.starts_with(r#"{"kind":"#), "{line}");
        let step =
            synthetic::records(1, false).into_iter().find(|r| matches!(r, Record::Step { .. }));
        let line = to_line(&step.unwrap());
        assert!(line.starts_with(r#"{"kind":"step","step":1,"epoch":0,"lr":"#), "{line}");
        assert!(!line.contains("local"), "{line}");
    }

    #[test]
    fn a_step_is_written_and_read_as_ever() {
        let line = concat!(
            r#"{"kind":"step","step":3,"epoch":1,"lr":0.06,"loss":-0.5,"global_global":-0.25,"#,
            r#""local_global":-0.125,"local_local":1.5,"affinity_same":0.75,"#,
            r#""affinity_different":0.5,"omega":0.25,"z_std":0.0625,"cos_gg":0.375,"cos_lg":null,"#,
            r#""cos_ll":0.0,"grad_norm":1e-7}"#,
            "\n"
        );
        let records = read_text(line).unwrap();
        let Record::Step { step: 3, epoch: 1, scalars } = &records[0] else {
            panic!("{records:?}");
        };
        assert_eq!(scalars.iter().count(), 13);
        assert_eq!(to_line(&records[0]), line);
    }

    #[test]
    fn a_half_written_last_line_is_ignored() {
        let whole = to_line(&Record::Evaluation { epoch: 1, seconds: 2.5 });
        for cut in [1, 10, whole.len() - 2] {
            let text = format!("{whole}{}", &whole[..cut]);
            assert_eq!(read_text(&text).unwrap().len(), 1, "cut after {cut} bytes");
        }
        let unterminated = format!("{whole}{}", whole.trim_end());
        assert_eq!(read_text(&unterminated).unwrap().len(), 2);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_an_error_with_its_number() {
        let whole = to_line(&Record::Evaluation { epoch: 1, seconds: 2.5 });
        let error = read_text(&format!("{whole}{{\"kind\":\"st\n{whole}")).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("metrics.jsonl") && message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_kind_of_a_later_version_is_named_and_refused() {
        let whole = to_line(&Record::Evaluation { epoch: 1, seconds: 2.5 });
        let message =
            read_text(&format!("{whole}{{\"kind\":\"probe\"}}\n")).unwrap_err().to_string();
        assert!(message.contains("line 2 is a record of kind `probe`"), "{message}");
        for record in synthetic::records(1, true).iter().chain(&synthetic::timings(1)) {
            let value = serde_json::to_value(record).unwrap();
            assert!(KINDS.contains(&value["kind"].as_str().unwrap()), "{value}");
        }
    }

    #[test]
    fn a_value_that_is_no_number_reads_as_nan() {
        let mut record = synthetic::records(1, true).into_iter().nth(2).unwrap();
        if let Record::Step { scalars, .. } = &mut record {
            scalars.set(LOSS, f64::NAN);
        }
        let read = read_text(&to_line(&record)).unwrap();
        assert!(
            matches!(&read[0], Record::Step { scalars, .. } if scalars.get(LOSS).unwrap().is_nan())
        );
    }
}
