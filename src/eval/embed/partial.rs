//! `OUT.part`: the vectors that are made already, record by record, so that it goes on where it was broken
//! off.
//!
//! It begins with one line of JSON, the [`Origin`]; a [`Record`] for each batch follows.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::Origin;
use super::record::Record;
use crate::eval::features::Batch;
use crate::{Error, Result};

/// A file of vectors under way, which this process alone holds.
pub(super) struct Partial {
    path: PathBuf,
    /// Held for its lock too, which ends with the process however it ends.
    file: File,
    origin: Origin,
    /// Where the first record begins.
    begin: u64,
    /// Images that were looked at.
    done: usize,
    /// The numbers of those that could not be read, in order.
    broken: Vec<usize>,
}

impl Partial {
    /// Begins the file at `path`, or goes on with it.
    ///
    /// # Errors
    /// [`Error::Data`] when it is of another origin, or in use; [`Error::Io`] when it cannot be written.
    pub(super) fn open(path: PathBuf, origin: Origin) -> Result<Self> {
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::data(
                    path,
                    "is in use by another logo-ssl; wait for it, or stop it",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        let mut head = origin.to_value().to_string().into_bytes();
        head.push(b'\n');
        let begin = head.len() as u64;
        let mut this = Self { path, file, origin, begin, done: 0, broken: Vec::new() };
        let found = this.head().map_err(Error::io("read", &this.path))?;
        // What was killed while it wrote its first line has no record.
        let end = match head.starts_with(&found) && found.len() < head.len() {
            true => {
                this.begin_with(&head).map_err(Error::io("write", &this.path))?;
                begin
            }
            false => {
                this.refuse_others(&found)?;
                this.take_up().map_err(Error::io("read", &this.path))?
            }
        };
        this.cut(end).map_err(Error::io("write", &this.path))?;
        Ok(this)
    }

    /// The first line of the file.
    fn head(&self) -> io::Result<Vec<u8>> {
        /// More than the line of any origin.
        const MOST: u64 = 1 << 16;
        let mut line = Vec::new();
        BufReader::new(&self.file).take(MOST).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    fn begin_with(&mut self, head: &[u8]) -> io::Result<()> {
        self.cut(0)?;
        self.file.write_all(head)
    }

    /// Leaves the first `end` bytes, and stands behind them.
    fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.seek(SeekFrom::Start(end)).map(drop)
    }

    fn refuse_others(&self, head: &[u8]) -> Result<()> {
        let problem = match serde_json::from_slice::<Origin>(head) {
            Ok(found) => self.origin.difference(&found),
            Err(_) => Some("it does not begin as such a file does".to_owned()),
        };
        match problem {
            None => Ok(()),
            Some(difference) => Err(Error::data(
                &self.path,
                format!(
                    "holds the beginning of other features: {difference}. Repeat the command that it is of, remove it to \
                     begin anew, or choose another name"
                ),
            )),
        }
    }

    /// Counts the records up to the first that is not whole, and says where they end.
    fn take_up(&mut self) -> io::Result<u64> {
        let mut reader = self.records()?;
        let (mut end, mut done, mut broken) = (self.begin, 0, Vec::new());
        while let Some(record) = self.next(&mut reader, done)? {
            end += record.len();
            broken.extend(record.broken.iter().map(|&place| done + place as usize));
            done += record.images as usize;
        }
        drop(reader);
        (self.done, self.broken) = (done, broken);
        Ok(end)
    }

    /// A reader that stands before the first record.
    fn records(&self) -> io::Result<BufReader<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.begin))?;
        Ok(BufReader::new(file))
    }

    /// The next record, behind those of the first `done` images; none where there is no whole one.
    fn next(&self, reader: &mut impl Read, done: usize) -> io::Result<Option<Record>> {
        let left = self.origin.total() - done;
        match Record::read(reader, left, self.origin.row_bytes()) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            read => read,
        }
    }

    /// Appends the vectors of a batch, `rows` as they are stored.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub(super) fn append(&mut self, batch: &Batch, rows: Vec<u8>) -> Result<()> {
        let (first, mut read) = (batch.images.start, batch.read.iter().peekable());
        let is_broken = |index: &usize| read.next_if_eq(&index).is_none();
        let broken: Vec<usize> = batch.images.clone().filter(is_broken).collect();
        let record = Record {
            images: batch.images.len() as u32,
            broken: broken.iter().map(|index| (index - first) as u32).collect(),
            rows,
        };
        self.file.write_all(&record.to_bytes()).map_err(Error::io("write", &self.path))?;
        self.done = batch.images.end;
        self.broken.extend(broken);
        Ok(())
    }

    /// How many images were looked at.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// The numbers of those that could not be read, in order.
    pub(super) fn broken(&self) -> &[usize] {
        &self.broken
    }

    /// What the vectors are of.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// All vectors one behind the other, `[rows, dim]`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn rows(&self) -> io::Result<impl Read> {
        let reader = self.records()?;
        Ok(Rows { partial: self, reader, done: 0, rows: Vec::new(), given: 0 })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`Error::Io`] naming it.
    pub(super) fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }
}

