//! CIFAR-10 in its binary layout: <https://www.cs.toronto.edu/~kriz/cifar.html>.
//!
//! A batch file is 10,000 rows of 3,073 bytes: the label, then 1,024 red, 1,024 green and 1,024
//! blue values, each plane row by row. Five such files are trained on, a sixth is for testing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::fetch::{Archive, damaged, visit_archive};
use super::{Dataset, Image, Split};
use crate::{Error, Result};

/// The folder of the batch files, in the data directory and in the archive.
const FOLDER: &str = "cifar-10-batches-bin";
/// The archive as it is published.
pub const OFFICIAL: Archive<'_> = Archive {
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
    file: "cifar-10-binary.tar.gz",
    folder: FOLDER,
};
const ARCHIVE: &str = OFFICIAL.file;

const TRAIN: [&str; 5] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
];
const TEST: [&str; 1] = ["test_batch.bin"];
const CLASS_NAMES: &str = "batches.meta.txt";
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const SIDE: usize = 32;
const AREA: usize = SIDE * SIDE;
const ROW_BYTES: usize = 1 + 3 * AREA;
const ROWS: usize = 10_000;

/// One split of CIFAR-10, `[n, 32, 32, 3]` in memory.
#[derive(Clone, Debug)]
pub struct Cifar10 {
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl Cifar10 {
    /// Reads `split` from `dir`: the folder that holds `cifar-10-batches-bin`, or is it, or that
    /// holds the archive alone, which is then read in memory.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file that is missing, unreadable, of another length than 10,000
    /// rows, or has a label above 9.
    pub fn load(dir: &Path, split: Split) -> Result<Self> {
        Self::load_batches(dir, split, ROWS)
    }

    /// [`Cifar10::load`] of files with `rows` rows each.
    fn load_batches(dir: &Path, split: Split, rows: usize) -> Result<Self> {
        let source = Source::locate(dir)?;
        let names: &[&str] = match split {
            Split::Train => &TRAIN,
            Split::Test => &TEST,
        };
        let mut files = source.read(names, rows * ROW_BYTES)?;
        let classes = source.classes(files.remove(CLASS_NAMES))?;
        let mut this = Cifar10 { pixels: Vec::new(), labels: Vec::new(), classes };
        this.pixels.reserve_exact(names.len() * rows * 3 * AREA);
        for name in names {
            let batch = files.remove(*name).ok_or_else(|| source.damaged(name, "is missing"))?;
            this.append(&batch, rows).map_err(|problem| source.damaged(name, problem))?;
        }
        Ok(this)
    }

    /// Appends the rows of one batch file, their planes interleaved, or says what is wrong with it.
    fn append(&mut self, batch: &[u8], rows: usize) -> Result<(), String> {
        if batch.len() != rows * ROW_BYTES {
            let more = if batch.len() > rows * ROW_BYTES { "more than " } else { "" };
            let (found, expected) = (batch.len().min(rows * ROW_BYTES), rows * ROW_BYTES);
            return Err(format!(
                "holds {more}{found} bytes, expected {expected} = {rows} rows of {ROW_BYTES}"
            ));
        }
        for (number, row) in batch.chunks_exact(ROW_BYTES).enumerate() {
            let (label, planes) = (row[0], &row[1..]);
            if usize::from(label) >= CLASSES.len() {
                return Err(format!("gives row {number} the label {label}, expected 0 to 9"));
            }
            self.labels.push(label);
            for at in 0..AREA {
                self.pixels.extend([planes[at], planes[AREA + at], planes[2 * AREA + at]]);
            }
        }
        Ok(())
    }
}

impl Dataset for Cifar10 {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self, index: usize) -> Image<'_> {
        let pixels = &self.pixels[index * 3 * AREA..][..3 * AREA];
        Image { width: SIDE, height: SIDE, pixels }
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// The folder or the archive, of a data directory, that CIFAR-10 is read from.
struct Source {
    dir: PathBuf,
    /// What [`Source::read`] opens.
    path: PathBuf,
    is_archive: bool,
}

impl Source {
    /// The first that there is: `dir/cifar-10-batches-bin`, `dir` itself, the archive in `dir`.
    fn locate(dir: &Path) -> Result<Self> {
        let folder =
            [dir.join(FOLDER), dir.to_path_buf()].into_iter().find(|folder| holds_batch(folder));
        let archive = dir.join(ARCHIVE);
        let (path, is_archive) = match folder {
            Some(folder) => (folder, false),
            None if archive.is_file() => (archive, true),
            None => return Err(Error::data(dir, missing(dir))),
        };
        Ok(Source { dir: dir.to_path_buf(), path, is_archive })
    }

