//! A dataset packed into one file, so that training opens no others.
//!
//! ```text
//! header   1,024 bytes: MAGIC, then JSON, padded with blanks
//! records  one an image: what the index says of it, then its bytes
//! index    for each record its place and what it is, 28 bytes; then the names of the classes as JSON
//! ```
//!
//! The header is written again when all is there: until then it has no index, and the records that
//! lie in the file are all there is to go on from. Numbers are little-endian. Files are read at
//! offsets rather than mapped: if one shrinks meanwhile, that is an error and not the end of the
//! process.

mod write;

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use write::{Packing, pack};

use super::decode::Content;
use super::disk::read_exact_at;
use super::{Dataset, Picture, Pixels, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Malformed, Remedy, Result};

/// `pack` by name.
pub static SOURCE: Source = Source {
    name: "pack",
    preset: "folder",
    statistics: None,
    origin: Origin::Packed,
    load: |at| Pack::open(&at.folder()?).map(Parts::of),
};

const MAGIC: &[u8; 8] = b"LOGOPACK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 1024;
/// What files are called that hold packs.
pub const EXTENSION: &str = "pack";

/// How an image is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Its pixels, `[height, width, 3]`: read without decoding.
    Raw,
    /// A file: JPEG of this quality, 1 to 100, or the original where that is small enough as it is.
    Jpeg {
        /// Of 100.
        quality: u8,
    },
}

/// What is asked of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What the shorter side of larger images is brought to, pixels; 0 leaves them as they are.
    pub side: usize,
    /// How images are stored.
    pub encoding: Encoding,
}

/// The first bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    options: Options,
    /// Images of the train and of the test part of what is packed.
    images: [u64; 2],
    /// CRC-32 of their names: a pack goes on with the images it was begun with.
    names: u32,
    /// None until all is there.
    index: Option<IndexPlace>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexPlace {
    offset: u64,
    /// Of the train and of the test part, those first.
    records: [u64; 2],
    /// CRC-32 of the index and the classes.
    crc: u32,
}

impl Header {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        serde_json::to_writer(&mut bytes, self).expect("a header is made of JSON's own types");
        assert!(bytes.len() < HEADER_BYTES, "a header of numbers fits");
        bytes.resize(HEADER_BYTES - 1, b' ');
        bytes.push(b'\n');
        bytes
    }

    fn of_bytes(bytes: &[u8]) -> Result<Self, String> {
        let json = bytes
            .get(..HEADER_BYTES)
            .and_then(|bytes| bytes.strip_prefix(MAGIC))
            .ok_or_else(|| match Content::of(bytes) {
                Some(content) => content.to_string(),
                None => "is no pack: it does not begin with LOGOPACK".into(),
            })?;
        let header: Self = serde_json::from_slice(json)
            .map_err(|error| format!("has a damaged header: {error}"))?;
        match header.version == VERSION {
            true => Ok(header),
            false => Err(format!("is a pack of version {}, expected {VERSION}", header.version)),
        }
    }
}

/// One image of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Where its bytes begin in the file.
    offset: u64,
    /// How many they are.
    len: u32,
    /// Pixels; 0 for a file, which says itself.
    width: u16,
    height: u16,
    /// [`NO_LABEL`] for none.
    label: u32,
    /// CRC-32 of its bytes.
    crc: u32,
    /// Its number in the part that was packed.
    source: u32,
}

const NO_LABEL: u32 = u32::MAX;
const ENTRY_BYTES: usize = 28;

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.width.to_le_bytes());
        bytes[14..16].copy_from_slice(&self.height.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.label.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.crc.to_le_bytes());
        bytes[24..].copy_from_slice(&self.source.to_le_bytes());
        bytes
    }

    fn of_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let four = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let two = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            offset: u64::from(four(0)) | u64::from(four(4)) << 32,
            len: four(8),
            width: two(12),
            height: two(14),
            label: four(16),
            crc: four(20),
            source: four(24),
        }
    }

    fn is_file(&self) -> bool {
        self.width == 0
    }

    /// Whether it can be true of an image whose bytes end before `end`.
    fn check(&self, end: u64, classes: usize) -> Result<(), String> {
        let pixels = u64::from(self.width) * u64::from(self.height) * 3;
        let last = self.offset.checked_add(u64::from(self.len));
        let inside = self.offset >= (HEADER_BYTES + ENTRY_BYTES) as u64
            && last.is_some_and(|last| last <= end);
        let labelled = self.label == NO_LABEL || (self.label as usize) < classes;
        match inside && labelled && (self.is_file() || pixels == u64::from(self.len)) {
            true => Ok(()),
            false => Err(format!("has an index that contradicts itself at image {}", self.source)),
        }
    }
}

