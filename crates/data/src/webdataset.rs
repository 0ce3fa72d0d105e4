//! Images in tar archives, as WebDataset keeps them: <https://github.com/webdataset/webdataset>.
//!
//! Members whose paths are the same up to the first dot of the file name make up a sample: `a/7.jpg` is its
//! image, `a/7.cls` its label, or `a/7.json` has that as `label`, `cls` or the like. A label is a decimal
//! number or the name of a class; names are numbered in alphabetical order, the same in all parts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::Value;
use tar::{Archive, Entry, Header};

use super::decode::{Content, EXTENSIONS, printable};
use super::disk::{lines, read_capped, read_exact_at, read_head};
use super::sharded::{self, Joined, Label, Used, Written, find};
use super::{Dataset, Picture, Split, StoredFile};
use crate::source::{Origin, Parts, Source};
use crate::{Error, Malformed, Result, hub_cache};

/// `webdataset` by name.
pub static SOURCE: Source = Source {
    name: "webdataset",
    preset: "folder",
    statistics: None,
    origin: Origin::Own("shards are yours already"),
    load: |at| {
        let dir = hub_cache::snapshot(&at.folder()?);
        Shards::load_parts(&dir).map(Parts::of)
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
/// What a JSON member may call its label. Of several the first.
const LABEL_KEYS: [&str; 10] = [
    "label",
    "cls",
    "class",
    "target",
    "class_id",
    "label_id",
    "category_id",
    "category",
    "class_name",
    "label_name",
];
/// How many keys are named where none of these is there.
const NAMED_KEYS: usize = 20;
/// Pictures that cannot be decoded. They are images of their samples all the same, so that they are named
/// and counted as broken.
const UNREAD: [&[u8]; 6] = [b"avif", b"heic", b"heif", b"jxl", b"jp2", b"psd"];

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
    /// The headers of all members are read, and the contents of those with labels. Where these are names,
    /// those of the other split are read too, for a class has one number in both. The names of classes
    /// whose labels are numbers are those in `dir/classnames.txt` or `classes.txt`, or in the folder of the
    /// first shard, or else numbers; where labels are names, such a list says their order.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such file, naming the shard that is cut off, damaged or something
    /// else, or the list with fewer names than there are labels. [`Error::Io`] when one cannot be read.
    pub fn load(dir: &Path, split: Split) -> Result<Option<Self>> {
        let open = |split| Opened::of(dir, split);
        let parts = sharded::with_names_of_both(split, open, Opened::has_names)?;
        let Some(parts) = parts else { return Ok(None) };
        let [this, _] = Self::joined(dir, parts)?;
        Ok(this)
    }

    /// The shards of both splits, as [`load`](Self::load) opens them, each of which is read once.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_parts(dir: &Path) -> Result<[Option<Self>; 2]> {
        Self::joined(dir, [Opened::of(dir, Split::Train)?, Opened::of(dir, Split::Test)?])
    }

    fn joined(dir: &Path, parts: [Option<Opened>; 2]) -> Result<[Option<Self>; 2]> {
        let first = parts.iter().flatten().find_map(|part| part.shards.first());
        let beside = first.and_then(|(path, _)| path.parent()).unwrap_or(dir);
        let lists = [dir, beside].map(|folder| CLASS_NAMES.map(|name| folder.join(name)));
        let list = lists.into_iter().flatten().find(|list| list.is_file());
        let names = match &list {
            Some(list) => read_names(list)?,
            None => Vec::new(),
        };
        let list = list.as_deref().unwrap_or(dir);
        let files = parts.iter().flatten().flat_map(|part| &part.shards);
        let used: Vec<&Used> = files.map(|(_, index)| &index.used).collect();
        let joined = Joined::of(&used, &names).map_err(|problem| {
            Error::data(list, format!("{problem}; add what is missing, or remove the list"))
        })?;
        let mut file = 0;
        let mut part = |part: Option<Opened>| {
            part.map(|part| part.numbered(joined.as_ref(), &mut file, list, &names)).transpose()
        };
        let [train, test] = parts;
        Ok([part(train)?, part(test)?])
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

/// The shards of a split, each with what is in it.
struct Opened {
    shards: Vec<(PathBuf, Index)>,
}

impl Opened {
    fn of(dir: &Path, split: Split) -> Result<Option<Self>> {
        let Some(paths) = find(dir, "tar", split)? else { return Ok(None) };
        let index_of = |path: PathBuf| {
            let file = File::open(&path).map_err(Error::io("read", &path))?;
            let index = index(file).map_err(|error| damaged(&path, error))?;
            Ok((path, index))
        };
        let shards: Vec<_> = paths.into_par_iter().map(index_of).collect::<Result<_>>()?;
        for (path, _) in shards.iter().filter(|(_, index)| index.samples.is_empty()) {
            tracing::warn!("{}: has no image and is passed over", path.display());
        }
        let [images, left_out] = shards.iter().fold([0; 2], |[images, left_out], (_, index)| {
            [images + index.samples.len(), left_out + index.left_out]
        });
        if images == 0 {
            return Err(Error::data(dir, nothing_there()));
        }
        let this = Self { shards };
        for warning in [about_left_out(images, left_out), this.about_labels()].into_iter().flatten()
        {
            tracing::warn!("{}: {}", dir.display(), printable(warning));
        }
        Ok(Some(this))
    }

    /// What to say where there is JSON and no label at all.
    fn about_labels(&self) -> Option<String> {
        let mut indices = self.shards.iter().map(|(_, index)| index);
        if indices.clone().any(|index| index.samples.iter().any(|sample| sample.label.is_some())) {
            return None;
        }
        let (keys, expected) =
            (indices.find_map(|index| index.keys.as_ref())?, LABEL_KEYS.join(", "));
        Some(format!(
            "no image has a label: expected a number or a name in its JSON as {expected}; it has {keys}"
        ))
    }

    fn has_names(&self) -> bool {
        self.shards.iter().any(|(_, index)| !index.used.names.is_empty())
    }

    /// With the numbers that its labels have among those of all files, of which its first is number `file`.
    fn numbered(
        self,
        joined: Option<&Joined>,
        file: &mut usize,
        list: &Path,
        names: &[String],
    ) -> Result<Shards> {
        let mut shards = Shards { shards: Vec::new(), samples: Vec::new(), classes: Vec::new() };
        for (path, index) in self.shards {
            let label = |label: Label| match joined {
                Some(joined) => joined.label(*file, label),
                None => Some(label),
            };
            let numbered =
                |sample: Sample| Sample { label: sample.label.and_then(label), ..sample };
            shards.samples.extend(index.samples.into_iter().map(numbered));
            shards.shards.push(Shard { path, end: shards.samples.len() });
            *file += 1;
        }
        let names = joined.map_or(names, |joined| &joined.names);
        let labels = shards.samples.iter().map(|sample| sample.label);
        shards.classes = sharded::classes(labels, names.to_vec()).map_err(|index| {
            let (sample, label) = (shards.name(index), shards.label(index).unwrap_or_default());
            let problem =
                format!("names {} classes, but {sample} has the label {label}", names.len());
            let next = "add the names that are missing, or remove the list";
            Error::data(list, format!("{problem}; {next}"))
        })?;
        Ok(shards)
    }
}

/// What to say of images that are left out, for a sample has one.
fn about_left_out(images: usize, left_out: usize) -> Option<String> {
    let said = format!(
        "{images} images are read, and {left_out} are left out: names that are the same up to their first \
         dot are one sample, of which one image is read"
    );
    match left_out {
        0 => None,
        _ if left_out > images => Some(format!(
            "{said}. If each is an image of its own, write the shards again with names without further \
             dots: 0001_a.jpg, not 0001.a.jpg"
        )),
        _ => Some(said),
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
            Ok(member) => format!("{shard}, {} at byte {at}", printable(member)),
            Err(_) => format!("{shard}, byte {at}"),
        }
    }

    fn stored_file(&self, index: usize) -> Option<StoredFile<'_>> {
        self.shards.get(index).map(|shard| StoredFile::alone(&shard.path))
    }
}

