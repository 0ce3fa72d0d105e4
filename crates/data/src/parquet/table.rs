//! One Parquet file of images.

use serde_json::Value;

use super::column::whole_numbers;
use super::footer::{Column, Footer, RowGroup, ValueKind};
use super::images::Images;
use super::page_cache::PageCache;
use super::source::{Fault, Outcome, Source};
use crate::sharded::Label;

/// What the column of images is called, where it is not noted which that is.
const IMAGES: [&str; 2] = ["image", "img"];
/// The part of it that holds their bytes, beside the name of the file that they are from.
const BYTES: &str = "bytes";
/// What the column of labels is called, likewise; of several the first.
const LABELS: [&str; 3] = ["label", "labels", "fine_label"];

/// What is known of a Parquet file, so that each of its images can be read by itself.
#[derive(Debug)]
pub struct Table {
    /// Tells its pages from those of other files.
    number: usize,
    column: Column,
    groups: Vec<Group>,
    /// One a row.
    labels: Vec<Option<Label>>,
    /// Empty where it does not name its classes.
    classes: Vec<String>,
}

/// Some rows.
#[derive(Debug)]
struct Group {
    /// The first row after them.
    end: usize,
    images: Images,
}

impl Table {
    /// Reads the footer and the labels of `source`, and nothing of its images. `number` tells it from
    /// others that are read with the same [`PageCache`].
    ///
    /// # Errors
    /// When it is damaged, has no column of images, or labels without meaning.
    pub fn read(source: &dyn Source, number: usize) -> Outcome<Self> {
        let Footer { columns, groups, huggingface } = Footer::read(source)?;
        let features = Features::of(huggingface.as_deref());
        let images = features.image_column(&columns)?;
        let labelled = features.label_column(&columns);
        let labels = match labelled {
            Some(at) => labels(source, &groups, at, &columns[at])?,
            None => vec![None; groups.iter().map(|group| group.rows).sum()],
        };
        let classes = labelled.map(|at| features.classes(&columns[at].path[0])).unwrap_or_default();
        let mut end = 0;
        let groups = groups.into_iter().map(|RowGroup { rows, mut chunks }| {
            end += rows;
            Group { end, images: Images::new(rows, chunks.swap_remove(images)) }
        });
        let groups = groups.collect();
        Ok(Self { number, column: columns[images].clone(), groups, labels, classes })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.groups.last().map_or(0, |group| group.end)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The label of each row. They are kept in one place only: a second call gives nothing.
    pub fn take_labels(&mut self) -> Vec<Option<Label>> {
        std::mem::take(&mut self.labels)
    }

    /// The names of the classes, in the order of their labels; empty where they have none.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The bytes of the image in `row` of `source`, which must be the one this was read from.
    ///
    /// # Errors
    /// When the row has no image, or it can no longer be read.
    ///
    /// # Panics
    /// If `row >= self.len()`.
    pub fn image(&self, source: &dyn Source, row: usize, cache: &PageCache) -> Outcome<Vec<u8>> {
        let Group { end, images } =
            &self.groups[self.groups.partition_point(|group| group.end <= row)];
        let column = &self.column;
        let image = images.read(source, column, row + images.rows() - end, cache, self.number)?;
        image.ok_or_else(|| {
            let column = column.name();
            Fault::Wrong(format!(
                "has no image in row {row}: {column} is null there; remove that row"
            ))
        })
    }
}

/// The labels in column number `at` of all `groups`.
fn labels(
    source: &dyn Source,
    groups: &[RowGroup],
    at: usize,
    column: &Column,
) -> Outcome<Vec<Option<Label>>> {
    let mut labels = Vec::new();
    for RowGroup { rows, chunks } in groups {
        for number in whole_numbers(source, &chunks[at], column, *rows)? {
            let label = number.map_or(Ok(None), Label::of).map_err(|expected| {
                let (row, name, number) = (labels.len(), column.name(), number.unwrap_or_default());
                Fault::Wrong(format!("gives row {row} the {name} {number}, {expected}"))
            })?;
            labels.push(label);
        }
    }
    Ok(labels)
}

/// What the `datasets` library has noted about the columns: `{"label": {"_type": "ClassLabel", …}, …}`.
struct Features(serde_json::Map<String, Value>);

impl Features {
    /// Those in the note, or none if it does not have the usual form.
    fn of(huggingface: Option<&str>) -> Self {
        let mut note = huggingface.map_or(Value::Null, |note| note.parse().unwrap_or_default());
        match note.pointer_mut("/info/features").map(Value::take) {
            Some(Value::Object(features)) => Self(features),
            _ => Self(serde_json::Map::new()),
        }
    }

    fn is(&self, column: &Column, kind: &str) -> bool {
        self.0.get(&*column.path[0]).is_some_and(|feature| feature["_type"] == kind)
    }

