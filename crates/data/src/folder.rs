//! A folder of pictures: unlabelled, or with a folder for each class (torchvision's `ImageFolder`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::decode::EXTENSIONS;
use super::{Dataset, Picture};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Result};

/// `folder` by name.
pub static SOURCE: Source = Source {
    name: "folder",
    preset: "folder",
    origin: Origin::Own("a folder of pictures is yours already"),
    load: |at| Folder::load(&at.folder()?).map(Parts::of),
};

/// Folders that hold what is trained on.
const TRAIN: [&str; 2] = ["train", "training"];
/// Folders that hold what is tested on; of several the first.
const TEST: [&str; 4] = ["val", "valid", "validation", "test"];
/// Of a folder that is not divided, every so many-th image of each class is tested on.
const HOLD_OUT: usize = 10;

/// The pictures of one folder, nested as they may be, in the order of their paths.
///
/// Those in a folder of the root belong to the class of its name, however deep they lie. Where there
/// is a picture in the root itself, there are no classes.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    /// Relative to `root`.
    files: Vec<Box<Path>>,
    /// One a file; empty where there are no classes.
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Folder {
    /// The parts of `dir` to train on and to test on, as far as it has them.
    ///
    /// `dir/train` and `dir/val` (or `test`) are the two parts. Where there is no `train`, all of `dir`
    /// is trained on, but for every tenth image of each class, which is tested on.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no picture in it, or when the test part has a class that the train
    /// part lacks; [`Error::Io`] when a folder cannot be read.
    pub fn load(dir: &Path) -> Result<[Option<Self>; 2]> {
        let Some(train) = part(dir, &TRAIN) else {
            return Ok(Self::scan(dir)?.divided());
        };
        let train = Self::scan(&train)?;
        let test = match part(dir, &TEST) {
            Some(test) => Some(Self::scan(&test)?.with_classes(&train.classes)?),
            None => None,
        };
        Ok([Some(train), test])
    }

    /// All pictures under `root`.
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, [`Error::Io`] when a folder cannot be read.
    pub fn scan(root: &Path) -> Result<Self> {
        let (files, outside) = pictures(root)?;
        warn_of_links(root, outside);
        if files.is_empty() {
            return Err(Error::data(root, nothing_there()));
        }
        let (labels, classes) = classes_of(&files);
        Ok(Self { root: root.to_path_buf(), files, labels, classes })
    }

    /// Those of `folders`' pictures that lie in the folders `classes`, which number the labels.
    ///
    /// # Errors
    /// As [`Folder::scan`].
    pub fn of_classes(root: &Path, folders: &[PathBuf], classes: Vec<String>) -> Result<Self> {
        let mut this =
            Self { root: root.to_path_buf(), files: Vec::new(), labels: Vec::new(), classes };
        let mut outside = 0;
        for (label, name) in (0..).zip(&this.classes) {
            for folder in folders.iter().map(|folder| folder.join(name)) {
                if !folder.is_dir() {
                    continue;
                }
                let (files, links) = pictures(&folder)?;
                outside += links;
                let inside = folder.strip_prefix(root).unwrap_or(&folder);
                this.labels.extend(std::iter::repeat_n(label, files.len()));
                this.files.extend(files.iter().map(|file| inside.join(file).into_boxed_path()));
            }
        }
        warn_of_links(root, outside);
        match this.files.is_empty() {
            true => Err(Error::data(root, nothing_there())),
            false => Ok(this),
        }
    }

    /// The parts of a folder that is not divided.
    fn divided(self) -> [Option<Self>; 2] {
        if self.classes.is_empty() {
            return [Some(self), None];
        }
        let mut seen = vec![0_usize; self.classes.len()];
        let is_test: Vec<bool> = self
            .labels
            .iter()
            .map(|&label| {
                seen[label as usize] += 1;
                seen[label as usize].is_multiple_of(HOLD_OUT)
            })
            .collect();
        [false, true].map(|wanted| {
            let kept = (0..self.files.len()).filter(|&at| is_test[at] == wanted);
            let (files, labels): (Vec<_>, _) =
                kept.map(|at| (self.files[at].clone(), self.labels[at])).unzip();
            let (root, classes) = (self.root.clone(), self.classes.clone());
            (!files.is_empty()).then_some(Self { root, files, labels, classes })
        })
    }

    /// The same with its labels counted as in `classes`.
    fn with_classes(mut self, classes: &[String]) -> Result<Self> {
        let numbers: BTreeMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
        let number = |name: &String| {
            numbers.get(name.as_str()).copied().ok_or_else(|| {
                let problem = format!(
                    "the class {name} is not among those trained on; rename the folder or remove it"
                );
                Error::data(self.root.join(name), problem)
            })
        };
        let renamed: Vec<u32> = self.classes.iter().map(number).collect::<Result<_>>()?;
        for label in &mut self.labels {
            *label = renamed[*label as usize];
        }
        self.classes = classes.to_vec();
        Ok(self)
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let path = self.root.join(&self.files[index]);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        Ok(Picture::File(Cow::Owned(bytes)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        assert!(index < self.files.len(), "there is no image {index}");
        self.labels.get(index).map(|&label| label as usize)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        self.root.join(&self.files[index]).display().to_string()
    }
}

/// The first of `names` that is a folder in `dir`.
fn part(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| dir.join(name)).find(|part| part.is_dir())
}

/// Image files under `root`, by path, relative to it; and how many links lead out of it.
fn pictures(root: &Path) -> Result<(Vec<Box<Path>>, usize)> {
    let unreadable = |error: walkdir::Error| {
        let path = error.path().unwrap_or(root).to_path_buf();
        Error::io("read", path)(error.into())
    };
    let canonical = fs::canonicalize(root).map_err(Error::io("read", root))?;
    let (mut files, mut outside) = (Vec::new(), 0);
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(unreadable)?;
        if !is_picture(entry.path()) {
            continue;
        }
        match place(&entry, &canonical) {
            Place::Inside => {
                let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
                files.push(inside.into());
            }
            Place::Outside => outside += 1,
            Place::NoFile => {}
        }
    }
    Ok((files, outside))
}

