//! What datasets in several files have in common: which files are which part, and their classes.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Split;
use super::leftovers::{is_system_file, is_system_folder};
use super::split_names::{Part, part_called};
use crate::{Error, Result};

/// How many folders deep files may lie.
const MOST_DEPTH: usize = 2;
/// Fifty times as many as ImageNet-21k has. A name is made for each, so a broken label must not make
/// two thousand million of them.
const MOST_CLASSES: u32 = 1 << 20;
/// The letters of a name of a class; what is longer is a caption.
const MOST_NAME_LETTERS: usize = 200;

/// The files of `split` in `dir` whose names end in `.extension`, sorted; none if there is no such part.
///
/// They lie in `dir`, or one or two folders deeper. The first word that is the name of a part, in the
/// name of a file or else of its folder, says what it belongs to. Where no file is called after what is
/// trained on, those that are called after nothing are.
///
/// # Errors
/// [`Error::Data`] when there is no such file at all, none to train on, or there are those of several
/// datasets; [`Error::Io`] when a folder or a file cannot be read.
pub(crate) fn find(dir: &Path, extension: &str, split: Split) -> Result<Option<Vec<PathBuf>>> {
    let mut files = Vec::new();
    list(dir, extension, MOST_DEPTH, &mut files)?;
    files.sort();
    if files.is_empty() {
        let problem = "there is no such file in it as expected, nor up to two folders deeper";
        return Err(Error::data(dir, format!("{problem}: *.{extension}")));
    }
    let of_part = |part: Option<Part>| -> Vec<PathBuf> {
        files.iter().filter(|file| part_of(inside(dir, file)) == part).cloned().collect()
    };
    let wanted: &[Option<Part>] = match split {
        Split::Train => &[Some(Part::Train), None],
        Split::Test => &[Some(Part::Validation), Some(Part::Test)],
    };
    let found = wanted.iter().map(|part| of_part(*part)).find(|files| !files.is_empty());
    match (found, split) {
        (Some(files), _) => {
            one_dataset(dir, &files)?;
            Ok(Some(files))
        }
        (None, Split::Test) => Ok(None),
        (None, Split::Train) => {
            let problem = "all its files are called after parts to test on";
            let next = "call those that are trained on train-….";
            Err(Error::data(dir, format!("{problem}; {next}{extension}")))
        }
    }
}

/// Adds to `found` the files in `folder`. Links are followed wherever they lead: a person made them, or
/// Hugging Face's cache.
fn list(folder: &Path, extension: &str, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_wanted = has_extension(&path, extension);
        // A link that leads nowhere is of account only where a file is missing for it.
        let kind = match fs::metadata(&path) {
            Ok(there) => there.file_type(),
            Err(_) if !is_wanted => continue,
            Err(_) if is_system_file(&name) => continue,
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        if kind.is_dir() && depth > 0 && !is_system_folder(&name) && !is_above(&path, folder)? {
            list(&path, extension, depth - 1, found)?;
        } else if !kind.is_dir() && is_wanted && !is_system_file(&name) {
            // Opening a pipe would wait for somebody to write to it.
            if !kind.is_file() {
                return Err(Error::io("read", &path)(io::Error::other("it is no plain file")));
            }
            found.push(path);
        }
    }
    Ok(())
}

/// Whether `link` leads back to `folder`, which it lies in, or to one above that.
fn is_above(link: &Path, folder: &Path) -> Result<bool> {
    let real = |path: &Path| path.canonicalize().map_err(Error::io("read", path));
    Ok(real(folder)?.starts_with(real(link)?))
}

/// The path of `file` in `dir`.
fn inside<'a>(dir: &Path, file: &'a Path) -> &'a Path {
    file.strip_prefix(dir).unwrap_or(file)
}

/// Whether the name of `path` ends so, in any case.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|is| is.eq_ignore_ascii_case(extension))
}

/// What `open` finds of `split`, and of the other one where its labels are names: a class then has one number
/// in both.
pub(crate) fn with_names_of_both<O>(
    split: Split,
    open: impl Fn(Split) -> Result<Option<O>>,
    has_names: impl Fn(&O) -> bool,
) -> Result<Option<[Option<O>; 2]>> {
    let Some(opened) = open(split)? else { return Ok(None) };
    let other = match has_names(&opened) {
        true => open(split.other())?,
        false => None,
    };
    Ok(Some([Some(opened), other]))
}

