//! What a Parquet file says about itself at its end:
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.
//!
//! The parquet crate reads footers too. It trusts them, though: groups nested without end overflow its
//! stack, and it reserves memory for as many children as a group claims to have.

use std::ops::Range;
use std::sync::Arc;

use super::source::{Fault, Outcome, Source, read};
use super::thrift::{Fields, Problem};
use crate::decode::Content;

const MAGIC: &[u8] = b"PAR1";
/// The same where the footer is encrypted.
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// The length of the footer, then the magic bytes.
const TAIL_BYTES: u64 = 8;
/// What is looked at to name a file that is no Parquet.
const HEAD_BYTES: u64 = 1024;
/// An image in a structure in a structure is deeper than anything that is read here.
const MOST_DEPTH: u32 = 16;

/// Fields of the structures in a footer, by their numbers in the format.
mod field {
    pub(super) mod file {
        pub(crate) const SCHEMA: i16 = 2;
        pub(crate) const ROW_GROUPS: i16 = 4;
        pub(crate) const NOTES: i16 = 5;
    }
    pub(super) mod note {
        pub(crate) const KEY: i16 = 1;
        pub(crate) const VALUE: i16 = 2;
    }
    pub(super) mod schema {
        pub(crate) const TYPE: i16 = 1;
        pub(crate) const REPETITION: i16 = 3;
        pub(crate) const NAME: i16 = 4;
        pub(crate) const CHILDREN: i16 = 5;
        pub(crate) const CONVERTED_TYPE: i16 = 6;
        pub(crate) const LOGICAL_TYPE: i16 = 10;
        /// Of a logical type.
        pub(crate) const STRING: i16 = 1;
        pub(crate) const ENUM: i16 = 4;
    }
    pub(super) mod row_group {
        pub(crate) const CHUNKS: i16 = 1;
        pub(crate) const ROWS: i16 = 3;
    }
    pub(super) mod chunk {
        pub(crate) const META: i16 = 3;
    }
    pub(super) mod meta {
        pub(crate) const CODEC: i16 = 4;
        pub(crate) const PACKED_BYTES: i16 = 7;
        pub(crate) const DATA_PAGE_AT: i16 = 9;
        pub(crate) const DICTIONARY_AT: i16 = 11;
    }
}

/// The part of a footer that it takes to find images and labels.
#[derive(Debug)]
pub(super) struct Footer {
    /// Those that hold values, in the order of [`RowGroup::chunks`].
    pub columns: Vec<Column>,
    /// Those that have rows, in their order in the file.
    pub groups: Vec<RowGroup>,
    /// What the `datasets` library has noted: JSON.
    pub huggingface: Option<String>,
}

/// A column of values.
#[derive(Clone, Debug, Default)]
pub(super) struct Column {
    /// Its name, after those of the structures that it is in.
    pub path: Vec<Arc<str>>,
    /// What its values are; none if nothing that is read here.
    pub kind: Option<ValueKind>,
    /// How many of `path` may be null.
    pub most_level: u32,
    /// Whether a row can have several values.
    pub is_repeated: bool,
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// True and false.
    Boolean,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Numbers of 32 bits with a fraction.
    Float,
    /// The same of 64 bits.
    Double,
    /// Bytes of any length that are not said to be text.
    Bytes,
    /// Text.
    Text,
}

/// Some rows of a file, column by column.
#[derive(Debug)]
pub(super) struct RowGroup {
    /// How many; no more than the file has bytes.
    pub rows: usize,
    /// One for each column.
    pub chunks: Vec<Chunk>,
}

/// The values of one column in one group of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Where its pages lie in the file.
    pub range: Range<u64>,
    /// How they are compressed, by its number in the format.
    pub codec: i64,
}

