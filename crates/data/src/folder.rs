//! A folder of pictures: unlabelled, or with a folder for each class (torchvision's `ImageFolder`).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::EXTENSIONS;
use super::listing::Listing;
use super::split_names::{Part, folder_part};
use super::{Dataset, Picture, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Ignored, Result, Unmeasured, hub_cache};

/// `folder` by name.
pub static SOURCE: Source = Source {
    name: "folder",
    preset: "folder",
    statistics: None,
    origin: Origin::Own("a folder of pictures is yours already"),
    load: |at| {
        let Found { train, test, unmeasured, ignored } = Found::load(&at.folder()?)?;
        Ok(Parts { unmeasured, ignored, ..Parts::of([Some(train), test]) })
    },
};

/// Of a folder that is not divided, every so many-th image of each class is tested on.
const HOLD_OUT: usize = 10;
/// How many are named of folders that are alike.
const NAMED: usize = 3;
/// The label of a picture that lies in no folder of a class.
const NO_LABEL: u32 = u32::MAX;

/// The pictures of one folder, nested as they may be, in the order of their paths.
///
/// Those in a folder of the root belong to the class of its name, however deep they lie. Some pictures
/// beside the folders of several classes have no label. Where most pictures lie in the root itself, or
/// some beside a single folder, there are no classes.
///
/// What is no picture is passed over: what systems and tools leave, what is hidden, runs. A file whose
/// name says nothing is looked into. Links are followed wherever they lead, but not in circles.
#[derive(Clone, Debug)]
pub struct Folder {
    listing: Arc<Listing>,
    /// The number in the listing of each picture.
    files: Vec<usize>,
    /// One a file; empty where there are no classes.
    labels: Vec<u32>,
    classes: Vec<String>,
}

/// The parts of a folder, and what else there is to say of it.
struct Found {
    train: Folder,
    test: Option<Folder>,
    unmeasured: Option<Unmeasured>,
    ignored: Vec<Ignored>,
}

impl Folder {
    /// The parts of `dir` to train on and to test on, as far as it has them.
    ///
    /// `dir/train` and `dir/val` (or `test`) are the two parts, by any usual name in any case. Where there
    /// is no `train`, all of `dir` is trained on, but for every tenth image of each class, which is tested
    /// on. A repository in Hugging Face's cache is what its snapshot shows.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no picture in it, or when the test part has some classes that the
    /// train part has and some that it lacks; [`Error::Io`] when a folder cannot be read.
    pub fn load(dir: &Path) -> Result<[Option<Self>; 2]> {
        Found::load(dir).map(|found| [Some(found.train), found.test])
    }

    /// All pictures under `root`.
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, [`Error::Io`] when a folder cannot be read.
    pub fn scan(root: &Path) -> Result<Self> {
        Ok(Self::part(&Arc::new(listed(root)?), 0, |_| true))
    }

    /// The pictures of `root` that lie in the folders `classes`, which number the labels, of its folders
    /// `parts`.
    ///
    /// # Errors
    /// As [`Folder::scan`].
    pub(crate) fn of_classes(root: &Path, parts: &[&str], classes: Vec<String>) -> Result<Self> {
        let in_parts =
            |class: &String| parts.iter().map(|part| Path::new(part).join(class)).collect();
        let folders: Vec<PathBuf> =
            classes.iter().flat_map(|class| -> Vec<_> { in_parts(class) }).collect();
        let listing = Listing::of_folders(root, &folders)?;
        if listing.len() == 0 {
            return Err(nothing_there(&listing));
        }
        let numbers: BTreeMap<&OsStr, u32> = classes.iter().map(OsStr::new).zip(0..).collect();
        let mut labels = Vec::with_capacity(listing.len());
        for (folder, files) in listing.stretches() {
            let label = folder.iter().nth(1).and_then(|class| numbers.get(class));
            labels.extend(std::iter::repeat_n(label.copied().unwrap_or(NO_LABEL), files.len()));
        }
        Ok(Self {
            files: (0..listing.len()).collect(),
            labels,
            classes,
            listing: Arc::new(listing),
        })
    }

