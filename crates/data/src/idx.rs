//! MNIST, Fashion-MNIST and other images in IDX files: <http://yann.lecun.com/exdb/mnist/>,
//! <https://github.com/zalandoresearch/fashion-mnist>.
//!
//! An IDX file is two zero bytes, a byte for the type of its values, a byte for the number of its
//! dimensions, the size of each as four bytes, the highest first, and the values, the last index the
//! fastest. Images are one file of unsigned bytes, `[n, height, width]`, their labels another, `[n]`.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::disk::open_inside;
use super::{Dataset, Image, Picture, Split, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Malformed, Result};

/// MNIST, or any other set of that form.
pub static MNIST: Source = Source {
    name: "mnist",
    preset: "cifar10-cpu",
    origin: Origin::Person {
        why: "MNIST has several homes",
        download: "download the four files train-images-idx3-ubyte.gz … t10k-labels-idx1-ubyte.gz into a folder",
        folder: None,
    },
    load: |at| {
        // It may lie beside others whose files are called the same.
        let dir = at.own_folder(&["mnist", "MNIST/raw"])?;
        Parts::of_splits(|split| Idx::load(&dir, split, &[]).map(Some))
    },
};

/// Fashion-MNIST.
pub static FASHION_MNIST: Source = Source {
    name: "fashion-mnist",
    preset: "cifar10-cpu",
    origin: Origin::Person {
        why: "Fashion-MNIST comes with Debian and Ubuntu",
        download: "sudo apt install dataset-fashion-mnist, or download the four files from \
             https://github.com/zalandoresearch/fashion-mnist",
        folder: Some("/usr/share/datasets"),
    },
    load: |at| {
        let dir = at.own_folder(&["fashion-mnist", "FashionMNIST/raw"])?;
        Parts::of_splits(|split| Idx::load(&dir, split, &FASHION_MNIST_CLASSES).map(Some))
    },
};

/// What Fashion-MNIST calls its classes.
pub const FASHION_MNIST_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Where, below the folder that is named, the files may lie; the first is that folder itself.
const FOLDERS: [&str; 5] = ["", "mnist", "fashion-mnist", "MNIST/raw", "FashionMNIST/raw"];
/// The code for values of one unsigned byte.
const UNSIGNED_BYTE: u8 = 0x08;
/// What a file may unfold to; the images of MNIST are 47 MB.
const MOST_VALUES: u64 = 1 << 30;

/// What to do about a file that is damaged, or does not fit the other.
const AGAIN: &str = "remove both and download them again";

/// One split of an IDX dataset, `[n, height, width, 3]` in memory, grey repeated into each channel.
#[derive(Clone, Debug)]
pub struct Idx {
    path: PathBuf,
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl Idx {
    /// Reads `split` from `dir`, or from its `mnist`, `fashion-mnist`, `MNIST/raw` or
    /// `FashionMNIST/raw`: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, for testing
    /// `t10k-…`, each also with a dot before `idx`, and also gzipped. Debian's package
    /// `dataset-fashion-mnist` has them in `/usr/share/datasets/fashion-mnist`.
    ///
    /// Class c is called `classes[c]`, or c if there are not so many names.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file that is missing, damaged, or does not fit the other; and when
    /// more than one of the folders has such files. [`Error::Io`] when one cannot be opened, or is a
    /// symbolic link out of `dir`.
    pub fn load(dir: &Path, split: Split, classes: &[&str]) -> Result<Self> {
        let (images_path, labels_path) = locate(dir, split)?;
        let images: Array<3> = open(dir, &images_path)?;
        let labels: Array<1> = open(dir, &labels_path)?;
        let [count, height, width] = images.sizes;
        if labels.values.len() != count {
            let found = labels.values.len();
            let images = images_path.display();
            let problem = format!("has {found} labels, but {images} has {count} images");
            return Err(Error::data(labels_path, format!("{problem}; {AGAIN}")));
        }
        Ok(Idx {
            path: images_path,
            width,
            height,
            pixels: images.values.iter().flat_map(|&value| [value; 3]).collect(),
            classes: class_names(classes, &labels.values),
            labels: labels.values,
        })
    }
}

impl Dataset for Idx {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let bytes = self.width * self.height * 3;
        let pixels = &self.pixels[index * bytes..][..bytes];
        Ok(Image { width: self.width, height: self.height, pixels }.into())
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(self.labels[index].into())
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

/// The contents of an IDX file of unsigned bytes in `RANK` dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<const RANK: usize> {
    /// The size of each dimension, none of them 0.
    pub sizes: [usize; RANK],
    /// As many as the product of `sizes`, the last index the fastest.
    pub values: Vec<u8>,
}

impl<const RANK: usize> Array<RANK> {
    /// Reads an IDX file, and that nothing follows it.
    ///
    /// # Errors
    /// [`Malformed`] saying what is wrong: `file` cannot be read, is none of unsigned bytes in `RANK` dimensions, has
    /// a dimension of size 0, more than 2³⁰ values, or another number than its sizes say.
    pub fn read(mut file: impl Read) -> Result<Self, Malformed> {
        let unreadable = |error| format!("cannot be read to its end ({error})");
        let mut magic = [0; 4];
        file.read_exact(&mut magic).map_err(unreadable)?;
        if magic != [0, 0, UNSIGNED_BYTE, RANK as u8] {
            return Err(Malformed::from(format!(
                "begins with the bytes {magic:02x?}, expected [00, 00, 08, {RANK:02x}]: unsigned \
                 bytes in {RANK} dimensions"
            )));
        }
        let mut sizes = [0; RANK];
        for size in &mut sizes {
            let mut bytes = [0; 4];
            file.read_exact(&mut bytes).map_err(unreadable)?;
            *size = u32::from_be_bytes(bytes);
        }
        let shape = sizes.map(|size| size.to_string()).join(" × ");
        let expected = value_count(&sizes)
            .ok_or_else(|| format!("is said to have {shape} values, expected 1 to 2³⁰"))?;
        // The vector grows with what is read; the sizes alone do not make it large.
        let mut values = Vec::new();
        file.take(expected + 1).read_to_end(&mut values).map_err(unreadable)?;
        match values.len() as u64 {
            found if found == expected => {
                Ok(Self { sizes: sizes.map(|size| size as usize), values })
            }
            found if found < expected => {
                Err(format!("holds {found} values, expected {expected} = {shape}").into())
            }
            _ => Err(format!("holds more than {expected} = {shape} values").into()),
        }
    }
}

fn value_count(sizes: &[u32]) -> Option<u64> {
    let product =
        sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(u64::from(size)));
    product.filter(|count| (1..=MOST_VALUES).contains(count))
}

