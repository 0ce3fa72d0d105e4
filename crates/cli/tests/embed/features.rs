//! Files of features, read by other code than that which wrote them.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use half::f16;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// What a file of features holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) dim: usize,
    /// `[rows, dim]`
    pub(crate) rows: Vec<f32>,
    pub(crate) ids: Vec<String>,
    /// -1 where there is none.
    pub(crate) labels: Vec<i64>,
    pub(crate) classes: Vec<String>,
}

/// The file at `path`, and where it says that its vectors come from.
pub(crate) fn read(path: &Path) -> (Table, Option<Value>) {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => (read_npy(path), None),
        Some("npz") => read_npz(path),
        Some("parquet") => read_parquet(path),
        Some("safetensors") => read_safetensors(path),
        other => panic!("no format {other:?}"),
    }
}

/// An array as NumPy would read it: the type of its elements, its shape, and the elements' bytes.
fn array(bytes: &[u8]) -> (String, Vec<usize>, &[u8]) {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(end % 64, 0, "elements are aligned");
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.ends_with('\n'));
    let rest = header.trim_end().strip_prefix("{'descr': '").unwrap();
    let (element, rest) = rest.split_once("', 'fortran_order': False, 'shape': (").unwrap();
    let lengths = rest.strip_suffix("), }").unwrap();
    let lengths = lengths.split(", ").filter(|length| !length.is_empty());
    let shape = lengths.map(|length| length.trim_end_matches(',').parse().unwrap()).collect();
    (element.to_owned(), shape, &bytes[end..])
}

fn numbers(bytes: &[u8], is_half: bool) -> Vec<f32> {
    match is_half {
        true => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        false => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

fn integers(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

fn matrix(bytes: &[u8]) -> (usize, Vec<f32>) {
    let (element, shape, bytes) = array(bytes);
    let rows = numbers(bytes, element == "<f2");
    assert!(["<f2", "<f4"].contains(&&*element) && shape.iter().product::<usize>() == rows.len());
    (shape[1], rows)
}

fn texts(bytes: &[u8]) -> Vec<String> {
    let (element, shape, bytes) = array(bytes);
    let longest: usize = element.strip_prefix("<U").unwrap().parse().unwrap();
    let text = |bytes: &[u8]| {
        let characters = bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
        characters.take_while(|&c| c != 0).map(|c| char::from_u32(c).unwrap()).collect()
    };
    let texts: Vec<String> = bytes.chunks(4 * longest).map(text).collect();
    assert_eq!(texts.len(), shape.iter().product::<usize>());
    texts
}

/// The numbers of the array, and the names of the CSV file beside it, whose fields hold no commas.
fn read_npy(path: &Path) -> Table {
    let (dim, rows) = matrix(&fs::read(path).unwrap());
    let text = fs::read_to_string(path.with_extension("csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("row,id,split,label,class"));
    let (mut ids, mut labels, mut classes) = (vec![], vec![], vec![]);
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!((fields.len(), fields[0]), (5, &*number.to_string()));
        assert!(["train", "test"].contains(&fields[2]), "{line}");
        ids.push(fields[1].to_owned());
        labels.push(if fields[3].is_empty() { -1 } else { fields[3].parse().unwrap() });
        if let Ok(label) = fields[3].parse::<usize>() {
            classes.resize(classes.len().max(label + 1), String::new());
            fields[4].clone_into(&mut classes[label]);
        }
    }
    Table { dim, rows, ids, labels, classes }
}

fn read_npz(path: &Path) -> (Table, Option<Value>) {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    assert_eq!(archive.len(), 6);
    let mut entry = |name: &str| {
        let mut bytes = Vec::new();
        let mut entry = archive.by_name(&format!("{name}.npy")).unwrap();
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        entry.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (dim, rows) = matrix(&entry("features"));
    assert_eq!(texts(&entry("splits")).len(), rows.len() / dim);
    let labels = entry("labels");
    let (element, shape, labels) = array(&labels);
    assert_eq!((&*element, &*shape), ("<i8", &[rows.len() / dim][..]));
    let (ids, classes) = (texts(&entry("ids")), texts(&entry("classes")));
    let metadata = texts(&entry("metadata"));
    let metadata = serde_json::from_str(&metadata[0]).unwrap();
    (Table { dim, rows, ids, labels: integers(labels), classes }, Some(metadata))
}

fn read_parquet(path: &Path) -> (Table, Option<Value>) {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let entries = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let entry = |key: &str| -> Value {
        let entry = entries.iter().find(|entry| entry.key == key).unwrap();
        serde_json::from_str(entry.value.as_ref().unwrap()).unwrap()
    };
    let classes: Vec<String> = serde_json::from_value(entry("classes")).unwrap();
    let mut table = Table { dim: 0, rows: vec![], ids: vec![], labels: vec![], classes };
    for row in reader.get_row_iter(None).unwrap() {
        let row: Row = row.unwrap();
        table.ids.push(row.get_string(0).unwrap().clone());
        // None where the column is null.
        let label = row.get_int(2).ok();
        let class = row.get_string(3).ok().cloned();
        assert_eq!(class, label.map(|label| table.classes[label as usize].clone()));
        table.labels.push(label.map_or(-1, i64::from));
        let list = row.get_list(4).unwrap().elements();
        table.dim = list.len();
        table.rows.extend(list.iter().map(|field| match field {
            Field::Float(number) => *number,
            Field::Float16(number) => number.to_f32(),
            other => panic!("no number: {other}"),
        }));
    }
    (table, Some(entry("logo_ssl")))
}

fn read_safetensors(path: &Path) -> (Table, Option<Value>) {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let features = tensors.tensor("features").unwrap();
    let rows = numbers(features.data(), features.dtype() == Dtype::F16);
    let table = Table {
        dim: features.shape()[1],
        rows,
        ids: serde_json::from_str(&metadata["ids"]).unwrap(),
        labels: integers(tensors.tensor("labels").unwrap().data()),
        classes: serde_json::from_str(&metadata["classes"]).unwrap(),
    };
    assert_eq!(tensors.tensor("labels").unwrap().dtype(), Dtype::I64);
    (table, Some(serde_json::from_str(&metadata["logo_ssl"]).unwrap()))
}