    /// What was passed over where `folders` were listed, each by itself.
    pub(crate) fn ignored_in<'a>(folders: impl Iterator<Item = &'a Self>) -> Vec<Ignored> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for Ignored { kind, files } in folders.flat_map(|folder| folder.listing.ignored()) {
            *counts.entry(kind).or_default() += files;
        }
        Ignored::sorted(counts)
    }

    /// The pictures in the folders that are wanted, of the class that their paths name after `depth`
    /// folders.
    fn part(listing: &Arc<Listing>, depth: usize, is_wanted: impl Fn(&Path) -> bool) -> Self {
        let stretches: Vec<(Option<&OsStr>, Range<usize>)> = listing
            .stretches()
            .filter(|(folder, _)| is_wanted(folder))
            .map(|(folder, files)| (folder.iter().nth(depth), files))
            .collect();
        let count = |of_class: bool| -> usize {
            let those = stretches.iter().filter(|(class, _)| class.is_some() == of_class);
            those.map(|(_, files)| files.len()).sum()
        };
        let names: BTreeSet<&OsStr> = stretches.iter().filter_map(|(class, _)| *class).collect();
        let (stray, inside) = (count(false), count(true));
        let files = stretches.iter().flat_map(|(_, files)| files.clone()).collect();
        let listing = Arc::clone(listing);
        if stray > 0 && (names.len() < 2 || stray >= inside) {
            return Self { listing, files, labels: Vec::new(), classes: Vec::new() };
        }
        let numbers: BTreeMap<&OsStr, u32> = names.into_iter().zip(0..).collect();
        let labels = stretches.iter().flat_map(|(class, files)| {
            let label = class.map_or(NO_LABEL, |class| numbers[class]);
            std::iter::repeat_n(label, files.len())
        });
        let labels = labels.collect();
        let classes = numbers.keys().map(|name| name.to_string_lossy().into_owned()).collect();
        Self { listing: Arc::clone(&listing), files, labels, classes }
    }

    /// The parts of a folder that is not divided. Of a single class, which nothing can be measured by,
    /// none is held out.
    fn divided(self) -> [Option<Self>; 2] {
        if self.classes.len() < 2 {
            return [Some(self), None];
        }
        let mut seen = vec![0_usize; self.classes.len()];
        let is_test: Vec<bool> = self
            .labels
            .iter()
            .map(|&label| {
                seen.get_mut(label as usize).is_some_and(|seen| {
                    *seen += 1;
                    seen.is_multiple_of(HOLD_OUT)
                })
            })
            .collect();
        [false, true].map(|wanted| {
            let kept = (0..self.files.len()).filter(|&at| is_test[at] == wanted);
            let (files, labels): (Vec<_>, _) =
                kept.map(|at| (self.files[at], self.labels[at])).unzip();
            let (listing, classes) = (Arc::clone(&self.listing), self.classes.clone());
            (!files.is_empty()).then_some(Self { listing, files, labels, classes })
        })
    }

    /// The same with its labels counted as in `classes`; without labels if it has none of these.
    fn with_classes(mut self, classes: &[String], folder: &Path) -> Result<Self> {
        let numbers: BTreeMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
        let number = |name: &String| numbers.get(name.as_str()).copied();
        let known: Vec<Option<u32>> = self.classes.iter().map(number).collect();
        if known.iter().all(Option::is_none) {
            return Ok(Self { labels: Vec::new(), classes: Vec::new(), ..self });
        }
        if let Some(unknown) = known.iter().position(Option::is_none) {
            let name = &self.classes[unknown];
            let problem = format!(
                "the class {name} is not among those trained on; rename the folder or remove it"
            );
            return Err(Error::data(folder.join(name), problem));
        }
        for label in self.labels.iter_mut().filter(|label| **label != NO_LABEL) {
            *label = known[*label as usize].unwrap_or(NO_LABEL);
        }
        self.classes = classes.to_vec();
        Ok(self)
    }

    /// The folders that there are in each of several classes, if those hold the same two or more and no
    /// pictures beside them: a folder for each year or place, say, with the classes in it.
    fn folders_of_every_class(&self) -> Option<String> {
        let mut of_class: BTreeMap<u32, BTreeSet<&OsStr>> = BTreeMap::new();
        let mut at = 0;
        for (folder, files) in self.listing.stretches() {
            // The pictures are some of the listing's, in its order.
            let in_it = self.files[at..].partition_point(|&file| file < files.end);
            if in_it > 0 {
                let label = self.labels.get(at).filter(|label| **label != NO_LABEL)?;
                let depth =
                    folder.iter().position(|name| *name == *self.classes[*label as usize])?;
                of_class.entry(*label).or_default().insert(folder.iter().nth(depth + 1)?);
            }
            at += in_it;
        }
        let first = of_class.values().next().filter(|folders| folders.len() > 1)?;
        let is_same = of_class.len() > 1 && of_class.values().all(|folders| folders == first);
        is_same.then(|| some_of(first.iter().map(|name| format!("{}/", name.display()))))
    }

    /// How many pictures have no label beside others that have one.
    fn strays(&self) -> usize {
        self.labels.iter().filter(|&&label| label == NO_LABEL).count()
    }
}