/// Reads the IDX file `path`, gzipped if it is called so.
fn open<const RANK: usize>(dir: &Path, path: &Path) -> Result<Array<RANK>> {
    let file = open_inside(dir, path).map_err(Error::io("read", path))?;
    let array = match path.extension() == Some(OsStr::new("gz")) {
        true => Array::read(MultiGzDecoder::new(file)),
        false => Array::read(file),
    };
    array.map_err(|problem| Error::data(path, format!("{problem}; {AGAIN}")))
}

/// The files of images and of labels.
fn locate(dir: &Path, split: Split) -> Result<(PathBuf, PathBuf)> {
    let part = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let images = |folder: &Path| find(folder, &format!("{part}-images"), "idx3-ubyte");
    let found: Vec<PathBuf> =
        FOLDERS.iter().filter_map(|folder| images(&dir.join(folder))).collect();
    let images = match &found[..] {
        [] => return Err(Error::data(dir, nothing_there(part))),
        // A folder that has them itself is the one that was meant.
        [first, ..] if first.parent() == Some(dir) => first,
        [one] => one,
        [first, second, ..] => return Err(Error::data(dir, ambiguous(first, second))),
    };
    let folder = images.parent().unwrap_or(dir);
    match find(folder, &format!("{part}-labels"), "idx1-ubyte") {
        Some(labels) => Ok((images.clone(), labels)),
        None => {
            let problem = format!("has images, but no {part}-labels-idx1-ubyte; download it too");
            Err(Error::data(folder, problem))
        }
    }
}

