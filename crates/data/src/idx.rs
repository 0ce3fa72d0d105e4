//! MNIST, Fashion-MNIST, EMNIST and other images in IDX files: <http://yann.lecun.com/exdb/mnist/>,
//! <https://github.com/zalandoresearch/fashion-mnist>,
//! <https://www.nist.gov/itl/products-and-services/emnist-dataset>.
//!
//! An IDX file is two zero bytes, a byte for the type of its values, a byte for the number of its
//! dimensions, the size of each as four bytes, the highest first, and the values, the last index the
//! fastest. Images are one file of unsigned bytes, `[n, height, width]`, their labels another, `[n]`. Those
//! of EMNIST are written column by column, and its letters are counted from 1; here they come upright and
//! from 0.
//!
//! Kaggle has the same as text: a row for each image, its label first, then its pixels.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::decode::Content;
use super::disk::{open_plain, read_head};
use super::{Dataset, Image, Picture, Split, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Malformed, Result};

/// MNIST, or any other set of that form.
pub static MNIST: Source = Source {
    name: "mnist",
    preset: "cifar10-cpu",
    statistics: Some([[0.1307; 3], [0.3081; 3]]),
    origin: Origin::Person {
        why: "MNIST has several homes",
        download: "download the four files train-images-idx3-ubyte.gz … t10k-labels-idx1-ubyte.gz into a folder",
        folder: None,
    },
    load: |at| {
        // It may lie beside others whose files are called the same.
        let dir = at.own_folder(&["mnist", "MNIST/raw", "emnist", "EMNIST/raw"])?;
        Parts::of_splits(|split| Idx::load(&dir, split, &[]).map(Some))
    },
};

