//! What is trained on, and what it is measured by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source::{DatasetName, Location, Parts};
use crate::{Error, Images, Result, Seen, Unmeasured};

/// The images of a run.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Trained on, with or without labels.
    pub train: Images,
    /// What the kNN is about; none where that would say nothing.
    pub evaluation: Option<Labelled>,
    /// Why there is no evaluation, exactly where there is none.
    pub unmeasured: Option<Unmeasured>,
    /// What was found, and what was left out.
    pub seen: Seen,
}

/// Two parts of one dataset, of whose images each has a label.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Searched for neighbours.
    pub bank: Images,
    /// Classified. Its labels are numbered as those of the bank.
    pub test: Images,
    /// Images that have no label and were left out of bank and test.
    pub unlabelled: [usize; 2],
}

impl Splits {
    /// The share of images that may be broken unless somebody says otherwise: one in a thousand.
    pub const MAX_BAD_FRACTION: f64 = 0.001;

    /// Loads the dataset called `name`; one that is not embedded from `dir` (see
    /// [`data_dir`](crate::data_dir)).
    ///
    /// # Errors
    /// [`Error::Data`] when it is missing or damaged.
    pub fn load(name: DatasetName, dir: Option<&Path>) -> Result<Self> {
        Self::load_allowing(name, dir, Self::MAX_BAD_FRACTION)
    }

    /// [`Splits::load`], of whose images the share `max_bad_fraction` may be broken.
    ///
    /// # Errors
    /// As [`Splits::load`].
    pub fn load_allowing(
        name: DatasetName,
        dir: Option<&Path>,
        max_bad_fraction: f64,
    ) -> Result<Self> {
        let parts = (name.source().load)(&Location::new(dir))?;
        Self::of(parts, max_bad_fraction)
            .ok_or_else(|| Error::Images(format!("there is nothing to train on in {name}")))
    }

    /// Of any parts, a dataset of one's own too; none where there is nothing to train on.
    pub fn of(parts: Parts, max_bad_fraction: f64) -> Option<Self> {
        let images = |dataset| Images::new(dataset, max_bad_fraction);
        let Parts { train, test, unlabelled, unmeasured, ignored } = parts;
        let (bank, test) = (train.map(images), test.map(images));
        let train = unlabelled.map(images).or_else(|| bank.clone())?;
        let seen = Seen {
            images: train.len(),
            classes: train.classes().len(),
            held_out: test.as_ref().map_or(0, |test| test.len()),
            unlabelled: train.len() - labelled(&train).len(),
            ignored,
        };
        let measured = Labelled::of(bank, test);
        let (evaluation, reason) = match measured {
            Ok(labelled) => (Some(labelled), None),
            // The source may know more of its images than they show.
            Err(reason) => (None, unmeasured.or(Some(reason))),
        };
        Some(Self { train, evaluation, unmeasured: reason, seen })
    }
}

impl Labelled {
    /// The labelled images of two parts, or why no kNN can be made of them.
    fn of(bank: Option<Images>, test: Option<Images>) -> Result<Self, Unmeasured> {
        let bank = bank.filter(|bank| !bank.is_empty()).ok_or(Unmeasured::NoLabels)?;
        let in_bank = labelled(&bank);
        let classes: BTreeSet<usize> = in_bank.iter().filter_map(|&at| bank.label(at)).collect();
        match (classes.first(), classes.len()) {
            (None, _) => return Err(Unmeasured::NoLabels),
            (Some(&only), 1) => {
                let name = bank.classes().get(only).cloned().unwrap_or_default();
                return Err(Unmeasured::OneClass { name, hint: None });
            }
            _ => {}
        }
        let test = test.filter(|test| !test.is_empty()).ok_or(Unmeasured::NoTestPart)?;
        let in_test = labelled(&test);
        if in_test.is_empty() {
            return Err(Unmeasured::UnlabelledTest { part: None, images: test.len() });
        }
        let unlabelled = [bank.len() - in_bank.len(), test.len() - in_test.len()];
        let test = numbered_as(&bank, test.subset(in_test))?;
        Ok(Self { bank: bank.subset(in_bank), test, unlabelled })
    }
}

/// The images that have a label.
fn labelled(images: &Images) -> Vec<usize> {
    match images.classes().is_empty() {
        true => Vec::new(),
        false => (0..images.len()).filter(|&index| images.label(index).is_some()).collect(),
    }
}