    /// The files `names` and, where there is one, the list of classes; of each no more than one
    /// byte above `limit`, which is enough to see that it is too long.
    fn read(&self, names: &[&str], limit: usize) -> Result<BTreeMap<String, Vec<u8>>> {
        if self.is_archive {
            return read_archive(&self.path, names, limit);
        }
        let mut files = BTreeMap::new();
        for name in names.iter().chain(&[CLASS_NAMES]) {
            match File::open(self.path.join(name)).and_then(|file| read_capped(file, limit)) {
                Ok(bytes) => files.insert(name.to_string(), bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.damaged(name, format!("cannot be read ({error})"))),
            };
        }
        Ok(files)
    }

    /// The names in `list`, one a line, or the well-known ones if there is no such file.
    fn classes(&self, list: Option<Vec<u8>>) -> Result<Vec<String>> {
        let Some(list) = list else {
            return Ok(CLASSES.map(String::from).to_vec());
        };
        let list = String::from_utf8_lossy(&list);
        let names: Vec<String> =
            list.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
        match names.len() == CLASSES.len() {
            true => Ok(names),
            false => Err(self.damaged(CLASS_NAMES, "does not name ten classes, one a line")),
        }
    }

    /// The error that `name` has this `problem`.
    fn damaged(&self, name: &str, problem: impl AsRef<str>) -> Error {
        let inside = if self.is_archive { Path::new(FOLDER) } else { Path::new("") };
        let message = format!(
            "{}; remove {} and fetch it again with {}",
            problem.as_ref(),
            self.path.display(),
            fetch_command(&self.dir)
        );
        Error::data(self.path.join(inside).join(name), message)
    }
}

fn holds_batch(folder: &Path) -> bool {
    TRAIN.iter().chain(&TEST).any(|name| folder.join(name).exists())
}

fn missing(dir: &Path) -> String {
    format!(
        "no CIFAR-10 under {}: expected {FOLDER}/{} … or {ARCHIVE}; fetch it with {}",
        dir.display(),
        TRAIN[0],
        fetch_command(dir)
    )
}

fn fetch_command(dir: &Path) -> String {
    format!("`logo-ssl data fetch cifar10 --data-dir {}`", dir.display())
}

/// The wanted files of the archive, in one pass over all of it.
fn read_archive(path: &Path, names: &[&str], limit: usize) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    visit_archive(path, |inside, contents| {
        let wanted = |name: &&&str| inside.ends_with(Path::new(FOLDER).join(name));
        if let Some(name) = names.iter().chain(&[CLASS_NAMES]).find(wanted) {
            let bytes = read_capped(contents, limit).map_err(|error| damaged(path, &error))?;
            files.insert(name.to_string(), bytes);
        }
        Ok(())
    })?;
    Ok(files)
}