impl Found {
    fn load(dir: &Path) -> Result<Self> {
        let listing = Arc::new(listed(&hub_cache::snapshot(dir))?);
        let found = match Division::of(&listing)? {
            Some(division) => Self::of_division(&listing, &division)?,
            None => Self::undivided(&listing),
        };
        found.warn(&listing);
        Ok(found)
    }

    fn undivided(listing: &Arc<Listing>) -> Self {
        let all = Folder::part(listing, 0, |_| true);
        let unmeasured =
            without_classes(&all, None).unwrap_or(Unmeasured::FewImages { needed: HOLD_OUT });
        let [train, test] = all.clone().divided();
        let unmeasured = test.is_none().then_some(unmeasured);
        Self { train: train.unwrap_or(all), test, unmeasured, ignored: listing.ignored() }
    }

    fn of_division(listing: &Arc<Listing>, division: &Division) -> Result<Self> {
        let train = Folder::part(listing, 1, |folder| division.has(Part::Train, folder));
        let mut test = None;
        for part in [Part::Validation, Part::Test] {
            let folder = Folder::part(listing, 1, |folder| division.has(part, folder));
            if folder.is_empty() {
                continue;
            }
            let folder =
                folder.with_classes(&train.classes, &listing.root().join(division.name(part)))?;
            // A part without labels is as good as none where another has them.
            if test.is_none() || !folder.classes.is_empty() {
                test = Some((part, folder));
            }
            if test.as_ref().is_some_and(|(_, folder)| !folder.classes.is_empty()) {
                break;
            }
        }
        let unlabelled = |(part, test): &(Part, Folder)| {
            let part = Some(format!("{}/", division.name(*part)));
            test.classes.is_empty().then(|| Unmeasured::UnlabelledTest { part, images: test.len() })
        };
        let unmeasured = without_classes(&train, Some(division.name(Part::Train)))
            .or_else(|| test.as_ref().map_or(Some(Unmeasured::NoTestPart), unlabelled));
        let test = test.map(|(_, test)| test);
        let mut ignored = listing.ignored();
        let unused = listing.len() - train.len() - test.as_ref().map_or(0, Folder::len);
        if unused > 0 {
            ignored.insert(0, Ignored { kind: "unused picture".to_owned(), files: unused });
            warn_of_unused(listing, unused, division);
        }
        Ok(Self { train, test, unmeasured, ignored })
    }

    /// Says what a person may not have meant.
    fn warn(&self, listing: &Listing) {
        let root = listing.root().display();
        let strays = self.train.strays();
        if strays > 0 {
            tracing::warn!(
                "{root}: {strays} of the pictures lie beside the folders of the classes: they are trained on without \
                 a label; move each into the folder of its class to have one"
            );
        }
        if !self.train.classes.is_empty() && !listing.barren().is_empty() {
            let folders =
                some_of(listing.barren().iter().map(|folder| format!("{}/", folder.display())));
            tracing::warn!("{root}: there is no picture in {folders}");
        }
        if let Some(folders) = self.train.folders_of_every_class() {
            tracing::warn!(
                "{root}: each of the folders that are taken for classes holds {folders}: if these are the classes, \
                 put them outermost"
            );
        }
    }
}

/// Why a part to train on has no two classes, where that is so. It is the folder `part`, if any.
fn without_classes(train: &Folder, part: Option<&str>) -> Option<Unmeasured> {
    match &train.classes[..] {
        [] => Some(Unmeasured::NoClassFolders),
        [name] => {
            Some(Unmeasured::OneClass { name: name.clone(), hint: deeper_classes(train, part) })
        }
        _ => None,
    }
}

/// The folders below the only class that look like the classes, and what to do about it.
fn deeper_classes(train: &Folder, part: Option<&str>) -> Option<String> {
    let stretches: Vec<(&Path, Range<usize>)> = train.listing.stretches().collect();
    let of_train = |index: &usize| stretches.iter().find(|(_, files)| files.contains(index));
    let mut level = PathBuf::from(part.unwrap_or_default());
    let first = train.files.first().and_then(of_train)?.0;
    for name in first.iter().skip(level.iter().count()) {
        level.push(name);
        let below: BTreeSet<&OsStr> = stretches
            .iter()
            .filter_map(|(folder, _)| folder.strip_prefix(&level).ok()?.iter().next())
            .collect();
        if below.len() > 1 {
            let folders = some_of(below.iter().map(|name| format!("{}/", name.display())));
            let next = match part {
                None => format!("name {} instead", train.listing.root().join(&level).display()),
                Some(part) => format!("move them up into {part}/"),
            };
            return Some(format!(
                "in {}/ there are {folders}: if these are the classes, {next}",
                level.display()
            ));
        }
    }
    None
}

