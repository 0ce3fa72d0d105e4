//! Apache Parquet: a column for names, parts, labels and classes each, and one of lists of numbers.

use std::io::{self, Read, Write};
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use serde_json::json;

use super::Dtype;
use super::table::Table;

/// Numbers in a group of rows: 16 MiB of f32, so that readers need not take all at once.
const GROUP_NUMBERS: usize = 1 << 22;
/// Numbers that are handed over at once.
const CHUNK_NUMBERS: usize = 1 << 16;

/// Writes all columns.
pub(super) fn write(table: &Table<'_>, out: &mut (impl Write + Send)) -> io::Result<()> {
    write_groups(table, out).map_err(|error| match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        error => io::Error::other(error),
    })
}

fn write_groups(table: &Table<'_>, out: &mut (impl Write + Send)) -> Result<()> {
    let schema = Arc::new(parse_message_type(&schema(table.origin().dtype))?);
    let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties(table)))?;
    let (mut ids, mut parts, mut labels) = (table.ids(), table.parts(), table.labels());
    let (dtype, rest) = (table.origin().dtype, &mut table.features()?);
    let in_group = (GROUP_NUMBERS / table.dim().max(1)).max(1);
    for begin in (0..table.len()).step_by(in_group) {
        let shape = [in_group.min(table.len() - begin), table.dim()];
        let mut group = writer.next_row_group()?;
        column::<ByteArrayType>(&mut group, &texts(ids.by_ref().take(shape[0])), None)?;
        column::<ByteArrayType>(&mut group, &texts(parts.by_ref().take(shape[0])), None)?;
        let labels: Vec<Option<usize>> = labels.by_ref().take(shape[0]).collect();
        write_labels(&mut group, &labels, table.classes())?;
        match dtype {
            Dtype::F32 => lists::<FloatType, 4>(&mut group, rest, shape, f32::from_le_bytes)?,
            Dtype::F16 => lists::<FixedLenByteArrayType, 2>(&mut group, rest, shape, half)?,
        }
        group.close()?;
    }
    writer.close().map(drop)
}

fn texts(texts: impl Iterator<Item = impl AsRef<str>>) -> Vec<ByteArray> {
    texts.map(|text| ByteArray::from(text.as_ref().as_bytes().to_vec())).collect()
}

fn half(bytes: [u8; 2]) -> FixedLenByteArray {
    FixedLenByteArray::from(bytes.to_vec())
}

/// Writes the columns of labels and of the names of their classes.
fn write_labels(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    labels: &[Option<usize>],
    classes: &[String],
) -> Result<()> {
    let levels: Vec<i16> = labels.iter().map(|label| label.is_some().into()).collect();
    let numbers: Vec<i32> = labels.iter().flatten().map(|&label| label as i32).collect();
    column::<Int32Type>(group, &numbers, Some(&levels))?;
    let names = texts(labels.iter().flatten().map(|&label| &classes[label]));
    column::<ByteArrayType>(group, &names, Some(&levels))
}

/// The columns. Lists are of three levels, as the format's LogicalTypes.md has them.
fn schema(dtype: Dtype) -> String {
    let element = match dtype {
        Dtype::F32 => "float element",
        Dtype::F16 => "fixed_len_byte_array(2) element (FLOAT16)",
    };
    format!(
        "message features {{
            required binary id (UTF8);
            required binary split (UTF8);
            optional int32 label;
            optional binary class (UTF8);
            required group features (LIST) {{ repeated group list {{ required {element}; }} }}
        }}"
    )
}

fn properties(table: &Table<'_>) -> WriterProperties {
    let entry = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let metadata = vec![
        entry("logo_ssl", table.metadata().to_string()),
        entry("classes", json!(table.classes()).to_string()),
    ];
    let numbers = ColumnPath::new(["features", "list", "element"].map(String::from).to_vec());
    WriterProperties::builder()
        .set_created_by(table.origin().program.clone())
        .set_compression(Compression::UNCOMPRESSED)
        .set_key_value_metadata(Some(metadata))
        .set_column_dictionary_enabled(ColumnPath::from("id"), false)
        // Each number is another one, and their least and greatest say nothing.
        .set_column_dictionary_enabled(numbers.clone(), false)
        .set_column_statistics_enabled(numbers, EnabledStatistics::None)
        .build()
}

/// Writes the next column of a group; `levels` say which rows have a value, where some may have none.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<()> {
    let mut column = group.next_column()?.expect("the schema has as many columns");
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

/// Writes a column of `[rows, dim]` numbers of `N` bytes as lists.
fn lists<T: DataType, const N: usize>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    features: &mut impl Read,
    [rows, dim]: [usize; 2],
    number: impl Fn([u8; N]) -> T::T,
) -> Result<()> {
    let mut column = group.next_column()?.expect("the schema has as many columns");
    let at_once = (CHUNK_NUMBERS / dim.max(1)).max(1);
    for begin in (0..rows).step_by(at_once) {
        let numbers = at_once.min(rows - begin) * dim;
        let mut bytes = vec![0; numbers * N];
        features.read_exact(&mut bytes)?;
        let (chunks, _) = bytes.as_chunks::<N>();
        let values: Vec<T::T> = chunks.iter().map(|bytes| number(*bytes)).collect();
        // Every number is there, and all but the first of a row go on with its list.
        let repeated: Vec<i16> = (0..numbers).map(|at| (at % dim != 0).into()).collect();
        column.typed::<T>().write_batch(&values, Some(&vec![1; numbers]), Some(&repeated))?;
    }
    column.close()
}