/// `test` with its labels numbered as those of `bank`: by the names of the classes, for a part that lacks
/// a class numbers the others differently.
fn numbered_as(bank: &Images, test: Images) -> Result<Images, Unmeasured> {
    if test.classes() == bank.classes() {
        return Ok(test);
    }
    let numbers: BTreeMap<&str, usize> =
        bank.classes().iter().map(String::as_str).zip(0..).collect();
    let number = |name: &String| numbers.get(name.as_str()).copied();
    let numbers: Vec<Option<usize>> = test.classes().iter().map(number).collect();
    let unknown = (0..test.len()).filter_map(|index| test.label(index));
    let unknown: Vec<usize> = unknown.filter(|&label| numbers[label].is_none()).collect();
    match unknown.first() {
        None => Ok(test.renumbered(numbers, bank.classes().to_vec())),
        Some(&label) => {
            let class = test.classes()[label].clone();
            Err(Unmeasured::UnknownClass { class, images: unknown.len() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Dataset, Picture};

    /// Images of these labels; those of number 1 cannot be read.
    struct Set(Vec<Option<usize>>, Vec<String>);

    impl Dataset for Set {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn picture(&self, index: usize) -> Result<Picture<'_>> {
            match index {
                1 => Err(Error::data("image 1", "vanished")),
                _ => Ok(Picture::File(vec![index as u8].into())),
            }
        }

        fn label(&self, index: usize) -> Option<usize> {
            self.0[index]
        }

        fn classes(&self) -> &[String] {
            &self.1
        }

        fn name(&self, index: usize) -> String {
            format!("image {index}")
        }
    }

    fn part(labels: &[i32], classes: &[&str]) -> Option<Arc<dyn Dataset>> {
        let labels = labels.iter().map(|&label| usize::try_from(label).ok()).collect();
        let classes = classes.iter().map(|&name| name.to_owned()).collect();
        Some(Arc::new(Set(labels, classes)))
    }

    fn splits(train: Option<Arc<dyn Dataset>>, test: Option<Arc<dyn Dataset>>) -> Splits {
        Splits::of(Parts { train, test, ..Parts::default() }, 0.5).unwrap()
    }

    fn labels(images: &Images) -> Vec<usize> {
        (0..images.len()).map(|index| images.label(index).unwrap()).collect()
    }

    fn first_byte(images: &Images, index: usize) -> Option<u8> {
        let first = |picture: &Picture<'_>| match picture {
            Picture::File(bytes) => Ok(bytes[0]),
            Picture::Pixels(_) => panic!("it is a file"),
        };
        images.read(index, first).unwrap()
    }

    #[test]
    fn images_without_labels_are_in_neither_bank_nor_test() {
        let splits = splits(
            part(&[-1, 0, 1, -1, 1], &["cat", "dog"]),
            part(&[-1, -1, 1, 0], &["cat", "dog"]),
        );
        let Labelled { bank, test, unlabelled } = splits.evaluation.unwrap();
        assert_eq!((labels(&bank), labels(&test)), (vec![0, 1, 1], vec![1, 0]));
        assert_eq!((unlabelled, splits.unmeasured), ([2, 2], None));
        assert_eq!((bank.name(1), first_byte(&test, 0)), ("image 2".to_owned(), Some(2)));
        let seen = Seen { images: 5, classes: 2, held_out: 4, unlabelled: 2, ignored: vec![] };
        assert_eq!((splits.train.len(), splits.seen), (5, seen));
        assert_eq!(first_byte(&bank, 0), None, "image 1 cannot be read");
        assert_eq!([splits.train.broken(), bank.broken(), test.broken()], [1, 1, 0]);
        assert_eq!(first_byte(&splits.train, 1), None);
        assert_eq!(bank.broken(), 1, "it is the same image");
    }

    #[test]
    fn where_a_knn_would_say_nothing_there_is_none_and_the_reason() {
        let two = || part(&[0, 1, 0], &["cat", "dog"]);
        let none = || part(&[-1, -1], &[]);
        let reason = |train, test| {
            let splits = splits(train, test);
            assert!(splits.evaluation.is_none());
            splits.unmeasured.unwrap().to_string()
        };
        for (train, test, expected) in [
            (none(), two(), "no image that is trained on has a label"),
            (part(&[-1, -1], &["cat", "dog"]), two(), "no image that is trained on has a label"),
            (two(), None, "there are no images to test on"),
            (two(), part(&[], &["cat"]), "there are no images to test on"),
            (two(), none(), "the part to test on holds 2 images without labels"),
            (two(), part(&[-1], &["cat"]), "the part to test on holds 1 image without labels"),
            (part(&[0, 0], &["cat"]), two(), "all images are of one class, cat"),
            (part(&[1, 1, -1], &["cat", "dog"]), two(), "all images are of one class, dog"),
            (two(), part(&[0, 2, 2], &["cat", "dog", "cow"]), "2 images to test on are of a class"),
        ] {
            let reason = reason(train, test);
            assert!(reason.starts_with(expected), "{reason}");
        }
    }

    #[test]
    fn a_source_knows_better_why_there_is_nothing_to_measure() {
        let parts = Parts {
            train: part(&[-1], &[]),
            unmeasured: Some(Unmeasured::NoClassFolders),
            ..Parts::default()
        };
        let splits = Splits::of(parts, 0.5).unwrap();
        assert_eq!(splits.unmeasured, Some(Unmeasured::NoClassFolders));
        let parts = Parts {
            train: part(&[0, 1], &["cat", "dog"]),
            test: part(&[0], &["cat", "dog"]),
            unmeasured: Some(Unmeasured::NoClassFolders),
            ..Parts::default()
        };
        assert_eq!(Splits::of(parts, 0.5).unwrap().unmeasured, None);
    }

    #[test]
    fn labels_of_both_parts_are_numbered_alike() {
        let train = || part(&[0, 1, 2], &["ant", "bee", "cat"]);
        for (test, expected) in [
            (part(&[0, 1], &["ant", "bee"]), vec![0, 1]),
            (part(&[0, 1, 0], &["bee", "cat"]), vec![1, 2, 1]),
            (part(&[0, 2], &["cat", "dog", "ant"]), vec![2, 0]),
            (part(&[-1, 1], &["cat", "bee"]), vec![1]),
        ] {
            let Labelled { test, bank, .. } = splits(train(), test).evaluation.unwrap();
            assert_eq!((labels(&test), test.classes()), (expected, bank.classes()));
        }
    }
}
