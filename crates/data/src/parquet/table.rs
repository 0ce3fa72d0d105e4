//! One Parquet file of images.

use serde_json::Value;

use super::column;
use super::footer::{Column, Footer, RowGroup, ValueKind};
use super::images::Images;
use super::page_cache::PageCache;
use super::source::{Fault, Outcome, Source};
use crate::sharded::{self, Label, Used};

/// What the column of images is called; of several the first.
const IMAGES: [&str; 13] = [
    "image",
    "img",
    "images",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "picture",
    "photo",
    "image_bytes",
    "image_data",
    "bytes",
    "content",
];
/// What a column of paths to image files is called, where there is none of images.
const PATHS: [&str; 9] = [
    "file_name",
    "filename",
    "image_path",
    "file_path",
    "filepath",
    "image_file",
    "image_name",
    "path",
    "file",
];
/// The parts of a column of images: their bytes, and the name of the file that each is from.
const BYTES: &str = "bytes";
const PATH: &str = "path";
/// What the column of labels is called, whatever is noted of others; of several the first.
const LABELS: [&str; 3] = ["label", "labels", "fine_label"];
/// What it is called where none is noted to be of classes.
const OTHER_LABELS: [&str; 12] = [
    "class",
    "target",
    "category",
    "cls",
    "class_id",
    "label_id",
    "category_id",
    "class_label",
    "class_name",
    "label_name",
    "category_name",
    "y",
];

/// What is known of a Parquet file, so that each of its images can be read by itself.
#[derive(Debug)]
pub struct Table {
    /// Tells its pages from those of other files.
    number: usize,
    /// The columns of their bytes and of the paths to their files, one of which there is.
    sources: [Option<Column>; 2],
    groups: Vec<Group>,
    /// One a row.
    labels: Vec<Option<Label>>,
    used: Used,
    /// Empty where it does not name its classes.
    classes: Vec<String>,
    /// All columns, where none is of labels.
    unlabelled: Option<String>,
}

/// Some rows.
#[derive(Debug)]
struct Group {
    rows: usize,
    /// The first row after them.
    end: usize,
    sources: [Option<Images>; 2],
}

/// An image as a row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The bytes of its file.
    Bytes(Vec<u8>),
    /// Where its file lies, which is somewhere beside the table.
    Path(String),
}

