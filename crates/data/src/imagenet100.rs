//! ImageNet-100: the hundred classes of Tian et al. (2020, "Contrastive Multiview Coding"), out of
//! an ImageNet as it was unpacked or of the set as Kaggle has it. Nothing has to be moved.

use std::path::Path;

use super::folder::Folder;
use super::{Dataset, Split};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Remedy, Result};

/// `imagenet100` by name.
pub static SOURCE: Source = Source {
    name: "imagenet100",
    preset: "imagenet100-moco-logo",
    statistics: None,
    origin: Origin::Person {
        why: "ImageNet's terms want a person to agree to them",
        download: "sign in and download it at https://www.kaggle.com/datasets/ambityga/imagenet100, or all of ImageNet at \
             https://image-net.org, and unpack it anywhere",
        folder: None,
    },
    load: |at| {
        let dir = at.folder()?;
        let parts = [load(&dir, Split::Train)?, load(&dir, Split::Test)?];
        let ignored = Folder::ignored_in(parts.iter().flatten());
        Ok(Parts { ignored, ..Parts::of(parts) })
    },
};

/// The WordNet numbers of the classes, one a line.
const CLASSES: &str = include_str!("imagenet100.txt");

/// The part of `dir` that is `split`, if it has such a part.
///
/// - `dir/train/n01558993/…` and `dir/val/n01558993/…`: ImageNet, all of it or its hundred classes.
/// - `dir/train.X1` … `train.X4` and `dir/val.X`: as Kaggle has it.
///
/// # Errors
/// [`Error::Data`] when none of the folders is there, or none of the classes in them.
pub fn load(dir: &Path, split: Split) -> Result<Option<Folder>> {
    let folders = parts(dir, split);
    if folders.is_empty() && split == Split::Train {
        let by_hand = Remedy::ByHand { dataset: SOURCE.name };
        return Err(Error::data(dir, missing()).mended_by(by_hand));
    }
    if folders.is_empty() {
        return Ok(None);
    }
    let classes: Vec<String> = CLASSES.lines().map(String::from).collect();
    let expected = classes.len();
    let folder = Folder::of_classes(dir, &folders, classes)?;
    let mut present: Vec<Option<usize>> = (0..folder.len()).map(|at| folder.label(at)).collect();
    present.dedup();
    if present.len() < expected {
        tracing::warn!(
            "{}: pictures of {} of ImageNet-100's {expected} classes alone",
            dir.display(),
            present.len()
        );
    }
    Ok(Some(folder))
}

/// The folders of `dir` that hold `split`, each with a folder for each class.
fn parts(dir: &Path, split: Split) -> Vec<&'static str> {
    let (whole, pieces) = match split {
        Split::Train => ("train", &["train.X1", "train.X2", "train.X3", "train.X4"][..]),
        Split::Test => ("val", &["val.X"][..]),
    };
    let there = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| dir.join(name).is_dir()).collect()
    };
    match there(pieces) {
        none if none.is_empty() => there(&[whole]),
        pieces => pieces,
    }
}

fn missing() -> String {
    "there is no ImageNet-100 in it: expected train/n01558993/… and val/n01558993/… as ImageNet has them, or train.X1 … \
     train.X4 and val.X as Kaggle has them; a person downloads it, by the steps of its source"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Location;
    use crate::fixture::tree;

    fn contents(dir: &Path, split: Split) -> Vec<(String, usize)> {
        let folder = load(dir, split).unwrap().unwrap();
        let name = |at| {
            let name = folder.name(at);
            name.rsplit(['/', '\\']).next().unwrap().to_owned()
        };
        (0..folder.len()).map(|at| (name(at), folder.label(at).unwrap())).collect()
    }

    #[test]
    fn there_are_a_hundred_classes() {
        let mut classes: Vec<&str> = CLASSES.lines().collect();
        assert!(classes.iter().all(|name| name.len() == 9 && name.starts_with('n')));
        classes.sort_unstable();
        classes.dedup();
        assert_eq!(classes.len(), 100);
    }

    #[test]
    fn other_classes_of_imagenet_are_left_out() {
        let dir = tree(&[
            "train/n01558993/a.JPEG",
            "train/n00000001/b.JPEG",
            "val/n01558993/c.JPEG",
            "train/n02869837/d.JPEG",
        ]);
        let first = CLASSES.lines().position(|name| name == "n01558993").unwrap();
        let second = CLASSES.lines().position(|name| name == "n02869837").unwrap();
        let mut train = contents(dir.path(), Split::Train);
        train.sort();
        assert_eq!(train, [("a.JPEG".to_owned(), first), ("d.JPEG".to_owned(), second)]);
        assert_eq!(contents(dir.path(), Split::Test), [("c.JPEG".to_owned(), first)]);
    }

    #[test]
    fn what_is_ignored_in_both_parts_is_counted() {
        let dir = tree(&[
            "train/n01558993/a.JPEG",
            "train/n01558993/a.xml",
            "train/n02869837/._d.JPEG",
            "val/n01558993/c.JPEG",
            "val/n01558993/c.xml",
        ]);
        let parts = (SOURCE.load)(&Location::new(Some(dir.path()))).unwrap();
        let ignored: Vec<String> = parts.ignored.iter().map(ToString::to_string).collect();
        assert_eq!(ignored, ["2 .xml", "1 system file"]);
    }

    #[test]
    fn kaggles_pieces_make_one_set() {
        let dir = tree(&[
            "train.X1/n01558993/a.JPEG",
            "train.X3/n02869837/b.JPEG",
            "train.X4/n01558993/c.JPEG",
            "val.X/n02869837/d.JPEG",
        ]);
        assert_eq!(contents(dir.path(), Split::Train).len(), 3);
        assert_eq!(contents(dir.path(), Split::Test).len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn imagenets_folders_may_be_links() {
        let store = tree(&["n01558993/a.JPEG", "n02869837/b.JPEG", "n00000001/c.JPEG"]);
        let dir = tree(&["train/n02869837/d.JPEG"]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(store.path().join(target), dir.path().join(name)).unwrap();
        };
        link("n01558993", "train/n01558993");
        link("", "val");
        assert_eq!(contents(dir.path(), Split::Train).len(), 2);
        assert_eq!(contents(dir.path(), Split::Test).len(), 2);
    }

    #[test]
    fn a_folder_without_it_says_what_was_expected() {
        let dir = tree(&["train.txt"]);
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("expected train/n01558993/"), "{message}");
        let dir = tree(&["train/cats/a.JPEG"]);
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("there is no picture in it"), "{message}");
    }
}
