//! Images in Parquet files, as Hugging Face keeps them: <https://huggingface.co/docs/hub/datasets-image>.
//!
//! A file has row groups, a row group a chunk of each column, and a chunk pages of values, compressed one
//! by one. A page of images has a megabyte, or ten, or is all of a row group, which is too much to unpack
//! for each image in random order. So where each image in a page lies is noted when the first of them is
//! asked for, and the others are read from there: from a file without compression, as recent versions of
//! the `datasets` library write images, nothing but their bytes; from one with Snappy, as older versions
//! write them, up to 128 KiB more. So an epoch reads such a dataset once, and the first epoch once more.
//! With zstd, gzip or LZ4 an image takes its whole page each time, unless that is among the last.

mod byte_range;
mod codec;
mod column;
#[cfg(test)]
mod fixture;
mod footer;
mod hybrid;
mod images;
mod page;
mod page_cache;
mod snappy;
mod source;
mod table;
mod thrift;

use std::borrow::Cow;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

pub use page_cache::PageCache;
pub use source::{Fault, Outcome, Source};
pub use table::{Stored, Table};

use super::decode::printable;
use super::disk::{open_plain, read_capped};
use super::sharded::{self, Joined, Label, Used, find};
use super::{Dataset, Picture, Split, StoredFile};
use crate::source::{Origin, Parts};
use crate::{Error, Result, hub_cache};

/// `parquet` by name.
pub static SOURCE: crate::Source = crate::Source {
    name: "parquet",
    preset: "folder",
    statistics: None,
    origin: Origin::Person {
        why: "Hugging Face's own program fetches its datasets",
        download: "hf download --repo-type dataset --local-dir FOLDER OWNER/NAME",
        folder: None,
    },
    load: |at| {
        let dir = hub_cache::snapshot(&at.folder()?);
        Parquet::load_parts(&dir).map(Parts::of)
    },
};

/// An image file beside a table is at most this large, as one within it is.
const MOST_IMAGE_BYTES: usize = (1 << 31) - 1;

/// The images of one split, in the order of the names of their files.
#[derive(Debug)]
pub struct Parquet {
    /// The folder that nothing is read outside of.
    dir: PathBuf,
    parts: Vec<Part>,
    /// One a row.
    labels: Vec<Option<Label>>,
    classes: Vec<String>,
    cache: PageCache,
}

/// A file, and how many rows there are up to its last.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    table: Table,
    end: usize,
}

impl Parquet {
    /// Opens the files `*.parquet` of `split` in `dir` and in folders up to two below, if there are any:
    /// `data/train-00000-of-00040.parquet`, `train/0000.parquet`, or without the name of a part.
    ///
    /// Footers and labels are read, and nothing of the images. Their column is one of bytes called `image` or
    /// the like, or the one that is noted to be of images, or the only one of bytes; where there is none, or
    /// it is null, one of paths to image files, relative to the folder of the table or to `dir`, in which
    /// they must lie. That of labels is `label` or the like, or one noted to be of classes. Labels are
    /// numbers, whose names may be noted, or names, which are numbered in alphabetical order: where they are
    /// names, those of the other split are read too, for a class has one number in both.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such file, or naming the file that is damaged or something else, is
    /// compressed or encoded in a way not read here, has no images, a label without a name, or other classes
    /// than the first. [`Error::Io`] when one cannot be read.
    pub fn load(dir: &Path, split: Split) -> Result<Option<Self>> {
        let open = |split| Opened::of(dir, split);
        let parts = sharded::with_names_of_both(split, open, Opened::has_names)?;
        let Some(parts) = parts else { return Ok(None) };
        let [this, _] = Self::joined(dir, parts)?;
        Ok(this)
    }

