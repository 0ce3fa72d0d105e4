//! Images in tar archives, as WebDataset keeps them: <https://github.com/webdataset/webdataset>.
//!
//! Members whose paths are the same up to the first dot of the file name make up a sample: `a/7.jpg` is its
//! image, `a/7.cls` its label as a decimal number, or `a/7.json` has that as `label` or `cls`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;
use tar::{Archive, Entry, Header};

use super::decode::EXTENSIONS;
use super::disk::{lines, open_inside, read_capped, read_exact_at};
use super::sharded::{self, Label, find};
use super::{Dataset, Picture, Split, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Result};

/// `webdataset` by name.
pub static SOURCE: Source = Source {
    name: "webdataset",
    preset: "folder",
    origin: Origin::Own("shards are yours already"),
    load: |at| {
        let dir = at.folder()?;
        Parts::of_splits(|split| Shards::load(&dir, split))
    },
};

/// Lists of the names of classes, one a line in the order of the labels. Of several the first.
const CLASS_NAMES: [&str; 2] = ["classnames.txt", "classes.txt"];
/// What is read of such a list: ImageNet-21k takes a quarter.
const MOST_NAME_BYTES: usize = 1 << 22;
/// What is read of a member that holds a label.
const MOST_LABEL_BYTES: usize = 1 << 20;
/// A member's header takes one such block.
const BLOCK: usize = 512;

/// The images of one split, in the order of the names of their shards.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<Shard>,
    samples: Vec<Sample>,
    classes: Vec<String>,
}

/// An archive, and how many samples there are up to its last.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    end: usize,
}

/// Where a sample's image lies in its shard, and its label: 16 bytes, for there may be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    at: u64,
    length: u32,
    label: Option<Label>,
}

impl Shards {
    /// Opens the shards `*.tar` of `split` in `dir` and in folders up to two below, if there are any:
    /// `imagenet-train-000000.tar`, `train/000000.tar`, or without the name of a part.
    ///
    /// The headers of all members are read, and the contents of those with labels. The names of classes
    /// are those in `dir/classnames.txt` or `classes.txt`, or in the folder of the first shard, or else
    /// numbers.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such file, naming the shard that is cut off or damaged, or the
    /// list with fewer names than there are labels. [`Error::Io`] when one cannot be read, or is a
    /// symbolic link out of `dir`.
    pub fn load(dir: &Path, split: Split) -> Result<Option<Self>> {
        let Some(paths) = find(dir, "tar", split)? else { return Ok(None) };
        let index_of = |path: &PathBuf| {
            let file = File::open(path).map_err(Error::io("read", path))?;
            index(file).map_err(|error| damaged(path, error))
        };
        let samples: Vec<Vec<Sample>> = paths.par_iter().map(index_of).collect::<Result<_>>()?;
        let mut end = 0;
        let shards = paths.into_iter().zip(&samples).map(|(path, samples)| {
            end += samples.len();
            Shard { path, end }
        });
        let shards = shards.collect();
        let mut this = Self { shards, samples: samples.concat(), classes: Vec::new() };
        if this.samples.is_empty() {
            return Err(Error::data(dir, nothing_there()));
        }
        this.classes = this.name_classes(dir)?;
        Ok(Some(this))
    }

    fn name_classes(&self, dir: &Path) -> Result<Vec<String>> {
        let beside = self.shards[0].path.parent().unwrap_or(dir);
        let lists = [dir, beside].map(|folder| CLASS_NAMES.map(|name| folder.join(name)));
        let list = lists.into_iter().flatten().find(|list| list.exists());
        let names = match &list {
            Some(list) => read_names(dir, list)?,
            None => Vec::new(),
        };
        let count = names.len();
        sharded::classes(self.samples.iter().map(|sample| sample.label), names).map_err(|index| {
            let (sample, label) = (self.name(index), self.label(index).unwrap_or_default());
            let problem = format!("names {count} classes, but {sample} has the label {label}");
            let next = "add the names that are missing, or remove the list";
            Error::data(list.unwrap_or_default(), format!("{problem}; {next}"))
        })
    }

    fn shard_of(&self, index: usize) -> &Path {
        &self.shards[self.shards.partition_point(|shard| shard.end <= index)].path
    }

