//! What a run is trained on, in a few numbers: whoever goes on with it sees whether that has changed.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use crc32fast::Hasher;
use logo_ssl_base::words::plural;
use serde::{Deserialize, Serialize};

use crate::Dataset;

/// The most files that are asked for their size: of more than these, some all along the dataset. That
/// many answers take a disk some hundredths of a second.
const MOST_SIZES: usize = 4096;

/// A file that images are read from.
#[derive(Clone, Debug)]
pub struct StoredFile<'a> {
    /// The folder of the dataset, which may be moved.
    pub root: &'a Path,
    /// The path of the file in `root`.
    pub inside: Cow<'a, Path>,
}

impl<'a> StoredFile<'a> {
    /// A file whose folder is of no account.
    pub fn alone(path: &'a Path) -> Self {
        let name = path.file_name().map_or(path, Path::new);
        Self { root: path.parent().unwrap_or(path), inside: Cow::Borrowed(name) }
    }
}

/// What a dataset is, as far as it can be told without reading it.
///
/// A dataset whose folder was moved has the same fingerprint. One whose pictures were replaced by others
/// of the same names and sizes has it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// How many images there are.
    pub images: u64,
    /// How many files these are read from; 0 for a dataset that is in no file.
    pub files: u64,
    /// CRC-32 of the paths of all files in the dataset's folder, in order.
    pub names: u32,
    /// CRC-32 of the sizes of the files, or of some thousands of them.
    pub sizes: u32,
}

impl Fingerprint {
    /// The fingerprint of `dataset` as it now lies there.
    pub fn of(dataset: &dyn Dataset) -> Self {
        let mut names = Hasher::new();
        let mut files = 0;
        while let Some(file) = dataset.stored_file(files) {
            add_name(&mut names, &file.inside);
            files += 1;
        }
        let mut sizes = Hasher::new();
        for index in (0..files).step_by(files.div_ceil(MOST_SIZES).max(1)) {
            let file = dataset.stored_file(index);
            let size = file.and_then(|file| fs::metadata(file.root.join(file.inside)).ok());
            sizes.update(&size.map_or(u64::MAX, |size| size.len()).to_le_bytes());
        }
        Self {
            images: dataset.len() as u64,
            files: files as u64,
            names: names.finalize(),
            sizes: sizes.finalize(),
        }
    }

    /// In what the dataset, of which this was the fingerprint, differs `now`, as a clause; none where
    /// nothing is seen to differ.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let was = self;
        let number = |count: u64, thing: &str| format!("{count} {}", plural(count as usize, thing));
        if was.images != now.images {
            let are = if now.images == 1 { "is" } else { "are" };
            let were = if was.images == 1 { "was" } else { "were" };
            let then = number(was.images, "image");
            return Some(format!("there {were} {then} and {are} {}", now.images));
        }
        if was.files != now.files {
            let [then, now] = [was, now].map(|print| number(print.files, "file"));
            return Some(format!("the images were in {then} and are in {now}"));
        }
        if was.names != now.names {
            return Some("there are as many images, under other names".to_owned());
        }
        (was.sizes != now.sizes).then(|| "files have other sizes than they had".to_owned())
    }
}

/// Adds a path to a hash, the same on every system.
fn add_name(hasher: &mut Hasher, path: &Path) {
    for part in path.iter() {
        hasher.update(part.as_encoded_bytes());
        hasher.update(b"/");
    }
    hasher.update(b"\0");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::tree;
    use crate::folder::Folder;
    use crate::shapes::Shapes;
    use crate::{Split, webdataset};

    fn of_folder(dir: &Path) -> Fingerprint {
        Fingerprint::of(&Folder::scan(dir).unwrap())
    }

    #[test]
    fn every_change_that_costs_nothing_to_see_is_told() {
        let dir = tree(&["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]);
        let begun = of_folder(dir.path());
        assert_eq!((begun.images, begun.difference(&of_folder(dir.path()))), (3, None));
        let changed = |change: &dyn Fn(&Path)| {
            let other = tree(&["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]);
            assert_eq!(begun.difference(&of_folder(other.path())), None, "a copy is the same");
            change(other.path());
            begun.difference(&of_folder(other.path())).unwrap()
        };
        let added = changed(&|dir| fs::write(dir.join("dog/2.jpg"), b"2").unwrap());
        assert_eq!(added, "there were 3 images and are 4");
        let removed = changed(&|dir| {
            fs::remove_file(dir.join("cat/1.jpg")).unwrap();
            fs::remove_file(dir.join("cat/2.jpg")).unwrap();
        });
        assert_eq!(removed, "there were 3 images and is 1");
        for (from, to) in [("cat/1.jpg", "cat/3.jpg"), ("cat/1.jpg", "dog/3.jpg"), ("dog", "cow")] {
            let renamed = changed(&|dir| fs::rename(dir.join(from), dir.join(to)).unwrap());
            assert_eq!(renamed, "there are as many images, under other names", "{from} {to}");
        }
        let replaced = changed(&|dir| fs::write(dir.join("dog/1.jpg"), b"another").unwrap());
        assert_eq!(replaced, "files have other sizes than they had");
    }

    #[test]
    fn what_lies_in_no_file_is_counted() {
        let of = |count| Fingerprint::of(&Shapes::render(1, Split::Train, count));
        assert_eq!(of(3), of(3));
        assert_eq!(of(3).difference(&of(2)).unwrap(), "there were 3 images and are 2");
    }

    #[test]
    fn shards_are_told_by_their_files() {
        let shard = |dir: &Path, name: &str, text: &[u8]| {
            let mut tar = tar::Builder::new(fs::File::create(dir.join(name)).unwrap());
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, "1.jpg", text).unwrap();
            tar.finish().unwrap();
        };
        let dir = tempfile::tempdir().unwrap();
        let print = || {
            let shards = webdataset::Shards::load(dir.path(), Split::Train).unwrap().unwrap();
            Fingerprint::of(&shards)
        };
        shard(dir.path(), "0.tar", b"text");
        let begun = print();
        assert_eq!((begun.images, begun.files), (1, 1));
        shard(dir.path(), "0.tar", &[7; 20_000]);
        assert_eq!(begun.difference(&print()).unwrap(), "files have other sizes than they had");
        fs::rename(dir.path().join("0.tar"), dir.path().join("1.tar")).unwrap();
        assert!(begun.difference(&print()).unwrap().contains("under other names"));
    }

    #[test]
    fn it_survives_being_written_down() {
        let print = Fingerprint { images: 3, files: 2, names: 1, sizes: u32::MAX };
        let text = serde_json::to_string(&print).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), print);
    }
}