    /// The index of the column of images.
    fn image_column(&self, columns: &[Column]) -> Outcome<usize> {
        let candidates: Vec<usize> =
            (0..columns.len()).filter(|at| may_hold_images(&columns[*at])).collect();
        let called = |name: &&str| candidates.iter().find(|at| &*columns[**at].path[0] == *name);
        let noted = || candidates.iter().find(|at| self.is(&columns[**at], "Image"));
        let only = || if let [only] = &candidates[..] { Some(only) } else { None };
        let found = IMAGES.iter().find_map(called).or_else(noted).or_else(only);
        found.copied().ok_or_else(|| {
            let names: Vec<String> = columns.iter().map(Column::name).collect();
            let expected = "expected bytes called image, or image.bytes";
            Fault::Wrong(format!(
                "has no column of images, {expected}; it has {}",
                names.join(", ")
            ))
        })
    }

    /// The index of the column of labels, if there is one.
    fn label_column(&self, columns: &[Column]) -> Option<usize> {
        let candidates: Vec<usize> =
            (0..columns.len()).filter(|at| may_hold_labels(&columns[*at])).collect();
        let called = |name: &&str| candidates.iter().find(|at| &*columns[**at].path[0] == *name);
        let noted = || candidates.iter().find(|at| self.is(&columns[**at], "ClassLabel"));
        LABELS.iter().find_map(called).or_else(noted).copied()
    }

    /// The names of the classes that the labels in `column` stand for: a list, or numbers with names.
    fn classes(&self, column: &str) -> Vec<String> {
        let text = |name: &Value| name.as_str().map(String::from);
        let names = match self.0.get(column).map(|feature| &feature["names"]) {
            Some(Value::Array(names)) => names.iter().map(text).collect(),
            Some(Value::Object(names)) => {
                (0..names.len()).map(|class| text(names.get(&class.to_string())?)).collect()
            }
            _ => None,
        };
        names.unwrap_or_default()
    }
}

fn may_hold_images(column: &Column) -> bool {
    let is_bytes = column.kind == Some(ValueKind::Bytes) && !column.is_repeated;
    is_bytes && (column.path.len() == 1 || column.path.len() == 2 && &*column.path[1] == BYTES)
}

fn may_hold_labels(column: &Column) -> bool {
    let is_number = matches!(column.kind, Some(ValueKind::Int32 | ValueKind::Int64));
    is_number && !column.is_repeated && column.path.len() == 1
}

#[cfg(test)]
mod tests {
    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    use parquet::file::properties::WriterVersion;

    use super::*;
    use crate::parquet::fixture::{PLAIN, Row, Style, rows};

    const NAMES: [&str; 3] = ["ant", "bee", "cat"];

    fn table(file: &[u8]) -> Table {
        Table::read(&file, 0).unwrap()
    }

