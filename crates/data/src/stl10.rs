//! STL-10 in its binary layout: <https://cs.stanford.edu/~acoates/stl10/>.
//!
//! Images are 96 × 96: a red, a green and a blue plane of 9,216 bytes, each column by column. The
//! label of an image is a byte of another file, counted from 1.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{lines, open_plain, read_capped, read_exact_at};
use super::{Dataset, Picture, Pixels, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Result};

/// `stl10` by name.
pub static SOURCE: Source = Source {
    name: "stl10",
    preset: "folder",
    statistics: Some([[0.4467, 0.4398, 0.4066], [0.2603, 0.2566, 0.2713]]),
    origin: Origin::Person {
        why: "STL-10's site states no terms for programs",
        download: "download http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz (2.6 GB) and unpack it anywhere",
        folder: None,
    },
    load: |at| {
        let dir = at.folder()?;
        let open = |part| Stl10::load(&dir, part);
        let parts = Parts::of([Some(open(Part::Train)?), Some(open(Part::Test)?)]);
        Ok(parts.with_unlabelled(open(Part::Unlabeled)?))
    },
};

const FOLDER: &str = "stl10_binary";
const ARCHIVE: &str = "stl10_binary.tar.gz";
const URL: &str = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz";
const CLASS_NAMES: &str = "class_names.txt";
const CLASSES: [&str; 10] =
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

/// What is read of the list of classes: far more than ten names need.
const MOST_NAME_BYTES: usize = 1 << 12;

const SIDE: usize = 96;
const AREA: usize = SIDE * SIDE;
/// Bytes of one image in the file.
pub const IMAGE_BYTES: usize = 3 * AREA;

/// Whether `dir` holds STL-10.
pub(crate) fn lies_in(dir: &Path) -> bool {
    Place::locate(dir, Part::Train).is_ok()
}

/// A part of STL-10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// 5,000 images with labels, to train a classifier on.
    Train,
    /// 8,000 images with labels, to test it on.
    Test,
    /// 100,000 images without labels, to pretrain on: of these classes and others.
    Unlabeled,
}

/// One part of STL-10. Its images stay in their file, and each is read when it is asked for.
#[derive(Debug)]
pub struct Stl10 {
    path: PathBuf,
    images: File,
    count: usize,
    /// Counted from 1; none in the unlabelled part.
    labels: Option<Vec<u8>>,
    classes: Vec<String>,
}

impl Stl10 {
    /// Opens `part` in `dir`: the folder that holds `stl10_binary`, or is it. There are as many images
    /// as the length of the file says.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file that is missing, no whole number of images, without a label for
    /// each of them, or has a label other than 1 to 10. [`Error::Io`] when one cannot be read.
    pub fn load(dir: &Path, part: Part) -> Result<Self> {
        let place = Place::locate(dir, part)?;
        let (images, count) = place.open_images(part.images())?;
        let labels = part.labels().map(|name| place.read_labels(name, count)).transpose()?;
        let classes = match labels {
            Some(_) => place.read_classes()?,
            None => Vec::new(),
        };
        Ok(Stl10 { path: place.folder.join(part.images()), images, count, labels, classes })
    }

    fn unreadable(&self, index: usize, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::data(
                &self.path,
                format!(
                    "no longer has image {index}, as it did when opened; unpack {ARCHIVE} again"
                ),
            ),
            _ => Error::io("read", &self.path)(error),
        }
    }
}

impl Dataset for Stl10 {
    fn len(&self) -> usize {
        self.count
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        assert!(index < self.count, "image {index} of {}", self.count);
        let mut planes = [0; IMAGE_BYTES];
        read_exact_at(&self.images, &mut planes, (index * IMAGE_BYTES) as u64)
            .map_err(|error| self.unreadable(index, error))?;
        let bytes = Cow::Owned(interleave(&planes));
        Ok(Picture::Pixels(Pixels { width: SIDE, height: SIDE, bytes }))
    }

    fn label(&self, index: usize) -> Option<usize> {
        assert!(index < self.count, "label {index} of {}", self.count);
        self.labels.as_ref().map(|labels| usize::from(labels[index]) - 1)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        (index == 0).then(|| StoredFile::alone(&self.path))
    }
}

/// `[3, 96, 96]`, channel, column, row, as in the file, to `[96, 96, 3]`, row, column, channel.
pub fn interleave(planes: &[u8; IMAGE_BYTES]) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(IMAGE_BYTES);
    for row in 0..SIDE {
        for column in 0..SIDE {
            let at = column * SIDE + row;
            pixels.extend([planes[at], planes[AREA + at], planes[2 * AREA + at]]);
        }
    }
    pixels
}

