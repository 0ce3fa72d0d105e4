//! What lies among pictures and is none: what systems and tools leave, runs, files of other kinds.

use std::ffi::OsStr;
use std::path::Path;

use super::decode::{self, EXTENSIONS};
use super::disk::read_head;

/// Files that systems and programs write into folders of pictures, in lower case. What begins with a dot
/// need not be here.
const SYSTEM_FILES: [&str; 7] = [
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "icon\r",
    "picasa.ini",
    "thumbs.db",
    "zbthumbnail.info",
];
/// Folders likewise: the bins, copies and thumbnails of systems, archives and storage boxes.
const SYSTEM_FOLDERS: [&str; 15] = [
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@sharebin",
    "@tmp",
    "__macosx",
    "__pycache__",
    "lost+found",
    "network trash folder",
    "recycler",
    "system volume information",
    "temporary items",
];
/// How files end that no picture is looked for in. Some hold one all the same: a half of a download, a
/// backup of a picture, a thumbnail, what a camera's sensor saw.
const NO_PICTURES: [&str; 74] = [
    "3gp",
    "7z",
    "aae",
    "arw",
    "avi",
    "bak",
    "bin",
    "c",
    "cls",
    "cpp",
    "cr2",
    "cr3",
    "crdownload",
    "css",
    "csv",
    "db",
    "dcm",
    "dng",
    "doc",
    "docx",
    "download",
    "erf",
    "flac",
    "gz",
    "h5",
    "html",
    "ini",
    "ipynb",
    "jpg_original",
    "js",
    "json",
    "jsonl",
    "log",
    "m",
    "mat",
    "md",
    "mkv",
    "mov",
    "mp3",
    "mp4",
    "mpg",
    "nef",
    "npy",
    "npz",
    "orf",
    "orig",
    "pack",
    "parquet",
    "part",
    "partial",
    "pdf",
    "pef",
    "pkl",
    "pt",
    "pth",
    "py",
    "raf",
    "rar",
    "rst",
    "rw2",
    "safetensors",
    "sh",
    "sqlite",
    "srw",
    "tar",
    "tfrecord",
    "thm",
    "tmp",
    "toml",
    "tsv",
    "txt",
    "xml",
    "yaml",
    "zip",
];
/// What a run writes into its directory, beside its config.
const RUN_FILES: [&str; 10] = [
    "checkpoints",
    "config.toml",
    "images.json",
    "metrics.jsonl",
    "places.json",
    "plots",
    "preview.png",
    "report.html",
    "timings.jsonl",
    "weights.safetensors",
];
/// The longest extension that is a kind of its own in counts.
const MOST_EXTENSION: usize = 12;

/// What a name says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Picture,
    /// Its content may be a picture's.
    Unknown,
    NoPicture,
}

/// What the file called `name` is by that name.
pub(crate) fn named(name: &OsStr) -> Named {
    let Some(extension) = extension(name) else { return Named::Unknown };
    if EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)) {
        return Named::Picture;
    }
    let lower = extension.to_ascii_lowercase();
    match lower.ends_with('~') || NO_PICTURES.contains(&&*lower) {
        true => Named::NoPicture,
        false => Named::Unknown,
    }
}

/// The kind of the ignored file `name`, in the singular.
pub(crate) fn kind_of_file(name: &OsStr) -> String {
    match extension(name) {
        None => "extensionless file".to_owned(),
        Some(long) if long.len() > MOST_EXTENSION => "other file".to_owned(),
        Some(extension) => format!(".{}", extension.to_ascii_lowercase()),
    }
}

fn extension(name: &OsStr) -> Option<&str> {
    Path::new(name).extension()?.to_str()
}

/// Whether a system or a tool left a file of this name there.
pub(crate) fn is_system_file(name: &OsStr) -> bool {
    is_one_of(name, &SYSTEM_FILES) || name.as_encoded_bytes().starts_with(b"~$")
}

/// Whether a system or a tool left a folder of this name there.
pub(crate) fn is_system_folder(name: &OsStr) -> bool {
    is_one_of(name, &SYSTEM_FOLDERS)
}

/// What is hidden is nobody's picture, nor a class.
fn is_one_of(name: &OsStr, names: &[&str]) -> bool {
    let hidden = name.as_encoded_bytes().starts_with(b".");
    hidden || names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a folder with such entries is a run's directory.
pub(crate) fn is_run(has: impl Fn(&str) -> bool) -> bool {
    has("config.toml") && (has("metrics.jsonl") || has("checkpoints"))
}

/// Whether a run's directory has an entry of this name.
pub(crate) fn is_of_run(name: &OsStr) -> bool {
    RUN_FILES.iter().any(|known| name == *known)
}

/// Whether the plain file `path` begins as an image does that can be decoded. What cannot be read is none.
pub(crate) fn begins_as_picture(path: &Path) -> bool {
    read_head(path).is_some_and(|head| decode::begins_image(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_may_be_a_picture() {
        for (names, expected) in [
            (&["a.jpg", "b.JPEG", "c.Jpe", "d.TIFF"][..], Named::Picture),
            (&["a", "b.pjp", "c.pjpeg", "d.1", "0a1b2c", "IMG.jpg_large"], Named::Unknown),
            (
                &["a.txt", "b.XML", "c.jpg.part", "d.jpg~", "e.NEF", "f.jpg_original"],
                Named::NoPicture,
            ),
        ] {
            for name in names {
                assert_eq!(named(OsStr::new(name)), expected, "{name}");
            }
        }
    }

    #[test]
    fn leftovers_of_every_system_are_known() {
        let file = |name: &str| is_system_file(OsStr::new(name));
        let folder = |name: &str| is_system_folder(OsStr::new(name));
        for name in ["._x.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", "~$a.jpg"] {
            assert!(file(name), "{name}");
        }
        for name in
            [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git", "$RECYCLE.BIN", ".Trash-1000"]
        {
            assert!(folder(name), "{name}");
        }
        assert!(!file("cat.jpg") && !folder("cat") && !folder("_cat") && !folder("@home"));
    }

    #[test]
    fn kinds_are_extensions_or_words() {
        let kind = |name: &str| kind_of_file(OsStr::new(name));
        assert_eq!(kind("a.TXT"), ".txt");
        assert_eq!(kind("README"), "extensionless file");
        assert_eq!(kind("a.5f0e8d1c2b3a495867"), "other file");
    }
}
