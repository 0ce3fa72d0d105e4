//! What CIFAR-10 and CIFAR-100 share: <https://www.cs.toronto.edu/~kriz/cifar.html>.
//!
//! Each is published twice. A binary batch file is rows of a label, or two, then 1,024 red, 1,024
//! green and 1,024 blue values, each plane row by row. A batch file for Python is a pickled dict of a
//! list of labels and an array of such rows without their labels.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::archive::{damaged, visit_archive};
use super::disk::{lines, open_plain, read_capped};
use super::pickle::{self, Array, Value};
use super::{Dataset, Image, Picture, Split, StoredFile};
use crate::{Error, Malformed, Remedy, Result};

const SIDE: usize = 32;
const AREA: usize = SIDE * SIDE;
/// Values of one image.
const VALUES: usize = 3 * AREA;

/// What tells CIFAR-10 and CIFAR-100 from each other.
#[derive(Debug)]
pub(super) struct Edition {
    /// As in messages.
    pub name: &'static str,
    /// The names of the classes, for where no list of them is found.
    pub classes: &'static [&'static str],
    /// How many those are, in words.
    pub class_count: &'static str,
    /// Rows of a batch file that is trained on.
    pub train_rows: usize,
    /// Rows of one for testing.
    pub test_rows: usize,
    /// The preferred one first.
    pub layouts: [Layout; 2],
    /// The name of its source.
    pub dataset: &'static str,
}

/// One of the two ways an edition is published.
#[derive(Debug)]
pub(super) struct Layout {
    /// The folder of the batch files, in the data directory and in the archive.
    pub folder: &'static str,
    /// The archive as it is published.
    pub archive: &'static str,
    /// The batch files that are trained on.
    pub train: &'static [&'static str],
    /// Those for testing.
    pub test: &'static [&'static str],
    /// The file that names the classes.
    pub class_list: &'static str,
    /// How all of these are written.
    pub format: Format,
}

/// How a batch file and the list of classes are written.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// Rows of labels and pixels; the names of the classes one a line.
    Binary {
        /// Bytes of a row before its label, which its pixels follow.
        before_label: usize,
    },
    /// Pickled dicts.
    Pickle {
        /// What a batch has its labels under.
        labels: &'static str,
        /// What the list of classes has their names under.
        class_names: &'static str,
    },
}

/// One split of CIFAR-10 or CIFAR-100, `[n, 32, 32, 3]` in memory.
#[derive(Clone, Debug)]
pub struct Cifar {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
    /// Where each `rows` images are from.
    batches: Vec<PathBuf>,
    rows: usize,
}

impl Cifar {
    /// No images, of `classes`, to which batches of `rows` images each can be added.
    pub fn new(classes: Vec<String>, rows: usize) -> Self {
        Cifar { pixels: Vec::new(), labels: Vec::new(), classes, batches: Vec::new(), rows }
    }

    /// Reads `split` from `dir`: the folder that holds that of a layout, or is it, or that holds an
    /// archive alone, which is then read in memory.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file that is missing, unreadable, of another number of rows, or has
    /// a label of no class.
    pub(super) fn load(edition: &'static Edition, dir: &Path, split: Split) -> Result<Self> {
        let rows = match split {
            Split::Train => edition.train_rows,
            Split::Test => edition.test_rows,
        };
        Self::load_batches(edition, dir, split, rows)
    }

    /// [`Cifar::load`] of files with `rows` rows each.
    pub(super) fn load_batches(
        edition: &'static Edition,
        dir: &Path,
        split: Split,
        rows: usize,
    ) -> Result<Self> {
        let source = Source::locate(edition, dir)?;
        let format = source.layout.format;
        let names = source.layout.batches(split);
        let mut files = source.read(names, format.most_bytes(rows))?;
        let mut this = Cifar::new(source.classes(files.remove(source.layout.class_list))?, rows);
        this.pixels.reserve_exact(names.len() * rows * VALUES);
        for name in names {
            let batch = files.remove(*name).ok_or_else(|| source.damaged(name, "is missing"))?;
            this.append(source.file(name), &batch, format)
                .map_err(|problem| source.damaged(name, problem.to_string()))?;
        }
        Ok(this)
    }