fn warn_of_links(root: &Path, outside: usize) {
    if outside > 0 {
        tracing::warn!(
            "{}: {outside} symbolic links lead out of the folder and were not followed; \
             name the folder they lead to, or copy what is there",
            root.display()
        );
    }
}

/// Where what an entry stands for lies.
enum Place {
    Inside,
    Outside,
    NoFile,
}

/// Links to folders are not followed at all: they could go round in circles.
fn place(entry: &DirEntry, root: &Path) -> Place {
    if entry.file_type().is_file() {
        return Place::Inside;
    }
    match fs::canonicalize(entry.path()) {
        Ok(target) if !target.starts_with(root) => Place::Outside,
        Ok(target) if target.is_file() => Place::Inside,
        _ => Place::NoFile,
    }
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|is| EXTENSIONS.iter().any(|known| is.eq_ignore_ascii_case(known)))
}

/// The label of each file and the names of the classes: the folders that `files`' paths begin with.
fn classes_of(files: &[Box<Path>]) -> (Vec<u32>, Vec<String>) {
    let mut names = BTreeMap::new();
    for file in files {
        let mut parts = file.components();
        match (parts.next(), parts.next()) {
            (Some(class), Some(_)) => names.insert(class.as_os_str(), 0),
            _ => return (Vec::new(), Vec::new()),
        };
    }
    for (number, label) in (0_u32..).zip(names.values_mut()) {
        *label = number;
    }
    let label = |file: &Path| file.components().next().map(|class| names[class.as_os_str()]);
    let labels = files.iter().filter_map(|file| label(file)).collect();
    (labels, names.keys().map(|name| name.to_string_lossy().into_owned()).collect())
}