/// The part that a file is called after, or else the innermost folder that is called after one.
fn part_of(file: &Path) -> Option<Part> {
    let stem = file.file_stem();
    let folders = file.parent().into_iter().flat_map(Path::iter).rev();
    stem.into_iter().chain(folders).find_map(part_called)
}

/// Refuses `files` that lie in folders of different datasets: not `data` or `train`, and not numbers.
fn one_dataset(dir: &Path, files: &[PathBuf]) -> Result<()> {
    let is_name = |folder: &&OsStr| {
        let folder = folder.to_string_lossy();
        let is_number = folder.bytes().all(|byte| byte.is_ascii_digit());
        folder != "data" && !is_number && part_called(OsStr::new(&*folder)).is_none()
    };
    let dataset = |file: &PathBuf| -> PathBuf {
        inside(dir, file).parent().into_iter().flat_map(Path::iter).filter(is_name).collect()
    };
    let first = files.first().map(dataset).unwrap_or_default();
    match files.iter().map(dataset).find(|other| *other != first) {
        None => Ok(()),
        Some(other) => {
            let [first, other] = [first, other].map(|name| dir.join(name));
            let (first, other) = (first.display(), other.display());
            let problem =
                format!("holds several datasets, in {first} and in {other}; name one of them");
            Err(Error::data(dir, problem))
        }
    }
}

/// The class of an image, in four bytes even where there may be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Counted from 1.
    number: NonZeroU32,
}

impl Label {
    /// The label that is written down as `number`: none if that is negative, as it is by custom where
    /// the class is not known.
    ///
    /// # Errors
    /// What is wrong with a number that is too large.
    pub fn of(number: i64) -> Result<Option<Self>, String> {
        if number < 0 {
            return Ok(None);
        }
        let number = u32::try_from(number).ok().filter(|number| *number < MOST_CLASSES);
        let number = number.and_then(|number| NonZeroU32::new(number + 1));
        let number = number.ok_or_else(|| format!("expected less than {MOST_CLASSES}"))?;
        Ok(Some(Self { number }))
    }

    /// The class, counted from 0.
    pub fn class(self) -> usize {
        self.number.get() as usize - 1
    }
}

/// A label as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The number of its class.
    Number(Label),
    /// The name of its class.
    Name(Arc<str>),
}

impl Written {
    /// The label that is written down as `number`; none if that is negative.
    ///
    /// # Errors
    /// As [`Label::of`].
    pub(crate) fn number(number: i64) -> Result<Option<Self>, String> {
        let label =
            Label::of(number).map_err(|expected| format!("the label {number}, {expected}"))?;
        Ok(label.map(Self::Number))
    }

    /// The label that is written down as `number`, which must be a whole one; none if it is negative or
    /// not a number, which some programs write for what is missing.
    ///
    /// # Errors
    /// What is wrong with the number.
    pub(crate) fn float(number: f64) -> Result<Option<Self>, String> {
        match number {
            _ if number.is_nan() || number < 0. => Ok(None),
            _ if number.fract() != 0. => {
                Err(format!("the label {number}, expected a whole number or the name of a class"))
            }
            // What is too large for this becomes the largest, and is refused.
            _ => Self::number(number as i64),
        }
    }

    /// The label that `text` is, a number or a name; none if it is blank.
    ///
    /// # Errors
    /// When it is neither: too long, of several lines, or not text at all.
    pub(crate) fn text(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
        if let Ok(number) = text.parse() {
            return Self::number(number);
        }
        let expected = "expected a number or the name of a class";
        match text.chars().count() {
            0 => Ok(None),
            _ if text.contains(char::is_control) => Err(format!("no label: {expected}")),
            letters if letters > MOST_NAME_LETTERS => {
                Err(format!("a text of {letters} letters, {expected}"))
            }
            _ => Ok(Some(Self::Name(text.into()))),
        }
    }
}

/// The classes that the labels of one file are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// The names that its labels are the numbers of, sorted; empty where they are numbers.
    pub(crate) names: Vec<String>,
    /// The numbers that occur.
    pub(crate) numbers: BTreeSet<usize>,
}