    /// Adds the images of `batch`, the contents of the file `path`.
    ///
    /// # Errors
    /// [`Malformed`] saying what is wrong with the file; nothing of it has then been added.
    pub fn append(&mut self, path: PathBuf, batch: &[u8], format: Format) -> Result<(), Malformed> {
        let whole = self.labels.len();
        let appended = match format {
            Format::Binary { before_label } => self.append_binary(batch, before_label),
            Format::Pickle { labels, .. } => check_length(batch, format.most_bytes(self.rows))
                .and_then(|()| pickle::read(batch))
                .and_then(|batch| self.append_pickled(&batch, labels)),
        };
        match &appended {
            Ok(()) => self.batches.push(path),
            Err(_) => {
                self.labels.truncate(whole);
                self.pixels.truncate(whole * VALUES);
            }
        }
        appended
    }

    fn append_binary(&mut self, batch: &[u8], before_label: usize) -> Result<(), Malformed> {
        let (rows, row_bytes) = (self.rows, before_label + 1 + VALUES);
        if batch.len() != rows * row_bytes {
            let more = if batch.len() > rows * row_bytes { "more than " } else { "" };
            let (found, expected) = (batch.len().min(rows * row_bytes), rows * row_bytes);
            let problem = format!(
                "holds {more}{found} bytes, expected {expected} = {rows} rows of {row_bytes}"
            );
            return Err(problem.into());
        }
        for (number, row) in batch.chunks_exact(row_bytes).enumerate() {
            let (label, planes) = (row[before_label], &row[before_label + 1..]);
            self.append_row(number, label.into(), planes)?;
        }
        Ok(())
    }

    fn append_pickled(&mut self, batch: &Value<'_>, key: &str) -> Result<(), Malformed> {
        let Some(Value::Array(Array { shape, values })) = batch.get("data") else {
            return Err("has no array `data`".into());
        };
        let Some(Value::List(labels)) = batch.get(key) else {
            return Err(format!("has no list `{key}`").into());
        };
        if shape[..] != [self.rows, VALUES] || labels.len() != self.rows {
            let (found, rows) = (labels.len(), self.rows);
            let expected = [rows, VALUES];
            let problem = format!(
                "has {found} labels and an array of shape {shape:?}, expected {rows} labels and {expected:?}"
            );
            return Err(problem.into());
        }
        for (number, (label, planes)) in labels.iter().zip(values.chunks_exact(VALUES)).enumerate()
        {
            let Value::Int(label) = label else {
                return Err(format!("gives row {number} a label that is no number").into());
            };
            self.append_row(number, *label, planes)?;
        }
        Ok(())
    }

    /// Appends one image, its planes interleaved; row `number` of its file.
    fn append_row(&mut self, number: usize, label: i64, planes: &[u8]) -> Result<(), Malformed> {
        let known = |label: &u8| usize::from(*label) < self.classes.len();
        let Some(valid) = u8::try_from(label).ok().filter(known) else {
            let last = self.classes.len().saturating_sub(1);
            return Err(
                format!("gives row {number} the label {label}, expected 0 to {last}").into()
            );
        };
        self.labels.push(valid);
        for at in 0..AREA {
            self.pixels.extend([planes[at], planes[AREA + at], planes[2 * AREA + at]]);
        }
        Ok(())
    }
}

impl Dataset for Cifar {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let pixels = &self.pixels[index * VALUES..][..VALUES];
        Ok(Image { width: SIDE, height: SIDE, pixels }.into())
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(self.labels[index].into())
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        let batch = self.batches[index / self.rows].display();
        format!("{batch}, row {}", index % self.rows)
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        self.batches.get(index).map(|batch| StoredFile::alone(batch))
    }
}

impl Layout {
    fn batches(&self, split: Split) -> &'static [&'static str] {
        match split {
            Split::Train => self.train,
            Split::Test => self.test,
        }
    }

    fn lies_in(&self, folder: &Path) -> bool {
        self.train.iter().chain(self.test).any(|name| folder.join(name).is_file())
    }
}