impl Table {
    /// Reads the footer and the labels of `source`, and nothing of its images. `number` tells it from
    /// others that are read with the same [`PageCache`].
    ///
    /// # Errors
    /// When it is damaged or something else, has no column of images or of paths to them, or labels without
    /// meaning.
    pub fn read(source: &dyn Source, number: usize) -> Outcome<Self> {
        let Footer { columns, groups, huggingface } = Footer::read(source)?;
        let features = Features::of(huggingface.as_deref());
        let places = features.image_columns(&columns)?;
        let labelled = features.label_column(&columns, places);
        let (labels, used) = match labelled {
            Some(at) => labels(source, &groups, at, &columns[at])?,
            None => (vec![None; groups.iter().map(|group| group.rows).sum()], Used::default()),
        };
        let classes = labelled.map(|at| features.classes(&columns[at].path[0])).unwrap_or_default();
        let unlabelled = labelled.is_none().then(|| names(&columns));
        let mut end = 0;
        let groups = groups.into_iter().map(|RowGroup { rows, chunks }| {
            end += rows;
            let images = |at: usize| Images::new(rows, chunks[at].clone());
            Group { rows, end, sources: places.map(|at| at.map(images)) }
        });
        let groups = groups.collect();
        let sources = places.map(|at| at.map(|at| columns[at].clone()));
        Ok(Self { number, sources, groups, labels, used, classes, unlabelled })
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

    /// The classes that its labels are of, by numbers or by names.
    pub(super) fn used(&self) -> &Used {
        &self.used
    }

    /// What to say where no column is of labels.
    pub(super) fn about_labels(&self) -> Option<String> {
        let columns = self.unlabelled.as_ref()?;
        let expected = [&LABELS[..], &OTHER_LABELS].concat().join(", ");
        Some(format!(
            "has no column of labels, so its images have none: expected numbers or names called {expected}; \
             it has {columns}"
        ))
    }

    /// The image in `row` of `source`, which must be the one this was read from.
    ///
    /// # Errors
    /// When the row has no image, or it can no longer be read.
    ///
    /// # Panics
    /// If `row >= self.len()`.
    pub fn image(&self, source: &dyn Source, row: usize, cache: &PageCache) -> Outcome<Stored> {
        let group = &self.groups[self.groups.partition_point(|group| group.end <= row)];
        let in_group = row + group.rows - group.end;
        let read = |at: usize| match (&self.sources[at], &group.sources[at]) {
            (Some(column), Some(images)) => {
                images.read(source, column, in_group, cache, self.number)
            }
            _ => Ok(None),
        };
        if let Some(bytes) = read(0)? {
            return Ok(Stored::Bytes(bytes));
        }
        match read(1)?.filter(|path| !path.is_empty()) {
            Some(path) => Ok(Stored::Path(String::from_utf8_lossy(&path).into_owned())),
            None => {
                let columns: Vec<String> =
                    self.sources.iter().flatten().map(Column::name).collect();
                let (columns, verb) =
                    (columns.join(" and "), if columns.len() > 1 { "are" } else { "is" });
                Err(Fault::Wrong(format!(
                    "has no image in row {row}: {columns} {verb} null there; fill the row, or write the file \
                     without it"
                )))
            }
        }
    }
}

/// The labels in column number `at` of all `groups`, and the classes that they are of.
fn labels(
    source: &dyn Source,
    groups: &[RowGroup],
    at: usize,
    column: &Column,
) -> Outcome<(Vec<Option<Label>>, Used)> {
    let mut written = Vec::new();
    for RowGroup { rows, chunks } in groups {
        for label in column::labels(source, &chunks[at], column, *rows)? {
            let (row, name) = (written.len(), column.name());
            let problem = |problem| {
                format!(
                    "has in row {row} of its column {name} {problem}; mend it, or give the column another \
                     name if it is none of labels"
                )
            };
            written.push(label.map_err(|found| Fault::Wrong(problem(found)))?);
        }
    }
    Ok(sharded::number(written))
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(Column::name).collect::<Vec<_>>().join(", ")
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

    /// The indices of the columns of images and of paths to them; of one at least.
    fn image_columns(&self, columns: &[Column]) -> Outcome<[Option<usize>; 2]> {
        let of = |kind: fn(&Column) -> bool| -> Vec<usize> {
            (0..columns.len()).filter(|at| kind(&columns[*at])).collect()
        };
        let (bytes, paths) = (of(may_hold_images), of(may_hold_paths));
        let noted =
            |among: &[usize]| among.iter().find(|at| self.is(&columns[**at], "Image")).copied();
        let only = || if let [only] = bytes[..] { Some(only) } else { None };
        let images = called(columns, &bytes, &IMAGES)
            .or_else(|| noted(&bytes))
            .map(|at| [Some(at), beside(columns, at)]);
        let found = images
            .or_else(|| {
                called(columns, &paths, &IMAGES)
                    .or_else(|| noted(&paths))
                    .map(|at| [None, Some(at)])
            })
            .or_else(|| only().map(|at| [Some(at), beside(columns, at)]))
            .or_else(|| called(columns, &paths, &PATHS).map(|at| [None, Some(at)]));
        found.ok_or_else(|| {
            let (images, paths) = (IMAGES.join(", "), PATHS.join(", "));
            Fault::Wrong(format!(
                "has no column of images: expected bytes called {images}, or paths to image files called \
                 {paths}; it has {}",
                names(columns)
            ))
        })
    }

    /// The index of the column of labels, if there is one; those of images and of paths to them, `taken`, are
    /// none.
    fn label_column(&self, columns: &[Column], taken: [Option<usize>; 2]) -> Option<usize> {
        let is_free = |at: &usize| !taken.contains(&Some(*at)) && may_hold_labels(&columns[*at]);
        let candidates: Vec<usize> = (0..columns.len()).filter(is_free).collect();
        let noted = || candidates.iter().find(|at| self.is(&columns[**at], "ClassLabel")).copied();
        called(columns, &candidates, &LABELS)
            .or_else(noted)
            .or_else(|| called(columns, &candidates, &OTHER_LABELS))
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

/// The first of `candidates` with the first of `names` that there is, in any case.
fn called(columns: &[Column], candidates: &[usize], names: &[&str]) -> Option<usize> {
    let named = |name: &&str| {
        candidates.iter().find(|at| columns[**at].path[0].eq_ignore_ascii_case(name)).copied()
    };
    names.iter().find_map(named)
}

/// The column of paths in the structure that the bytes in column number `at` are in.
fn beside(columns: &[Column], at: usize) -> Option<usize> {
    let [structure, _] = &columns[at].path[..] else { return None };
    let is_beside = |column: &Column| may_hold_paths(column) && column.path[0] == *structure;
    columns.iter().position(is_beside)
}

fn may_hold_images(column: &Column) -> bool {
    may_hold(column, ValueKind::Bytes, BYTES)
}

fn may_hold_paths(column: &Column) -> bool {
    may_hold(column, ValueKind::Text, PATH)
}

/// Whether `column` has values of this `kind`, by itself or as the `part` of a structure.
fn may_hold(column: &Column, kind: ValueKind, part: &str) -> bool {
    let is_kind = column.kind == Some(kind) && !column.is_repeated;
    is_kind && (column.path.len() == 1 || column.path.len() == 2 && &*column.path[1] == part)
}

fn may_hold_labels(column: &Column) -> bool {
    column.kind.is_some() && !column.is_repeated && column.path.len() == 1
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
                    (Some(image), Ok(found)) => {
                        assert_eq!(found, Stored::Bytes(image.clone()), "{style:?}, row {at}")
                    }
                    (None, found) => {
                        let expected = format!(
                            "has no image in row {at}: image.bytes and image.path are null"
                        );
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
            r#"{"info":{"features":{"portrait":{"_type":"Image"},"kind":{"_type":"ClassLabel"}}}}"#,
        ));
        let silent = Features::of(Some(r#"{"info": [1, 2]}"#));
        let id = column(&["id"], ValueKind::Int64);
        let photo = column(&["portrait", "bytes"], ValueKind::Bytes);
        let mask = column(&["mask"], ValueKind::Bytes);
        let image = column(&["image", "bytes"], ValueKind::Bytes);
        let kind = column(&["kind"], ValueKind::Int32);
        let label = column(&["label"], ValueKind::Int32);
        let several = [mask.clone(), photo.clone(), kind.clone()];
        let images =
            |features: &Features, columns: &[Column]| features.image_columns(columns).unwrap();
        let labels =
            |features: &Features, columns: &[Column]| features.label_column(columns, [None; 2]);
        assert_eq!(images(&noted, &several), [Some(1), None]);
        assert_eq!(labels(&noted, &several), Some(2));
        let message = problem(silent.image_columns(&several));
        assert!(message.contains("it has mask, portrait.bytes, kind"), "{message}");
        assert_eq!(labels(&silent, &several), None);
        assert_eq!(images(&silent, &[id.clone(), photo.clone()]), [Some(1), None]);
        assert_eq!(images(&noted, &[photo, image.clone()]), [Some(1), None]);
        assert_eq!(labels(&noted, &[kind.clone(), id, label]), Some(2));
        let class = column(&["Class"], ValueKind::Text);
        assert_eq!(
            labels(&noted, &[class.clone(), kind.clone()]),
            Some(1),
            "what is noted comes first"
        );
        assert_eq!(labels(&silent, &[class, kind]), Some(0));
        let repeated = Column { is_repeated: true, ..image };
        assert!(silent.image_columns(&[repeated]).is_err());
    }

    #[test]
    fn paths_are_read_where_there_are_no_bytes() {
        let column = |path: &[&str], kind| Column {
            path: path.iter().map(|name| (*name).into()).collect(),
            kind: Some(kind),
            ..Column::default()
        };
        let silent = Features::of(None);
        let [bytes, path] = [(BYTES, ValueKind::Bytes), (PATH, ValueKind::Text)]
            .map(|(part, kind)| column(&["image", part], kind));
        let text = |name: &str| column(&[name], ValueKind::Text);
        for (columns, expected) in [
            (vec![path.clone(), bytes], [Some(1), Some(0)]),
            (vec![text("label"), path], [None, Some(1)]),
            (vec![text("label"), text("Image")], [None, Some(1)]),
            (vec![text("caption"), text("file_name")], [None, Some(1)]),
            (vec![text("file_name"), column(&["x"], ValueKind::Bytes)], [Some(1), None]),
        ] {
            assert_eq!(silent.image_columns(&columns).unwrap(), expected);
        }
        let message = problem(silent.image_columns(&[text("caption"), text("url")]));
        let expected = "expected bytes called image, img, ";
        assert!(
            message.contains(expected) && message.contains("paths to image files"),
            "{message}"
        );
        assert!(message.ends_with("it has caption, url"), "{message}");
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
            let expected =
                format!("has in row 1 of its column label the label {label}, expected less");
            assert!(message.starts_with(&expected), "{message}");
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
