//! A folder of pictures: unlabelled, or with a folder for each class (torchvision's `ImageFolder`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Dataset, Picture, Split};
use crate::{Error, Result};

/// What image files are called. Their contents decide how they are read.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "webp", "bmp", "tif", "tiff", "gif"];
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
    /// Symbolic links that were not followed, for they lead out of the folder.
    outside: usize,
}

impl Folder {
    /// The part of `dir` that is `split`, if it has such a part.
    ///
    /// `dir/train` and `dir/val` (or `test`) are the two parts. Where there is no `train`, all of `dir`
    /// is trained on, but for every tenth image of each class, which is tested on.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no picture in it, or when the test part has a class that the train
    /// part lacks; [`Error::Io`] when a folder cannot be read.
    pub fn load(dir: &Path, split: Split) -> Result<Option<Self>> {
        let Some(train) = part(dir, &TRAIN) else {
            return Ok(Self::scan(dir)?.held_out(split));
        };
        match split {
            Split::Train => Self::scan(&train).map(Some),
            Split::Test => {
                let Some(test) = part(dir, &TEST) else { return Ok(None) };
                Self::scan(&test)?.with_classes(&Self::scan(&train)?.classes).map(Some)
            }
        }
    }

    /// All pictures under `root`.
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, [`Error::Io`] when a folder cannot be read.
    pub fn scan(root: &Path) -> Result<Self> {
        let (files, outside) = pictures(root)?;
        if files.is_empty() {
            return Err(Error::data(root, nothing_there()));
        }
        if outside > 0 {
            tracing::warn!(
                "{}: {outside} symbolic links lead out of the folder and were not followed; \
                 name the folder they lead to, or copy what is there",
                root.display()
            );
        }
        let (labels, classes) = classes_of(&files);
        Ok(Self { root: root.to_path_buf(), files, labels, classes, outside })
    }

    /// Those of `folders`' pictures that lie in the folders `classes`, which number the labels.
    ///
    /// # Errors
    /// As [`Folder::scan`].
    pub fn of_classes(root: &Path, folders: &[PathBuf], classes: Vec<String>) -> Result<Self> {
        let mut this = Self {
            root: root.to_path_buf(),
            files: Vec::new(),
            labels: Vec::new(),
            classes,
            outside: 0,
        };
        for (label, name) in (0..).zip(&this.classes) {
            for folder in folders.iter().map(|folder| folder.join(name)) {
                if !folder.is_dir() {
                    continue;
                }
                let (files, outside) = pictures(&folder)?;
                let inside = folder.strip_prefix(root).unwrap_or(&folder);
                this.labels.extend(std::iter::repeat_n(label, files.len()));
                this.files.extend(files.iter().map(|file| inside.join(file).into_boxed_path()));
                this.outside += outside;
            }
        }
        match this.files.is_empty() {
            true => Err(Error::data(root, nothing_there())),
            false => Ok(this),
        }
    }

    /// Symbolic links that lead out of the folder, and were left out.
    pub fn links_outside(&self) -> usize {
        self.outside
    }

    /// The part that `split` is of a folder that is not divided.
    fn held_out(self, split: Split) -> Option<Self> {
        if self.classes.is_empty() {
            return (split == Split::Train).then_some(self);
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
        let wanted = split == Split::Test;
        let kept = |at: &usize| is_test[*at] == wanted;
        let kept: Vec<usize> = (0..self.files.len()).filter(kept).collect();
        let files: Vec<_> = kept.iter().map(|&at| self.files[at].clone()).collect();
        let labels = kept.iter().map(|&at| self.labels[at]).collect();
        (!files.is_empty()).then_some(Self { files, labels, ..self })
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

    fn tree(files: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.as_bytes()).unwrap();
        }
        dir
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
        let folder = Folder::load(dir.path(), Split::Train).unwrap().unwrap();
        assert_eq!(paths(&folder), ["a.png", "b.JPG", "deep/er/c.webp"]);
        assert!(folder.classes().is_empty() && folder.label(0).is_none());
        assert!(Folder::load(dir.path(), Split::Test).unwrap().is_none());
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
        let train = Folder::load(dir.path(), Split::Train).unwrap().unwrap();
        let test = Folder::load(dir.path(), Split::Test).unwrap().unwrap();
        assert_eq!((train.len(), labels(&test)), (3, vec![2]));
        assert_eq!(test.classes(), train.classes());
        fs::create_dir(dir.path().join("val/d")).unwrap();
        fs::write(dir.path().join("val/d/5.jpg"), b"").unwrap();
        let message = Folder::load(dir.path(), Split::Test).unwrap_err().to_string();
        assert!(message.contains("the class d is not among those trained on"), "{message}");
    }

    #[test]
    fn a_part_without_a_test_part_has_none() {
        let dir = tree(&["train/a/1.jpg"]);
        assert!(Folder::load(dir.path(), Split::Test).unwrap().is_none());
    }

    #[test]
    fn every_tenth_of_a_class_is_held_out_of_an_undivided_folder() {
        let names: Vec<String> = (0..25).map(|at| format!("a/{at:02}.jpg")).collect();
        let mut files: Vec<&str> = names.iter().map(String::as_str).collect();
        files.push("b/0.jpg");
        let dir = tree(&files);
        let test = Folder::load(dir.path(), Split::Test).unwrap().unwrap();
        assert_eq!(paths(&test), ["a/09.jpg", "a/19.jpg"]);
        let train = Folder::load(dir.path(), Split::Train).unwrap().unwrap();
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
        assert_eq!(folder.links_outside(), 1);
    }
}