/// The labels of one file as numbers. If one of them is a name, all are, and each has the number of its
/// place among the names of the file.
pub(crate) fn number(written: Vec<Option<Written>>) -> (Vec<Option<Label>>, Used) {
    let names: BTreeSet<Arc<str>> = match written.iter().flatten().any(is_name) {
        true => written.iter().flatten().map(name_of).collect(),
        false => BTreeSet::new(),
    };
    let names: Vec<Arc<str>> = names.into_iter().collect();
    let place = |name: Arc<str>| {
        let place = names.binary_search(&name).ok()?;
        Label::of(place.try_into().ok()?).ok().flatten()
    };
    let label = |written: Written| match written {
        Written::Number(label) if names.is_empty() => Some(label),
        written => place(name_of(&written)),
    };
    let labels: Vec<_> = written.into_iter().map(|written| written.and_then(label)).collect();
    let numbers = labels.iter().flatten().map(|label| label.class()).collect();
    (labels, Used { names: names.iter().map(|name| name.to_string()).collect(), numbers })
}

fn is_name(written: &Written) -> bool {
    matches!(written, Written::Name(_))
}

fn name_of(written: &Written) -> Arc<str> {
    match written {
        Written::Number(label) => label.class().to_string().into(),
        Written::Name(name) => Arc::clone(name),
    }
}

/// The classes of a dataset whose labels are names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Their names, in the order of their numbers.
    pub(crate) names: Vec<String>,
    /// For each file, what its numbers become.
    maps: Vec<Vec<Option<Label>>>,
}

impl Joined {
    /// Gives the classes that the labels in `files` name one number each, the same in all of them: their
    /// places in `list`, or if that is empty in alphabetical order. None where no label is a name.
    ///
    /// # Errors
    /// The name that is not in the list, or that there are too many.
    pub(crate) fn of(files: &[&Used], list: &[String]) -> Result<Option<Self>, String> {
        if files.iter().all(|file| file.names.is_empty()) {
            return Ok(None);
        }
        let names = |file: &Used| -> Vec<String> {
            match file.names.is_empty() {
                true => file.numbers.iter().map(ToString::to_string).collect(),
                false => file.names.clone(),
            }
        };
        let all: BTreeSet<String> = files.iter().flat_map(|file| names(file)).collect();
        let order = if list.is_empty() { all.iter().cloned().collect() } else { list.to_vec() };
        if order.len() > MOST_CLASSES as usize {
            return Err(format!("has labels of {} names, at most {MOST_CLASSES}", order.len()));
        }
        let numbered = (0..)
            .zip(&order)
            .filter_map(|(number, name)| Some((name.as_str(), Label::of(number).ok().flatten()?)));
        let numbers: HashMap<&str, Label> = numbered.collect();
        if let Some(name) = all.iter().find(|name| !numbers.contains_key(name.as_str())) {
            return Err(format!("does not have the class {name} of a label"));
        }
        let number = |name: &str| numbers.get(name).copied();
        let map = |file: &&Used| match file.names.is_empty() {
            true => {
                let most = file.numbers.last().map_or(0, |highest| highest + 1);
                (0..most).map(|class| number(&class.to_string())).collect()
            }
            false => file.names.iter().map(|name| number(name)).collect(),
        };
        let maps = files.iter().map(map).collect();
        Ok(Some(Self { names: order, maps }))
    }

    /// What a label of file number `file` becomes.
    pub(crate) fn label(&self, file: usize, label: Label) -> Option<Label> {
        self.maps[file].get(label.class()).copied().flatten()
    }
}