/// What is in a shard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The samples with images, in the order of their first members.
    pub samples: Vec<Sample>,
    /// Images that are not read, for their samples have others.
    pub left_out: usize,
    /// The classes of their labels.
    used: Used,
    /// The keys of the first JSON member that has no label.
    keys: Option<String>,
}

/// What is in the tar archive `shard`.
///
/// Only headers and labels are read. Members that are no plain files are passed over, and so are files
/// that begin with a dot. Of several images the one with the fewest dots in its name counts, and of those
/// the first; `.cls` counts before `.json`.
///
/// # Errors
/// When the archive is damaged, or lacks the empty block at its end, for then it has been cut off; when
/// a label is none, or an image has 4 GiB.
pub fn index(shard: impl Read + Seek) -> io::Result<Index> {
    let mut archive = Archive::new(Watched { reader: shard, has_ended: false });
    let mut drafts = Drafts::default();
    for entry in archive.entries_with_seek()? {
        drafts.note(entry?)?;
    }
    match archive.into_inner().has_ended {
        false => Ok(drafts.index()),
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
    keys: Option<String>,
}

#[derive(Default)]
struct Draft {
    image: Option<Image>,
    /// How many images it has.
    images: usize,
    cls: Option<Written>,
    json: Option<Written>,
}

struct Image {
    at: u64,
    length: u32,
    rank: Rank,
}

/// Which image of a sample is read: the one of the lowest rank. Whether it cannot be decoded, and how many
/// dots there are in what follows the first one of its name.
type Rank = (bool, usize);

/// What a member is to its sample.
enum Role {
    Image { rank: Rank },
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
        let name = String::from_utf8_lossy(&path);
        let about = |problem: String| broken(Malformed::from(format!("{name} {problem}")));
        match role {
            Role::Image { rank } => {
                draft.images += 1;
                if draft.image.as_ref().is_none_or(|image| rank < image.rank) {
                    let (at, size) = (member.raw_file_position(), member.size());
                    let length = u32::try_from(size).map_err(|_| {
                        about(format!("takes {size} bytes, expected less than 4 GiB"))
                    })?;
                    draft.image = Some(Image { at, length, rank });
                }
            }
            Role::Cls => draft.cls = read_label(&mut member, parse_cls)?.map_err(about)?,
            Role::Json => {
                let mut keys = None;
                let parse = |bytes: &[u8]| parse_json(bytes, &mut keys);
                draft.json = read_label(&mut member, parse)?.map_err(about)?;
                if draft.json.is_none() && self.keys.is_none() {
                    self.keys = keys;
                }
            }
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

    fn index(self) -> Index {
        let left_out = self.all.iter().map(|draft| draft.images.saturating_sub(1)).sum();
        let with_image = |Draft { image, cls, json, .. }: Draft| Some((image?, cls.or(json)));
        let (images, written): (Vec<Image>, Vec<Option<Written>>) =
            self.all.into_iter().filter_map(with_image).unzip();
        let (labels, used) = sharded::number(written);
        let sample = |(Image { at, length, .. }, label)| Sample { at, length, label };
        let samples = images.into_iter().zip(labels).map(sample).collect();
        Index { samples, left_out, used, keys: self.keys }
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
            _ => {
                let last = extension.rsplit(|byte| *byte == b'.').next()?;
                let is_unread = UNREAD.contains(&last);
                if !is_unread && !EXTENSIONS.iter().any(|known| known.as_bytes() == last) {
                    return None;
                }
                Role::Image { rank: (is_unread, dots) }
            }
        };
        Some((key, role))
    }
}

/// The label that `parse` finds in what `member` holds, or what is wrong with it.
fn read_label(
    member: impl Read,
    parse: impl FnOnce(&[u8]) -> Result<Option<Written>, String>,
) -> io::Result<Result<Option<Written>, String>> {
    let bytes = read_capped(member, MOST_LABEL_BYTES)?;
    Ok(match bytes.len() > MOST_LABEL_BYTES {
        true => Err(format!("takes more than {MOST_LABEL_BYTES} bytes")),
        false => parse(&bytes).map_err(|problem| format!("holds {problem}")),
    })
}

fn parse_cls(bytes: &[u8]) -> Result<Option<Written>, String> {
    let text = std::str::from_utf8(bytes);
    Written::text(text.map_err(|_| "no label: expected a number or the name of a class")?)
}

/// The label in JSON, and to `keys` those that it has where none of them is a label's.
fn parse_json(bytes: &[u8], keys: &mut Option<String>) -> Result<Option<Written>, String> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("no JSON ({error})"))?;
    let Value::Object(values) = &value else { return written(&value).unwrap_or(Ok(None)) };
    let label = LABEL_KEYS.iter().find_map(|key| written(values.get(*key)?));
    if label.is_none() {
        let names: Vec<&str> = values.keys().map(String::as_str).take(NAMED_KEYS).collect();
        *keys = Some(names.join(", "));
    }
    label.unwrap_or(Ok(None))
}