    /// What the header right before the image says it is called: the end of a very long name may lack.
    fn member(&self, index: usize) -> io::Result<String> {
        let at = self.samples[index].at.checked_sub(BLOCK as u64);
        let mut header = Header::new_old();
        let file = File::open(self.shard_of(index))?;
        read_exact_at(&file, header.as_mut_bytes(), at.ok_or(io::ErrorKind::InvalidData)?)?;
        Ok(String::from_utf8_lossy(&header.path_bytes()).into_owned())
    }
}

impl Dataset for Shards {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let Sample { at, length, .. } = self.samples[index];
        let path = self.shard_of(index);
        // Opening takes microseconds, and to hold all shards open is more than many a system allows.
        let file = File::open(path).map_err(Error::io("read", path))?;
        let there = file.metadata().map_err(Error::io("read", path))?.len();
        if there < at + u64::from(length) {
            let name = self.name(index);
            let problem = format!("no longer has all of {name}; fetch it again, or start anew");
            return Err(Error::data(path, problem));
        }
        let mut bytes = vec![0; length as usize];
        read_exact_at(&file, &mut bytes, at).map_err(Error::io("read", path))?;
        Ok(Picture::File(Cow::Owned(bytes)))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.samples[index].label.map(Label::class)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        let (shard, at) = (self.shard_of(index).display(), self.samples[index].at);
        match self.member(index) {
            Ok(member) => format!("{shard}, {member} at byte {at}"),
            Err(_) => format!("{shard}, byte {at}"),
        }
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        self.shards.get(index).map(|shard| StoredFile::alone(&shard.path))
    }
}

/// The samples with images in the tar archive `shard`, in the order of their first members.
///
/// Only headers and labels are read. Members that are no plain files are passed over, and so are files
/// that begin with a dot. Of several images the one with the fewest dots in its name counts, and of those
/// the first; `.cls` counts before `.json`.
///
/// # Errors
/// When the archive is damaged, or lacks the empty block at its end, for then it has been cut off; when
/// a label is none, or an image has 4 GiB.
pub fn index(shard: impl Read + Seek) -> io::Result<Vec<Sample>> {
    let mut archive = Archive::new(Watched { reader: shard, has_ended: false });
    let mut drafts = Drafts::default();
    for entry in archive.entries_with_seek()? {
        drafts.note(entry?)?;
    }
    match archive.into_inner().has_ended {
        false => Ok(drafts.samples()),
        true => Err(broken("its end is missing, so it was cut off")),
    }
}

/// A reader that notes whether its end was met. The tar crate takes that for the end of the archive.
struct Watched<R> {
    reader: R,
    has_ended: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.has_ended |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}

/// The samples of a shard while it is read.
#[derive(Default)]
struct Drafts {
    /// The index in `all` of each key.
    by_key: HashMap<Vec<u8>, usize>,
    all: Vec<Draft>,
}

#[derive(Default)]
struct Draft {
    image: Option<Image>,
    cls: Option<Label>,
    json: Option<Label>,
}

struct Image {
    at: u64,
    length: u32,
    /// How many there are in what follows the first dot of its name.
    dots: usize,
}

/// What a member is to its sample.
enum Role {
    Image { dots: usize },
    Cls,
    Json,
}

impl Drafts {
    fn note(&mut self, mut member: Entry<'_, impl Read>) -> io::Result<()> {
        let path = member.path_bytes().into_owned();
        let Some((key, role)) = Role::of(&path) else { return Ok(()) };
        if !member.header().entry_type().is_file() {
            return Ok(());
        }
        let draft = self.draft(key);
        let about =
            |problem: String| broken(format!("{} {problem}", String::from_utf8_lossy(&path)));
        match role {
            Role::Image { dots } => {
                if draft.image.as_ref().is_none_or(|image| dots < image.dots) {
                    let (at, size) = (member.raw_file_position(), member.size());
                    let length = u32::try_from(size).map_err(|_| {
                        about(format!("takes {size} bytes, expected less than 4 GiB"))
                    })?;
                    draft.image = Some(Image { at, length, dots });
                }
            }
            Role::Cls => draft.cls = read_label(&mut member, parse_cls)?.map_err(about)?,
            Role::Json => draft.json = read_label(&mut member, parse_json)?.map_err(about)?,
        }
        Ok(())
    }

    fn draft(&mut self, key: &[u8]) -> &mut Draft {
        let index = *self.by_key.entry(key.to_vec()).or_insert(self.all.len());
        if index == self.all.len() {
            self.all.push(Draft::default());
        }
        &mut self.all[index]
    }

