//! What the parts of a dataset are called, for files and folders alike.

use std::ffi::OsStr;

/// What is taken for the names of parts, as the `datasets` library does:
/// <https://huggingface.co/docs/hub/datasets-file-names-and-splits>. Where there is one of the second
/// row, it is tested on rather than one of the third, which is often published without labels.
const PARTS: [&[&str]; 3] = [
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];
/// Words beside the name of a part that say nothing more.
const FILLERS: [&str; 13] = [
    "", "data", "dataset", "image", "images", "img", "imgs", "photos", "pictures", "samples",
    "seg", "set", "split",
];

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .zip(PARTS)
            .find(|(_, names)| names.contains(&word))
            .map(|(part, _)| part)
    }
}

/// The part that the first word of `name` with such a meaning stands for. Numbers may follow a word.
pub(crate) fn part_called(name: &OsStr) -> Option<Part> {
    words(name).iter().find_map(|word| Part::of_word(word))
}

/// The part that a folder of pictures is called after, and what else its name says.
///
/// Nothing is left of `Training`, `test_set`, `train2017` or `seg_train`. Of `cats-train` there is `cats`,
/// so that it is a part only where the others are called likewise: `train station` is a class.
pub(crate) fn folder_part(name: &OsStr) -> Option<(Part, Vec<String>)> {
    let (mut part, mut others) = (None, Vec::new());
    for word in words(name) {
        let stem = ["set", "data"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(&word);
        match Part::of_word(stem) {
            Some(of) if part.is_none() => part = Some(of),
            _ if FILLERS.contains(&&*word) || word.len() == 1 => {}
            _ => others.push(word),
        }
    }
    part.map(|part| (part, others))
}

/// The words of `name` in lower case, without digits and signs.
fn words(name: &OsStr) -> Vec<String> {
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.split(|letter: char| !letter.is_alphabetic()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_names_of_folders_stand_for_parts_in_any_case() {
        for (part, names) in [
            (
                Part::Train,
                &[
                    "train",
                    "Train",
                    "TRAINING",
                    "training_set",
                    "Training Set",
                    "trainset",
                    "train2017",
                    "seg_train",
                    "train_images",
                    "train.X1",
                    "train-data",
                    "TrainingData",
                ][..],
            ),
            (
                Part::Validation,
                &["val", "Valid", "validation", "dev", "val.X", "ValidationSet", "val2017"],
            ),
            (
                Part::Test,
                &[
                    "test",
                    "Test",
                    "Testing",
                    "test_set",
                    "eval",
                    "evaluation",
                    "test1",
                    "imgs-test",
                ],
            ),
        ] {
            for name in names {
                assert_eq!(folder_part(OsStr::new(name)), Some((part, vec![])), "{name}");
            }
        }
    }

    #[test]
    fn other_names_are_those_of_classes_or_of_parts_of_something() {
        for name in ["cat", "trains", "contest", "devil", "set", "2017", "data", "validated"] {
            assert_eq!(folder_part(OsStr::new(name)), None, "{name}");
        }
        for (name, part, other) in [
            ("train station", Part::Train, "station"),
            ("test_tube", Part::Test, "tube"),
            ("cats-train", Part::Train, "cats"),
            ("train_masks", Part::Train, "masks"),
        ] {
            assert_eq!(
                folder_part(OsStr::new(name)),
                Some((part, vec![other.to_owned()])),
                "{name}"
            );
        }
    }
}
