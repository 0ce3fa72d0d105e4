//! `OUT.part`: the vectors that are made already, record by record, so that it goes on where it was broken
//! off.
//!
//! It begins with one line of JSON, the [`Origin`]. A record is a batch: two numbers of 32 bits, how many
//! images were looked at and how many of these could not be read; the places in the batch of the latter;
//! the vectors of the others; CRC-32 of all that. Numbers are little-endian.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::Origin;
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

/// One batch as it is stored.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    images: u32,
    /// The places in the batch of those that could not be read.
    broken: Vec<u32>,
    rows: Vec<u8>,
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

impl Record {
    fn to_bytes(&self) -> Vec<u8> {
        let counts = [self.images, self.broken.len() as u32];
        let numbers = counts.iter().chain(&self.broken);
        let mut bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(&self.rows);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Bytes of it.
    fn len(&self) -> u64 {
        (3 * size_of::<u32>() + size_of_val(&*self.broken) + self.rows.len()) as u64
    }

    /// The next of at most `left` images; none where what is there is no record.
    fn read(reader: &mut impl Read, left: usize, row_bytes: usize) -> io::Result<Option<Self>> {
        let mut hasher = crc32fast::Hasher::new();
        let [images, broken] = [number(reader, &mut hasher)?, number(reader, &mut hasher)?];
        if images == 0 || images as usize > left || broken > images {
            return Ok(None);
        }
        let broken = (0..broken).map(|_| number(reader, &mut hasher));
        let broken = broken.collect::<io::Result<Vec<u32>>>()?;
        let len = (images as usize - broken.len()) * row_bytes;
        let mut rows = Vec::new();
        // What is no record may say any length.
        if reader.take(len as u64).read_to_end(&mut rows)? < len {
            return Ok(None);
        }
        hasher.update(&rows);
        let expected = hasher.finalize();
        let found = number(reader, &mut crc32fast::Hasher::new())?;
        Ok((found == expected).then_some(Self { images, broken, rows }))
    }
}

/// The next number, which is added to `hasher`.
fn number(reader: &mut impl Read, hasher: &mut crc32fast::Hasher) -> io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    hasher.update(&bytes);
    Ok(u32::from_le_bytes(bytes))
}
