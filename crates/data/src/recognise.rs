//! Which kind of dataset lies in a folder.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl_base::words::plural;

use super::leftovers::{self, Named};
use super::sharded::has_extension;
use crate::{
    DatasetName, Error, Ignored, Result, Source, cifar10, cifar100, folder, hub_cache, idx,
    imagenet100, pack, parquet, stl10, webdataset,
};

/// Of each folder so many entries are looked at.
const MOST_ENTRIES: usize = 1000;
/// So many folders are looked into.
const MOST_FOLDERS: usize = 100;
/// How many files whose names say nothing are opened.
const MOST_OPENED: usize = 16;
/// How many kinds of files are named where nothing can be read.
const NAMED: usize = 4;

/// A kind of dataset that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Its name.
    pub dataset: DatasetName,
    /// Why it is taken for that, as a clause about the folder: `it holds 12 Parquet files`.
    pub why: String,
}

/// What kind of dataset is in the folder `dir`, or in the file `dir`.
///
/// It looks at the names of some thousands of entries and into a few files, so it takes no longer in a
/// folder of millions.
///
/// # Errors
/// [`Error::Data`] when nothing there is read by any source, saying what is there, or when several known
/// datasets are there. [`Error::Io`] when there is no such folder, or it cannot be read.
pub fn recognise(dir: &Path) -> Result<Recognised> {
    let there = fs::metadata(dir).map_err(Error::io("read", dir))?;
    if !there.is_dir() {
        return recognise_file(dir);
    }
    let dir = &*hub_cache::snapshot(dir);
    let looked = Looked::into(dir)?;
    let known = known(dir, &looked);
    match &known[..] {
        [] => looked.largest(dir),
        [(source, why)] => Ok(recognised(source, why.clone())),
        several => {
            let names: Vec<&str> = several.iter().map(|(source, _)| source.name).collect();
            let problem =
                format!("holds several datasets, {}; say which is meant", names.join(", "));
            Err(Error::data(dir, problem))
        }
    }
}

fn recognised(source: &'static Source, why: impl Into<String>) -> Recognised {
    Recognised { dataset: DatasetName::of(source), why: why.into() }
}