    fn problem<T: std::fmt::Debug>(outcome: Outcome<T>) -> String {
        match outcome {
            Err(Fault::Wrong(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn styles() -> impl Iterator<Item = Style> {
        let codecs = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::ZSTD(ZstdLevel::default()),
            Compression::GZIP(GzipLevel::default()),
            Compression::LZ4_RAW,
            Compression::LZ4_RAW,
        ];
        let of_codec = |compression| {
            [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0].into_iter().flat_map(
                move |version| {
                    [false, true].map(|dictionary| Style {
                        compression,
                        dictionary,
                        version,
                        rows_in_group: 20,
                        rows_in_page: 7,
                    })
                },
            )
        };
        codecs.into_iter().flat_map(of_codec)
    }

    fn assert_holds(file: &[u8], rows: &[Row], style: Style) {
        let mut table = table(file);
        let cache = PageCache::default();
        assert_eq!(table.len(), rows.len());
        // Backwards, so that the last group is looked through first, and twice, for then ranges are known.
        for _ in 0..2 {
            for (at, (image, _)) in rows.iter().enumerate().rev() {
                match (image, table.image(&file, at, &cache)) {
                    (Some(image), Ok(found)) => assert_eq!(found, *image, "{style:?}, row {at}"),
                    (None, found) => {
                        let expected = format!("has no image in row {at}: image.bytes is null");
                        assert!(problem(found).starts_with(&expected));
                    }
                    (_, found) => panic!("{style:?}, row {at}: {found:?}"),
                }
            }
        }
        let labels = table.take_labels().into_iter().map(|label| Some(label?.class() as i64));
        assert!(labels.eq(rows.iter().map(|row| row.1)), "{style:?}");
    }

    #[test]
    fn every_codec_encoding_and_version_gives_the_same() {
        let rows = rows(50);
        let complete: Vec<Row> =
            rows.iter().filter(|row| row.0.is_some() && row.1.is_some()).cloned().collect();
        for style in styles() {
            let file = style.write(&rows, &NAMES);
            assert_holds(&file, &rows, style);
            assert_eq!(table(&file).classes(), NAMES);
            assert_holds(&style.write_required(&complete), &complete, style);
            let nulls = [const { (None, None) }; 30];
            assert_holds(&style.write(&nulls, &[]), &nulls, style);
        }
    }

    #[test]
    fn a_file_that_changes_after_it_was_opened_gives_errors() {
        for style in styles() {
            let file = style.write(&rows(12), &[]);
            let table = table(&file);
            table.image(&&file[..], 0, &PageCache::default()).unwrap();
            for other in [&file[..40], &vec![0; file.len()], &vec![0xff; file.len()]] {
                for row in 0..table.len() {
                    let image = table.image(&other, row, &PageCache::default());
                    let is_bare = style.compression == Compression::UNCOMPRESSED
                        || style.version == WriterVersion::PARQUET_2_0;
                    assert!(is_bare && other.len() == file.len() || image.is_err(), "{style:?}");
                }
            }
        }
    }

    #[test]
    fn columns_are_found_by_name_by_note_or_because_there_is_no_other() {
        let column = |path: &[&str], kind| Column {
            path: path.iter().map(|name| (*name).into()).collect(),
            kind: Some(kind),
            ..Column::default()
        };
        let noted = Features::of(Some(
            r#"{"info":{"features":{"photo":{"_type":"Image"},"kind":{"_type":"ClassLabel"}}}}"#,
        ));
        let silent = Features::of(Some(r#"{"info": [1, 2]}"#));
        let id = column(&["id"], ValueKind::Int64);
        let photo = column(&["photo", "bytes"], ValueKind::Bytes);
        let mask = column(&["mask"], ValueKind::Bytes);
        let image = column(&["image", "bytes"], ValueKind::Bytes);
        let kind = column(&["kind"], ValueKind::Int32);
        let label = column(&["label"], ValueKind::Int32);
        let several = [mask.clone(), photo.clone(), kind.clone()];
        assert_eq!(noted.image_column(&several).unwrap(), 1);
        assert_eq!(noted.label_column(&several), Some(2));
        let message = problem(silent.image_column(&several));
        assert!(message.contains("it has mask, photo.bytes, kind"), "{message}");
        assert_eq!(silent.label_column(&several), None);
        assert_eq!(silent.image_column(&[id.clone(), photo.clone()]).unwrap(), 1);
        assert_eq!(noted.image_column(&[photo, image.clone()]).unwrap(), 1);
        assert_eq!(noted.label_column(&[kind, id, label]), Some(2));
        let repeated = Column { is_repeated: true, ..image };
        assert!(silent.image_column(&[repeated]).is_err());
    }

    #[test]
    fn classes_have_names_in_a_list_or_by_their_numbers() {
        let classes = |names: &str| {
            let note = format!(r#"{{"info":{{"features":{{"label":{{"names":{names}}}}}}}}}"#);
            Features::of(Some(&note)).classes("label")
        };
        assert_eq!(classes(r#"["a", "b"]"#), ["a", "b"]);
        assert_eq!(classes(r#"{"1": "b", "0": "a"}"#), ["a", "b"]);
        for other in ["null", "[1]", r#"{"1": "b"}"#, "7"] {
            assert!(classes(other).is_empty(), "{other}");
        }
        for note in [None, Some(""), Some("{"), Some("[7]"), Some(r#"{"info": 7}"#)] {
            assert!(Features::of(note).classes("label").is_empty(), "{note:?}");
        }
    }

    #[test]
    fn labels_out_of_range_are_refused_and_negative_ones_are_none() {
        let file = |label| PLAIN.write(&[(None, Some(1)), (None, Some(label))], &[]);
        assert_eq!(table(&file(-1)).take_labels()[1], None);
        for label in [1 << 20, i64::MAX] {
            let message = problem(Table::read(&&file(label)[..], 0));
            assert!(message.starts_with(&format!("gives row 1 the label {label}, ")), "{message}");
        }
    }

    #[test]
    fn no_change_makes_it_panic() {
        let style = Style { compression: Compression::SNAPPY, dictionary: true, ..PLAIN };
        let file = style.write(&rows(8), &NAMES);
        let try_all = |file: &[u8]| {
            let Ok(table) = Table::read(&file, 0) else { return };
            assert!(table.len() <= file.len());
            (0..table.len()).for_each(|row| drop(table.image(&file, row, &PageCache::default())));
        };
        for at in 0..file.len() {
            for change in [1, 2, 0x10, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] ^= change;
                try_all(&file);
            }
            try_all(&file[at..]);
        }
    }
}