/// Fashion-MNIST.
pub static FASHION_MNIST: Source = Source {
    name: "fashion-mnist",
    preset: "cifar10-cpu",
    statistics: Some([[0.2860; 3], [0.3530; 3]]),
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
const FOLDERS: [&str; 8] =
    ["", "mnist", "fashion-mnist", "MNIST/raw", "FashionMNIST/raw", "emnist", "EMNIST/raw", "gzip"];
/// The sets that EMNIST consists of, by the names that its files have.
const EMNIST: [&str; 6] = ["balanced", "byclass", "bymerge", "digits", "letters", "mnist"];
/// The small letters that `balanced` and `bymerge` do not tell from capitals.
const MERGED: &str = "cijklmopsuvwxyz";
/// The code for values of one unsigned byte.
const UNSIGNED_BYTE: u8 = 0x08;
/// What a file may unfold to; the images of MNIST are 47 MB.
const MOST_VALUES: u64 = 1 << 30;

/// What to do about a file that is damaged, or does not fit the other.
const AGAIN: &str = "remove both and download them again";
/// What a file compressed with gzip begins with, whatever it is called.
const GZIP: [u8; 2] = [0x1f, 0x8b];

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
    /// Reads `split` from `dir`, or from its `mnist`, `fashion-mnist`, `emnist`, `gzip`, `MNIST/raw`,
    /// `FashionMNIST/raw` or `EMNIST/raw`: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, for
    /// testing `t10k-…` or `test-…`, each also with a dot before `idx`, gzipped, in a folder of its own name,
    /// or of EMNIST with `emnist-letters-` or the like before it. Where there are none, Kaggle's
    /// `mnist_train.csv` and `mnist_test.csv`. Debian's package `dataset-fashion-mnist` has the files in
    /// `/usr/share/datasets/fashion-mnist`.
    ///
    /// Class c is called `classes[c]`, or if there are not so many names c, and in EMNIST its letter.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file that is missing, damaged, something else, or does not fit the other;
    /// and when more than one of the folders has such files, or one has several sets. [`Error::Io`] when one
    /// cannot be opened.
    pub fn load(dir: &Path, split: Split, classes: &[&str]) -> Result<Self> {
        let found = locate(dir, split)?;
        let labels_path = found.labels()?;
        let Found { images: path, set, .. } = found;
        let (images, labels): (Array<3>, Array<1>) = match &labels_path {
            Some(labels) => (open(&path)?, open(labels)?),
            None => open_csv(&path)?,
        };
        let [count, height, width] = images.sizes;
        if labels.values.len() != count {
            let found = labels.values.len();
            let images = path.display();
            let problem = format!("has {found} labels, but {images} has {count} images");
            return Err(Error::data(
                labels_path.unwrap_or_default(),
                format!("{problem}; {AGAIN}"),
            ));
        }
        let (labels, names) = match set {
            Some(set) => emnist_classes(set, labels.values)
                .map_err(|problem| Error::data(labels_path.as_ref().unwrap_or(&path), problem))?,
            None => (labels.values, Vec::new()),
        };
        let names: Vec<&str> = match classes {
            [] => names.iter().map(String::as_str).collect(),
            given => given.to_vec(),
        };
        let (values, [height, width]) = match set {
            Some(_) => (transposed(&images.values, [height, width]), [width, height]),
            None => (images.values, [height, width]),
        };
        Ok(Idx {
            path,
            width,
            height,
            pixels: values.iter().flat_map(|&value| [value; 3]).collect(),
            classes: class_names(&names, &labels),
            labels,
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

/// Reads the IDX file `path`, gzipped or not.
fn open<const RANK: usize>(path: &Path) -> Result<Array<RANK>> {
    let file = open_plain(path).map_err(Error::io("read", path))?;
    let head = read_head(path).unwrap_or_default();
    let is_gzip = head.starts_with(&GZIP);
    let array = match is_gzip {
        true => Array::read(MultiGzDecoder::new(file)),
        false => Array::read(file),
    };
    array.map_err(|problem| match Content::of(&head).filter(|_| !is_gzip) {
        Some(content) => Error::data(path, content.to_string()),
        None => Error::data(path, format!("{problem}; {AGAIN}")),
    })
}

/// Reads images and labels from the text file `path`.
fn open_csv(path: &Path) -> Result<(Array<3>, Array<1>)> {
    let file = open_plain(path).map_err(Error::io("read", path))?;
    read_csv(BufReader::new(file)).map_err(|problem| {
        let content = read_head(path).and_then(|head| Content::of(&head));
        let is_named = |content: &Content| !content.is_text();
        match content.filter(is_named) {
            Some(content) => Error::data(path, content.to_string()),
            None => Error::data(path, format!("{problem}; remove it and download it again")),
        }
    })
}

/// Square images in rows of numbers with commas between, each after its label. The first row may be names.
///
/// # Errors
/// [`Malformed`] naming the row that is something else.
pub fn read_csv(text: impl BufRead) -> Result<(Array<3>, Array<1>), Malformed> {
    let (mut values, mut labels, mut length) = (Vec::new(), Vec::new(), 0);
    for (row, line) in text.lines().enumerate() {
        let line = line.map_err(|error| format!("cannot be read to its end ({error})"))?;
        let numbers: Result<Vec<u8>, _> =
            line.trim().split(',').map(|field| field.trim().parse()).collect();
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(_) if row == 0 || line.trim().is_empty() => continue,
            Err(_) => {
                return Err(
                    format!("has in row {row} something that is no number up to 255").into()
                );
            }
        };
        let [label, pixels @ ..] = &numbers[..] else { continue };
        let is_square = !pixels.is_empty() && pixels.len().isqrt().pow(2) == pixels.len();
        if !is_square || length != 0 && pixels.len() != length {
            let found = pixels.len();
            return Err(format!(
                "has {found} pixels in row {row}, expected those of a square, as in others"
            )
            .into());
        }
        length = pixels.len();
        labels.push(*label);
        values.extend(pixels);
    }
    match (labels.len(), length.isqrt()) {
        (0, _) => Err("has no row of a label and pixels".into()),
        (count, side) => Ok((
            Array { sizes: [count, side, side], values },
            Array { sizes: [count], values: labels },
        )),
    }
}

/// Images of `[height, width]`, each with its columns as rows.
fn transposed(values: &[u8], [height, width]: [usize; 2]) -> Vec<u8> {
    let image = |image: &[u8]| -> Vec<u8> {
        (0..width).flat_map(|x| (0..height).map(move |y| image[y * width + x])).collect()
    };
    values.chunks_exact(height * width).flat_map(image).collect()
}

/// The labels of a set of EMNIST counted from 0, and the names of its classes.
fn emnist_classes(set: &str, mut labels: Vec<u8>) -> Result<(Vec<u8>, Vec<String>), String> {
    let mut names: Vec<char> = ('0'..='9').collect();
    match set {
        "letters" => {
            if labels.contains(&0) {
                return Err(format!("has the label 0, expected letters from 1 to 26; {AGAIN}"));
            }
            labels.iter_mut().for_each(|label| *label -= 1);
            names = ('a'..='z').collect();
        }
        "byclass" => names.extend(('A'..='Z').chain('a'..='z')),
        "bymerge" | "balanced" => {
            names.extend(('A'..='Z').chain(('a'..='z').filter(|letter| !MERGED.contains(*letter))));
        }
        _ => {}
    }
    Ok((labels, names.into_iter().map(String::from).collect()))
}

/// The files of a dataset.
#[derive(Debug)]
struct Found {
    /// The folder that was looked in.
    folder: PathBuf,
    images: PathBuf,
    /// What the file of labels is called, up to its kind; none where images come with their labels, as text.
    labels: Option<String>,
    /// Which of EMNIST's sets it is, if any.
    set: Option<&'static str>,
}

impl Found {
    /// The file of labels; none where images come with them.
    fn labels(&self) -> Result<Option<PathBuf>> {
        let Some(name) = &self.labels else { return Ok(None) };
        find(&self.folder, name, "idx1-ubyte").map(Some).ok_or_else(|| {
            let problem = format!("has images, but no {name}-idx1-ubyte; download it too");
            Error::data(&self.folder, problem)
        })
    }
}

/// The files of images and of labels.
fn locate(dir: &Path, split: Split) -> Result<Found> {
    let parts: &[&str] = match split {
        Split::Train => &["train"],
        Split::Test => &["t10k", "test"],
    };
    let mut found = Vec::new();
    for folder in FOLDERS.map(|folder| dir.join(folder)) {
        found.extend(in_folder(&folder, parts)?);
    }
    // A folder that has them itself is the one that was meant.
    let at = found.iter().position(|found| found.folder == dir).unwrap_or(0);
    match &found[..] {
        [] => Err(Error::data(dir, nothing_there(parts[0]))),
        [first, second, ..] if first.folder != dir => {
            Err(Error::data(dir, ambiguous(&first.images, &second.images)))
        }
        _ => Ok(found.swap_remove(at)),
    }
}

/// The files of the dataset in `folder`, if there is one: those without the name of a set before others.
fn in_folder(folder: &Path, parts: &[&str]) -> Result<Option<Found>> {
    let sets = || [None].into_iter().chain(EMNIST.map(Some));
    let mut found = Vec::new();
    for (set, part) in sets().flat_map(|set| parts.iter().map(move |part| (set, part))) {
        let name = set.map_or_else(|| part.to_string(), |set| format!("emnist-{set}-{part}"));
        let Some(images) = find(folder, &format!("{name}-images"), "idx3-ubyte") else { continue };
        let labels = Some(format!("{name}-labels"));
        found.push(Found { folder: folder.into(), images, labels, set });
    }
    if found.is_empty() {
        let csv = |set: Option<&'static str>, name: String| {
            let images = folder.join(name);
            images.is_file().then(|| Found { folder: folder.into(), images, labels: None, set })
        };
        for part in parts {
            let plain =
                ["mnist", "fashion-mnist"].map(|name| csv(None, format!("{name}_{part}.csv")));
            let sets = EMNIST.map(|set| csv(Some(set), format!("emnist-{set}-{part}.csv")));
            found.extend(plain.into_iter().chain(sets).flatten());
        }
    }
    let plain = found.iter().position(|found| found.set.is_none()).unwrap_or(0);
    match &found[..] {
        [] => Ok(None),
        [first, second, ..] if first.set.is_some() => {
            Err(Error::data(folder, ambiguous(&first.images, &second.images)))
        }
        _ => Ok(Some(found.swap_remove(plain))),
    }
}

/// The file called `part`, as it may be written, by itself or in a folder of the same name.
fn find(folder: &Path, part: &str, kind: &str) -> Option<PathBuf> {
    let names = ["-", "."].map(|dot| ["", ".gz"].map(|end| format!("{part}{dot}{kind}{end}")));
    let places = names
        .as_flattened()
        .iter()
        .flat_map(|name| [folder.join(name), folder.join(name).join(name)]);
    places.into_iter().find(|path| path.is_file())
}

fn nothing_there(part: &str) -> String {
    format!(
        "no {part}-images-idx3-ubyte, {part}-images-idx3-ubyte.gz or mnist_{part}.csv here, nor in its {}; \
         download the four files of the dataset into it, or name the folder that has them",
        FOLDERS[1..].join(", ")
    )
}

fn ambiguous(first: &Path, second: &Path) -> String {
    let (first, second) = (first.display(), second.display());
    format!(
        "has both {first} and {second}; name the folder of the one that is meant, or give it one of its own"
    )
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
            (
                labels(),
                labels(),
                "begins with the bytes [00, 00, 08, 01], expected [00, 00, 08, 03]",
            ),
            (gzip(&labels()), labels(), "begins with the bytes [00, 00, 08, 01]"),
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
        for bytes in [&whole[..whole.len() - 1], &wrong_checksum] {
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
    fn links_are_followed_wherever_they_lead() {
        let outside = train_dir(images(), labels());
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("mnist")).unwrap();
        let [there, here] =
            [&outside, &dir].map(|dir| Idx::load(dir.path(), Split::Train, &[]).unwrap());
        assert_eq!((here.pixels, here.labels), (there.pixels, there.labels));
    }

    #[test]
    fn gzip_is_known_by_its_content_and_what_is_something_else_is_named() {
        let plain = train_dir(gzip(&images()), labels());
        assert_eq!(Idx::load(plain.path(), Split::Train, &[]).unwrap().len(), 2);
        for (bytes, expected) in [
            (&b""[..], "is empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
            (b"<html><h1>403 Forbidden</h1></html>", "is a web page (HTML)"),
            (b"PK\x03\x04\x14\0", "is a ZIP archive; unpack it"),
        ] {
            let name = "train-images-idx3-ubyte.gz";
            let dir = folder_of(&[(name, bytes.to_vec()), ("train-labels-idx1-ubyte", labels())]);
            let message = refusal(&dir);
            assert!(message.contains(name) && message.contains(expected), "{message}");
        }
    }

    #[test]
    fn files_may_lie_in_folders_of_their_own_names() {
        let dir = folder_of(&[
            ("t10k-images-idx3-ubyte/t10k-images-idx3-ubyte", images()),
            ("t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte", labels()),
        ]);
        assert_eq!(Idx::load(dir.path(), Split::Test, &[]).unwrap().len(), 2);
    }

    fn emnist(set: &str, part: &str, labels: &[u8]) -> [(String, Vec<u8>); 2] {
        let labels = idx(&[2], labels);
        [
            (format!("gzip/emnist-{set}-{part}-images-idx3-ubyte.gz"), gzip(&images())),
            (format!("gzip/emnist-{set}-{part}-labels-idx1-ubyte.gz"), gzip(&labels)),
        ]
    }

    fn folder_with(files: &[(String, Vec<u8>)]) -> TempDir {
        folder_of(&files.iter().map(|(name, bytes)| (&name[..], bytes.clone())).collect::<Vec<_>>())
    }

    #[test]
    fn emnist_comes_upright_with_its_letters() {
        for (set, labels, expected) in [
            ("letters", [1, 26], ["a", "z"]),
            ("digits", [0, 9], ["0", "9"]),
            ("byclass", [10, 61], ["A", "z"]),
            ("balanced", [35, 46], ["Z", "t"]),
        ] {
            let files = [emnist(set, "train", &labels), emnist(set, "test", &labels)].concat();
            let dir = folder_with(&files);
            for split in [Split::Train, Split::Test] {
                let found = Idx::load(dir.path(), split, &[]).unwrap();
                let names = [0, 1].map(|at| found.classes()[found.label(at).unwrap()].clone());
                assert_eq!(names, expected, "{set}");
                // The first image is [[0, 1, 2], [3, 4, 5]] in the file.
                let Picture::Pixels(image) = found.picture(0).unwrap() else { panic!("pixels") };
                assert_eq!((image.width, image.height), (2, 3));
                let grey: Vec<u8> = image.bytes.iter().step_by(3).copied().collect();
                assert_eq!(grey, [0, 3, 1, 4, 2, 5]);
            }
        }
        let message = refusal(&folder_with(&emnist("letters", "train", &[0, 1])));
        assert!(message.contains("has the label 0, expected letters from 1 to 26"), "{message}");
        let both =
            [emnist("letters", "train", &[1, 2]), emnist("digits", "train", &[1, 2])].concat();
        let message = refusal(&folder_with(&both));
        assert!(
            message.contains("has both ") && message.contains("emnist-letters-train"),
            "{message}"
        );
    }

    #[test]
    fn text_of_kaggle_is_read() {
        let row = |label: u8, first: u8| {
            let pixels: Vec<String> = (first..first + 4).map(|value| value.to_string()).collect();
            format!("{label},{}\n", pixels.join(","))
        };
        let text = format!("label,1x1,1x2,2x1,2x2\r\n{}\n{}", row(7, 250), row(0, 3));
        for name in ["mnist_test.csv", "fashion-mnist/fashion-mnist_test.csv"] {
            let dir = folder_of(&[(name, text.clone().into_bytes())]);
            let found = Idx::load(dir.path(), Split::Test, &[]).unwrap();
            assert_eq!([found.label(0), found.label(1)], [Some(7), Some(0)]);
            let Picture::Pixels(image) = found.picture(1).unwrap() else { panic!("pixels") };
            assert_eq!(
                (image.width, image.height, &image.bytes[..6]),
                (2, 2, &[3, 3, 3, 4, 4, 4][..])
            );
        }
        let text = format!("{}{}", row(1, 9), row(2, 9));
        let dir = folder_of(&[("emnist-letters-train.csv", text.into_bytes())]);
        assert_eq!(Idx::load(dir.path(), Split::Train, &[]).unwrap().label(1), Some(1));
        for (text, expected) in [
            ("label,1x1\n", "has no row of a label and pixels"),
            ("1,2,3\n", "has 2 pixels in row 0, expected those of a square"),
            ("1,2\n1,2,3,4,5\n", "has 4 pixels in row 1"),
            ("1,2\n1,256\n", "has in row 1 something that is no number up to 255"),
            ("", "is empty"),
            ("<html>404</html>", "is a web page"),
        ] {
            let message = refusal(&folder_of(&[("mnist_train.csv", text.as_bytes().to_vec())]));
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