fn nothing_there() -> String {
    let known = EXTENSIONS.join(", ");
    format!("there is no picture in it: expected files ending in one of {known}, at any depth")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::tree;

    fn train(dir: &TempDir) -> Folder {
        let [train, _] = Folder::load(dir.path()).unwrap();
        train.unwrap()
    }

    fn test(dir: &TempDir) -> Option<Folder> {
        let [_, test] = Folder::load(dir.path()).unwrap();
        test
    }

    fn paths(folder: &Folder) -> Vec<String> {
        let slashed = |file: &Path| file.display().to_string().replace('\\', "/");
        folder.files.iter().map(|file| slashed(file)).collect()
    }

    fn labels(folder: &Folder) -> Vec<usize> {
        (0..folder.len()).filter_map(|index| folder.label(index)).collect()
    }

    #[test]
    fn pictures_of_a_flat_folder_have_no_labels_and_other_files_are_no_pictures() {
        let dir = tree(&["b.JPG", "a.png", "notes.txt", "deep/er/c.webp", ".DS_Store"]);
        let folder = train(&dir);
        assert_eq!(paths(&folder), ["a.png", "b.JPG", "deep/er/c.webp"]);
        assert!(folder.classes().is_empty() && folder.label(0).is_none());
        assert!(test(&dir).is_none());
        let Picture::File(bytes) = folder.picture(2).unwrap() else { panic!("a file") };
        assert_eq!(&bytes[..], b"deep/er/c.webp");
        assert!(folder.name(2).ends_with("c.webp"));
    }

    #[test]
    fn the_outermost_folder_is_the_class() {
        let dir = tree(&["dog/1.jpg", "cat/x/2.jpg", "cat/0.jpg"]);
        let folder = Folder::scan(dir.path()).unwrap();
        assert_eq!(folder.classes(), ["cat", "dog"]);
        assert_eq!(paths(&folder), ["cat/0.jpg", "cat/x/2.jpg", "dog/1.jpg"]);
        assert_eq!(labels(&folder), [0, 0, 1]);
    }

    #[test]
    fn train_and_val_are_the_parts_and_labels_agree() {
        let dir = tree(&["train/b/1.jpg", "train/a/2.jpg", "train/c/3.jpg", "val/c/4.jpg"]);
        let train = train(&dir);
        let test = test(&dir).unwrap();
        assert_eq!((train.len(), labels(&test)), (3, vec![2]));
        assert_eq!(test.classes(), train.classes());
        fs::create_dir(dir.path().join("val/d")).unwrap();
        fs::write(dir.path().join("val/d/5.jpg"), b"").unwrap();
        let message = Folder::load(dir.path()).unwrap_err().to_string();
        assert!(message.contains("the class d is not among those trained on"), "{message}");
    }

    #[test]
    fn a_part_without_a_test_part_has_none() {
        let dir = tree(&["train/a/1.jpg"]);
        assert!(test(&dir).is_none());
    }

    #[test]
    fn every_tenth_of_a_class_is_held_out_of_an_undivided_folder() {
        let names: Vec<String> = (0..25).map(|at| format!("a/{at:02}.jpg")).collect();
        let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
        files.push("b/0.jpg");
        let dir = tree(&files);
        let test = test(&dir).unwrap();
        assert_eq!(paths(&test), ["a/09.jpg", "a/19.jpg"]);
        let train = train(&dir);
        assert_eq!((train.len(), train.label(23)), (24, Some(1)));
        assert!(!paths(&train).contains(&"a/09.jpg".to_owned()));
    }

    #[test]
    fn a_folder_without_pictures_says_what_was_expected() {
        let dir = tree(&["readme.md"]);
        let message = Folder::scan(dir.path()).unwrap_err().to_string();
        assert!(message.contains("there is no picture in it: expected"), "{message}");
        let missing = Folder::scan(&dir.path().join("nowhere")).unwrap_err().to_string();
        assert!(missing.contains("cannot read") && missing.contains("nowhere"), "{missing}");
    }

    #[test]
    fn a_file_that_vanishes_is_an_error_that_names_it() {
        let dir = tree(&["a.jpg", "b.jpg"]);
        let folder = Folder::scan(dir.path()).unwrap();
        fs::remove_file(dir.path().join("b.jpg")).unwrap();
        let message = folder.picture(1).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("b.jpg"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_inside_the_folder_alone() {
        let elsewhere = tree(&["secret.jpg", "more/1.jpg"]);
        let dir = tree(&["a.jpg"]);
        let link = |target: &Path, name: &str| {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        };
        link(&elsewhere.path().join("secret.jpg"), "b.jpg");
        link(&elsewhere.path().join("more"), "folder");
        link(&dir.path().join("a.jpg"), "c.jpg");
        link(dir.path(), "circle");
        let folder = Folder::scan(dir.path()).unwrap();
        assert_eq!(paths(&folder), ["a.jpg", "c.jpg"]);
        assert_eq!(pictures(dir.path()).unwrap().1, 1);
    }
}
