//! NumPy's format of one array, and the table of names beside it.
//!
//! An array is ten bytes, a dictionary in Python's notation, spaces up to a multiple of 64, a line break, and
//! the numbers (NumPy Enhancement Proposal 1, version 1.0; `numpy.lib.format`).

use std::io::{self, Write};

use super::Dtype;
use super::table::Table;

/// Before the dictionary: magic, version, and the length of what follows up to the numbers.
const PREAMBLE: usize = 10;
/// The numbers begin at a multiple of this.
const ALIGNMENT: usize = 64;

/// Writes the features alone.
pub(super) fn write(table: &Table<'_>, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&header(number_type(table.origin().dtype), &[table.len(), table.dim()]))?;
    io::copy(&mut table.features()?, out).map(drop)
}

/// NumPy's name of a type.
pub(super) fn number_type(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
    }
}

/// What stands before the elements of an array in C order.
pub(super) fn header(element: &str, shape: &[usize]) -> Vec<u8> {
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    // A tuple of one has a comma behind it, others have none.
    let lengths = match shape.len() {
        1 => lengths.trim_end(),
        _ => lengths.trim_end_matches(", "),
    };
    let dictionary =
        format!("{{'descr': '{element}', 'fortran_order': False, 'shape': ({lengths}), }}");
    let end = (PREAMBLE + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(((end - PREAMBLE) as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.resize(end - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Writes a table of names as CSV: the row, the image's name, its part, its label and its class. The last two
/// are empty where it has none.
pub(super) fn write_names(table: &Table<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "row,id,split,label,class")?;
    let rows = table.ids().zip(table.parts()).zip(table.labels());
    for (row, ((id, part), label)) in rows.enumerate() {
        let class = label.map_or("", |label| &table.classes()[label]);
        let label = label.map_or(String::new(), |label| label.to_string());
        writeln!(out, "{row},{},{part},{label},{}", quoted(&id), quoted(class))?;
    }
    Ok(())
}

/// A field of CSV, in quotes where it needs them (RFC 4180).
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy() {
        // numpy.lib.format.header_data_from_array_1_0, as numpy.save pads it.
        let text = |element, shape: &[usize]| {
            let header = header(element, shape);
            assert_eq!(header.len() % 64, 0);
            assert_eq!(header[..8], *b"\x93NUMPY\x01\x00");
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
            String::from_utf8(header[10..].to_vec()).unwrap()
        };
        let two = text("<f4", &[3, 512]);
        let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 512), }";
        assert_eq!(two.trim_end(), dictionary);
        assert!(two.ends_with(" \n"));
        assert!(text("<i8", &[7]).contains("'shape': (7,), }"));
        assert!(text("<U9", &[]).contains("'shape': (), }"));
        assert_eq!(text("<f4", &[0, 12_345_678_901_234]).len() + 10, 128);
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("a b.jpg"), "a b.jpg");
        assert_eq!(quoted("a, \"b\"\n"), "\"a, \"\"b\"\"\n\"");
    }
}