    fn samples(self) -> Vec<Sample> {
        let sample = |Draft { image, cls, json }: Draft| {
            image.map(|Image { at, length, .. }| Sample { at, length, label: cls.or(json) })
        };
        self.all.into_iter().filter_map(sample).collect()
    }
}

impl Role {
    /// The key of the sample that the member at `path` belongs to, and what it is to that; none if it is
    /// nothing that is looked at.
    fn of(path: &[u8]) -> Option<(&[u8], Self)> {
        let name_at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let stem =
            path[name_at..].iter().position(|byte| *byte == b'.').filter(|stem| *stem > 0)?;
        let (key, extension) = (&path[..name_at + stem], &path[name_at + stem + 1..]);
        let extension = extension.to_ascii_lowercase();
        let dots = extension.iter().filter(|byte| **byte == b'.').count();
        let role = match &extension[..] {
            b"cls" => Role::Cls,
            b"json" => Role::Json,
            _ if is_image(extension.rsplit(|byte| *byte == b'.').next()?) => Role::Image { dots },
            _ => return None,
        };
        Some((key, role))
    }
}

fn is_image(extension: &[u8]) -> bool {
    EXTENSIONS.iter().any(|known| known.as_bytes() == extension)
}

/// The label that `parse` finds in what `member` holds, or what is wrong with it.
fn read_label(
    member: impl Read,
    parse: impl FnOnce(&[u8]) -> Result<Option<i64>, String>,
) -> io::Result<Result<Option<Label>, String>> {
    let bytes = read_capped(member, MOST_LABEL_BYTES)?;
    if bytes.len() > MOST_LABEL_BYTES {
        return Ok(Err(format!("takes more than {MOST_LABEL_BYTES} bytes")));
    }
    Ok(parse(&bytes).and_then(|number| match number {
        Some(number) => {
            Label::of(number).map_err(|expected| format!("holds the label {number}, {expected}"))
        }
        None => Ok(None),
    }))
}

fn parse_cls(bytes: &[u8]) -> Result<Option<i64>, String> {
    let number = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| "holds no label: expected a decimal number".into())
}

fn parse_json(bytes: &[u8]) -> Result<Option<i64>, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("holds no JSON ({error})"))?;
    Ok(["label", "cls"].iter().find_map(|key| value.get(key)?.as_i64()))
}

/// The names in `list`, which must lie in `dir`.
fn read_names(dir: &Path, list: &Path) -> Result<Vec<String>> {
    let bytes = open_inside(dir, list).and_then(|file| read_capped(file, MOST_NAME_BYTES));
    let bytes = bytes.map_err(Error::io("read", list))?;
    match bytes.len() > MOST_NAME_BYTES {
        true => Err(Error::data(list, format!("takes more than {MOST_NAME_BYTES} bytes"))),
        false => Ok(lines(&bytes)),
    }
}

fn broken(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

fn damaged(path: &Path, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(_) => Error::io("read", path)(error),
        None => Error::data(path, format!("is damaged: {error}; fetch it again, or remove it")),
    }
}