    /// The files of both splits, as [`load`](Self::load) opens them, each of which is read once.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_parts(dir: &Path) -> Result<[Option<Self>; 2]> {
        Self::joined(dir, [Opened::of(dir, Split::Train)?, Opened::of(dir, Split::Test)?])
    }

    fn joined(dir: &Path, parts: [Option<Opened>; 2]) -> Result<[Option<Self>; 2]> {
        let files = parts.iter().flatten().flat_map(|part| &part.files);
        let used: Vec<&Used> = files.map(|(_, table)| table.used()).collect();
        let joined = Joined::of(&used, &[])
            .map_err(|problem| Error::data(dir, format!("{problem} are possible")))?;
        let mut file = 0;
        let mut part = |part: Option<Opened>| {
            part.map(|part| part.numbered(dir, joined.as_ref(), &mut file)).transpose()
        };
        let [train, test] = parts;
        Ok([part(train)?, part(test)?])
    }

    /// The names of the classes, which all files have to agree on.
    fn name_classes(&self) -> Result<Vec<String>> {
        let first = &self.parts[0];
        let names = first.table.classes();
        if let Some(other) = self.parts.iter().find(|part| part.table.classes() != names) {
            let first = first.path.display();
            let problem =
                format!("has other classes than {first}; keep datasets in separate folders");
            return Err(Error::data(&other.path, problem));
        }
        sharded::classes(self.labels.iter().copied(), names.to_vec()).map_err(|index| {
            let (part, row) = self.part_and_row(index);
            let label = self.label(index).unwrap_or_default();
            let expected = format!("expected less than {}, as many as have names", names.len());
            Error::data(&part.path, format!("gives row {row} the label {label}, {expected}"))
        })
    }

    /// The image file that `row` of the file `table` has the path `name` of.
    fn beside(&self, table: &Path, row: usize, name: &str) -> Result<Vec<u8>> {
        let about = |problem: &str| {
            let name = printable(name);
            Error::data(
                table,
                format!("has of the image in row {row} only the path {name}, {problem}"),
            )
        };
        if name.contains("://") {
            return Err(about(
                "which is an address; download the image and give its path in the folder",
            ));
        }
        if !self.is_inside(Path::new(name)) {
            return Err(about(
                "which leads out of the folder and is not followed; give one within it",
            ));
        }
        let folder = table.parent().unwrap_or(&self.dir);
        let mut places = [folder, &self.dir].into_iter().map(|folder| folder.join(name));
        let path = places.find(|path| path.is_file()).ok_or_else(|| {
            let folder = folder.display();
            about(&format!(
                "and there is no such file in {folder}; put it there, or fetch the dataset with its images"
            ))
        })?;
        let file = open_plain(&path).map_err(Error::io("read", &path))?;
        read_capped(file, MOST_IMAGE_BYTES).map_err(Error::io("read", &path))
    }

    /// Whether `path`, which a table has, stays in the folder as it is written. Links are followed wherever they
    /// lead: a person made them, or Hugging Face's cache.
    fn is_inside(&self, path: &Path) -> bool {
        let climbs = path.components().any(|part| part == Component::ParentDir);
        let is_below = || std::path::absolute(&self.dir).is_ok_and(|dir| path.starts_with(dir));
        !climbs && (path.is_relative() || is_below())
    }

    /// The file that image `index` is in, and its row there.
    fn part_and_row(&self, index: usize) -> (&Part, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.end <= index)];
        (part, index + part.table.len() - part.end)
    }
}

/// The files of a split, each with what is known of it.
struct Opened {
    files: Vec<(PathBuf, Table)>,
}

impl Opened {
    fn of(dir: &Path, split: Split) -> Result<Option<Self>> {
        let Some(paths) = find(dir, "parquet", split)? else { return Ok(None) };
        let table_of = |(number, path): (usize, PathBuf)| {
            let file = File::open(&path).map_err(Error::io("read", &path))?;
            let table = Table::read(&file, number).map_err(|fault| fault.at(&path))?;
            Ok((path, table))
        };
        let files: Vec<_> =
            paths.into_par_iter().enumerate().map(table_of).collect::<Result<_>>()?;
        if files.iter().all(|(_, table)| table.is_empty()) {
            return Err(Error::data(dir, "there is no row in its Parquet files"));
        }
        let unlabelled = files.iter().find_map(|(path, table)| Some((path, table.about_labels()?)));
        if let Some((path, warning)) = unlabelled {
            tracing::warn!("{}: {}", path.display(), printable(warning));
        }
        Ok(Some(Self { files }))
    }

    fn has_names(&self) -> bool {
        self.files.iter().any(|(_, table)| !table.used().names.is_empty())
    }

    /// With the numbers that its labels have among those of all files, of which its first is number `file`.
    fn numbered(self, dir: &Path, joined: Option<&Joined>, file: &mut usize) -> Result<Parquet> {
        let mut this = Parquet {
            dir: dir.to_path_buf(),
            parts: Vec::new(),
            labels: Vec::new(),
            classes: Vec::new(),
            cache: PageCache::default(),
        };
        for (path, mut table) in self.files {
            let label = |label: Label| match joined {
                Some(joined) => joined.label(*file, label),
                None => Some(label),
            };
            let labels = table.take_labels().into_iter().map(|found| found.and_then(label));
            this.labels.extend(labels);
            this.parts.push(Part { path, table, end: this.labels.len() });
            *file += 1;
        }
        this.classes = match joined {
            Some(joined) if this.labels.iter().any(Option::is_some) => joined.names.clone(),
            Some(_) => Vec::new(),
            None => this.name_classes()?,
        };
        Ok(this)
    }
}