impl Format {
    /// What a batch file of `rows` rows may have.
    fn most_bytes(self, rows: usize) -> usize {
        match self {
            Format::Binary { before_label } => rows * (before_label + 1 + VALUES),
            // Four bytes for each value, if all of them are escaped; the name of the file of each
            // image, and a label, or two, for each.
            Format::Pickle { .. } => rows * (4 * VALUES + 256) + (1 << 16),
        }
    }

    /// The names in a list of classes, or what is wrong with it.
    fn class_names(self, list: &[u8]) -> Result<Vec<String>, Malformed> {
        let Format::Pickle { class_names, .. } = self else { return Ok(lines(list)) };
        let list = pickle::read(list)?;
        let Some(Value::List(names)) = list.get(class_names) else {
            return Err(format!("has no list `{class_names}`").into());
        };
        let names: Option<Vec<String>> =
            names.iter().map(|name| name.text().map(String::from)).collect();
        names.ok_or_else(|| format!("has names in `{class_names}` that are no text").into())
    }

    /// Where the names in a list of classes are, for messages.
    fn place_of_names(self) -> String {
        match self {
            Format::Binary { .. } => ", one a line".into(),
            Format::Pickle { class_names, .. } => format!(" in `{class_names}`"),
        }
    }
}

/// The folder or the archive, of a data directory, that CIFAR is read from.
struct Source {
    edition: &'static Edition,
    layout: &'static Layout,
    dir: PathBuf,
    /// What [`Source::read`] opens.
    path: PathBuf,
    is_archive: bool,
}

impl Source {
    /// The first that there is: the folder of a layout in `dir`, `dir` itself, an archive in `dir`.
    fn locate(edition: &'static Edition, dir: &Path) -> Result<Self> {
        let layouts = || edition.layouts.iter();
        let folder = layouts()
            .map(|layout| (layout, dir.join(layout.folder)))
            .chain(layouts().map(|layout| (layout, dir.to_path_buf())))
            .find(|(layout, folder)| layout.lies_in(folder));
        let archive = || {
            let mut archives = layouts().map(|layout| (layout, dir.join(layout.archive)));
            archives.find(|(_, archive)| archive.is_file())
        };
        let is_archive = folder.is_none();
        let (layout, path) = folder.or_else(archive).ok_or_else(|| {
            Error::data(dir, edition.nothing_under(dir)).mended_by(edition.fetching(dir))
        })?;
        Ok(Source { edition, layout, dir: dir.to_path_buf(), path, is_archive })
    }

    /// The files `names` and, where there is one, the list of classes; of each no more than one
    /// byte above `limit`, which is enough to see that it is too long.
    fn read(&self, names: &[&str], limit: usize) -> Result<BTreeMap<String, Vec<u8>>> {
        let wanted: Vec<&str> = names.iter().copied().chain([self.layout.class_list]).collect();
        if self.is_archive {
            return self.read_archive(&wanted, limit);
        }
        let mut files = BTreeMap::new();
        for name in wanted {
            let file = open_plain(&self.path.join(name));
            match file.and_then(|file| read_capped(file, limit)) {
                Ok(bytes) => files.insert(name.to_string(), bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.damaged(name, format!("cannot be read ({error})"))),
            };
        }
        Ok(files)
    }