/// The label that `value` is; none if it is something that no label is.
fn written(value: &Value) -> Option<Result<Option<Written>, String>> {
    match value {
        Value::Number(number) => Some(match number.as_i64() {
            Some(number) => Written::number(number),
            None => Written::float(number.as_f64()?),
        }),
        Value::String(text) => Some(Written::text(text)),
        Value::Bool(is_one) => Some(Written::number((*is_one).into())),
        _ => None,
    }
}

/// The names in `list`.
fn read_names(list: &Path) -> Result<Vec<String>> {
    let bytes = File::open(list).and_then(|file| read_capped(file, MOST_NAME_BYTES));
    let bytes = bytes.map_err(Error::io("read", list))?;
    match bytes.len() > MOST_NAME_BYTES {
        true => Err(Error::data(list, format!("takes more than {MOST_NAME_BYTES} bytes"))),
        false => Ok(lines(&bytes)),
    }
}

fn broken(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn damaged(path: &Path, error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::io("read", path)(error);
    }
    if error.get_ref().is_some_and(|problem| problem.is::<Malformed>()) {
        return Error::data(path, format!("its member {error}; mend it and write the shard again"));
    }
    let is_tar = |head: &[u8]| head.get(257..).is_some_and(|rest| rest.starts_with(b"ustar"));
    let content = read_head(path).filter(|head| !is_tar(head)).and_then(|head| Content::of(&head));
    let problem = match content {
        Some(content) => content.to_string(),
        None => format!("is damaged: {error}; fetch it again, or remove it"),
    };
    Error::data(path, problem)
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
            ("v1.0/b.json", b"{\"cls\": 3, \"label\": [7]}"),
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
        assert_eq!(samples.samples, [Sample { at: 3 * BLOCK as u64, length: 5, label }]);
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
        assert_eq!(index(Cursor::new(builder.into_inner().unwrap())).unwrap(), Index::default());
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
        let message = problem("a.cls", b"\x80\x01dog");
        assert!(message.contains("0.tar: its member a.cls holds no label: expected"), "{message}");
        assert!(message.ends_with("; mend it and write the shard again"), "{message}");
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
        assert_eq!(index(Cursor::new(&whole[..needed])).unwrap().samples.len(), 2);
        for length in [1000, 2048, needed - 1] {
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
                if let Ok(index) = index(Cursor::new(&shard)) {
                    let is_inside = |sample: &Sample| sample.at < shard.len() as u64;
                    assert!(index.samples.iter().all(is_inside));
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

    #[test]
    fn labels_may_be_names_the_same_in_all_shards_and_parts() {
        let shard = |labels: &[(&str, &[u8])]| {
            let images = labels
                .iter()
                .map(|(name, _)| name.replace(".cls", ".jpg").replace(".json", ".jpg"));
            let images: Vec<String> = images.collect();
            let members: Vec<(&str, &[u8])> =
                images.iter().map(|name| (&name[..], &b"x"[..])).collect();
            archive(&[&members[..], labels].concat())
        };
        let dir = folder_of(&[
            ("train-0.tar", shard(&[("0.cls", b"dog\n"), ("1.cls", b" cat "), ("2.cls", b"")])),
            (
                "train-1.tar",
                shard(&[("3.json", br#"{"class_name": "bee"}"#), ("4.json", br#"{"id": 3}"#)]),
            ),
            ("val-0.tar", shard(&[("5.json", br#"{"label": "dog"}"#), ("6.cls", b"ant")])),
        ]);
        let labels =
            |shards: &Shards| (0..shards.len()).map(|at| shards.label(at)).collect::<Vec<_>>();
        let [train, test] = Shards::load_parts(dir.path()).unwrap().map(Option::unwrap);
        assert_eq!(train.classes(), ["ant", "bee", "cat", "dog"]);
        assert_eq!(labels(&train), [Some(3), Some(2), None, Some(1), None]);
        assert_eq!(labels(&test), [Some(3), Some(0)]);
        assert_eq!(test.classes(), train.classes());
        for (split, expected) in [(Split::Train, train), (Split::Test, test)] {
            let found = load(&dir, split);
            assert_eq!((labels(&found), found.classes()), (labels(&expected), expected.classes()));
        }
    }

    #[test]
    fn labels_in_json_have_any_usual_name_and_type() {
        for (json, expected) in [
            (r#"{"label": 2}"#, Some(2)),
            (r#"{"class": "2"}"#, Some(2)),
            (r#"{"category_id": 2.0}"#, Some(2)),
            (r#"{"target": true}"#, Some(1)),
            (r#"{"label": null, "cls": 1}"#, Some(1)),
            (r#"{"label": -1}"#, None),
            (r#"{"caption": "a dog"}"#, None),
            ("3", Some(3)),
            ("[3]", None),
        ] {
            let found = images(&[("a.jpg", b"a"), ("a.json", json.as_bytes())]);
            assert_eq!(found, [(b"a".to_vec(), expected)], "{json}");
        }
        let message =
            refusal(&[("0.tar", archive(&[("a.jpg", b"a"), ("a.json", br#"{"label": 0.5}"#)]))]);
        assert!(
            message.contains("a.json holds the label 0.5, expected a whole number"),
            "{message}"
        );
    }

    #[test]
    fn a_list_says_the_order_of_names_and_must_have_them() {
        let shard = archive(&[("a.jpg", b"a"), ("a.cls", b"cat")]);
        let files = [("0.tar", shard), ("classes.txt", b"dog\ncat".to_vec())];
        let shards = load(&folder_of(&files), Split::Train);
        assert_eq!(
            (shards.label(0), shards.classes()),
            (Some(1), &["dog", "cat"].map(String::from)[..])
        );
        let [shard, _] = files;
        let message = refusal(&[shard, ("classes.txt", b"dog".to_vec())]);
        assert!(
            message.contains("classes.txt: does not have the class cat of a label; add"),
            "{message}"
        );
    }

    #[test]
    fn images_that_are_left_out_are_counted_and_most_are_warned_of() {
        let names: Vec<String> =
            (0..30).map(|at| format!("clip{}.frame{at:02}.jpg", at % 3)).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (&name[..], &b"x"[..])).collect();
        let found = index(Cursor::new(archive(&members))).unwrap();
        assert_eq!((found.samples.len(), found.left_out), (3, 27));
        let warning = about_left_out(3, 27).unwrap();
        assert!(warning.contains("3 images are read, and 27 are left out"), "{warning}");
        assert!(
            warning.contains("write the shards again with names without further dots"),
            "{warning}"
        );
        let warning = about_left_out(30, 30).unwrap();
        assert!(!warning.contains("write the shards again"), "{warning}");
        assert_eq!(about_left_out(30, 0), None);
    }

    #[test]
    fn pictures_that_cannot_be_decoded_are_images_unless_there_is_another() {
        let found = images(&[("a.HEIC", b"a"), ("b.avif", b"no"), ("b.x.jpg", b"b")]);
        assert_eq!(found, [(b"a".to_vec(), None), (b"b".to_vec(), None)]);
    }

    #[test]
    fn what_is_no_shard_is_named_as_what_it_is() {
        for (bytes, expected) in [
            (&b""[..], "0.tar: is empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "run `git lfs pull`"),
            (&[b"<!DOCTYPE html><p>".as_slice(), &[b'x'; 600]].concat(), "0.tar: is a web page"),
            (&[b"\x1f\x8b\x08".as_slice(), &[9; 600]].concat(), "compressed with gzip; unpack it"),
        ] {
            let message = refusal(&[("0.tar", bytes.to_vec())]);
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains(char::is_control), "{message}");
        }
    }

    #[test]
    fn json_without_a_label_is_said_where_there_is_no_label_at_all() {
        let warning = |members: &[(&str, &[u8])]| {
            let dir = folder_of(&[("a.tar", archive(members))]);
            Opened::of(dir.path(), Split::Train).unwrap().unwrap().about_labels()
        };
        let unlabelled = [("a.jpg", &b"a"[..]), ("a.json", br#"{"kind": 3, "url": "x"}"#)];
        let message = warning(&unlabelled).unwrap();
        assert!(
            message.contains("expected a number or a name in its JSON as label, cls"),
            "{message}"
        );
        assert!(message.ends_with("it has kind, url"), "{message}");
        let labelled = [("b.jpg", &b"b"[..]), ("b.json", br#"{"label": 3}"#)];
        assert_eq!(warning(&[unlabelled, labelled].concat()), None);
        assert_eq!(warning(&[unlabelled[0]]), None);
    }
}
