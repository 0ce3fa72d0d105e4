//! CIFAR-100: <https://www.cs.toronto.edu/~kriz/cifar.html>.
//!
//! One batch file of 50,000 rows is trained on, one of 10,000 is for testing. A row of the binary
//! layout is 3,074 bytes, the first of them the label among 20 coarse classes, which is not used, the
//! second the label among 100 fine ones.

use std::path::Path;

use super::Split;
use super::archive::Archive;
use super::cifar::{Cifar, Edition, Format, Layout};
use crate::Result;
use crate::source::{Origin, Parts, Source};

/// The archive as it is published.
pub const OFFICIAL: Archive<'_> = Archive {
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5: "03b5dce01913d631647c71ecec9e9cb8",
    file: "cifar-100-binary.tar.gz",
    folder: "cifar-100-binary",
};

static EDITION: Edition = Edition {
    name: "CIFAR-100",
    classes: &CLASSES,
    class_count: "a hundred",
    train_rows: 50_000,
    test_rows: 10_000,
    layouts: [BINARY, PICKLED],
    dataset: "cifar100",
};

const BINARY: Layout = Layout {
    folder: OFFICIAL.folder,
    archive: OFFICIAL.file,
    train: &["train.bin"],
    test: &["test.bin"],
    class_list: "fine_label_names.txt",
    format: Format::Binary { before_label: 1 },
};

/// Whether `dir` holds CIFAR-100, in any of its layouts.
pub(crate) fn lies_in(dir: &Path) -> bool {
    EDITION.lies_in(dir)
}

/// `cifar100` by name.
pub static SOURCE: Source = Source {
    name: "cifar100",
    preset: "cifar10-cpu",
    statistics: Some([[0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]]),
    origin: Origin::Archive(OFFICIAL),
    load: |at| {
        let dir = at.folder()?;
        Parts::of_splits(|split| Cifar100::load(&dir, split).map(Some))
    },
};

const PICKLED: Layout = Layout {
    folder: "cifar-100-python",
    archive: "cifar-100-python.tar.gz",
    train: &["train"],
    test: &["test"],
    class_list: "meta",
    format: Format::Pickle { labels: "fine_labels", class_names: "fine_label_names" },
};

#[rustfmt::skip]
const CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid",
    "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman",
    "worm",
];

/// CIFAR-100, binary or for Python, with its fine labels.
#[derive(Clone, Copy, Debug)]
pub struct Cifar100;

impl Cifar100 {
    /// Reads `split` from `dir`: the folder that holds `cifar-100-binary` or `cifar-100-python`, or is
    /// one of them, or that holds the archive of one alone, which is then read in memory.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) naming the file that is missing, unreadable, of another
    /// number than 50,000 rows (10,000 for testing), or has a label above 99.
    pub fn load(dir: &Path, split: Split) -> Result<Cifar> {
        Cifar::load(&EDITION, dir, split)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Dataset;
    use crate::cifar::fixture::*;
    use crate::pickle::fixture::Pickler;

    fn files() -> Vec<(&'static str, Vec<u8>)> {
        vec![("train.bin", binary(&[19], 97)), ("test.bin", binary(&[0], 40))]
    }

    fn pickled_files() -> Vec<(&'static str, Vec<u8>)> {
        vec![("train", pickled("fine_labels", 97)), ("test", pickled("fine_labels", 40))]
    }

    fn load(dir: &Path, split: Split) -> Result<Cifar> {
        Cifar::load_batches(&EDITION, dir, split, FEW)
    }

    #[test]
    fn all_layouts_give_the_same() {
        let binary = data_dir(BINARY.folder, &files());
        let itself = binary.path().join(BINARY.folder);
        let pickled = data_dir(PICKLED.folder, &pickled_files());
        let binary_archive = archive_dir(BINARY.archive, BINARY.folder, &files());
        let pickled_archive = archive_dir(PICKLED.archive, PICKLED.folder, &pickled_files());
        for (split, labels) in [(Split::Train, [97, 98, 99]), (Split::Test, [40, 41, 42])] {
            let expected = load(binary.path(), split).unwrap();
            assert_eq!([0, 1, 2].map(|index| expected.label(index).unwrap()), labels);
            assert_eq!(expected.classes(), CLASSES);
            for dir in [&itself, pickled.path(), binary_archive.path(), pickled_archive.path()] {
                assert!(same_images(&load(dir, split).unwrap(), &expected), "{}", dir.display());
            }
        }
    }

    #[test]
    fn fine_class_names_are_read() {
        let names: Vec<String> = (0..100).map(|class| format!("class {class}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let list = names.join("\n").into_bytes();
        let meta = Pickler::dict()
            .string("coarse_label_names")
            .strings(&["fish"])
            .string("fine_label_names")
            .strings(&names)
            .finish();
        let binary =
            data_dir(BINARY.folder, &[&files()[..], &[("fine_label_names.txt", list)]].concat());
        let pickled = data_dir(PICKLED.folder, &[&pickled_files()[..], &[("meta", meta)]].concat());
        for dir in [binary, pickled] {
            assert_eq!(load(dir.path(), Split::Test).unwrap().classes(), names);
        }
    }

    #[test]
    fn what_is_wrong_says_where_to_get_it() {
        let dir = data_dir(BINARY.folder, &files());
        fs::write(dir.path().join(BINARY.folder).join("test.bin"), binary(&[], 0)).unwrap();
        let message = load(dir.path(), Split::Test).unwrap_err().to_string();
        let at = dir.path().display();
        let expected = format!(
            "{at}/cifar-100-binary/test.bin: holds 9219 bytes, expected 9222 = 3 rows of 3074; remove \
             {at}/cifar-100-binary and fetch it again"
        );
        assert_eq!(message, expected);
        let list = b"fish\n".to_vec();
        let dir =
            data_dir(BINARY.folder, &[&files()[..], &[("fine_label_names.txt", list)]].concat());
        let message = load(dir.path(), Split::Test).unwrap_err().to_string();
        assert!(message.contains("does not name a hundred classes, one a line"), "{message}");
    }

    #[test]
    fn a_label_above_99_is_refused() {
        let dir = data_dir(PICKLED.folder, &[("train", pickled("fine_labels", 98))]);
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(
            message.contains("train: gives row 2 the label 100, expected 0 to 99"),
            "{message}"
        );
    }

    #[test]
    fn a_folder_called_train_is_not_taken_for_a_batch() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("train")).unwrap();
        let message = load(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(message.contains("no CIFAR-100 under"), "{message}");
    }
}