    /// The wanted files of the archive, in one pass over all of it.
    fn read_archive(&self, wanted: &[&str], limit: usize) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        visit_archive(&self.path, |inside, contents| {
            let is_it = |name: &&&str| inside.ends_with(Path::new(self.layout.folder).join(name));
            if let Some(name) = wanted.iter().find(is_it) {
                let bytes =
                    read_capped(contents, limit).map_err(|error| damaged(&self.path, &error))?;
                files.insert(name.to_string(), bytes);
            }
            Ok(())
        })?;
        Ok(files)
    }

    /// The names in `list`, or the well-known ones if there is no such file.
    fn classes(&self, list: Option<Vec<u8>>) -> Result<Vec<String>> {
        let Some(list) = list else {
            return Ok(self.edition.classes.iter().map(|&name| name.into()).collect());
        };
        let name = self.layout.class_list;
        let names = self.layout.format.class_names(&list);
        let names = names.map_err(|problem| self.damaged(name, problem.to_string()))?;
        match names.len() == self.edition.classes.len() {
            true => Ok(names),
            false => {
                let (count, place) =
                    (self.edition.class_count, self.layout.format.place_of_names());
                Err(self.damaged(name, format!("does not name {count} classes{place}")))
            }
        }
    }

    /// Where the file `name` is, or would be if the archive were unpacked where it lies.
    fn file(&self, name: &str) -> PathBuf {
        match self.is_archive {
            true => self.path.join(self.layout.folder).join(name),
            false => self.path.join(name),
        }
    }

    /// The error that `name` has this `problem`.
    fn damaged(&self, name: &str, problem: impl AsRef<str>) -> Error {
        // The data directory may hold more than CIFAR; it is not to be removed.
        let remove = match self.path == self.dir {
            true => String::new(),
            false => format!("remove {} and ", self.path.display()),
        };
        let message = format!("{}; {remove}fetch it again", problem.as_ref());
        Error::data(self.file(name), message).mended_by(self.edition.fetching(&self.dir))
    }
}

impl Edition {
    fn fetching(&self, dir: &Path) -> Remedy {
        Remedy::Fetch { dataset: self.dataset, folder: dir.to_path_buf() }
    }

    /// Whether files of one of the layouts, or its archive, lie in `dir`.
    pub(super) fn lies_in(&'static self, dir: &Path) -> bool {
        Source::locate(self, dir).is_ok()
    }

    fn nothing_under(&self, dir: &Path) -> String {
        let expected = self
            .layouts
            .each_ref()
            .map(|layout| format!("{}/{} … or {}", layout.folder, layout.train[0], layout.archive));
        format!(
            "no {} under {}: expected {}; fetch it",
            self.name,
            dir.display(),
            expected.join(", or ")
        )
    }
}

fn check_length(batch: &[u8], most: usize) -> Result<(), Malformed> {
    match batch.len() <= most {
        true => Ok(()),
        false => Err(format!("holds more than {most} bytes, which no such batch needs").into()),
    }
}

/// Batches of few rows, their archives, and what was loaded.
#[cfg(test)]
pub(super) mod fixture {
    use std::fs::File;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    use super::super::pickle::fixture::Pickler;
    use super::*;

    /// Rows of a batch.
    pub(crate) const FEW: usize = 3;

    /// The planes of row `row`: channel c of pixel p is `p + 50 c + row`.
    pub(crate) fn planes(row: usize) -> Vec<u8> {
        (0..VALUES).map(|at| (at % AREA + 50 * (at / AREA) + row) as u8).collect()
    }

    /// A binary batch; row r has label `first + r`, after `before`.
    pub(crate) fn binary(before: &[u8], first: u8) -> Vec<u8> {
        (0..FEW).flat_map(|row| [before, &[first + row as u8], &planes(row)].concat()).collect()
    }

    /// The same rows as Python 2 pickled them, the labels under `key`.
    pub(crate) fn pickled(key: &str, first: u8) -> Vec<u8> {
        let labels: Vec<u8> = (first..).take(FEW).collect();
        let values: Vec<u8> = (0..FEW).flat_map(planes).collect();
        Pickler::dict()
            .string("batch_label")
            .string("training batch 1 of 5")
            .string(key)
            .numbers(&labels)
            .string("data")
            .array(&[FEW as i32, VALUES as i32], &values)
            .string("filenames")
            .strings(&["a.png", "b.png", "c.png"])
            .finish()
    }

