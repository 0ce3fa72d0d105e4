//! NumPy's archive of arrays: a zip file of one `NAME.npy` for each, stored as they are, for feature vectors
//! hardly compress and stored ones are read at once.

use std::io::{self, Seek, Write};
use std::mem::ManuallyDrop;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::npy::{header, number_type};
use super::table::Table;

/// Bytes of a character in NumPy's arrays of text.
const CHARACTER: usize = 4;

/// Writes all arrays.
pub(super) fn write(table: &Table<'_>, out: &mut (impl Write + Seek)) -> io::Result<()> {
    // Dropped after a failure it would try to end the archive, and print that this fails too.
    let mut archive = ManuallyDrop::new(ZipWriter::new(out));
    let rows = table.len();
    let numbers = header(number_type(table.origin().dtype), &[rows, table.dim()]);
    start(&mut archive, "features", numbers, table.bytes())?;
    io::copy(&mut table.features()?, &mut *archive)?;
    texts(&mut archive, "ids", &[rows], || table.ids())?;
    texts(&mut archive, "splits", &[rows], || table.parts())?;
    start(&mut archive, "labels", header("<i8", &[rows]), rows * size_of::<i64>())?;
    for label in table.labels() {
        archive.write_all(&label.map_or(-1, |label| label as i64).to_le_bytes())?;
    }
    texts(&mut archive, "classes", &[table.classes().len()], || table.classes().iter())?;
    texts(&mut archive, "metadata", &[], || [table.metadata().to_string()].into_iter())?;
    ManuallyDrop::into_inner(archive).finish()?;
    Ok(())
}

/// Begins an array with its header; `bytes` of elements are to follow.
fn start<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    header: Vec<u8>,
    bytes: usize,
) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        // The clock must not be in the bytes.
        .last_modified_time(DateTime::default())
        .large_file(header.len() + bytes > u32::MAX as usize);
    archive.start_file(format!("{name}.npy"), options)?;
    archive.write_all(&header)
}

/// An array of texts, each as long as the longest, in UTF-32.
fn texts<W: Write + Seek, T: AsRef<str>, I: Iterator<Item = T>>(
    archive: &mut ZipWriter<W>,
    name: &str,
    shape: &[usize],
    texts: impl Fn() -> I,
) -> io::Result<()> {
    let longest = texts().map(|text| text.as_ref().chars().count()).max().unwrap_or(0).max(1);
    let bytes = shape.iter().product::<usize>() * longest * CHARACTER;
    start(archive, name, header(&format!("<U{longest}"), shape), bytes)?;
    for text in texts() {
        let characters = text.as_ref().chars().map(u32::from);
        let padded = characters.chain(std::iter::repeat(0)).take(longest);
        archive.write_all(&padded.flat_map(u32::to_le_bytes).collect::<Vec<u8>>())?;
    }
    Ok(())
}