fn nothing_there() -> String {
    let known = EXTENSIONS.join(", ");
    format!("there is no image in its shards: expected members ending in one of {known}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use tar::{Builder, EntryType};
    use tempfile::TempDir;

    use super::*;
    use crate::fixture::folder_of;

    /// A tar archive with the blocks at its end.
    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn load(dir: &TempDir, split: Split) -> Shards {
        Shards::load(dir.path(), split).unwrap().unwrap()
    }

    fn refusal(files: &[(&str, Vec<u8>)]) -> String {
        Shards::load(folder_of(files).path(), Split::Train).unwrap_err().to_string()
    }

    fn bytes(shards: &Shards, index: usize) -> Vec<u8> {
        let Picture::File(bytes) = shards.picture(index).unwrap() else { panic!("a file") };
        bytes.into_owned()
    }

    /// The images of an archive in a file, and their labels.
    fn images(members: &[(&str, &[u8])]) -> Vec<(Vec<u8>, Option<usize>)> {
        let dir = folder_of(&[("a.tar", archive(members))]);
        let shards = load(&dir, Split::Train);
        (0..shards.len()).map(|index| (bytes(&shards, index), shards.label(index))).collect()
    }

    #[test]
    fn shards_of_a_split_follow_each_other() {
        let train =
            archive(&[("0.jpg", b"zero"), ("0.cls", b"1"), ("1.png", b"one"), ("1.cls", b" 0\n")]);
        let dir = folder_of(&[
            ("x-train-0001.tar", archive(&[("c/2.webp", b""), ("c/2.cls", b"2")])),
            ("x-train-0000.tar", train),
            ("x-val-0000.tar", archive(&[("9.jpg", b"nine")])),
        ]);
        let train = load(&dir, Split::Train);
        let all: Vec<_> = (0..3).map(|at| (bytes(&train, at), train.label(at).unwrap())).collect();
        assert_eq!(all, [(b"zero".to_vec(), 1), (b"one".to_vec(), 0), (Vec::new(), 2)]);
        assert_eq!(train.classes(), ["0", "1", "2"]);
        assert!(
            train.name(1).ends_with("x-train-0000.tar, 1.png at byte 2560"),
            "{}",
            train.name(1)
        );
        assert!(
            train.name(2).ends_with("x-train-0001.tar, c/2.webp at byte 512"),
            "{}",
            train.name(2)
        );
        let test = load(&dir, Split::Test);
        assert_eq!((test.len(), bytes(&test, 0), test.label(0)), (1, b"nine".to_vec(), None));
        assert!(test.classes().is_empty());
    }

    #[test]
    fn a_sample_is_what_has_one_path_up_to_the_first_dot() {
        let found = images(&[
            ("v1.0/a.json", br#"{"label": 4, "cls": 5}"#),
            ("v1.0/b.input.JPEG", b"b"),
            ("v1.0/a.mask.png", b"mask"),
            ("v1.0/a.jpg", b"a"),
            ("v1.0/a.tiff", b"second"),
            ("v1.0/c.txt", b"no image"),
            ("v1.0/c.cls", b"9"),
            ("v1.0/d.cls", b"1"),
            ("v1.0/d.json", b"{\"cls\": 2}"),
            ("v1.0/d.bmp", b"d"),
            ("v1.0/b.json", b"{\"cls\": 3, \"label\": \"dog\"}"),
            ("v1.0/.hidden.jpg", b"no sample"),
            ("jpg", b"no sample"),
            ("other/a.jpg", b"e"),
            ("other/a.json", b"[0]"),
        ]);
        let expected = [("a", Some(4)), ("b", Some(3)), ("d", Some(1)), ("e", None)];
        assert_eq!(found, expected.map(|(bytes, label)| (bytes.as_bytes().to_vec(), label)));
    }

    #[test]
    fn long_names_are_read_whole() {
        let long = "deep/".repeat(60);
        let [jpg, cls, other] = ["a.jpg", "a.cls", "b.jpg"].map(|name| format!("{long}{name}"));
        let found = images(&[(&jpg, b"a"), (&cls, b"3"), (&other, b"b")]);
        assert_eq!(found, [(b"a".to_vec(), Some(3)), (b"b".to_vec(), None)]);
    }

    #[test]
    fn pax_headers_give_names_and_sizes() {
        let mut builder = Builder::new(Vec::new());
        for (name, bytes) in [("ü.jpg", b"image".as_slice()), ("ü.cls", b"6")] {
            let size = bytes.len().to_string();
            let extensions = [("path", name.as_bytes()), ("size", size.as_bytes())];
            builder.append_pax_extensions(extensions).unwrap();
            let mut header = Header::new_ustar();
            header.set_path("shortened").unwrap();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, bytes).unwrap();
        }
        let samples = index(Cursor::new(builder.into_inner().unwrap())).unwrap();
        let label = Label::of(6).unwrap();
        assert_eq!(samples, [Sample { at: 3 * BLOCK as u64, length: 5, label }]);
    }

    #[test]
    fn members_that_are_no_files_are_passed_over() {
        let mut builder = Builder::new(Vec::new());
        for (kind, name) in [
            (EntryType::Directory, "folder.jpg/"),
            (EntryType::Symlink, "a.jpg"),
            (EntryType::Link, "b.jpg"),
            (EntryType::Char, "c.cls"),
        ] {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_path(name).unwrap();
            header.set_link_name("/etc/passwd").unwrap();
            header.set_size(0);
            header.set_cksum();
            builder.append(&header, &b""[..]).unwrap();
        }
        assert_eq!(index(Cursor::new(builder.into_inner().unwrap())).unwrap(), []);
    }

    #[test]
    fn classes_have_the_names_in_the_list() {
        let shard = archive(&[("a.jpg", b"a"), ("a.cls", b"1")]);
        for list in ["classnames.txt", "classes.txt", "train/classes.txt"] {
            let files = [("train/0.tar", shard.clone()), (list, b"ant\n bee \r\n\ncat".to_vec())];
            assert_eq!(
                load(&folder_of(&files), Split::Train).classes(),
                ["ant", "bee", "cat"],
                "{list}"
            );
        }
        let message = refusal(&[("0.tar", shard), ("classes.txt", b"ant".to_vec())]);
        assert!(message.contains("classes.txt: names 1 classes, but "), "{message}");
        assert!(message.contains("0.tar, a.jpg at byte 512 has the label 1; add"), "{message}");
    }

    #[test]
    fn labels_that_are_none_are_refused_and_unknown_ones_are_not() {
        let problem = |name: &str, label: &[u8]| {
            refusal(&[("0.tar", archive(&[("a.jpg", b"a"), (name, label)]))])
        };
        let message = problem("a.cls", b"dog");
        assert!(message.contains("0.tar: is damaged: a.cls holds no label: expected"), "{message}");
        let message = problem("a.cls", b"99999999");
        assert!(message.contains("a.cls holds the label 99999999, expected less"), "{message}");
        let message = problem("a.json", b"{");
        assert!(message.contains("a.json holds no JSON (EOF"), "{message}");
        let message = problem("a.json", &vec![b' '; MOST_LABEL_BYTES + 1]);
        assert!(message.contains("a.json takes more than 1048576 bytes"), "{message}");
        assert_eq!(images(&[("a.jpg", b"a"), ("a.cls", b"-1")]), [(b"a".to_vec(), None)]);
    }

    #[test]
    fn a_shard_that_was_cut_off_is_named() {
        let whole = archive(&[("a.jpg", &[7; 700]), ("a.cls", b"1"), ("b.jpg", b"b")]);
        // Of the two empty blocks at the end one is enough.
        let needed = whole.len() - BLOCK;
        for length in 0..needed {
            assert!(index(Cursor::new(&whole[..length])).is_err(), "{length}");
        }
        assert_eq!(index(Cursor::new(&whole[..needed])).unwrap().len(), 2);
        for length in [0, 1000, 2048, needed - 1] {
            let message = refusal(&[("0.tar", archive(&[])), ("1.tar", whole[..length].to_vec())]);
            assert!(message.contains("1.tar: is damaged: "), "{length}: {message}");
            assert!(message.ends_with("; fetch it again, or remove it"), "{message}");
        }
    }

    #[test]
    fn shards_without_images_are_refused() {
        let message = refusal(&[("0.tar", archive(&[("a.cls", b"1")]))]);
        assert!(message.contains("there is no image in its shards: expected members"), "{message}");
    }

    #[test]
    fn a_size_that_no_file_has_takes_no_memory() {
        let mut header = Header::new_gnu();
        header.set_path("a.jpg").unwrap();
        for size in [u64::from(u32::MAX), 1 << 40, i64::MAX as u64, u64::MAX] {
            header.set_size(size);
            header.set_cksum();
            let shard = [header.as_bytes().as_slice(), &[0; 2048]].concat();
            assert!(index(Cursor::new(shard)).is_err(), "{size}");
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let shard =
            archive(&[("a.jpg", b"a"), ("a.json", b"{\"cls\": 3}"), (&"b".repeat(120), b"")]);
        for at in 0..shard.len() {
            for change in [1, 0x10, 0x80, 0xff] {
                let mut shard = shard.clone();
                shard[at] ^= change;
                if let Ok(samples) = index(Cursor::new(&shard)) {
                    let is_inside = |sample: &Sample| sample.at < shard.len() as u64;
                    assert!(samples.iter().all(is_inside));
                }
            }
        }
    }

    #[test]
    fn a_shard_that_vanishes_or_shrinks_is_named() {
        let dir = folder_of(&[("0.tar", archive(&[("a.jpg", &[7; 700])]))]);
        let shards = load(&dir, Split::Train);
        let path = dir.path().join("0.tar");
        fs::write(&path, [0; 1000]).unwrap();
        let message = shards.picture(0).unwrap_err().to_string();
        assert!(message.contains("0.tar: no longer has all of "), "{message}");
        fs::remove_file(&path).unwrap();
        let message = shards.picture(0).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("0.tar"), "{message}");
        assert!(shards.name(0).ends_with("0.tar, byte 512"), "{}", shards.name(0));
    }

    #[test]
    fn an_index_entry_is_small() {
        assert_eq!(size_of::<Sample>(), 16);
    }
}