/// The file called `part`, as it may be written.
fn find(folder: &Path, part: &str, kind: &str) -> Option<PathBuf> {
    let names = ["-", "."].map(|dot| ["", ".gz"].map(|end| format!("{part}{dot}{kind}{end}")));
    names.as_flattened().iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn nothing_there(part: &str) -> String {
    format!(
        "no {part}-images-idx3-ubyte or {part}-images-idx3-ubyte.gz here, nor in its {}; download the \
         four files of the dataset into it, or name the folder that has them",
        FOLDERS[1..].join(", ")
    )
}

fn ambiguous(first: &Path, second: &Path) -> String {
    let (first, second) = (first.display(), second.display());
    format!("has both {first} and {second}; name the folder of the one that is meant")
}

/// A name for each label there is, the first of them `given`.
fn class_names(given: &[&str], labels: &[u8]) -> Vec<String> {
    let needed = labels.iter().max().map_or(0, |&highest| usize::from(highest) + 1);
    let numbers = (given.len()..needed).map(|class| class.to_string());
    given.iter().map(|&name| name.into()).chain(numbers).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::folder_of;

    fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    /// Two images, 2 high and 3 wide.
    fn images() -> Vec<u8> {
        idx(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255])
    }

    fn labels() -> Vec<u8> {
        idx(&[2], &[3, 1])
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn train_dir(images: Vec<u8>, labels: Vec<u8>) -> TempDir {
        folder_of(&[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)])
    }

    fn refusal(dir: &TempDir) -> String {
        Idx::load(dir.path(), Split::Train, &[]).unwrap_err().to_string()
    }

    #[test]
    fn grey_is_repeated_and_rows_stay_rows() {
        let dir = train_dir(images(), labels());
        let set = Idx::load(dir.path(), Split::Train, &["a", "b"]).unwrap();
        assert_eq!(set.len(), 2);
        let Picture::Pixels(image) = set.picture(1).unwrap() else { panic!("pixels") };
        assert_eq!((image.width, image.height), (3, 2));
        assert_eq!(image.bytes[..6], [250, 250, 250, 251, 251, 251]);
        assert_eq!(image.bytes.len(), 18);
        assert_eq!([set.label(0), set.label(1)], [Some(3), Some(1)]);
        assert_eq!(set.classes(), ["a", "b", "2", "3"]);
        assert!(set.name(1).ends_with("train-images-idx3-ubyte, image 1"), "{}", set.name(1));
        let fashion = Idx::load(dir.path(), Split::Train, &FASHION_MNIST_CLASSES).unwrap();
        assert_eq!(fashion.classes(), FASHION_MNIST_CLASSES);
    }

    #[test]
    fn every_place_and_spelling_is_found() {
        for folder in FOLDERS {
            for (images_name, labels_name) in [
                ("t10k-images-idx3-ubyte", "t10k-labels.idx1-ubyte"),
                ("t10k-images.idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
            ] {
                let file = |name: &str, bytes: Vec<u8>| {
                    let packed = if name.ends_with(".gz") { gzip(&bytes) } else { bytes };
                    (Path::new(folder).join(name).to_str().unwrap().to_string(), packed)
                };
                let files = [file(images_name, images()), file(labels_name, labels())];
                let dir =
                    folder_of(&files.each_ref().map(|(name, bytes)| (&name[..], bytes.clone())));
                assert_eq!(Idx::load(dir.path(), Split::Test, &[]).unwrap().len(), 2);
                let message = refusal(&dir);
                assert!(message.contains("no train-images-idx3-ubyte"), "{message}");
            }
        }
    }

    #[test]
    fn of_two_datasets_none_is_chosen_but_the_folder_itself_is() {
        let mut files = vec![
            ("mnist/train-images-idx3-ubyte", images()),
            ("fashion-mnist/train-images-idx3-ubyte", images()),
        ];
        let message = refusal(&folder_of(&files));
        assert!(message.contains("has both") && message.contains("fashion-mnist"), "{message}");
        files.push(("train-images-idx3-ubyte", images()));
        files.push(("train-labels-idx1-ubyte", labels()));
        Idx::load(folder_of(&files).path(), Split::Train, &[]).unwrap();
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (images, labels, expected) in [
            (Vec::new(), labels(), "images-idx3-ubyte: cannot be read to its end"),
            (
                labels(),
                labels(),
                "begins with the bytes [00, 00, 08, 01], expected [00, 00, 08, 03]",
            ),
            (gzip(&images()), labels(), "begins with the bytes [1f, 8b, 08, 00]"),
            (images()[..20].to_vec(), labels(), "holds 4 values, expected 12 = 2 × 2 × 3"),
            ([images(), vec![0]].concat(), labels(), "holds more than 12 = 2 × 2 × 3 values"),
            (idx(&[2, 0, 3], &[]), labels(), "have 2 × 0 × 3 values, expected 1 to"),
            (idx(&[u32::MAX; 3], &[]), labels(), "values, expected 1 to 2³⁰"),
            (idx(&[1 << 10; 3], &[1]), labels(), "holds 1 values, expected 1073741824"),
            (images(), idx(&[3], &[0; 3]), "has 3 labels, but "),
            (images(), idx(&[2], &[0]), "labels-idx1-ubyte: holds 1 values, expected 2"),
        ] {
            let message = refusal(&train_dir(images, labels));
            assert!(message.contains(expected), "{message}");
            assert!(message.ends_with(AGAIN), "{message}");
        }
        let message = refusal(&folder_of(&[("mnist/train-images-idx3-ubyte", images())]));
        assert!(message.contains("mnist: has images, but no train-labels-idx1-ubyte"), "{message}");
    }

    #[test]
    fn a_damaged_gzip_is_refused() {
        let whole = gzip(&images());
        let mut wrong_checksum = whole.clone();
        wrong_checksum[whole.len() - 8] ^= 1;
        for bytes in [&whole[..whole.len() - 1], &wrong_checksum, b"plain"] {
            let name = "train-images-idx3-ubyte.gz";
            let dir = folder_of(&[(name, bytes.to_vec()), ("train-labels-idx1-ubyte", labels())]);
            let message = refusal(&dir);
            assert!(message.contains(name) && message.contains("cannot be read"), "{message}");
        }
    }

    #[test]
    fn no_change_of_a_byte_panics_and_no_cut_is_accepted() {
        let whole = images();
        for length in 0..whole.len() {
            Array::<3>::read(&whole[..length]).unwrap_err();
        }
        for at in 0..whole.len() {
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = Array::<3>::read(&changed[..]);
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let outside = train_dir(images(), labels());
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("mnist")).unwrap();
        let message = refusal(&dir);
        assert!(
            message.contains("train-images-idx3-ubyte: a symbolic link leads out"),
            "{message}"
        );
    }
}