impl Footer {
    /// Reads the footer of `source`.
    ///
    /// # Errors
    /// When it is damaged, encrypted, or not there.
    pub(super) fn read(source: &dyn Source) -> Outcome<Self> {
        let length = source.length()?;
        let no_parquet = || no_parquet(source, length);
        let tail_at = length.checked_sub(TAIL_BYTES).ok_or_else(no_parquet)?;
        let tail = read(source, tail_at..length)?;
        let (size, magic) = tail.split_at(MAGIC.len());
        match magic {
            MAGIC => {}
            MAGIC_ENCRYPTED => return Err(Fault::Wrong("is encrypted; decrypt it first".into())),
            _ => return Err(no_parquet()),
        }
        let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
        let start = tail_at.checked_sub(size).ok_or_else(|| {
            Fault::damaged(format!("its footer claims {size} of the file's {length} bytes"))
        })?;
        Self::parse(&read(source, start..tail_at)?, length)
    }

    /// The footer in `bytes`, of a file of `file_length` bytes.
    ///
    /// # Errors
    /// When it is damaged, or speaks of what such a file cannot hold.
    pub(super) fn parse(bytes: &[u8], file_length: u64) -> Outcome<Self> {
        let (fields, _) = Fields::parse(bytes).map_err(|problem| match problem {
            Problem::Ends => Fault::damaged("its footer is cut off"),
            Problem::Malformed => Fault::damaged("its footer makes no sense"),
        })?;
        let columns = columns(&fields)
            .ok_or_else(|| Fault::damaged("its footer does not say what columns there are"))?;
        let mut groups = Vec::new();
        let mut most_rows = file_length;
        for (number, fields) in fields.structs(field::file::ROW_GROUPS).enumerate() {
            let group = RowGroup::of(fields, columns.len(), file_length).ok_or_else(|| {
                Fault::damaged(format!("its footer is wrong about row group {number}"))
            })?;
            most_rows = most_rows.checked_sub(group.rows as u64).ok_or_else(|| {
                Fault::damaged(format!("its footer claims more rows than {file_length} bytes hold"))
            })?;
            if group.rows > 0 {
                groups.push(group);
            }
        }
        Ok(Self { columns, groups, huggingface: huggingface(&fields) })
    }
}

impl Column {
    /// The column or structure that `element` of a schema describes, inside this one.
    fn inner(&self, element: &Fields<'_>) -> Option<Self> {
        let name = String::from_utf8_lossy(element.bytes(field::schema::NAME)?);
        let repetition = element.number(field::schema::REPETITION)?;
        Some(Self {
            path: self.path.iter().cloned().chain([name.into()]).collect(),
            kind: ValueKind::of(element),
            most_level: self.most_level + u32::from(repetition != 0),
            is_repeated: self.is_repeated || repetition == 2,
        })
    }

    /// Its names with dots between.
    pub(super) fn name(&self) -> String {
        self.path.join(".")
    }
}

impl ValueKind {
    fn of(element: &Fields<'_>) -> Option<Self> {
        let converted = element.number(field::schema::CONVERTED_TYPE);
        let logical = element.fields(field::schema::LOGICAL_TYPE);
        let is = |kind| logical.is_some_and(|logical| logical.fields(kind).is_some());
        let is_text = matches!(converted, Some(0 | 4))
            || is(field::schema::STRING)
            || is(field::schema::ENUM);
        match element.number(field::schema::TYPE)? {
            0 => Some(ValueKind::Boolean),
            1 => Some(ValueKind::Int32),
            2 => Some(ValueKind::Int64),
            4 => Some(ValueKind::Float),
            5 => Some(ValueKind::Double),
            6 if is_text => Some(ValueKind::Text),
            6 if converted.is_none() && logical.is_none() => Some(ValueKind::Bytes),
            _ => None,
        }
    }
}

impl RowGroup {
    fn of(fields: &Fields<'_>, columns: usize, file_length: u64) -> Option<Self> {
        let rows = fields.number(field::row_group::ROWS)?;
        let chunks: Vec<Chunk> = fields
            .structs(field::row_group::CHUNKS)
            .map(|chunk| Chunk::of(chunk.fields(field::chunk::META)?, file_length))
            .collect::<Option<_>>()?;
        let rows = usize::try_from(rows).ok()?;
        (chunks.len() == columns).then_some(Self { rows, chunks })
    }
}