fn recognise_file(path: &Path) -> Result<Recognised> {
    if has_extension(path, pack::EXTENSION) {
        return Ok(recognised(&pack::SOURCE, "it is a pack"));
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let next = format!("is a file and no pack; name the folder it lies in, {}", folder.display());
    Err(Error::data(path, next))
}

/// The datasets in `dir` whose files have names of their own.
fn known(dir: &Path, looked: &Looked) -> Vec<(&'static Source, String)> {
    let mut known = Vec::new();
    for (source, name, is_there) in [
        (&cifar10::SOURCE, "CIFAR-10", cifar10::lies_in(dir)),
        (&cifar100::SOURCE, "CIFAR-100", cifar100::lies_in(dir)),
        (&stl10::SOURCE, "STL-10", stl10::lies_in(dir)),
        (&imagenet100::SOURCE, "ImageNet-100 as Kaggle has it", dir.join("train.X1").is_dir()),
    ] {
        if is_there {
            known.push((source, format!("it holds {name}")));
        }
    }
    for (source, files) in [&idx::MNIST, &idx::FASHION_MNIST].into_iter().zip(looked.idx) {
        if files > 0 {
            known.push((source, "it holds the files of MNIST, or of a set like it".to_owned()));
        }
    }
    known
}

/// What was seen in a look at a folder.
#[derive(Default)]
struct Looked {
    pictures: usize,
    parquet: usize,
    shards: usize,
    packs: usize,
    /// Images in IDX files, and of these those that are Fashion-MNIST's by their path.
    idx: [usize; 2],
    others: BTreeMap<String, usize>,
    opened: usize,
    /// Whether there is more than was looked at.
    is_cut_off: bool,
}

impl Looked {
    fn into(dir: &Path) -> Result<Self> {
        let mut looked = Self::default();
        let mut folders = VecDeque::from([dir.to_path_buf()]);
        for _ in 0..MOST_FOLDERS {
            let Some(folder) = folders.pop_front() else { return Ok(looked) };
            looked.look(dir, &folder, &mut folders)?;
        }
        looked.is_cut_off |= !folders.is_empty();
        Ok(looked)
    }

    /// Looks at the entries of `folder`, which is in `dir`, and adds the folders among them to `folders`.
    fn look(&mut self, dir: &Path, folder: &Path, folders: &mut VecDeque<PathBuf>) -> Result<()> {
        let is_run = leftovers::is_run(|name| folder.join(name).exists());
        if is_run && folder != dir {
            return Ok(());
        }
        for (number, entry) in fs::read_dir(folder).map_err(Error::io("read", folder))?.enumerate()
        {
            if number == MOST_ENTRIES {
                self.is_cut_off = true;
                break;
            }
            let entry = entry.map_err(Error::io("read", folder))?;
            let (path, name) = (entry.path(), entry.file_name());
            if is_run && leftovers::is_of_run(&name) {
                continue;
            }
            // The folder says what an entry is; only behind links the system is asked.
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_symlink() => fs::metadata(&path).map(|there| there.file_type()),
                kind => kind,
            };
            match kind {
                Ok(kind) if kind.is_dir() && leftovers::is_system_folder(&name) => {}
                Ok(kind) if kind.is_dir() => folders.push_back(path),
                Ok(kind) if kind.is_file() && !leftovers::is_system_file(&name) => {
                    self.note(dir, &path, &name, folder == dir);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Counts one file.
    fn note(&mut self, dir: &Path, path: &Path, name: &OsStr, is_outermost: bool) {
        let lower = path.strip_prefix(dir).unwrap_or(path).to_string_lossy().to_ascii_lowercase();
        if is_idx(&lower) {
            let of_dir = dir.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            let is_fashion = lower.contains("fashion") || of_dir.contains("fashion");
            self.idx[usize::from(is_fashion)] += 1;
        } else if has_extension(path, "parquet") {
            self.parquet += 1;
        } else if has_extension(path, "tar") {
            self.shards += 1;
        } else if is_outermost && has_extension(path, pack::EXTENSION) {
            self.packs += 1;
        } else if self.is_picture(path, name) {
            self.pictures += 1;
        } else {
            *self.others.entry(leftovers::kind_of_file(name)).or_default() += 1;
        }
    }

    fn is_picture(&mut self, path: &Path, name: &OsStr) -> bool {
        match leftovers::named(name) {
            Named::Picture => true,
            Named::NoPicture => false,
            Named::Unknown => {
                self.opened += 1;
                self.opened <= MOST_OPENED && leftovers::begins_as_picture(path)
            }
        }
    }

    /// What there is most of, shards before pictures.
    fn largest(&self, dir: &Path) -> Result<Recognised> {
        let kinds = [
            (&pack::SOURCE, self.packs, "pack"),
            (&parquet::SOURCE, self.parquet, "Parquet file"),
            (&webdataset::SOURCE, self.shards, "tar archive"),
            (&folder::SOURCE, self.pictures, "picture"),
        ];
        // The last of equals is the greatest, so the order is turned.
        let most = kinds.iter().rev().max_by_key(|(_, files, _)| *files);
        match most {
            Some((source, files, kind)) if *files > 0 => {
                let least = if self.is_cut_off { "at least " } else { "" };
                let noun = plural(*files, kind);
                let beside: usize = kinds.iter().map(|(_, files, _)| files).sum::<usize>() - files;
                let beside = match beside {
                    0 => String::new(),
                    _ => format!(", and {beside} other {} of images", plural(beside, "file")),
                };
                Ok(recognised(source, format!("it holds {least}{files} {noun}{beside}")))
            }
            _ => Err(Error::data(dir, self.nothing_there())),
        }
    }

    fn nothing_there(&self) -> String {
        let others =
            Ignored::sorted(self.others.iter().map(|(kind, &files)| (kind.clone(), files)));
        let more = if others.len() > NAMED || self.is_cut_off { " and more" } else { "" };
        let found =
            others.iter().take(NAMED).map(Ignored::to_string).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "no file".to_owned() } else { format!("{found}{more}") };
        let archives = [".zip", ".gz", ".tgz", ".rar", ".7z"];
        let unpack = match others.iter().any(|kind| archives.contains(&&*kind.kind)) {
            true => "; unpack the archives",
            false => "",
        };
        format!(
            "there are no images in it that can be read, but {found}: expected pictures, in a folder for each class or \
             not, Parquet files, shards NAME.tar, a pack, or CIFAR's, STL-10's or MNIST's files as they are published{unpack}"
        )
    }
}

/// Whether a path in lower case is that of images in an IDX file, or in Kaggle's text of one.
fn is_idx(path: &str) -> bool {
    let is_text = ["_train.csv", "_test.csv", "-train.csv", "-test.csv"]
        .iter()
        .any(|end| path.ends_with(end));
    path.contains("idx3") && path.contains("ubyte") || path.contains("mnist") && is_text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{folder_of, tree};

    fn found(files: &[&str]) -> (String, String) {
        let Recognised { dataset, why } = recognise(tree(files).path()).unwrap();
        (dataset.to_string(), why)
    }

    #[test]
    fn every_kind_is_recognised_by_what_it_holds() {
        for (files, dataset, why) in [
            (&["a.jpg", "b.PNG"][..], "folder", "it holds 2 pictures"),
            (&["train/cat/1.jpeg", "val/cat/2.jpeg", "notes.txt"], "folder", "it holds 2 pictures"),
            (
                &["data/train-0.parquet", "data/test-0.parquet", "README.md"],
                "parquet",
                "it holds 2 Parquet files",
            ),
            (&["train-000.tar", "classes.txt"], "webdataset", "it holds 1 tar archive"),
            (&["a.pack", "notes.txt"], "pack", "it holds 1 pack"),
            (&["cifar-10-batches-bin/data_batch_1.bin"], "cifar10", "it holds CIFAR-10"),
            (&["data_batch_1.bin", "batches.meta.txt"], "cifar10", "it holds CIFAR-10"),
            (&["cifar-10-binary.tar.gz"], "cifar10", "it holds CIFAR-10"),
            (&["cifar-100-python.tar.gz"], "cifar100", "it holds CIFAR-100"),
            (
                &["cifar-100-binary/train.bin", "cifar-100-binary/test.bin"],
                "cifar100",
                "it holds CIFAR-100",
            ),
            (&["stl10_binary/train_X.bin"], "stl10", "it holds STL-10"),
            (
                &["train-images-idx3-ubyte.gz"],
                "mnist",
                "it holds the files of MNIST, or of a set like it",
            ),
            (
                &["mnist_train.csv", "mnist_test.csv"],
                "mnist",
                "it holds the files of MNIST, or of a set like it",
            ),
            (
                &["fashion-mnist_train.csv"],
                "fashion-mnist",
                "it holds the files of MNIST, or of a set like it",
            ),
            (
                &["fashion-mnist/train-images-idx3-ubyte"],
                "fashion-mnist",
                "it holds the files of MNIST, or of a set like it",
            ),
            (
                &["FashionMNIST/raw/train-images-idx3-ubyte"],
                "fashion-mnist",
                "it holds the files of MNIST, or of a set like it",
            ),
            (
                &["train.X1/n01558993/a.JPEG", "val.X/n01558993/b.JPEG"],
                "imagenet100",
                "it holds ImageNet-100 as Kaggle has it",
            ),
            (
                &["a.parquet", "assets/logo.png"],
                "parquet",
                "it holds 1 Parquet file, and 1 other file of images",
            ),
            (
                &["meta.parquet", "1.jpg", "2.jpg"],
                "folder",
                "it holds 2 pictures, and 1 other file of images",
            ),
        ] {
            assert_eq!(found(files), (dataset.to_owned(), why.to_owned()), "{files:?}");
        }
    }

    #[test]
    fn what_is_found_can_be_loaded_and_what_is_left_over_does_not_count() {
        let dir = tree(&[
            "cat/1.jpg",
            "cat/2.jpg",
            ".cache/a.parquet",
            "runs/a/config.toml",
            "runs/a/metrics.jsonl",
            "runs/a/preview.png",
            "runs/a/plots/x.png",
        ]);
        let Recognised { dataset, why } = recognise(dir.path()).unwrap();
        assert_eq!((dataset, &*why), (DatasetName::FOLDER, "it holds 2 pictures"));
        assert_eq!(crate::Splits::load(dataset, Some(dir.path())).unwrap().train.len(), 2);
    }

    #[test]
    fn a_file_is_a_pack_or_its_folder_is_named() {
        let dir = tree(&["a.pack", "b.jpg"]);
        let pack = recognise(&dir.path().join("a.pack")).unwrap();
        assert_eq!((pack.dataset.as_str(), &*pack.why), ("pack", "it is a pack"));
        let message = recognise(&dir.path().join("b.jpg")).unwrap_err().to_string();
        assert!(
            message.contains("b.jpg: is a file and no pack; name the folder it lies in, "),
            "{message}"
        );
        let message = recognise(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("nowhere"), "{message}");
    }

    #[test]
    fn pictures_without_a_name_for_it_are_recognised_by_content() {
        let dir = folder_of(&[
            ("a/0123abcd", b"\xff\xd8\xff\xe0".to_vec()),
            ("a/4567", b"text".to_vec()),
        ]);
        assert_eq!(recognise(dir.path()).unwrap().why, "it holds 1 picture");
    }

    #[test]
    fn where_nothing_or_too_much_is_found_it_is_said() {
        let message = |files: &[&str]| recognise(tree(files).path()).unwrap_err().to_string();
        let nothing = message(&["a.zip", "b.csv", "c.csv", "d.heic", "e/f.mp4", "g.xyz"]);
        assert!(
            nothing.contains("but 2 .csv, 1 .heic, 1 .mp4, 1 .xyz and more: expected pictures"),
            "{nothing}"
        );
        assert!(nothing.ends_with("; unpack the archives"), "{nothing}");
        assert!(message(&[]).contains("but no file: expected"));
        let several = message(&["cifar-10-binary.tar.gz", "stl10_binary/train_X.bin"]);
        assert!(
            several.ends_with("holds several datasets, cifar10, stl10; say which is meant"),
            "{several}"
        );
    }

    #[test]
    fn only_some_of_a_large_folder_is_looked_at() {
        let names: Vec<String> = (0..MOST_ENTRIES + 50).map(|at| format!("{at}.jpg")).collect();
        let files: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(found(&files).1, "it holds at least 1000 pictures");
        let names: Vec<String> = (0..MOST_FOLDERS + 50).map(|at| format!("{at}/1.jpg")).collect();
        let files: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(found(&files).1, format!("it holds at least {} pictures", MOST_FOLDERS - 1));
    }
}