/// The folders of a folder that are its parts.
struct Division {
    /// The names of the folders of each part.
    parts: BTreeMap<Part, Vec<String>>,
}

/// A folder of the root.
#[derive(Default)]
struct Top {
    pictures: usize,
    /// Whether there are pictures in folders of it.
    is_nested: bool,
}

/// The folders of the root, by their names; and how many pictures lie beside them.
fn tops_of(listing: &Listing) -> (BTreeMap<&OsStr, Top>, usize) {
    let mut tops: BTreeMap<&OsStr, Top> = BTreeMap::new();
    let mut strays = 0;
    for (folder, files) in listing.stretches() {
        let Some(name) = folder.iter().next() else {
            strays += files.len();
            continue;
        };
        let top = tops.entry(name).or_default();
        top.pictures += files.len();
        top.is_nested |= folder.iter().nth(1).is_some();
    }
    for folder in listing.barren().iter().filter(|folder| folder.iter().count() == 1) {
        tops.entry(folder.as_os_str()).or_default();
    }
    (tops, strays)
}

impl Division {
    /// How `listing` is divided, if it is.
    ///
    /// # Errors
    /// [`Error::Data`] when there is nothing to train on in a part that is there to be trained on.
    fn of(listing: &Listing) -> Result<Option<Self>> {
        let (tops, strays) = tops_of(listing);
        let Some(division) = Self::of_names(tops.keys().copied()) else { return Ok(None) };
        if !division.is_meant(&tops, strays) {
            return Ok(None);
        }
        let (train, _) = division.split(&tops);
        match train.iter().all(|top| top.pictures == 0) {
            true => {
                let part = listing.root().join(division.name(Part::Train));
                Err(Error::data(part, no_picture(listing)))
            }
            false => Ok(Some(division)),
        }
    }

    /// The parts that these folders are called after, if one is called after training. Of several ways to
    /// name parts, one that names a part to test on too.
    fn of_names<'a>(names: impl Iterator<Item = &'a OsStr>) -> Option<Self> {
        let mut by_others: BTreeMap<Vec<String>, BTreeMap<Part, Vec<String>>> = BTreeMap::new();
        for name in names {
            if let Some((part, others)) = folder_part(name) {
                let parts = by_others.entry(others).or_default();
                parts.entry(part).or_default().push(name.to_string_lossy().into_owned());
            }
        }
        let has_train = |parts: &BTreeMap<Part, Vec<String>>| parts.contains_key(&Part::Train);
        let ways = by_others.into_iter().filter(|(_, parts)| has_train(parts));
        let best = ways.max_by_key(|(others, parts)| (parts.len() > 1, others.is_empty()));
        best.filter(|(others, parts)| parts.len() > 1 || others.is_empty())
            .map(|(_, parts)| Self { parts })
    }

    /// Whether the folders are parts and no classes: one is called after testing, or all pictures are to be
    /// trained on, or these alone lie in folders of classes.
    fn is_meant(&self, tops: &BTreeMap<&OsStr, Top>, strays: usize) -> bool {
        let (train, rest) = self.split(tops);
        let is_nested = |tops: &[&Top]| tops.iter().any(|top| top.is_nested);
        let is_alone = strays == 0 && rest.iter().all(|top| top.pictures == 0);
        self.parts.len() > 1 || is_alone || is_nested(&train) && !is_nested(&rest)
    }

    /// The folders to train on, and the others.
    fn split<'a>(&self, tops: &'a BTreeMap<&OsStr, Top>) -> (Vec<&'a Top>, Vec<&'a Top>) {
        let is_of_train = |name: &OsStr| self.has(Part::Train, Path::new(name));
        let (train, rest): (Vec<_>, Vec<_>) = tops.iter().partition(|(name, _)| is_of_train(name));
        let top = |(_, top)| top;
        (train.into_iter().map(top).collect(), rest.into_iter().map(top).collect())
    }

    /// Whether the folder of this path belongs to a part.
    fn has(&self, part: Part, folder: &Path) -> bool {
        let Some(top) = folder.iter().next() else { return false };
        self.parts
            .get(&part)
            .is_some_and(|names| names.iter().any(|name| *name == top.to_string_lossy()))
    }

    /// The name of the first folder of a part.
    fn name(&self, part: Part) -> &str {
        self.parts.get(&part).and_then(|names| names.first()).map_or("", String::as_str)
    }
}

