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
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use page_cache::PageCache;
pub use source::{Fault, Outcome, Source};
pub use table::Table;

use super::sharded::{self, Label, find};
use super::{Dataset, Picture, Split, StoredFile};
use crate::source::{Origin, Parts};
use crate::{Error, Result, hub_cache};

/// `parquet` by name.
pub static SOURCE: crate::Source = crate::Source {
    name: "parquet",
    preset: "folder",
    origin: Origin::Person {
        why: "Hugging Face's own program fetches its datasets",
        download: "hf download --repo-type dataset --local-dir FOLDER OWNER/NAME",
        folder: None,
    },
    load: |at| {
        let dir = hub_cache::snapshot(&at.folder()?);
        Parts::of_splits(|split| Parquet::load(&dir, split))
    },
};

/// The images of one split, in the order of the names of their files.
#[derive(Debug)]
pub struct Parquet {
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
    /// Footers and labels are read, and nothing of the images. Their column is `image` or `img`, or the
    /// one that is noted to be of images, or the only one of bytes; that of labels is `label`, `labels`
    /// or `fine_label`, or one noted to be of classes. The names of these are noted too, or else numbers.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such file, or naming the file that is damaged, is compressed or
    /// encoded in a way not read here, has no images, a label without a name, or other classes than the
    /// first. [`Error::Io`] when one cannot be read.
    pub fn load(dir: &Path, split: Split) -> Result<Option<Self>> {
        let Some(paths) = find(dir, "parquet", split)? else { return Ok(None) };
        let table_of = |(number, path): (usize, &PathBuf)| {
            let file = File::open(path).map_err(Error::io("read", path))?;
            Table::read(&file, number).map_err(|fault| fault.at(path))
        };
        let mut tables: Vec<Table> =
            paths.par_iter().enumerate().map(table_of).collect::<Result<_>>()?;
        let labels = tables.iter_mut().flat_map(Table::take_labels).collect();
        let mut end = 0;
        let parts = paths.into_iter().zip(tables).map(|(path, table)| {
            end += table.len();
            Part { path, table, end }
        });
        let parts = parts.collect();
        let mut this = Self { parts, labels, classes: Vec::new(), cache: PageCache::default() };
        if this.is_empty() {
            return Err(Error::data(dir, "there is no row in its Parquet files"));
        }
        this.classes = this.name_classes()?;
        Ok(Some(this))
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

    /// The file that image `index` is in, and its row there.
    fn part_and_row(&self, index: usize) -> (&Part, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.end <= index)];
        (part, index + part.table.len() - part.end)
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
        let bytes = table.image(&file, row, &self.cache).map_err(|fault| fault.at(path))?;
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

    use super::fixture::{PLAIN, rows};
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
        let expected = "00000-of-00002.parquet: has no image in row 3: image.bytes is null there";
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
}