impl Part {
    fn images(self) -> &'static str {
        match self {
            Part::Train => "train_X.bin",
            Part::Test => "test_X.bin",
            Part::Unlabeled => "unlabeled_X.bin",
        }
    }

    fn labels(self) -> Option<&'static str> {
        match self {
            Part::Train => Some("train_y.bin"),
            Part::Test => Some("test_y.bin"),
            Part::Unlabeled => None,
        }
    }
}

/// The folder, of a data directory, that STL-10 is read from.
struct Place<'a> {
    dir: &'a Path,
    folder: PathBuf,
}

impl<'a> Place<'a> {
    fn locate(dir: &'a Path, part: Part) -> Result<Self> {
        let name = part.images();
        let folders = [dir.join(FOLDER), dir.to_path_buf()];
        match folders.into_iter().find(|folder| folder.join(name).is_file()) {
            Some(folder) => Ok(Place { dir, folder }),
            None => {
                let problem = format!("has no {FOLDER}/{name}; {}", unpack_command(dir));
                Err(Error::data(dir, problem))
            }
        }
    }

    /// The file of images, and how many there are.
    fn open_images(&self, name: &str) -> Result<(File, usize)> {
        let path = self.folder.join(name);
        let opened = open_plain(&path).and_then(|file| {
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        let (file, length) = opened.map_err(Error::io("read", &path))?;
        match usize::try_from(length) {
            Ok(length) if length > 0 && length.is_multiple_of(IMAGE_BYTES) => {
                Ok((file, length / IMAGE_BYTES))
            }
            _ => {
                let expected = format!("expected images of {IMAGE_BYTES} bytes each");
                Err(self.damaged(name, format!("holds {length} bytes, {expected}")))
            }
        }
    }

    /// The labels of `count` images.
    fn read_labels(&self, name: &str, count: usize) -> Result<Vec<u8>> {
        let labels = self.read(name, count)?.ok_or_else(|| self.damaged(name, "is missing"))?;
        if labels.len() != count {
            let more = if labels.len() > count { "more than " } else { "" };
            let found = labels.len().min(count);
            return Err(self.damaged(name, format!("holds {more}{found} labels, expected {count}")));
        }
        let wrong = labels.iter().position(|label| !(1..=CLASSES.len()).contains(&(*label).into()));
        match wrong {
            None => Ok(labels),
            Some(index) => {
                let label = labels[index];
                let problem = format!("gives image {index} the label {label}, expected 1 to 10");
                Err(self.damaged(name, problem))
            }
        }
    }

    /// The names in the list of classes, or the well-known ones if there is no such file.
    fn read_classes(&self) -> Result<Vec<String>> {
        match self.read(CLASS_NAMES, MOST_NAME_BYTES)?.map(|list| lines(&list)) {
            None => Ok(CLASSES.map(String::from).to_vec()),
            Some(names) if names.len() == CLASSES.len() => Ok(names),
            Some(_) => Err(self.damaged(CLASS_NAMES, "does not name ten classes, one a line")),
        }
    }

    /// A file that need not be there, and no more of it than one byte above `limit`.
    fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>> {
        let path = self.folder.join(name);
        match open_plain(&path).and_then(|file| read_capped(file, limit)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    fn damaged(&self, name: &str, problem: impl AsRef<str>) -> Error {
        let message = format!("{}; {}", problem.as_ref(), unpack_command(self.dir));
        Error::data(self.folder.join(name), message)
    }
}

fn unpack_command(dir: &Path) -> String {
    format!("download {URL} and unpack it with `tar -xzf {ARCHIVE} -C {}`", dir.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Image number `seed`, as in the file: channel c of row r of column s is `seed + 7 r + 3 s + 90 c`.
    fn image(seed: usize) -> [u8; IMAGE_BYTES] {
        let value = |at: usize| {
            let (channel, column, row) = (at / AREA, at % AREA / SIDE, at % SIDE);
            (seed + 7 * row + 3 * column + 90 * channel) as u8
        };
        std::array::from_fn(value)
    }

    fn write(dir: &TempDir, name: &str, bytes: &[u8]) {
        fs::write(dir.path().join(FOLDER).join(name), bytes).unwrap();
    }

    fn images(count: usize) -> Vec<u8> {
        (0..count).flat_map(image).collect()
    }

    fn data_dir() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FOLDER)).unwrap();
        write(&dir, "train_X.bin", &images(3));
        write(&dir, "train_y.bin", &[1, 10, 4]);
        write(&dir, "unlabeled_X.bin", &images(2));
        dir
    }

    fn refusal(dir: &TempDir, part: Part) -> String {
        Stl10::load(dir.path(), part).unwrap_err().to_string()
    }

    #[test]
    fn columns_become_rows_and_planes_channels() {
        let dir = data_dir();
        let set = Stl10::load(dir.path(), Part::Train).unwrap();
        assert_eq!((set.len(), set.classes()), (3, &CLASSES.map(String::from)[..]));
        assert_eq!([0, 1, 2].map(|index| set.label(index)), [Some(0), Some(9), Some(3)]);
        let Picture::Pixels(pixels) = set.picture(2).unwrap() else { panic!("pixels") };
        assert_eq!((pixels.width, pixels.height, pixels.bytes.len()), (96, 96, IMAGE_BYTES));
        let (row, column) = (5, 11);
        let first = 2 + 7 * 5 + 3 * 11;
        assert_eq!(
            pixels.bytes[3 * (SIDE * row + column)..][..3],
            [first, first + 90, first + 180]
        );
        assert!(set.name(2).ends_with("stl10_binary/train_X.bin, image 2"));
    }

    #[test]
    fn the_folder_itself_gives_the_same_and_threads_do_not_disturb_each_other() {
        let dir = data_dir();
        let set = Stl10::load(&dir.path().join(FOLDER), Part::Unlabeled).unwrap();
        std::thread::scope(|scope| {
            for index in [0, 1, 0, 1] {
                let set = &set;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let Picture::Pixels(pixels) = set.picture(index).unwrap() else { panic!() };
                        assert!(*pixels.bytes == interleave(&image(index)));
                    }
                });
            }
        });
    }

    #[test]
    fn the_unlabelled_part_has_neither_labels_nor_classes() {
        let set = Stl10::load(data_dir().path(), Part::Unlabeled).unwrap();
        assert_eq!((set.len(), set.label(1)), (2, None));
        assert!(set.classes().is_empty());
    }

    #[test]
    #[should_panic(expected = "label 2 of 2")]
    fn a_label_beyond_the_last_image_is_a_mistake_of_the_caller() {
        Stl10::load(data_dir().path(), Part::Unlabeled).unwrap().label(2);
    }

    #[test]
    fn class_names_come_from_the_list_where_there_is_one() {
        let dir = data_dir();
        write(&dir, CLASS_NAMES, b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
        assert_eq!(Stl10::load(dir.path(), Part::Train).unwrap().classes()[9], "j");
        write(&dir, CLASS_NAMES, b"a\n");
        let message = refusal(&dir, Part::Train);
        assert!(message.contains("class_names.txt: does not name ten classes"), "{message}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (name, bytes, expected) in [
            (
                "train_X.bin",
                &images(1)[1..],
                "train_X.bin: holds 27647 bytes, expected images of 27648",
            ),
            ("train_X.bin", &[], "train_X.bin: holds 0 bytes"),
            ("train_X.bin", &images(2), "train_y.bin: holds more than 2 labels, expected 2"),
            ("train_y.bin", &[1, 2], "train_y.bin: holds 2 labels, expected 3"),
            (
                "train_y.bin",
                &[1, 2, 11],
                "train_y.bin: gives image 2 the label 11, expected 1 to 10",
            ),
            ("train_y.bin", &[1, 0, 2], "train_y.bin: gives image 1 the label 0"),
        ] {
            let dir = data_dir();
            write(&dir, name, bytes);
            let message = refusal(&dir, Part::Train);
            assert!(message.contains(expected), "{message}");
            let next = format!("`tar -xzf stl10_binary.tar.gz -C {}`", dir.path().display());
            assert!(message.ends_with(&next), "{message}");
        }
        let message = refusal(&data_dir(), Part::Test);
        assert!(message.contains("has no stl10_binary/test_X.bin; download http"), "{message}");
        let dir = data_dir();
        fs::remove_file(dir.path().join(FOLDER).join("train_y.bin")).unwrap();
        assert!(refusal(&dir, Part::Train).contains("train_y.bin: is missing"));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_for_the_images_that_are_gone() {
        let dir = data_dir();
        let set = Stl10::load(dir.path(), Part::Train).unwrap();
        let path = dir.path().join(FOLDER).join("train_X.bin");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(2 * IMAGE_BYTES as u64 + 5).unwrap();
        set.picture(1).unwrap();
        let message = set.picture(2).unwrap_err().to_string();
        assert!(message.contains("train_X.bin: no longer has image 2"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_wherever_they_lead() {
        let outside = data_dir();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path().join(FOLDER), dir.path().join(FOLDER)).unwrap();
        let [there, here] =
            [&outside, &dir].map(|dir| Stl10::load(dir.path(), Part::Train).unwrap());
        assert_eq!((here.len(), here.labels), (there.len(), there.labels));
    }
}