fn read_capped(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    use super::*;

    const FEW: usize = 3;

    /// A batch file of `FEW` rows: row r has label `first + r`, and channel c of pixel p is
    /// `p + 50 c + r`.
    fn batch(first: u8) -> Vec<u8> {
        let value = |row: usize, at: usize| (at % AREA + 50 * (at / AREA) + row) as u8;
        (0..FEW)
            .flat_map(|row| {
                let pixels = (0..3 * AREA).map(move |at| value(row, at));
                std::iter::once(first + row as u8).chain(pixels)
            })
            .collect()
    }

    fn files() -> Vec<(&'static str, Vec<u8>)> {
        TRAIN.into_iter().chain(TEST).zip(0..).map(|(name, first)| (name, batch(first))).collect()
    }

    /// A data directory with `cifar-10-batches-bin`.
    fn data_dir() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FOLDER)).unwrap();
        for (name, bytes) in files() {
            fs::write(dir.path().join(FOLDER).join(name), bytes).unwrap();
        }
        dir
    }

    /// A data directory with the archive alone, its files in the opposite order.
    fn archive_dir(files: &[(&str, Vec<u8>)]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(ARCHIVE)).unwrap();
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, bytes) in files.iter().rev() {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{FOLDER}/{name}"), &bytes[..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        dir
    }

    fn load(dir: &Path, split: Split) -> Result<Cifar10> {
        Cifar10::load_batches(dir, split, FEW)
    }

    /// The message of loading after `name` was replaced by `bytes`.
    fn refusal(name: &str, bytes: &[u8]) -> String {
        let dir = data_dir();
        fs::write(dir.path().join(FOLDER).join(name), bytes).unwrap();
        load(dir.path(), Split::Train).unwrap_err().to_string()
    }

    #[test]
    fn planes_become_interleaved_and_files_follow_each_other() {
        let dir = data_dir();
        let train = load(dir.path(), Split::Train).unwrap();
        let labels: Vec<usize> = (0..train.len()).map(|index| train.label(index)).collect();
        assert_eq!(labels, [0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6]);
        let image = train.image(4);
        assert_eq!((image.width, image.height), (32, 32));
        assert_eq!(image.pixels[3 * 7..][..3], [8, 58, 108]);
        assert_eq!(load(dir.path(), Split::Test).unwrap().len(), FEW);
        assert_eq!(train.classes(), CLASSES);
    }

    #[test]
    fn the_folder_itself_and_the_archive_give_the_same() {
        let dir = data_dir();
        let packed = archive_dir(&files());
        for split in [Split::Train, Split::Test] {
            let expected = load(dir.path(), split).unwrap();
            for other in [dir.path().join(FOLDER).as_path(), packed.path()] {
                let other = load(other, split).unwrap();
                assert!(other.pixels == expected.pixels && other.labels == expected.labels);
            }
        }
        assert_eq!(fs::read_dir(packed.path()).unwrap().count(), 1, "something was written");
    }

    #[test]
    fn class_names_come_from_the_list_where_there_is_one() {
        let dir = data_dir();
        let list = dir.path().join(FOLDER).join(CLASS_NAMES);
        fs::write(&list, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
        assert_eq!(load(dir.path(), Split::Test).unwrap().classes()[9], "j");
        fs::write(&list, "a\nb\n").unwrap();
        let message = load(dir.path(), Split::Test).unwrap_err().to_string();
        assert!(message.contains("batches.meta.txt: does not name ten classes"), "{message}");
    }

    #[test]
    fn a_file_of_another_length_is_refused() {
        let whole = batch(0);
        let long = [&whole[..], &whole[..ROW_BYTES]].concat();
        for (bytes, found) in [
            (&whole[..ROW_BYTES], "holds 3073 bytes"),
            (&whole[..whole.len() - 1], "holds 9218 bytes"),
            (&[], "holds 0 bytes"),
            (&long, "holds more than 9219 bytes"),
        ] {
            let message = refusal("data_batch_3.bin", bytes);
            assert!(message.contains("cifar-10-batches-bin/data_batch_3.bin: "), "{message}");
            assert!(message.contains(found), "{message}");
            assert!(message.contains("expected 9219 = 3 rows of 3073"), "{message}");
            assert!(message.contains("logo-ssl data fetch cifar10 --data-dir"), "{message}");
        }
    }

    #[test]
    fn a_label_above_nine_is_refused() {
        let message = refusal("data_batch_5.bin", &batch(8));
        assert!(message.contains("data_batch_5.bin: gives row 2 the label 10"), "{message}");
    }

    #[test]
    fn a_missing_or_unreadable_file_is_named() {
        let dir = data_dir();
        let path = dir.path().join(FOLDER).join("data_batch_2.bin");
        fs::remove_file(&path).unwrap();
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("data_batch_2.bin: is missing; remove "), "{message}");
        fs::create_dir(&path).unwrap();
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("data_batch_2.bin: cannot be read"), "{message}");
    }

    #[test]
    fn a_damaged_archive_is_named() {
        let dir = archive_dir(&files()[1..]);
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        let file = format!("{ARCHIVE}/{FOLDER}/data_batch_1.bin: is missing");
        assert!(message.contains(&file), "{message}");
        let path = dir.path().join(ARCHIVE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains(&format!("{ARCHIVE}: is damaged")), "{message}");
    }

    #[test]
    fn an_archive_with_an_entry_outside_is_refused_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join(ARCHIVE)).unwrap();
        let mut archive = GzEncoder::new(file, Compression::fast());
        let mut header = tar::Header::new_gnu();
        let name = format!("{FOLDER}/../../outside.bin");
        // The tar crate refuses to write such a name by itself.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(0);
        header.set_cksum();
        archive.write_all(header.as_bytes()).unwrap();
        archive.write_all(&[0; 1024]).unwrap();
        archive.finish().unwrap();
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains(ARCHIVE) && message.contains("outside.bin"), "{message}");
    }

    #[test]
    fn an_empty_folder_says_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let error = load(dir.path(), Split::Train).unwrap_err();
        let at = dir.path().display();
        let expected = format!(
            "no CIFAR-10 under {at}: expected cifar-10-batches-bin/data_batch_1.bin … or \
             cifar-10-binary.tar.gz; fetch it with `logo-ssl data fetch cifar10 --data-dir {at}`"
        );
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn the_real_images_load() {
        let Some(dir) = std::env::var_os("LOGO_SSL_DATA") else {
            return eprintln!("skipped: LOGO_SSL_DATA is not set");
        };
        for (split, each) in [(Split::Train, 5000), (Split::Test, 1000)] {
            let images = Cifar10::load(Path::new(&dir), split).unwrap();
            let mut counts = [0; 10];
            (0..images.len()).for_each(|index| counts[images.label(index)] += 1);
            assert_eq!(counts, [each; 10]);
            assert_eq!(images.classes(), CLASSES);
        }
    }
}