/// The names of the classes that `labels` are of: `names`, or if there are none the numbers as far as
/// they go; nothing where there are no labels.
///
/// # Errors
/// The index of the label that is beyond the names.
pub(crate) fn classes(
    labels: impl Iterator<Item = Option<Label>>,
    names: Vec<String>,
) -> Result<Vec<String>, usize> {
    let numbered = labels.enumerate().filter_map(|(index, label)| Some((label?.class(), index)));
    match numbered.max() {
        None => Ok(Vec::new()),
        Some((highest, _)) if names.is_empty() => {
            Ok((0..=highest).map(|class| class.to_string()).collect())
        }
        Some((highest, index)) if highest >= names.len() => Err(index),
        Some(_) => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::tree;

    /// What is found of `split` among `files`, with slashes.
    fn found(files: &[&str], split: Split) -> Option<Vec<String>> {
        let dir = tree(files);
        let paths = find(dir.path(), "tar", split).unwrap()?;
        let inside = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().display().to_string();
        Some(paths.iter().map(|path| inside(path).replace('\\', "/")).collect())
    }

    fn refusal(files: &[&str], split: Split) -> String {
        find(tree(files).path(), "tar", split).unwrap_err().to_string()
    }

    #[test]
    fn names_of_files_and_folders_say_what_they_belong_to() {
        for [train, test] in [
            ["imagenet-train-000000.tar", "imagenet-val-000000.tar"],
            ["train-00000-of-00040.tar", "test-00000-of-00001.tar"],
            ["data/train-00000.tar", "data/validation-00000.tar"],
            ["train/0000.tar", "val/0000.tar"],
            ["data/training/a.tar", "data/dev/a.tar"],
            ["train2017_0.TAR", "Val2017_0.tar"],
            ["a/0.tar", "a/eval.tar"],
            ["latest.tar", "test.tar"],
            ["val/train-0.tar", "train/val-0.tar"],
        ] {
            let files = [train, test, "notes.txt", ".hidden/train.tar", "._train-0.tar"];
            assert_eq!(found(&files, Split::Train).unwrap(), [train], "{files:?}");
            assert_eq!(found(&files, Split::Test).unwrap(), [test], "{files:?}");
        }
    }

    #[test]
    fn without_names_of_parts_all_are_trained_on_in_order() {
        let files = ["00001/b.tar", "00000/c.tar", "00000/a.tar"];
        let sorted = ["00000/a.tar", "00000/c.tar", "00001/b.tar"];
        assert_eq!(found(&files, Split::Train).unwrap(), sorted);
        assert_eq!(found(&files, Split::Test), None);
        let files = ["data/train-0.tar", "train-1.tar"];
        assert_eq!(found(&files, Split::Train).unwrap(), files);
        let files = ["train.tar", "extra.tar"];
        assert_eq!(found(&files, Split::Train).unwrap(), ["train.tar"]);
    }

    #[test]
    fn validation_is_tested_on_rather_than_test() {
        let files = ["train-0.tar", "test-0.tar", "validation-0.tar"];
        assert_eq!(found(&files, Split::Test).unwrap(), ["validation-0.tar"]);
    }

    #[test]
    fn nothing_to_train_on_and_several_datasets_are_refused() {
        let message = refusal(&["a/b/c/train.tar", "train.txt"], Split::Train);
        assert!(message.contains("there is no such file in it as expected"), "{message}");
        assert!(message.ends_with("*.tar"), "{message}");
        let message = refusal(&["val-0.tar"], Split::Train);
        assert!(message.ends_with("call those that are trained on train-….tar"), "{message}");
        let message = refusal(&["cats/train-0.tar", "dogs/train-0.tar"], Split::Train);
        assert!(message.contains("holds several datasets, in "), "{message}");
        assert!(
            message.contains("cats and in ") && message.contains("dogs; name one"),
            "{message}"
        );
        let missing = find(Path::new("/nowhere"), "tar", Split::Train).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read /nowhere: "), "{missing}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_wherever_they_lead_but_not_in_circles() {
        use std::os::unix::fs::symlink;

        let elsewhere = tree(&["b.tar", "store/c.tar"]);
        let dir = tree(&["a.tar"]);
        symlink(elsewhere.path().join("b.tar"), dir.path().join("b.tar")).unwrap();
        symlink(elsewhere.path().join("store"), dir.path().join("data")).unwrap();
        symlink(dir.path(), dir.path().join("circle")).unwrap();
        symlink("nowhere.txt", dir.path().join("notes.txt")).unwrap();
        let found = || find(dir.path(), "tar", Split::Train);
        let paths = found().unwrap().unwrap();
        assert_eq!(paths, ["a.tar", "b.tar", "data/c.tar"].map(|name| dir.path().join(name)));
        symlink("nowhere.tar", dir.path().join("d.tar")).unwrap();
        let message = found().unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("d.tar"), "{message}");
    }

    #[test]
    fn labels_are_small_and_have_names_or_numbers() {
        assert_eq!(size_of::<Option<Label>>(), 4);
        let label = |number| Label::of(number).unwrap();
        assert_eq!(
            [0, 7, (1 << 20) - 1].map(|number| label(number).unwrap().class()),
            [0, 7, 1_048_575]
        );
        assert_eq!([-1, i64::MIN].map(label), [None; 2]);
        for number in [1 << 20, u32::MAX.into(), i64::MAX] {
            assert_eq!(Label::of(number), Err("expected less than 1048576".to_owned()));
        }
        let labels = || [1, -1, 2, 0].map(label).into_iter();
        let names = |count: usize| {
            ["a", "b", "c", "d"][..count].iter().map(|name| (*name).into()).collect()
        };
        assert_eq!(classes(labels(), Vec::new()).unwrap(), ["0", "1", "2"]);
        assert_eq!(classes(labels(), names(4)).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(classes(labels(), names(2)), Err(2));
        assert!(classes([None, None].into_iter(), names(2)).unwrap().is_empty());
    }

    fn used(labels: &[&str]) -> Used {
        number(labels.iter().map(|text| Written::text(text).unwrap()).collect()).1
    }

    #[test]
    fn what_is_written_is_a_number_a_name_or_nothing() {
        let label = |number| Written::Number(Label::of(number).unwrap().unwrap());
        for (text, expected) in [
            ("7", Some(label(7))),
            (" 7\r\n", Some(label(7))),
            ("007", Some(label(7))),
            ("-1", None),
            ("", None),
            (" \n\0", None),
            (" golden retriever\n", Some(Written::Name("golden retriever".into()))),
            ("n01440764", Some(Written::Name("n01440764".into()))),
        ] {
            assert_eq!(Written::text(text), Ok(expected), "{text:?}");
        }
        for text in ["99999999", "\u{1}\u{2}", "a\nb", &"a".repeat(201)] {
            assert!(Written::text(text).is_err(), "{text:?}");
        }
        for (number, expected) in
            [(3., Some(label(3))), (f64::NAN, None), (-1., None), (-0.0, Some(label(0)))]
        {
            assert_eq!(Written::float(number), Ok(expected), "{number}");
        }
        for number in [0.5, 1e300, f64::INFINITY] {
            assert!(Written::float(number).unwrap_err().contains(", expected "), "{number}");
        }
    }

    #[test]
    fn names_have_one_number_in_all_files() {
        let (labels, first) =
            number(["cat", "", "ant", "cat"].map(|text| Written::text(text).unwrap()).into());
        let numbers = |labels: &[Option<Label>]| -> Vec<Option<usize>> {
            labels.iter().map(|label| label.map(Label::class)).collect()
        };
        assert_eq!(numbers(&labels), [Some(1), None, Some(0), Some(1)]);
        assert_eq!(first.names, ["ant", "cat"]);
        let files = [first, used(&["bee", "cat"]), used(&["7", "2"]), used(&[])];
        let joined = Joined::of(&files.each_ref(), &[]).unwrap().unwrap();
        assert_eq!(joined.names, ["2", "7", "ant", "bee", "cat"]);
        let label = |file: usize, class: i64| {
            joined.label(file, Label::of(class).unwrap().unwrap()).map(Label::class)
        };
        assert_eq!([label(0, 0), label(0, 1), label(1, 0), label(1, 1)], [2, 4, 3, 4].map(Some));
        assert_eq!([label(2, 2), label(2, 7), label(2, 3)], [Some(0), Some(1), None]);
        assert_eq!(Joined::of(&[&used(&["3", "1"]), &used(&[])], &[]), Ok(None));
        let mixed = used(&["3", "ant"]);
        assert_eq!(mixed.names, ["3", "ant"]);
    }

    #[test]
    fn a_list_says_the_order_of_names() {
        let list = ["dog", "cat", "ant"].map(String::from);
        let joined = Joined::of(&[&used(&["ant", "dog"])], &list).unwrap().unwrap();
        assert_eq!(joined.names, list);
        let label = |class| joined.label(0, Label::of(class).unwrap().unwrap()).map(Label::class);
        assert_eq!([label(0), label(1)], [Some(2), Some(0)]);
        let problem = Joined::of(&[&used(&["eel"])], &list).unwrap_err();
        assert_eq!(problem, "does not have the class eel of a label");
    }
}