    /// A data directory with `folder`, that has `files`.
    pub(crate) fn data_dir(folder: &str, files: &[(&str, Vec<u8>)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(folder).join(name), bytes).unwrap();
        }
        dir
    }

    /// A data directory with the archive of `folder` alone, its files in the opposite order.
    pub(crate) fn archive_dir(archive: &str, folder: &str, files: &[(&str, Vec<u8>)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(archive)).unwrap();
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, bytes) in files.iter().rev() {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{folder}/{name}"), &bytes[..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        dir
    }

    /// Whether two sets have the same images and labels, wherever they are from.
    pub(crate) fn same_images(one: &Cifar, other: &Cifar) -> bool {
        one.pixels == other.pixels && one.labels == other.labels
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::*;
    use super::*;
    use crate::pickle::fixture::Pickler;

    const BINARY: Format = Format::Binary { before_label: 0 };
    const PICKLE: Format = Format::Pickle { labels: "labels", class_names: "names" };

    fn ten() -> Cifar {
        Cifar::new((0..10).map(|class| class.to_string()).collect(), FEW)
    }

    fn refusal(batch: &[u8], format: Format) -> String {
        ten().append(PathBuf::new(), batch, format).unwrap_err().to_string()
    }

    #[test]
    fn an_image_is_named_by_its_file_and_row() {
        let mut images = ten();
        images.append("a".into(), &binary(&[], 0), BINARY).unwrap();
        images.append("b".into(), &pickled("labels", 4), PICKLE).unwrap();
        assert_eq!([0, 2, 3].map(|index| images.name(index)), ["a, row 0", "a, row 2", "b, row 0"]);
        assert_eq!(images.label(5), Some(6));
    }

    #[test]
    fn nothing_is_added_of_a_damaged_batch() {
        let mut images = ten();
        images.append("a".into(), &binary(&[], 0), BINARY).unwrap();
        images.append("b".into(), &binary(&[], 8), BINARY).unwrap_err();
        images.append("b".into(), &pickled("labels", 8), PICKLE).unwrap_err();
        assert_eq!(images.len(), FEW);
        images.append("b".into(), &binary(&[], 5), BINARY).unwrap();
        assert_eq!((images.label(3), &images.name(3)[..]), (Some(5), "b, row 0"));
        assert_eq!(images.pixels.len(), 2 * FEW * VALUES);
    }

    #[test]
    fn the_last_label_of_a_row_counts() {
        let (mut one, mut two) = (ten(), ten());
        one.append(PathBuf::new(), &binary(&[], 1), BINARY).unwrap();
        let format = Format::Binary { before_label: 1 };
        two.append(PathBuf::new(), &binary(&[19], 1), format).unwrap();
        assert!(same_images(&one, &two));
    }

    #[test]
    fn a_pickled_batch_of_another_shape_is_refused() {
        let values: Vec<u8> = (0..FEW).flat_map(planes).collect();
        let with = |labels: &[u8], shape: &[i32; 2]| {
            let pickler = Pickler::dict().string("labels").numbers(labels);
            pickler.string("data").array(shape, &values).finish()
        };
        for (batch, expected) in [
            (
                with(&[1, 2, 3], &[1, 9216]),
                "array of shape [1, 9216], expected 3 labels and [3, 3072]",
            ),
            (with(&[1, 2], &[3, 3072]), "has 2 labels"),
            (with(&[1, 2, 10], &[3, 3072]), "gives row 2 the label 10, expected 0 to 9"),
            (pickled("fine_labels", 0), "has no list `labels`"),
            (Pickler::dict().finish(), "has no array `data`"),
            (vec![b'x'; 1 << 17], "holds more than"),
            (b"not a pickle".to_vec(), "is no pickle"),
        ] {
            let message = refusal(&batch, PICKLE);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn no_cut_is_accepted() {
        for (batch, format) in [(binary(&[], 0), BINARY), (pickled("labels", 0), PICKLE)] {
            for length in (0..batch.len()).step_by(7) {
                refusal(&batch[..length], format);
            }
        }
    }

    #[test]
    fn without_classes_every_label_is_refused() {
        let message = Cifar::new(Vec::new(), FEW)
            .append(PathBuf::new(), &binary(&[], 0), BINARY)
            .unwrap_err()
            .to_string();
        assert!(message.contains("gives row 0 the label 0"), "{message}");
    }
}