impl Chunk {
    fn of(meta: &Fields<'_>, file_length: u64) -> Option<Self> {
        let data = meta.number(field::meta::DATA_PAGE_AT)?;
        // Some writers give 0 where there is no dictionary.
        let dictionary = meta.number(field::meta::DICTIONARY_AT).filter(|at| *at > 0);
        let start = u64::try_from(dictionary.unwrap_or(data).min(data)).ok()?;
        let length = u64::try_from(meta.number(field::meta::PACKED_BYTES)?).ok()?;
        let end = start.checked_add(length).filter(|end| *end <= file_length)?;
        Some(Self { range: start..end, codec: meta.number(field::meta::CODEC)? })
    }
}

/// The columns of values in the schema, a tree that is written down depth first.
fn columns(file: &Fields<'_>) -> Option<Vec<Column>> {
    let mut elements = file.structs(field::file::SCHEMA);
    let mut found = Vec::new();
    let root = elements.next()?;
    for _ in 0..root.number(field::schema::CHILDREN)? {
        descend(&mut elements, &Column::default(), MOST_DEPTH, &mut found)?;
    }
    elements.next().is_none().then_some(found)
}

/// Takes one element in `outer` and what is in it, at most `depth` levels of it, from `elements`.
fn descend<'a>(
    elements: &mut impl Iterator<Item = &'a Fields<'a>>,
    outer: &Column,
    depth: u32,
    found: &mut Vec<Column>,
) -> Option<()> {
    let element = elements.next()?;
    let column = outer.inner(element)?;
    match element.number(field::schema::CHILDREN).unwrap_or(0) {
        0 => found.push(column),
        children => {
            let depth = depth.checked_sub(1)?;
            for _ in 0..children {
                descend(elements, &column, depth, found)?;
            }
        }
    }
    Some(())
}

fn huggingface(file: &Fields<'_>) -> Option<String> {
    let mut notes = file.structs(field::file::NOTES);
    let note = notes.find(|note| note.bytes(field::note::KEY) == Some(b"huggingface"))?;
    String::from_utf8(note.bytes(field::note::VALUE)?.to_vec()).ok()
}