impl Dataset for Parquet {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let (Part { path, table, .. }, row) = self.part_and_row(index);
        // Opening takes microseconds, and to hold all files open is more than many a system allows.
        let file = File::open(path).map_err(Error::io("read", path))?;
        let stored = table.image(&file, row, &self.cache).map_err(|fault| fault.at(path))?;
        let bytes = match stored {
            Stored::Bytes(bytes) => bytes,
            Stored::Path(name) => self.beside(path, row, &name)?,
        };
        Ok(Picture::File(Cow::Owned(bytes)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels[index].map(Label::class)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        let (part, row) = self.part_and_row(index);
        format!("{}, row {row}", part.path.display())
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        self.parts.get(index).map(|part| StoredFile::alone(&part.path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::fixture::{PLAIN, Style, Values, rows};
    use super::*;

    const NAMES: [&str; 3] = ["ant", "bee", "cat"];

    /// Two files to train on, of 10 and 5 rows, and one to test on, of 3.
    fn dir(classes: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for (name, count) in [
            ("train-00000-of-00002", 10),
            ("train-00001-of-00002", 5),
            ("validation-00000-of-00001", 3),
        ] {
            let file = PLAIN.write(&rows(count), classes);
            fs::write(data.join(name).with_extension("parquet"), file).unwrap();
        }
        dir
    }

    fn replace(dir: &TempDir, contents: &[u8]) {
        fs::write(dir.path().join("data/train-00001-of-00002.parquet"), contents).unwrap();
    }

    fn load(dir: &TempDir, split: Split) -> Parquet {
        Parquet::load(dir.path(), split).unwrap().unwrap()
    }

    fn refusal(dir: &TempDir) -> String {
        Parquet::load(dir.path(), Split::Train).unwrap_err().to_string()
    }

    fn bytes(parquet: &Parquet, index: usize) -> Result<Vec<u8>> {
        parquet.picture(index).map(|picture| match picture {
            Picture::File(bytes) => bytes.into_owned(),
            Picture::Pixels(_) => panic!("a file"),
        })
    }

    #[test]
    fn files_of_a_split_follow_each_other() {
        let dir = dir(&NAMES);
        let train = load(&dir, Split::Train);
        let expected: Vec<_> = rows(10).into_iter().chain(rows(5)).collect();
        assert_eq!(train.len(), 15);
        for (index, (image, label)) in expected.iter().enumerate() {
            assert_eq!(bytes(&train, index).ok(), *image, "{index}");
            assert_eq!(train.label(index), label.map(|label| label as usize), "{index}");
        }
        assert_eq!(train.classes(), NAMES);
        assert!(
            train.name(12).ends_with("train-00001-of-00002.parquet, row 2"),
            "{}",
            train.name(12)
        );
        assert_eq!(load(&dir, Split::Test).len(), 3);
        assert_eq!(load(&self::dir(&[]), Split::Train).classes(), ["0", "1", "2"]);
    }

    #[test]
    fn a_row_without_an_image_is_named() {
        let message = bytes(&load(&dir(&NAMES), Split::Train), 3).unwrap_err().to_string();
        let expected = "00000-of-00002.parquet: has no image in row 3: image.bytes and image.path are null there";
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn many_threads_read_the_same() {
        let dir = dir(&NAMES);
        let train = load(&dir, Split::Train);
        let read = || (0..train.len()).map(|index| bytes(&train, index).ok()).collect::<Vec<_>>();
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|images| *images == all[0]));
        assert_eq!(all[0].iter().flatten().count(), 13);
    }

    #[test]
    fn a_file_that_vanishes_or_shrinks_is_named() {
        let dir = dir(&NAMES);
        let train = load(&dir, Split::Train);
        bytes(&train, 11).unwrap();
        replace(&dir, &[7; 60]);
        let message = bytes(&train, 11).unwrap_err().to_string();
        assert!(
            message.contains("train-00001-of-00002.parquet: is damaged: it has 60 bytes"),
            "{message}"
        );
        fs::remove_file(dir.path().join("data/train-00001-of-00002.parquet")).unwrap();
        let message = bytes(&train, 11).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("00001-of-00002"), "{message}");
        assert!(bytes(&train, 0).is_ok());
    }

    #[test]
    fn damaged_files_and_labels_without_names_are_refused() {
        let dir = dir(&NAMES);
        replace(&dir, b"");
        let message = refusal(&dir);
        assert!(message.contains("train-00001-of-00002.parquet: is empty"), "{message}");
        replace(&dir, b"\x07 no parquet");
        let message = refusal(&dir);
        assert!(message.contains("train-00001-of-00002.parquet: is no Parquet file"), "{message}");
        replace(&dir, &PLAIN.write(&rows(5), &["ant", "bee", "dog"]));
        let message = refusal(&dir);
        assert!(message.contains("00001-of-00002.parquet: has other classes than"), "{message}");
        let message = refusal(&self::dir(&NAMES[..2]));
        let expected = "00001-of-00002.parquet: gives row 2 the label 2, expected less than 2";
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn files_without_rows_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.parquet"), PLAIN.write(&[], &[])).unwrap();
        assert!(refusal(&dir).ends_with("there is no row in its Parquet files"));
    }

    const STRUCTURE: &str =
        "optional group image { optional binary bytes; optional binary path (UTF8); }";

    /// A dataset of one table of images in columns `bytes` and `path`, and labels in this column.
    fn labelled(style: Style, kind: &str, labels: &Values<'_>, count: usize) -> Vec<u8> {
        let schema = format!("message rows {{ {STRUCTURE} optional {kind}; }}");
        let [bytes, paths] = [vec![Some("image"); count], vec![None; count]];
        style.write_columns(&schema, &[Values::Text(&bytes), Values::Text(&paths), *labels])
    }

    fn labels_of(file: Vec<u8>) -> (Vec<Option<usize>>, Vec<String>) {
        let dir = crate::fixture::folder_of(&[("train.parquet", file)]);
        let train = load(&dir, Split::Train);
        ((0..train.len()).map(|at| train.label(at)).collect(), train.classes().to_vec())
    }

    #[test]
    fn labels_of_any_type_are_numbers_or_names_and_null_is_none() {
        let names = [Some("dog"), Some("cat"), None, Some("dog")];
        let numbers = [Some("10"), Some(" 2"), None, Some("")];
        let floats = [Some(1.), Some(0.), None, Some(f64::NAN)];
        let flags = [Some(true), Some(false), None, Some(true)];
        let strings = |count: usize| (0..count).map(|class| class.to_string()).collect::<Vec<_>>();
        for dictionary in [false, true] {
            let style = Style { dictionary, ..PLAIN };
            for kind in [
                "binary label (UTF8)",
                "binary label (STRING)",
                "binary label",
                "binary Category (ENUM)",
            ] {
                let found = labels_of(labelled(style, kind, &Values::Text(&names), 4));
                let expected = vec![Some(1), Some(0), None, Some(1)];
                assert_eq!(found, (expected, vec!["cat".into(), "dog".into()]), "{kind}");
            }
            let found =
                labels_of(labelled(style, "binary target (UTF8)", &Values::Text(&numbers), 4));
            assert_eq!(found, (vec![Some(10), Some(2), None, None], strings(11)));
            let found = labels_of(labelled(style, "double y", &Values::Doubles(&floats), 4));
            assert_eq!(found, (vec![Some(1), Some(0), None, None], strings(2)));
            let found = labels_of(labelled(style, "boolean class", &Values::Booleans(&flags), 4));
            assert_eq!(found, (vec![Some(1), Some(0), None, Some(1)], strings(2)));
        }
        let nothing =
            labels_of(labelled(PLAIN, "binary label (UTF8)", &Values::Text(&[None; 4]), 4));
        assert_eq!(nothing, (vec![None; 4], Vec::new()));
        let file = labelled(PLAIN, "double label", &Values::Doubles(&[Some(0.5)]), 1);
        let message = refusal(&crate::fixture::folder_of(&[("0.parquet", file)]));
        let expected =
            "0.parquet: has in row 0 of its column label the label 0.5, expected a whole number";
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn names_have_the_same_numbers_in_all_files_and_parts() {
        let kind = "binary label (UTF8)";
        let file =
            |names: &[Option<&str>]| labelled(PLAIN, kind, &Values::Text(names), names.len());
        let dir = crate::fixture::folder_of(&[
            ("train-0.parquet", file(&[Some("dog"), None])),
            ("train-1.parquet", file(&[Some("cat"), Some("dog")])),
            ("test-0.parquet", file(&[Some("dog"), Some("ant"), None])),
        ]);
        let labels = |part: &Parquet| (0..part.len()).map(|at| part.label(at)).collect::<Vec<_>>();
        let [train, test] = Parquet::load_parts(dir.path()).unwrap().map(Option::unwrap);
        assert_eq!(train.classes(), ["ant", "cat", "dog"]);
        assert_eq!(labels(&train), [Some(2), None, Some(1), Some(2)]);
        assert_eq!(labels(&test), [Some(2), Some(0), None]);
        for (split, expected) in [(Split::Train, train), (Split::Test, test)] {
            let found = load(&dir, split);
            assert_eq!((labels(&found), found.classes()), (labels(&expected), expected.classes()));
        }
    }

    /// A dataset of a table `data/train.parquet` with these paths, and files.
    fn with_paths(schema: &str, columns: &[Values<'_>]) -> TempDir {
        let table = PLAIN.write_columns(&format!("message rows {{ {schema} }}"), columns);
        crate::fixture::folder_of(&[
            ("data/train.parquet", table),
            ("data/images/a.jpg", b"a".to_vec()),
            ("pictures/b.jpg", b"b".to_vec()),
        ])
    }

    #[test]
    fn images_that_are_paths_are_read_within_the_folder() {
        let elsewhere = crate::fixture::folder_of(&[("secret.jpg", b"secret".to_vec())]);
        let outside = elsewhere.path().join("secret.jpg").display().to_string();
        let paths = [
            "images/a.jpg",
            "pictures/b.jpg",
            "images/c.jpg",
            "images/../images/a.jpg",
            "../../secret.jpg",
            &outside,
            "https://example.com/a.jpg",
            "",
        ]
        .map(Some);
        let nulls = [None; 8];
        for (schema, columns) in [
            (STRUCTURE, vec![Values::Text(&nulls), Values::Text(&paths)]),
            ("optional binary image (UTF8);", vec![Values::Text(&paths)]),
            ("optional binary file_name (UTF8);", vec![Values::Text(&paths)]),
        ] {
            let dir = with_paths(schema, &columns);
            let train = load(&dir, Split::Train);
            assert_eq!([bytes(&train, 0).unwrap(), bytes(&train, 1).unwrap()], [b"a", b"b"]);
            for (row, expected) in [
                (
                    2,
                    "data/train.parquet: has of the image in row 2 only the path images/c.jpg, and there is no",
                ),
                (3, "which leads out of the folder"),
                (4, "which leads out of the folder"),
                (5, "leads out of"),
                (6, "which is an address"),
                (7, "has no image in row 7: "),
            ] {
                let message = bytes(&train, row).unwrap_err().to_string();
                assert!(message.contains(expected), "{message}");
                assert!(!message.contains("emove that row"), "{message}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_image_beside_a_table_may_be_a_link_and_its_path_absolute() {
        use std::os::unix::fs::symlink;

        let dir =
            with_paths("optional binary path (UTF8);", &[Values::Text(&[Some("images/link.jpg")])]);
        let blobs = crate::fixture::folder_of(&[("4d7a", b"blob".to_vec())]);
        symlink(blobs.path().join("4d7a"), dir.path().join("data/images/link.jpg")).unwrap();
        assert_eq!(bytes(&load(&dir, Split::Train), 0).unwrap(), b"blob");
        let absolute = dir.path().join("pictures/b.jpg").display().to_string();
        let columns = [Values::Text(&[Some(&*absolute)])];
        let table = PLAIN.write_columns("message rows { optional binary path (UTF8); }", &columns);
        fs::write(dir.path().join("data/train.parquet"), table).unwrap();
        assert_eq!(bytes(&load(&dir, Split::Train), 0).unwrap(), b"b");
    }

    #[test]
    fn bytes_come_before_paths() {
        let (images, paths) = ([Some("bytes"), None], [Some("images/a.jpg"); 2]);
        let dir = with_paths(STRUCTURE, &[Values::Text(&images), Values::Text(&paths)]);
        let train = load(&dir, Split::Train);
        assert_eq!(bytes(&train, 0).unwrap(), b"bytes");
        assert_eq!(bytes(&train, 1).unwrap(), b"a");
    }
}