/// What a pack holds, without the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Of the train and of the test part.
    parts: [Vec<Entry>; 2],
    classes: Vec<String>,
}

impl Contents {
    /// Reads header and index of a file of `length` bytes; `read` gives so many bytes from an offset.
    ///
    /// # Errors
    /// [`Malformed`] when it is no pack, is not finished, or is damaged; and those of `read`.
    pub fn read(
        length: u64,
        read: impl Fn(u64, usize) -> Result<Vec<u8>, Malformed>,
    ) -> Result<Self, Malformed> {
        let header = Header::of_bytes(&read(0, HEADER_BYTES.min(length as usize))?)?;
        let index = header
            .index
            .ok_or("is not finished; pack the same images again, which goes on with it")?;
        let damaged = || "is damaged: its index is not where its header says".to_owned();
        let size = length.checked_sub(index.offset).ok_or_else(damaged)?;
        let [train, test] = index.records;
        let entries = train.checked_add(test).and_then(|all| all.checked_mul(ENTRY_BYTES as u64));
        let entries = entries.filter(|&bytes| bytes <= size).ok_or_else(damaged)? as usize;
        let bytes = read(index.offset, size as usize)?;
        if crc32fast::hash(&bytes) != index.crc {
            return Err("is damaged: its index has another checksum than its header says".into());
        }
        let classes: Vec<String> = serde_json::from_slice(&bytes[entries..])
            .map_err(|error| format!("is damaged: its classes are no list of names ({error})"))?;
        let (all, _) = bytes[..entries].as_chunks::<ENTRY_BYTES>();
        let all: Vec<Entry> = all.iter().map(Entry::of_bytes).collect();
        all.iter().try_for_each(|entry| entry.check(index.offset, classes.len()))?;
        let (train, test) = all.split_at(train as usize);
        Ok(Self { parts: [train.to_vec(), test.to_vec()], classes })
    }
}

/// One part of a packed dataset. Its images stay in the file, and each is read when it is asked for.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    /// Shared with the other part.
    file: Arc<File>,
    entries: Vec<Entry>,
    /// Empty where there are no labels.
    classes: Vec<String>,
}

impl Pack {
    /// Opens the pack `path`, or the only one in the folder `path`: the parts to train on and to test
    /// on, as far as it has them.
    ///
    /// # Errors
    /// [`Error::Data`] when it is no pack, or a damaged or unfinished one; [`Error::Io`] when it cannot
    /// be read.
    pub fn open(path: &Path) -> Result<[Option<Self>; 2]> {
        let path = locate(path)?;
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let length = file.metadata().map_err(Error::io("read", &path))?.len();
        let read = |offset, count| {
            let mut bytes = vec![0; count];
            let read = read_exact_at(&file, &mut bytes, offset);
            read.map(|()| bytes).map_err(|error| format!("cannot be read ({error})").into())
        };
        let contents = Contents::read(length, read)
            .map_err(|problem| Error::data(&path, problem.to_string()))?;
        let (file, classes) = (Arc::new(file), contents.classes);
        Ok(contents.parts.map(|entries| {
            let (path, file, classes) = (path.clone(), Arc::clone(&file), classes.clone());
            (!entries.is_empty()).then_some(Self { path, file, entries, classes })
        }))
    }
}

impl Dataset for Pack {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let entry = &self.entries[index];
        let mut bytes = vec![0; entry.len as usize];
        read_exact_at(&self.file, &mut bytes, entry.offset)
            .map_err(Error::io("read", &self.path))?;
        if crc32fast::hash(&bytes) != entry.crc {
            return Err(Error::data(self.name(index), "is damaged: its bytes have changed"));
        }
        let bytes = Cow::Owned(bytes);
        Ok(match entry.is_file() {
            true => Picture::File(bytes),
            false => {
                let (width, height) = (entry.width.into(), entry.height.into());
                Picture::Pixels(Pixels { width, height, bytes })
            }
        })
    }

    fn label(&self, index: usize) -> Option<usize> {
        let label = self.entries[index].label;
        (label != NO_LABEL).then_some(label as usize)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {}", self.path.display(), self.entries[index].source)
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        (index == 0).then(|| StoredFile::alone(&self.path))
    }
}

