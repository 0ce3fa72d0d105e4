//! Parquet files for tests: honest ones by the crate's writer, and parts of others by hand.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type,
};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::footer::Footer;
use super::page::Heads;

/// As `datasets` describes an image and a label.
pub(super) const IMAGE_AND_LABEL: &str = "message rows {
    optional group image { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub compression: Compression,
    pub dictionary: bool,
    pub version: WriterVersion,
    pub rows_in_group: usize,
    pub rows_in_page: usize,
}

/// Pages of the first version with three plain values each, and one group of rows.
pub(super) const PLAIN: Style = Style {
    compression: Compression::UNCOMPRESSED,
    dictionary: false,
    version: WriterVersion::PARQUET_1_0,
    rows_in_group: usize::MAX,
    rows_in_page: 3,
};

/// An image, if it is not null, and a label likewise.
pub(super) type Row = (Option<Vec<u8>>, Option<i64>);

impl Style {
    /// A file of `rows` in [`IMAGE_AND_LABEL`], with classes of these names if there are any.
    pub(super) fn write(self, rows: &[Row], classes: &[&str]) -> Vec<u8> {
        self.write_as(IMAGE_AND_LABEL, rows, classes, |group, rows| {
            let images = rows.iter().filter_map(|row| row.0.clone()).map(ByteArray::from);
            let levels: Vec<i16> =
                rows.iter().map(|row| if row.0.is_some() { 2 } else { 1 }).collect();
            write_bytes(group, &images.collect::<Vec<_>>(), Some(&levels));
            write_bytes(group, &[], Some(&vec![1; rows.len()]));
            let labels: Vec<i64> = rows.iter().filter_map(|row| row.1).collect();
            let levels: Vec<i16> = rows.iter().map(|row| row.1.is_some().into()).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(&labels, Some(&levels), None).unwrap();
            column.close().unwrap();
        })
    }

    /// A file of `rows` without nulls: the image by itself, and the label of 32 bits.
    pub(super) fn write_required(self, rows: &[Row]) -> Vec<u8> {
        let schema = "message rows { required binary img; required int32 fine_label; }";
        self.write_as(schema, rows, &[], |group, rows| {
            let images = rows.iter().filter_map(|row| row.0.clone()).map(ByteArray::from);
            write_bytes(group, &images.collect::<Vec<_>>(), None);
            let labels: Vec<i32> = rows.iter().filter_map(|row| Some(row.1? as i32)).collect();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int32Type>().write_batch(&labels, None, None).unwrap();
            column.close().unwrap();
        })
    }

    /// A file of these columns, in the order of `schema`, in which all may be null.
    pub(super) fn write_columns(self, schema: &str, columns: &[Values<'_>]) -> Vec<u8> {
        self.write_as(schema, &[(None, None)], &[], |group, _| {
            for column in columns {
                match column {
                    Values::Text(texts) => {
                        let bytes = |text: &Option<&str>| text.map(ByteArray::from);
                        write_values::<ByteArrayType>(group, texts.iter().map(bytes));
                    }
                    Values::Doubles(numbers) => {
                        write_values::<DoubleType>(group, numbers.iter().copied());
                    }
                    Values::Booleans(flags) => {
                        write_values::<BoolType>(group, flags.iter().copied())
                    }
                }
            }
        })
    }

    fn write_as(
        self,
        schema: &str,
        rows: &[Row],
        classes: &[&str],
        write: impl Fn(&mut SerializedRowGroupWriter<'_, Vec<u8>>, &[Row]),
    ) -> Vec<u8> {
        let note = serde_json::json!({ "info": { "features": {
            "image": { "_type": "Image" },
            "label": { "names": classes, "_type": "ClassLabel" },
        } } });
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_dictionary_enabled(self.dictionary)
            .set_encoding(Encoding::PLAIN)
            .set_writer_version(self.version)
            .set_write_batch_size(1)
            .set_data_page_row_count_limit(self.rows_in_page)
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "huggingface".into(),
                note.to_string(),
            )]))
            .build();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut file = SerializedFileWriter::new(Vec::new(), schema, properties.into()).unwrap();
        for rows in rows.chunks(self.rows_in_group) {
            let mut group = file.next_row_group().unwrap();
            write(&mut group, rows);
            group.close().unwrap();
        }
        file.into_inner().unwrap()
    }
}

/// The values of a column, of which each may be null.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Text(&'a [Option<&'a str>]),
    Doubles(&'a [Option<f64>]),
    Booleans(&'a [Option<bool>]),
}

fn write_values<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: impl Iterator<Item = Option<T::T>> + Clone,
) {
    let mut column = group.next_column().unwrap().unwrap();
    let writer = column.typed::<T>();
    let most = writer.get_descriptor().max_def_level();
    let levels: Vec<i16> = values.clone().map(|value| most - i16::from(value.is_none())).collect();
    let values: Vec<T::T> = values.flatten().collect();
    writer.write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
}

fn write_bytes(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[ByteArray],
    levels: Option<&[i16]>,
) {
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(values, levels, None).unwrap();
    column.close().unwrap();
}

/// What another implementation of Snappy makes of a value, and that: `bytes` after their length.
pub(super) fn snappy(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let style = Style { compression: Compression::SNAPPY, ..PLAIN };
    let file = style.write_required(&[(Some(bytes.to_vec()), Some(0))]);
    let footer = Footer::read(&&file[..]).unwrap();
    let chunk = &footer.groups[0].chunks[0];
    let head = Heads::of(&&file[..], chunk).unwrap().next().unwrap().unwrap();
    let length = (bytes.len() as u32).to_le_bytes();
    (head.page(&&file[..]).unwrap().body, [&length[..], bytes].concat())
}

/// Bytes without pattern for the most part, as those of an image are.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut byte = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if at % 5000 < 300 { 7 } else { (state >> 24) as u8 }
    };
    (0..length).map(&mut byte).collect()
}

/// Images of different lengths, every fifth the same, every seventh null; labels 0 to 2, every sixth null.
pub(super) fn rows(count: usize) -> Vec<Row> {
    let image =
        |at: usize| if at.is_multiple_of(5) { vec![9; 40] } else { vec![at as u8; 20 + at] };
    (0..count)
        .map(|at| {
            let label = (at % 6 != 4).then_some(at as i64 % 3);
            ((at % 7 != 3).then(|| image(at)), label)
        })
        .collect()
}

/// A value in a structure that is written by hand.
pub(super) enum Field<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Structs(Vec<Vec<u8>>),
    Struct(Vec<u8>),
}

/// The structure with these fields, by their numbers.
pub(super) fn structure(fields: &[(i16, Field<'_>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let head = |bytes: &mut Vec<u8>, id: i16, kind: u8| {
        bytes.push(kind);
        varint(bytes, (id as u64) << 1);
    };
    for (id, field) in fields {
        match field {
            Field::Number(number) => {
                head(&mut bytes, *id, 6);
                varint(&mut bytes, ((number << 1) ^ (number >> 63)).cast_unsigned());
            }
            Field::Bytes(value) => {
                head(&mut bytes, *id, 8);
                varint(&mut bytes, value.len() as u64);
                bytes.extend_from_slice(value);
            }
            Field::Structs(list) => {
                head(&mut bytes, *id, 9);
                bytes.push(0xfc);
                varint(&mut bytes, list.len() as u64);
                bytes.extend(list.concat());
            }
            Field::Struct(inner) => {
                head(&mut bytes, *id, 12);
                bytes.extend_from_slice(inner);
            }
        }
    }
    bytes.push(0);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}
