//! Parts of a dataset as one dataset, for those who want every image of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Dataset, Parts, Picture, Result, StoredFile};

/// Named parts of a dataset, one behind the other.
///
/// Classes are those of the first part, and what others have beside those; labels are numbered alike in
/// all parts.
pub struct Joined {
    parts: Vec<NamedPart>,
    classes: Vec<String>,
}

/// A part that has images, among others.
struct NamedPart {
    name: &'static str,
    images: Arc<dyn Dataset>,
    /// Images and files of the parts before it.
    before: [usize; 2],
    /// The number among all classes of each of its own.
    numbers: Vec<usize>,
}

impl Joined {
    /// The parts that there are, by the names `train`, `test` and `unlabelled`, in that order.
    pub fn of(parts: Parts) -> Self {
        let Parts { train, test, unlabelled, .. } = parts;
        let named = [("train", train), ("test", test), ("unlabelled", unlabelled)];
        Self::new(named.into_iter().filter_map(|(name, part)| Some((name, part?))))
    }

    fn new(parts: impl Iterator<Item = (&'static str, Arc<dyn Dataset>)>) -> Self {
        let mut joined = Self { parts: Vec::new(), classes: Vec::new() };
        let (mut known, mut before) = (BTreeMap::new(), [0; 2]);
        for (name, images) in parts.filter(|(_, images)| !images.is_empty()) {
            let number = |class: &String| {
                *known.entry(class.clone()).or_insert_with(|| {
                    joined.classes.push(class.clone());
                    joined.classes.len() - 1
                })
            };
            let numbers = images.classes().iter().map(number).collect();
            let files = (0..).take_while(|&file| images.stored_file(file).is_some()).count();
            let after = [before[0] + images.len(), before[1] + files];
            joined.parts.push(NamedPart { name, images, before, numbers });
            before = after;
        }
        joined
    }

    /// The part called `name` alone; empty where there is none.
    #[must_use]
    pub fn only(self, name: &str) -> Self {
        let named = self.parts.into_iter().filter(|part| part.name == name);
        Self::new(named.map(|part| (part.name, part.images)))
    }

    /// The names of the parts with how many images each has, in order.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.parts.iter().map(|part| (part.name, part.images.len()))
    }

    /// The name of the part that image `index` is in.
    ///
    /// # Panics
    /// If `index >= self.len()`.
    pub fn part_of(&self, index: usize) -> &'static str {
        self.at(index).0.name
    }

    /// The part of image `index`, and its number there.
    fn at(&self, index: usize) -> (&NamedPart, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.before[0] <= index) - 1];
        (part, index - part.before[0])
    }
}

impl Dataset for Joined {
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.images.len()).sum()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let (part, index) = self.at(index);
        part.images.picture(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        let (part, index) = self.at(index);
        Some(part.numbers[part.images.label(index)?])
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        let (part, index) = self.at(index);
        part.images.name(index)
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        let part = self.parts.iter().rev().find(|part| part.before[1] <= index)?;
        part.images.stored_file(index - part.before[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fingerprint;
    use crate::fixture::tree;
    use crate::folder::Folder;

    fn of(files: &[&str]) -> (tempfile::TempDir, Joined) {
        let dir = tree(files);
        let parts = Parts::of(Folder::load(dir.path()).unwrap());
        (dir, Joined::of(parts))
    }

    #[test]
    fn images_of_all_parts_have_their_names_and_classes() {
        let files = ["train/cat/1.jpg", "train/dog/1.jpg", "val/dog/2.jpg", "val/dog/3.jpg"];
        let (_dir, joined) = of(&files);
        assert_eq!(joined.parts().collect::<Vec<_>>(), [("train", 2), ("test", 2)]);
        for (index, file) in files.iter().enumerate() {
            assert!(joined.name(index).ends_with(file), "{index}");
            let inside = joined.stored_file(index).unwrap().inside.into_owned();
            assert!(inside.ends_with(file), "{index}");
        }
        let label = |index| joined.classes()[joined.label(index).unwrap()].as_str();
        assert_eq!([0, 1, 2, 3].map(label), ["cat", "dog", "dog", "dog"]);
        assert_eq!([0, 1, 2, 3].map(|at| joined.part_of(at)), ["train", "train", "test", "test"]);
        assert!(joined.stored_file(4).is_none());
        let print = Fingerprint::of(&joined);
        assert_eq!((print.images, print.files), (4, 4));
        let test = joined.only("test");
        assert_eq!((test.len(), test.classes()), (2, &["cat".to_owned(), "dog".to_owned()][..]));
        assert!(test.name(0).ends_with(files[2]));
        assert!(test.only("unlabelled").is_empty());
    }

    /// A part of one image, with classes of its own.
    struct One(Vec<String>);

    impl Dataset for One {
        fn len(&self) -> usize {
            1
        }

        fn picture(&self, _: usize) -> Result<Picture<'_>> {
            Ok(Picture::File(b"nonsense"[..].into()))
        }

        fn label(&self, _: usize) -> Option<usize> {
            self.0.len().checked_sub(1)
        }

        fn classes(&self) -> &[String] {
            &self.0
        }

        fn name(&self, _: usize) -> String {
            "one".to_owned()
        }
    }

    #[test]
    fn classes_that_only_a_later_part_has_come_behind_those_of_the_first() {
        let part = |classes: &[&str]| -> crate::Part {
            Some(Arc::new(One(classes.iter().map(|&class| class.to_owned()).collect())))
        };
        let parts = Parts {
            train: part(&["bee", "cat"]),
            test: part(&["ant", "bee"]),
            unlabelled: part(&[]),
            ..Parts::default()
        };
        let joined = Joined::of(parts);
        assert_eq!(joined.classes(), ["bee", "cat", "ant"]);
        assert_eq!([0, 1, 2].map(|index| joined.label(index)), [Some(1), Some(0), None]);
        assert!(joined.stored_file(0).is_none());
    }
}
