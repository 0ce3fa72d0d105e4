//! Bytes read at any place from any thread, and what can go wrong with them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::Error;
use crate::disk::read_exact_at;

/// What a Parquet file is read from: a file, or bytes in memory.
pub trait Source {
    /// How many bytes there are.
    ///
    /// # Errors
    /// Those of the system.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` with what lies from byte `offset` on.
    ///
    /// # Errors
    /// Those of the system; [`io::ErrorKind::UnexpectedEof`] when there are not as many bytes.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact_at(self, buffer, offset)
    }
}

impl Source for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.get(offset..));
        match from.and_then(|from| from.get(..buffer.len())) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Why a Parquet file cannot be used, but for its name.
#[derive(Debug)]
pub enum Fault {
    /// The system does not give its bytes.
    Unreadable(io::Error),
    /// It is not what it should be: what is wrong, and what to do about it, to be read after its name.
    Wrong(String),
}

/// The result of looking into a file.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// Bytes that no writer of Parquet leaves behind.
    pub fn damaged(problem: impl AsRef<str>) -> Self {
        Fault::Wrong(format!("is damaged: {}; fetch the file again", problem.as_ref()))
    }

    /// The same of the file at `path`.
    pub fn at(self, path: &Path) -> Error {
        match self {
            Fault::Unreadable(error) => Error::io("read", path)(error),
            Fault::Wrong(message) => Error::data(path, message),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::damaged("it ends too early"),
            _ => Fault::Unreadable(error),
        }
    }
}

/// The bytes of `range`. No memory is reserved for what `source` does not have.
///
/// # Errors
/// When the range does not lie in `source`, or that cannot be read.
pub(super) fn read(source: &dyn Source, range: Range<u64>) -> Outcome<Vec<u8>> {
    let there = source.length()?;
    let length = range.end.checked_sub(range.start).and_then(|length| length.try_into().ok());
    let length: usize = length.filter(|_| range.end <= there).ok_or_else(|| {
        let Range { start, end } = range;
        Fault::damaged(format!("it has {there} bytes, and should have some from {start} to {end}"))
    })?;
    let mut bytes = vec![0; length];
    source.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_read() {
        let bytes = [0_u8, 1, 2, 3, 4];
        let source = &bytes[..];
        assert_eq!(read(&source, 1..4).unwrap(), [1, 2, 3]);
        assert_eq!(read(&source, 5..5).unwrap(), [0; 0]);
        for range in [3..6, 0..u64::MAX, u64::MAX - 1..u64::MAX, Range { start: 4, end: 2 }] {
            let Fault::Wrong(message) = read(&source, range).unwrap_err() else { panic!() };
            assert!(message.starts_with("is damaged: it has 5 bytes"), "{message}");
        }
        let error = source.read_exact_at(&mut [0; 2], 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
