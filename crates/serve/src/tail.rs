//! A log that grows, read piece by piece: each byte once, and from the start where it is another log.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use cap_std::fs::{Dir, File};

/// The most that is read at once, which is also the longest line that is read: 1 MiB.
const PIECE: usize = 1 << 20;

/// How many bytes before the place to go on from are remembered, to tell whether it is the same log. They
/// hold the last digits of a record, which two logs do not share.
const REMEMBERED: usize = 256;

/// How far a log has been read.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Where the next line begins.
    offset: u64,
    /// The bytes before `offset`.
    before: Vec<u8>,
    /// Size and time of the file when it was last looked at.
    seen: Option<(u64, SystemTime)>,
    /// Whether bytes were left when it was last looked at.
    more: bool,
}

/// What came of looking at a log.
#[derive(Debug, PartialEq)]
pub(crate) enum Grown<'a> {
    /// Nothing that was not known.
    Not,
    /// Whole lines, each with its newline.
    By(&'a [u8]),
    /// It was cut back, replaced or removed: what was read of it no longer holds.
    Anew,
}

impl Tail {
    /// The next lines of the log at `path` in `dir`. `buffer` is any memory, kept from call to call.
    ///
    /// # Errors
    /// That of opening or reading the file, unless there is none: a run that logs nothing yet has none.
    pub(crate) fn next<'a>(
        &mut self,
        dir: &Dir,
        path: &Path,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<Grown<'a>> {
        let metadata = match dir.metadata(path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Ok(_) => return Err(io::Error::other("is no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.forget()),
            Err(error) => return Err(error),
        };
        let now = (metadata.len(), metadata.modified()?.into_std());
        if self.seen == Some(now) && !self.more {
            return Ok(Grown::Not);
        }
        let mut file = dir.open(path)?;
        if now.0 < self.offset || !self.is_same(&mut file)? {
            return Ok(self.forget());
        }
        self.seen = Some(now);
        self.read(&mut file, buffer)
    }

    /// Bytes of the log that are not read yet, as far as is known.
    pub(crate) fn left(&self) -> u64 {
        let length = self.seen.map_or(0, |(length, _)| length);
        if self.more { length.saturating_sub(self.offset) } else { 0 }
    }

    /// Bytes of the log that are read.
    pub(crate) fn done(&self) -> u64 {
        self.offset
    }

    /// When the log was last written to, as far as is known.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.seen.map(|(_, modified)| modified)
    }

    fn forget(&mut self) -> Grown<'static> {
        let known = self.offset > 0;
        *self = Self::default();
        if known { Grown::Anew } else { Grown::Not }
    }

    /// Whether the bytes before `offset` are still there.
    fn is_same(&self, file: &mut File) -> io::Result<bool> {
        let mut before = vec![0; self.before.len()];
        file.seek(SeekFrom::Start(self.offset - self.before.len() as u64))?;
        match file.read_exact(&mut before) {
            Ok(()) => Ok(before == self.before),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads on from `offset`, to the end of the last whole line of a piece.
    fn read<'a>(&mut self, file: &mut File, buffer: &'a mut Vec<u8>) -> io::Result<Grown<'a>> {
        buffer.clear();
        file.seek(SeekFrom::Start(self.offset))?;
        file.take(PIECE as u64).read_to_end(buffer)?;
        self.more = buffer.len() == PIECE;
        let whole = match buffer.iter().rposition(|&byte| byte == b'\n') {
            Some(last) => last + 1,
            // No line is that long. It is passed over as a broken one.
            None if self.more => PIECE,
            None => return Ok(Grown::Not),
        };
        let lines = &buffer[..whole];
        self.offset += whole as u64;
        self.before = lines[whole.saturating_sub(REMEMBERED)..].to_vec();
        Ok(Grown::By(lines))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;

    use super::*;

    /// A folder with a log that is followed.
    struct Followed {
        folder: tempfile::TempDir,
        tail: Tail,
    }

    impl Followed {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), tail: Tail::default() }
        }

        fn write(&self, text: &str) {
            fs::write(self.folder.path().join("log"), text).unwrap();
        }

        fn append(&self, text: &str) {
            let path = self.folder.path().join("log");
            let old = fs::read_to_string(&path).unwrap_or_default();
            fs::write(path, old + text).unwrap();
        }

        /// `lines`, or `-` where the log has not grown, or `!` where it is another one.
        fn next(&mut self) -> String {
            let dir = Dir::open_ambient_dir(self.folder.path(), ambient_authority()).unwrap();
            match self.tail.next(&dir, Path::new("log"), &mut Vec::new()).unwrap() {
                Grown::Not => "-".to_owned(),
                Grown::By(lines) => String::from_utf8_lossy(lines).into_owned(),
                Grown::Anew => "!".to_owned(),
            }
        }
    }

    #[test]
    fn each_line_comes_once_and_a_half_one_when_it_is_whole() {
        let mut log = Followed::new();
        assert_eq!(log.next(), "-", "there is no log yet");
        log.write("one\ntw");
        assert_eq!((log.next(), log.next()), ("one\n".to_owned(), "-".to_owned()));
        log.append("o\n");
        assert_eq!((log.next(), log.next()), ("two\n".to_owned(), "-".to_owned()));
        log.append("three\nfour\n");
        assert_eq!(log.next(), "three\nfour\n");
    }

    #[test]
    fn a_log_that_is_cut_back_is_read_anew() {
        let mut log = Followed::new();
        log.write("one\ntwo\nthree\n");
        log.next();
        log.write("one\n");
        assert_eq!((log.next(), log.next()), ("!".to_owned(), "one\n".to_owned()));
        log.write("one\nother\nand more\n");
        assert_eq!(log.next(), "other\nand more\n", "what was read is still there");
    }

    #[test]
    fn a_log_that_is_replaced_or_removed_is_noticed() {
        let mut log = Followed::new();
        log.write("one 0.125\n");
        log.next();
        log.write("one 0.250\ntwo 0.5\n");
        assert_eq!((log.next(), log.next()), ("!".to_owned(), "one 0.250\ntwo 0.5\n".to_owned()));
        fs::remove_file(log.folder.path().join("log")).unwrap();
        assert_eq!((log.next(), log.next()), ("!".to_owned(), "-".to_owned()));
    }

    #[test]
    fn a_long_log_comes_in_pieces_of_whole_lines() {
        let mut log = Followed::new();
        let line = "x".repeat(99) + "\n";
        let text = line.repeat(3 * PIECE / 100);
        log.write(&text);
        let mut read = log.next();
        assert!(log.tail.left() > 0 && log.tail.done() == read.len() as u64);
        while log.tail.left() > 0 {
            let piece = log.next();
            assert!(piece.len() <= PIECE && piece.ends_with('\n'));
            read += &piece;
        }
        assert!(read == text, "{} bytes of {}", read.len(), text.len());
    }

    #[test]
    fn a_line_without_an_end_is_passed_over() {
        let mut log = Followed::new();
        log.write(&("x".repeat(PIECE + 10) + "\nnext\n"));
        assert_eq!(log.next().len(), PIECE);
        assert_eq!(log.next(), "x".repeat(10) + "\nnext\n");
    }

    #[test]
    fn what_is_no_file_is_an_error_and_never_opened() {
        let mut log = Followed::new();
        fs::create_dir(log.folder.path().join("log")).unwrap();
        let dir = Dir::open_ambient_dir(log.folder.path(), ambient_authority()).unwrap();
        let error = log.tail.next(&dir, Path::new("log"), &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "is no file");
    }
}