/// `path`, or the only pack in it.
fn locate(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let listed = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let is_pack = |path: &PathBuf| path.extension().is_some_and(|is| is == EXTENSION);
    let mut packs: Vec<PathBuf> =
        listed.filter_map(|entry| Some(entry.ok()?.path())).filter(is_pack).collect();
    packs.sort();
    match &packs[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::data(path, "there is no pack in it: expected a file NAME.pack")
            .mended_by(Remedy::Pack)),
        several => Err(Error::data(
            path,
            format!("there are {} packs in it; name one of them", several.len()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::shapes::Shapes;
    use crate::{Image, Images, Split};

    const RAW: Options = Options { side: 0, encoding: Encoding::Raw };

    fn shapes(split: Split, count: usize) -> Images {
        Images::new(Arc::new(Shapes::render(1, split, count)), 0.0)
    }

    fn pack_shapes(out: &Path, options: Options) -> Result<Packing> {
        let (train, test) = (shapes(Split::Train, 150), shapes(Split::Test, 70));
        pack(&train, Some(&test), out, options, &mut |_| {})
    }

    fn pixels(dataset: &dyn Dataset, index: usize) -> (Vec<u8>, [usize; 2]) {
        let picture = dataset.picture(index).unwrap();
        let opened = picture.open().unwrap();
        let size = opened.size();
        (opened.pixels().unwrap().bytes.to_vec(), size)
    }

    #[test]
    fn raw_pixels_and_labels_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.pack");
        let packing = pack_shapes(&out, RAW).unwrap();
        assert_eq!((packing.images, packing.broken), (220, 0));
        assert_eq!(packing.bytes, fs::metadata(&out).unwrap().len());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no part is left");
        let parts = [(Split::Train, 150), (Split::Test, 70)];
        for (packed, (split, count)) in Pack::open(dir.path()).unwrap().into_iter().zip(parts) {
            let (packed, original) = (packed.unwrap(), shapes(split, count));
            assert_eq!((packed.len(), packed.classes()), (count, original.classes()));
            for index in 0..count {
                assert_eq!(pixels(&packed, index), pixels(&*original, index));
                assert_eq!(packed.label(index), original.label(index));
            }
        }
    }

    #[test]
    fn a_pack_goes_on_where_it_was_broken_off_and_is_the_same_to_the_byte() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, out) = (dir.path().join("whole.pack"), dir.path().join("a.pack"));
        pack_shapes(&whole, RAW).unwrap();
        let whole = fs::read(whole).unwrap();
        let header = Header { index: None, ..Header::of_bytes(&whole).unwrap() }.to_bytes();
        let record = ENTRY_BYTES + 3 * 32 * 32;
        for records in [0, 1, 149, 150, 151, 219, 220] {
            for torn in [0, 5, ENTRY_BYTES + 9] {
                let mut part = whole[..HEADER_BYTES + records * record + torn].to_vec();
                part[..HEADER_BYTES].copy_from_slice(&header);
                fs::write(dir.path().join("a.pack.part"), part).unwrap();
                let packed = pack_shapes(&out, RAW).unwrap();
                assert_eq!(packed.images, 220);
                assert!(fs::read(&out).unwrap() == whole, "after {records} records and {torn}");
                fs::remove_file(&out).unwrap();
            }
        }
    }

    #[test]
    fn a_part_of_other_images_or_options_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.pack");
        let part = dir.path().join("a.pack.part");
        pack_shapes(&out, RAW).unwrap();
        let mut bytes = fs::read(&out).unwrap();
        let header = Header { index: None, ..Header::of_bytes(&bytes).unwrap() };
        bytes[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
        let message = pack_shapes(&out, RAW).unwrap_err().to_string();
        assert!(message.contains("exists already"), "{message}");
        fs::remove_file(&out).unwrap();
        fs::write(&part, &bytes).unwrap();
        let other = Options { side: 16, ..RAW };
        let message = pack_shapes(&out, other).unwrap_err().to_string();
        assert!(message.contains("of other images or options"), "{message}");
        let fewer = shapes(Split::Train, 149);
        let message = pack(&fewer, None, &out, RAW, &mut |_| {}).unwrap_err().to_string();
        assert!(message.contains("of other images or options"), "{message}");
        assert!(fs::read(&part).unwrap() == bytes);
    }

    /// Grey images, 40 × 20 and 10 × 30.
    struct Two;
    impl Dataset for Two {
        fn len(&self) -> usize {
            2
        }
        fn picture(&self, index: usize) -> Result<Picture<'_>> {
            let pixels = &[90; 3 * 40 * 20];
            Ok(match index {
                0 => Image { width: 40, height: 20, pixels }.into(),
                _ => Image { width: 10, height: 30, pixels: &pixels[..900] }.into(),
            })
        }
        fn label(&self, _: usize) -> Option<usize> {
            None
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn name(&self, index: usize) -> String {
            index.to_string()
        }
    }

    #[test]
    fn larger_images_are_brought_to_the_side_and_smaller_ones_stay() {
        let images = Images::new(Arc::new(Two), 0.0);
        for encoding in [Encoding::Raw, Encoding::Jpeg { quality: 95 }] {
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("two.pack");
            let options = Options { side: 15, encoding };
            pack(&images, None, &out, options, &mut |_| {}).unwrap();
            let [packed, test] = Pack::open(&out).unwrap();
            let packed = packed.unwrap();
            assert!(test.is_none());
            assert!(packed.label(0).is_none() && packed.classes().is_empty());
            let (grey, size) = pixels(&packed, 0);
            assert_eq!((size, grey.iter().all(|value| value.abs_diff(90) < 2)), ([30, 15], true));
            assert_eq!(pixels(&packed, 1).1, [10, 30]);
        }
    }

    #[test]
    fn parts_of_different_classes_are_no_pack() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.pack");
        let (train, test) = (shapes(Split::Train, 3), Images::new(Arc::new(Two), 0.0));
        let message = pack(&train, Some(&test), &out, RAW, &mut |_| {}).unwrap_err().to_string();
        assert!(message.contains("has other classes than"), "{message}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_image_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.pack");
        pack_shapes(&out, RAW).unwrap();
        let mut bytes = fs::read(&out).unwrap();
        bytes[HEADER_BYTES + ENTRY_BYTES + 100] ^= 1;
        fs::write(&out, &bytes).unwrap();
        let [packed, _] = Pack::open(&out).unwrap().map(Option::unwrap);
        let message = packed.picture(0).unwrap_err().to_string();
        assert!(message.contains("a.pack, image 0: is damaged"), "{message}");
        assert!(packed.picture(1).is_ok());
        fs::OpenOptions::new().write(true).open(&out).unwrap().set_len(9000).unwrap();
        let message = packed.picture(100).unwrap_err().to_string();
        assert!(message.contains("cannot read"), "{message}");
    }

    #[test]
    fn what_is_no_whole_pack_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a.pack");
        let options = Options { side: 8, encoding: Encoding::Raw };
        pack(&shapes(Split::Train, 3), None, &out, options, &mut |_| {}).unwrap();
        let whole = fs::read(&out).unwrap();
        let read = |bytes: &[u8]| {
            let part = |offset: u64, count: usize| {
                let part = bytes.get(offset as usize..).and_then(|rest| rest.get(..count));
                part.map(<[u8]>::to_vec).ok_or_else(|| "ends early".into())
            };
            Contents::read(bytes.len() as u64, part)
        };
        assert!(read(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "of {length} bytes");
        }
        let index = Header::of_bytes(&whole).unwrap().index.unwrap().offset as usize;
        for at in (0..120).chain(index..whole.len()) {
            let mut bytes = whole.clone();
            bytes[at] ^= 4;
            // A changed option says nothing untrue of what is there; anything else is noticed.
            if let Ok(contents) = read(&bytes) {
                assert_eq!(contents, read(&whole).unwrap(), "byte {at}");
            }
        }
        let unfinished = Header { index: None, ..Header::of_bytes(&whole).unwrap() }.to_bytes();
        assert!(read(&unfinished).unwrap_err().to_string().contains("is not finished"));
        let empty = tempfile::tempdir().unwrap();
        let message = Pack::open(empty.path()).unwrap_err().to_string();
        assert!(message.contains("there is no pack in it"), "{message}");
    }

    #[test]
    fn what_is_something_else_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pack");
        for (bytes, expected) in [
            (&b""[..], "a.pack: is empty"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a.pack: is a Git LFS pointer"),
            (&[b"<html>".as_slice(), &[b'x'; 2000]].concat(), "a.pack: is a web page (HTML)"),
            (&[7; 2000], "a.pack: is no pack: it does not begin with LOGOPACK"),
        ] {
            fs::write(&path, bytes).unwrap();
            let message = Pack::open(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