impl Dataset for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let path = self.listing.path(self.files[index]);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        Ok(Picture::File(Cow::Owned(bytes)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        assert!(index < self.files.len(), "there is no image {index}");
        self.labels.get(index).filter(|label| **label != NO_LABEL).map(|&label| label as usize)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        self.listing.path(self.files[index]).display().to_string()
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        let inside = Cow::Owned(self.listing.inside(*self.files.get(index)?));
        Some(StoredFile { root: self.listing.root(), inside })
    }
}

/// The pictures under `root`, of which there are some.
fn listed(root: &Path) -> Result<Listing> {
    let listing = Listing::of(root)?;
    match listing.len() {
        0 => Err(nothing_there(&listing)),
        _ => Ok(listing),
    }
}

fn nothing_there(listing: &Listing) -> Error {
    Error::data(listing.root(), no_picture(listing))
}

fn no_picture(listing: &Listing) -> String {
    let known = EXTENSIONS.join(", ");
    let there = some_of(listing.ignored().iter().map(Ignored::to_string));
    let there = if there.is_empty() { there } else { format!("; there are {there}") };
    format!(
        "there is no picture in it: expected files ending in one of {known}, at any depth{there}"
    )
}

fn warn_of_unused(listing: &Listing, unused: usize, division: &Division) {
    let parts = some_of(division.parts.values().flatten().map(|name| format!("{name}/")));
    tracing::warn!(
        "{}: {unused} pictures are neither trained nor tested on: the parts are taken from among {parts}",
        listing.root().display()
    );
}