/// The vectors of a partial file.
struct Rows<'a> {
    partial: &'a Partial,
    reader: BufReader<&'a File>,
    done: usize,
    /// Of the record under way.
    rows: Vec<u8>,
    given: usize,
}

impl Read for Rows<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.rows.len() && self.done < self.partial.done {
            let Some(record) = self.partial.next(&mut self.reader, self.done)? else {
                let path = self.partial.path.display();
                return Err(io::Error::other(format!("{path} was changed by another program")));
            };
            self.done += record.images as usize;
            (self.rows, self.given) = (record.rows, 0);
        }
        let mut left = &self.rows[self.given..];
        let count = left.read(buffer)?;
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Features;
    use crate::data::Fingerprint;
    use crate::eval::embed::Dtype;

    /// Vectors of two numbers of 16 bits of ten images.
    fn origin() -> Origin {
        Origin {
            program: "a".into(),
            encoder: "b".into(),
            architecture: "c".into(),
            weights: "d".into(),
            features: Features::Backbone,
            dim: 2,
            dataset: "e".into(),
            parts: [("test".to_owned(), 4), ("train".to_owned(), 6)].into(),
            images: Fingerprint { images: 10, files: 10, names: 1, sizes: 2 },
            resize: 0,
            crop: 0,
            mean: [0.1; 3],
            std: [0.2; 3],
            unit: false,
            dtype: Dtype::F16,
        }
    }

    fn batch(images: std::ops::Range<usize>, read: &[usize]) -> (Batch, Vec<u8>) {
        let bytes = read.iter().flat_map(|&index| [index as u8; 4]).collect();
        (Batch { images, read: read.to_vec(), rows: vec![] }, bytes)
    }

    fn rows(partial: &Partial) -> Vec<u8> {
        let mut rows = Vec::new();
        partial.rows().unwrap().read_to_end(&mut rows).unwrap();
        rows.chunks(4).map(|row| row[0]).collect()
    }

    #[test]
    fn records_are_taken_up_with_the_images_that_have_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.part");
        let mut partial = Partial::open(path.clone(), origin()).unwrap();
        assert_eq!((partial.done(), partial.broken().len()), (0, 0));
        for (images, read) in [(0..4, &[0, 2, 3][..]), (4..8, &[]), (8..10, &[8, 9])] {
            let (batch, bytes) = batch(images, read);
            partial.append(&batch, bytes).unwrap();
        }
        assert_eq!(rows(&partial), [0, 2, 3, 8, 9]);
        drop(partial);
        let whole = fs::read(&path).unwrap();
        let first = 3 * 4 + 4 + 3 * 4;
        for (lost, done, broken, kept) in [
            (0, 10, &[1, 4, 5, 6, 7][..], &[0, 2, 3, 8, 9][..]),
            (1, 8, &[1, 4, 5, 6, 7], &[0, 2, 3]),
            (3 * 4 + 2 * 4 + 1, 4, &[1], &[0, 2, 3]),
            (whole.len() - origin().to_value().to_string().len() - first, 0, &[], &[]),
        ] {
            fs::write(&path, &whole[..whole.len() - lost]).unwrap();
            let partial = Partial::open(path.clone(), origin()).unwrap();
            assert_eq!((partial.done(), partial.broken()), (done, broken), "{lost}");
            assert_eq!(rows(&partial), kept, "{lost}");
        }
        let mut damaged = whole.clone();
        let at = whole.len() - 3 * 4;
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(Partial::open(path.clone(), origin()).unwrap().done(), 8, "a sum is wrong");
        assert_eq!(fs::read(&path).unwrap()[..], whole[..whole.len() - 3 * 4 - 2 * 4]);
    }

    #[test]
    fn two_do_not_write_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.part");
        let first = Partial::open(path.clone(), origin()).unwrap();
        let problem = Partial::open(path.clone(), origin()).err().unwrap().to_string();
        assert!(problem.contains("a.part") && problem.contains("in use"), "{problem}");
        drop(first);
        Partial::open(path.clone(), origin()).unwrap().remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_first_difference_is_said() {
        let difference = |change: &dyn Fn(&mut Origin)| {
            let mut other = origin();
            change(&mut other);
            other.difference(&origin())
        };
        assert_eq!(difference(&|_| {}), None);
        assert_eq!(difference(&|o| o.unit = true).unwrap(), "`unit` was false and is true");
        let images = difference(&|o| o.images.sizes = 3).unwrap();
        assert_eq!(images, "files have other sizes than they had");
    }
}
