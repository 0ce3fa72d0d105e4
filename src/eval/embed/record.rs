//! One batch in a partial file: two numbers of 32 bits, how many images were looked at and how many of these
//! could not be read; the places in the batch of the latter; the vectors of the others; CRC-32 of all that.
//! Numbers are little-endian.

use std::io::{self, Read};

/// One batch as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Images that were looked at.
    pub(super) images: u32,
    /// The places in the batch of those that could not be read.
    pub(super) broken: Vec<u32>,
    /// The vectors of the others, as they are stored.
    pub(super) rows: Vec<u8>,
}

impl Record {
    /// The record as it is written.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let counts = [self.images, self.broken.len() as u32];
        let numbers = counts.iter().chain(&self.broken);
        let mut bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(&self.rows);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Bytes of it.
    pub(super) fn len(&self) -> u64 {
        (3 * size_of::<u32>() + size_of_val(&*self.broken) + self.rows.len()) as u64
    }

    /// The next, of at most `left` images and vectors of `row_bytes` bytes; none where what is there is no record.
    ///
    /// # Errors
    /// Those of `reader`; [`io::ErrorKind::UnexpectedEof`] where it ends within a record.
    pub(super) fn read(
        reader: &mut impl Read,
        left: usize,
        row_bytes: usize,
    ) -> io::Result<Option<Self>> {
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