/// The first of some names, and how many more there are.
fn some_of(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let first = names.join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{folder_of, tree};

    fn train(dir: &TempDir) -> Folder {
        let [train, _] = Folder::load(dir.path()).unwrap();
        train.unwrap()
    }

    fn test(dir: &TempDir) -> Option<Folder> {
        let [_, test] = Folder::load(dir.path()).unwrap();
        test
    }

    fn paths(folder: &Folder) -> Vec<String> {
        let slashed =
            |&at: &usize| folder.listing.inside(at).display().to_string().replace('\\', "/");
        folder.files.iter().map(slashed).collect()
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

    /// Makes links in `dir`.
    #[cfg(unix)]
    fn link(dir: &TempDir, links: &[(&Path, &str)]) {
        for (target, name) in links {
            std::os::unix::fs::symlink(target, dir.path().join(name)).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_wherever_they_lead_but_not_in_circles() {
        let elsewhere = tree(&["secret.jpg", "more/1.jpg", "more/deep/2.jpg"]);
        let dir = tree(&["dog/a.jpg", "dog/puppy/b.jpg"]);
        let store = elsewhere.path().join("more");
        link(
            &dir,
            &[
                (&store, "cat"),
                (&elsewhere.path().join("secret.jpg"), "dog/c.jpg"),
                (Path::new("a.jpg"), "dog/d.jpg"),
                (dir.path(), "dog/circle"),
                (Path::new(".."), "dog/puppy/up"),
                (Path::new("nowhere"), "dog/e.jpg"),
                (Path::new("nowhere"), "cow"),
                (Path::new("me@here.1"), "dog/.#a.jpg"),
            ],
        );
        let found = Found::load(dir.path()).unwrap();
        let expected = [
            "cat/1.jpg",
            "cat/deep/2.jpg",
            "dog/a.jpg",
            "dog/c.jpg",
            "dog/d.jpg",
            "dog/puppy/b.jpg",
        ];
        assert_eq!(paths(&found.train), expected);
        assert_eq!(found.train.classes(), ["cat", "dog"]);
        assert_eq!(kinds(&found), ["2 broken links", "2 circular links", "1 system file"]);
        let Picture::File(bytes) = found.train.picture(0).unwrap() else { panic!("a file") };
        assert_eq!(&bytes[..], b"more/1.jpg");
    }

    #[cfg(unix)]
    #[test]
    fn folders_that_link_to_one_another_come_to_an_end() {
        let dir = tree(&["a/1.jpg", "b/1.jpg", "c/1.jpg"]);
        for from in ["a", "b", "c"] {
            for to in ["a", "b", "c"] {
                link(&dir, &[(&dir.path().join(to), &format!("{from}/to-{to}"))]);
            }
        }
        let folder = Folder::scan(dir.path()).unwrap();
        assert_eq!(folder.len(), 3 * (1 + 2 + 2), "each of the others once on every way");
    }

    #[cfg(unix)]
    #[test]
    fn hugging_faces_cache_is_what_its_snapshot_shows() {
        let files: Vec<(String, Vec<u8>)> =
            (0..8_u8).map(|at| (format!("blobs/{at:064x}"), vec![0xff, 0xd8, 0xff, at])).collect();
        let mut files: Vec<(&str, Vec<u8>)> =
            files.iter().map(|(name, bytes)| (&**name, bytes.clone())).collect();
        files.push(("refs/main", b"abc\n".to_vec()));
        files.push(("snapshots/old/train/cat/0.jpg", b"\xff\xd8\xff".to_vec()));
        let dir = folder_of(&files);
        for at in 0..8 {
            let class = ["cat", "dog"][at % 2];
            let part = ["train", "test"][at / 4];
            let name = format!("snapshots/abc/{part}/{class}/{at}.jpg");
            fs::create_dir_all(dir.path().join(&name).parent().unwrap()).unwrap();
            let blob = format!("../../../../blobs/{at:064x}");
            link(&dir, &[(Path::new(&blob), &name)]);
        }
        let [train, test] = Folder::load(dir.path()).unwrap().map(Option::unwrap);
        assert_eq!(
            paths(&train),
            ["train/cat/0.jpg", "train/cat/2.jpg", "train/dog/1.jpg", "train/dog/3.jpg"]
        );
        assert_eq!(labels(&test), [0, 0, 1, 1]);
        let blobs = Folder::scan(&dir.path().join("blobs")).unwrap();
        assert_eq!(blobs.len(), 8, "without an extension, by content");
    }

    /// What was ignored.
    fn kinds(found: &Found) -> Vec<String> {
        found.ignored.iter().map(Ignored::to_string).collect()
    }

    fn reason(found: &Found) -> String {
        found.unmeasured.as_ref().unwrap().to_string()
    }

    #[test]
    fn runs_among_the_pictures_are_no_pictures() {
        let run = |root: &str| {
            [
                "config.toml",
                "metrics.jsonl",
                "plots/loss.png",
                "preview.png",
                "checkpoints/last.safetensors",
            ]
            .map(|file| format!("{root}{file}"))
        };
        let mut files =
            vec!["cat/1.jpg".to_owned(), "dog/1.jpg".to_owned(), "dog/plots/2.jpg".to_owned()];
        files.extend(
            ["runs/folder/", "runs/folder-2/", "cat/run/", "mine/"]
                .iter()
                .flat_map(|root| run(root)),
        );
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let found = Found::load(tree(&files).path()).unwrap();
        assert_eq!(paths(&found.train), ["cat/1.jpg", "dog/1.jpg", "dog/plots/2.jpg"]);
        assert_eq!(found.train.classes(), ["cat", "dog"]);
        assert_eq!(kinds(&found), ["4 run folders"]);

        let itself = run("");
        let mut files = vec!["a.jpg", "b.jpg"];
        files.extend(itself.iter().map(String::as_str));
        let found = Found::load(tree(&files).path()).unwrap();
        assert_eq!(paths(&found.train), ["a.jpg", "b.jpg"]);
        assert_eq!(kinds(&found), ["5 run files"]);
    }

    #[test]
    fn what_systems_and_tools_leave_is_neither_picture_nor_class() {
        let found = Found::load(
            tree(&[
                "cat/1.jpg",
                "cat/._1.jpg",
                "cat/.DS_Store",
                "cat/Thumbs.db",
                "cat/.ipynb_checkpoints/1-checkpoint.jpg",
                "dog/2.jpg",
                "dog/@eaDir/2.jpg/SYNOPHOTO_THUMB_M.jpg",
                ".ipynb_checkpoints/3.jpg",
                "__MACOSX/cat/._1.jpg",
                ".git/4.png",
                "$RECYCLE.BIN/5.jpg",
                ".Trash-1000/files/6.jpg",
                ".hidden/7.jpg",
                "desktop.ini",
                "labels.csv",
            ])
            .path(),
        )
        .unwrap();
        assert_eq!(paths(&found.train), ["cat/1.jpg", "dog/2.jpg"]);
        assert_eq!(found.train.classes(), ["cat", "dog"]);
        assert_eq!(kinds(&found), ["8 system folders", "4 system files", "1 .csv"]);
    }

    #[test]
    fn pictures_are_found_by_content_where_their_names_say_nothing() {
        let (jpeg, text) = (b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), b"no picture at all".to_vec());
        let found = Found::load(
            folder_of(&[
                ("cat/1.jfif", jpeg.clone()),
                ("cat/2.JPE", text.clone()),
                ("cat/3.PJPEG", jpeg.clone()),
                ("dog/4", jpeg.clone()),
                ("dog/5.1", jpeg.clone()),
                ("dog/6", text.clone()),
                ("dog/7.xyz", text.clone()),
                ("dog/8.jpg.part", jpeg.clone()),
                ("dog/9.txt", jpeg),
                ("dog/empty", Vec::new()),
            ])
            .path(),
        )
        .unwrap();
        assert_eq!(
            paths(&found.train),
            ["cat/1.jfif", "cat/2.JPE", "cat/3.PJPEG", "dog/4", "dog/5.1"]
        );
        assert_eq!(kinds(&found), ["2 extensionless files", "1 .part", "1 .txt", "1 .xyz"]);
    }

    #[test]
    fn files_of_an_unknown_kind_are_not_opened_without_end() {
        let texts: Vec<String> = (0..40).map(|at| format!("a/{at:02}.xyz")).collect();
        let mut files: Vec<(&str, Vec<u8>)> =
            texts.iter().map(|name| (&**name, b"text".to_vec())).collect();
        files.push(("a/99.xyz", b"\xff\xd8\xff".to_vec()));
        files.push(("b/99.xyz", b"\xff\xd8\xff".to_vec()));
        let found = Found::load(folder_of(&files).path()).unwrap();
        assert_eq!(paths(&found.train), ["b/99.xyz"]);
        assert_eq!(kinds(&found), ["41 .xyz"]);
    }

    #[test]
    fn parts_have_any_usual_name_in_any_case() {
        for [train, test] in [
            ["train", "val"],
            ["Train", "Test"],
            ["TRAINING", "Testing"],
            ["training_set", "test_set"],
            ["train", "valid"],
            ["training", "validation"],
            ["Training Set", "dev"],
            ["train", "eval"],
            ["seg_train", "seg_test"],
            ["cats-train", "cats-test"],
            ["train2017", "val2017"],
        ] {
            let files = ["cat/1.jpg", "dog/2.jpg"]
                .map(|file| [train, test].map(|part| format!("{part}/{file}")));
            let files: Vec<&str> = files.iter().flatten().map(String::as_str).collect();
            let dir = tree(&files);
            let [trained, tested] = Folder::load(dir.path()).unwrap().map(Option::unwrap);
            for (folder, part) in [(&trained, train), (&tested, test)] {
                assert_eq!(
                    paths(folder),
                    ["cat/1.jpg", "dog/2.jpg"].map(|file| format!("{part}/{file}"))
                );
                assert_eq!(
                    (folder.classes(), labels(folder)),
                    (&["cat".to_owned(), "dog".to_owned()][..], vec![0, 1])
                );
            }
        }
    }

    #[test]
    fn classes_that_are_called_like_a_part_are_classes() {
        let dir = tree(&["train/1.jpg", "2.jpg", "3.jpg"]);
        assert_eq!(train(&dir).len(), 3, "pictures beside it are not lost");
        for classes in
            [["bus", "train"], ["test tube", "train station"], ["dev", "ops"], ["test", "toast"]]
        {
            let files = classes.map(|class| format!("{class}/1.jpg"));
            let dir = tree(&files.each_ref().map(String::as_str));
            let folder = train(&dir);
            assert_eq!((folder.classes(), folder.len()), (&classes.map(str::to_owned)[..], 2));
        }
    }

    #[test]
    fn a_test_part_without_labels_is_said_and_another_taken() {
        let flat = ["train/cat/1.jpg", "train/dog/2.jpg", "val/3.JPEG", "val/4.JPEG"];
        let found = Found::load(tree(&flat).path()).unwrap();
        assert_eq!(reason(&found), "val/ holds 2 images without labels");
        let wrapped = ["train/cat/1.jpg", "train/dog/2.jpg", "test/images/3.jpg"];
        let found = Found::load(tree(&wrapped).path()).unwrap();
        assert_eq!(reason(&found), "test/ holds 1 image without labels");
        let other = [&flat[..], &["test/dog/5.jpg"]].concat();
        let found = Found::load(tree(&other).path()).unwrap();
        assert_eq!(
            (found.unmeasured.clone(), paths(found.test.as_ref().unwrap())),
            (None, vec!["test/dog/5.jpg".to_owned()])
        );
        assert_eq!(kinds(&found), ["2 unused pictures"]);
    }

    #[test]
    fn what_is_beside_the_parts_is_counted() {
        let dir = tree(&[
            "train/a/1.jpg",
            "train/b/2.jpg",
            "val/a/3.jpg",
            "test/4.jpg",
            "extra/5.jpg",
            "6.jpg",
        ]);
        assert_eq!(kinds(&Found::load(dir.path()).unwrap()), ["3 unused pictures"]);
    }

    #[test]
    fn a_part_that_holds_no_picture_is_an_error_and_not_a_class() {
        let dir = tree(&["train/cat/1.heic", "train/dog/2.heic", "val/cat/3.jpg", "val/dog/3.jpg"]);
        let message = Found::load(dir.path()).err().unwrap().to_string();
        assert!(message.contains("train: there is no picture in it"), "{message}");
        assert!(message.ends_with("there are 2 .heic"), "{message}");
    }

    #[test]
    fn stray_pictures_take_no_labels_away() {
        let mut files: Vec<String> =
            (0..24).map(|at| format!("{}/{at:02}.jpg", ["cat", "dog"][at % 2])).collect();
        files.push("a_stray.jpg".to_owned());
        files.push("z_stray.jpg".to_owned());
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let found = Found::load(tree(&files).path()).unwrap();
        assert_eq!(found.train.classes(), ["cat", "dog"]);
        assert_eq!((found.train.len(), found.train.strays()), (24, 2));
        let names = paths(&found.train);
        assert_eq!(
            (&*names[0], found.train.label(0), found.train.label(1)),
            ("a_stray.jpg", None, Some(0))
        );
        assert_eq!(labels(&found.test.unwrap()), [0, 1]);
        let mostly_flat = tree(&["1.jpg", "2.jpg", "3.jpg", "cat/4.jpg", "dog/5.jpg"]);
        assert!(train(&mostly_flat).classes().is_empty());
    }

    #[test]
    fn nothing_is_held_out_where_nothing_is_measured() {
        let names: Vec<String> =
            (0..30).map(|at| format!("images/{}/{at}.jpg", ["cat", "dog"][at % 2])).collect();
        let files: Vec<&str> = names.iter().map(String::as_str).collect();
        let dir = tree(&files);
        let found = Found::load(dir.path()).unwrap();
        assert_eq!((found.train.len(), found.test.is_none()), (30, true));
        let reason = reason(&found);
        assert!(
            reason.starts_with("all images are of one class, images, so that any guess"),
            "{reason}"
        );
        let level = dir.path().join("images");
        let hint = format!(
            "in images/ there are cat/, dog/: if these are the classes, name {} instead",
            level.display()
        );
        assert!(reason.ends_with(&hint), "{reason}");
    }

    #[test]
    fn a_level_that_is_not_that_of_the_classes_is_noticed() {
        let below = |files: &[&str]| train(&tree(files)).folders_of_every_class();
        let years = ["2023/cat/1.jpg", "2023/dog/2.jpg", "2024/cat/3.jpg", "2024/dog/4.jpg"];
        assert_eq!(below(&years), Some("cat/, dog/".to_owned()));
        let parts: Vec<String> = years
            .iter()
            .flat_map(|file| [format!("train/{file}"), format!("val/{file}")])
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        assert_eq!(below(&parts), Some("cat/, dog/".to_owned()));
        for files in [
            &["cat/1.jpg", "dog/1.jpg"][..],
            &["cat/images/1.jpg", "dog/images/1.jpg"],
            &["cat/a/1.jpg", "cat/b/1.jpg", "dog/a/1.jpg", "dog/c/1.jpg"],
            &["cat/a/1.jpg", "cat/b/1.jpg", "cat/2.jpg", "dog/a/1.jpg", "dog/b/1.jpg"],
            &["1.jpg", "2.jpg"],
        ] {
            assert_eq!(below(files), None, "{files:?}");
        }
    }

    #[test]
    fn why_there_is_no_knn_is_known_of_every_folder() {
        for (files, expected) in [
            (&["1.jpg", "2.jpg"][..], "the pictures have no labels: a folder for each class"),
            (
                &["cat/1.jpg", "cat/2.jpg"],
                "all images are of one class, cat, so that any guess would be right",
            ),
            (&["cat/1.jpg", "dog/2.jpg"], "no class has 10 pictures, of which one"),
            (&["train/1.jpg", "val/2.jpg"], "the pictures have no labels"),
            (&["train/a/1.jpg", "train/b/1.jpg"], "there are no images to test on"),
            (
                &["a/b/c/1.jpg", "a/b/d/1.jpg"],
                "all images are of one class, a, so that any guess would be right; in a/b/ there are c/, d/",
            ),
            (
                &["train/x/a/1.jpg", "train/x/b/1.jpg", "val/x/a/2.jpg"],
                "all images are of one class, x, so that any guess would be right; in train/x/ there are a/, b/: if these are the classes, move them up into train/",
            ),
            (
                &["d/train/1.jpg", "d/test/1.jpg"],
                "all images are of one class, d, so that any guess would be right; in d/ there are test/, train/",
            ),
        ] {
            let found = Found::load(tree(files).path()).unwrap();
            let reason = reason(&found);
            assert!(reason.starts_with(expected), "{files:?}: {reason}");
        }
    }
}