/// Says what `source` is, which is no Parquet file.
fn no_parquet(source: &dyn Source, length: u64) -> Fault {
    let head = read(source, 0..length.min(HEAD_BYTES)).unwrap_or_default();
    let is_cut = !head.is_empty() && (head.starts_with(MAGIC) || MAGIC.starts_with(&head));
    Fault::Wrong(match Content::of(&head).filter(|_| !is_cut) {
        Some(content) => content.to_string(),
        None => "is no Parquet file, or was cut off: its last four bytes should be PAR1; fetch the file \
                 again"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::fixture::Field::{Bytes, Number, Struct, Structs};
    use crate::parquet::fixture::{PLAIN, rows, structure};

    fn element(name: &str, children: i64) -> Vec<u8> {
        let name = (field::schema::NAME, Bytes(name.as_bytes()));
        let repetition = (field::schema::REPETITION, Number(1));
        structure(&[repetition, name, (field::schema::CHILDREN, Number(children))])
    }

    /// A footer with this schema and, of its one column, `row_groups`.
    fn footer(schema: Vec<Vec<u8>>, row_groups: Vec<Vec<u8>>) -> Vec<u8> {
        structure(&[
            (field::file::SCHEMA, Structs(schema)),
            (field::file::ROW_GROUPS, Structs(row_groups)),
        ])
    }

    fn row_group(rows: i64, data_at: i64, length: i64) -> Vec<u8> {
        let meta = structure(&[
            (field::meta::CODEC, Number(0)),
            (field::meta::PACKED_BYTES, Number(length)),
            (field::meta::DATA_PAGE_AT, Number(data_at)),
        ]);
        let chunk = structure(&[(field::chunk::META, Struct(meta))]);
        structure(&[
            (field::row_group::CHUNKS, Structs(vec![chunk])),
            (field::row_group::ROWS, Number(rows)),
        ])
    }

    fn problem(outcome: Outcome<Footer>) -> String {
        match outcome {
            Err(Fault::Wrong(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn columns_groups_and_notes_are_found() {
        let file = PLAIN.write(&rows(7), &["a", "b", "c"]);
        let footer = Footer::read(&&file[..]).unwrap();
        let names: Vec<String> = footer.columns.iter().map(Column::name).collect();
        assert_eq!(names, ["image.bytes", "image.path", "label"]);
        let kinds: Vec<_> = footer.columns.iter().map(|column| column.kind).collect();
        assert_eq!(kinds, [ValueKind::Bytes, ValueKind::Text, ValueKind::Int64].map(Some));
        let levels: Vec<u32> = footer.columns.iter().map(|column| column.most_level).collect();
        assert_eq!(levels, [2, 2, 1]);
        assert_eq!((footer.groups.len(), footer.groups[0].rows), (1, 7));
        let [images, paths, _] = &footer.groups[0].chunks[..] else { panic!("three chunks") };
        assert_eq!((images.range.start, images.range.end), (4, paths.range.start));
        assert!(footer.huggingface.unwrap().contains("ClassLabel"));
    }

    #[test]
    fn what_was_cut_off_or_is_no_parquet_is_refused() {
        let file = PLAIN.write(&rows(7), &[]);
        for length in 1..file.len() {
            let message = problem(Footer::read(&&file[..length]));
            assert!(message.starts_with("is no Parquet file, or was cut off"), "{message}");
        }
        let with_tail = |size: u32, magic: &[u8]| {
            let file = [&file[..file.len() - 8], &size.to_le_bytes(), magic].concat();
            problem(Footer::read(&&file[..]))
        };
        assert!(with_tail(9, b"PARE").starts_with("is encrypted"));
        assert!(with_tail(u32::MAX, b"PAR1").contains("claims 4294967295 of the file's"));
        assert!(with_tail(9, b"PAR1").contains("its footer"));
    }

    #[test]
    fn what_is_something_else_is_named() {
        for (file, expected) in [
            (&b""[..], "is empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
            (b"<html><body>Sign in</body></html>", "is a web page (HTML)"),
            (b"{\"error\": \"Repository not found\"}", "is JSON"),
            (b"PK\x03\x04 and more of it", "is a ZIP archive"),
        ] {
            let message = problem(Footer::read(&file));
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_schema_that_would_take_all_memory_is_refused() {
        let refused = |schema| {
            let message = problem(Footer::parse(&footer(schema, Vec::new()), 1 << 40));
            assert!(message.contains("does not say what columns there are"), "{message}");
        };
        refused(vec![element("rows", 1); 100_000]);
        refused(vec![element("rows", i64::MAX), element("a", 0)]);
        refused(vec![element("rows", 1), element("a", 0), element("b", 0)]);
        refused(Vec::new());
    }

    #[test]
    fn row_groups_that_the_file_cannot_hold_are_refused() {
        let parse = |row_groups| {
            let schema = vec![element("rows", 1), element("a", 0)];
            Footer::parse(&footer(schema, row_groups), 100)
        };
        assert_eq!(parse(vec![row_group(100, 4, 96)]).unwrap().groups[0].rows, 100);
        for (rows, data_at, length) in
            [(5, 4, 97), (5, -1, 9), (5, 4, -1), (5, i64::MAX, i64::MAX), (-1, 4, 9)]
        {
            let message = problem(parse(vec![row_group(rows, data_at, length)]));
            assert!(message.contains("its footer is wrong about row group 0"), "{message}");
        }
        for groups in [vec![row_group(i64::MAX, 4, 9)], vec![row_group(60, 4, 9); 2]] {
            let message = problem(parse(groups));
            assert!(message.contains("claims more rows than 100 bytes hold"), "{message}");
        }
    }
}
