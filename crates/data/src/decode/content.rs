//! What a file really is that bears the name of a picture, an archive or a table and is none.

use std::fmt;

/// What such a file is, and how the real one is had. It reads behind the name of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    what: &'static str,
    next: &'static str,
}

const FETCH: &str = "fetch it again from where it comes";
const LFS_PULL: &str =
    "run `git lfs pull` in the repository that it is from, or download the file itself";
const ANNEX_GET: &str = "run `git annex get` in the repository that it is from";
const UNPACK: &str = "unpack it";
const SAVE: &str = "save it as JPEG or PNG";
const DEVELOP: &str = "develop it and save it as JPEG or PNG";
const FRAMES: &str = "save frames of it as JPEG or PNG";
const REMOVE: &str = "remove it";
const TEXT: &str = "text";

/// What files begin with, at which byte, what they then are and what to do about it. Of several the first.
const BEGINNINGS: [(usize, &[u8], &str, &str); 44] = [
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer, which stands for a file that was not fetched",
        LFS_PULL,
    ),
    (
        0,
        b"/annex/objects/",
        "a git-annex pointer, which stands for a file that was not fetched",
        ANNEX_GET,
    ),
    (0, b"\x1f\x8b", "a file compressed with gzip", UNPACK),
    (0, b"PK\x03\x04", "a ZIP archive", UNPACK),
    (0, b"PK\x05\x06", "a ZIP archive", UNPACK),
    (0, b"BZh", "a file compressed with bzip2", UNPACK),
    (0, b"\xfd7zXZ\0", "a file compressed with xz", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed with zstd", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (
        0,
        b"PAR1",
        "a Parquet file",
        "put it into a folder of its own and name that as a Parquet dataset",
    ),
    (4, b"ftypavif", "an AVIF picture", SAVE),
    (4, b"ftypavis", "an AVIF picture", SAVE),
    (4, b"ftyphei", "an HEIC picture", SAVE),
    (4, b"ftyphev", "an HEIC picture", SAVE),
    (4, b"ftypmif1", "an HEIF picture", SAVE),
    (4, b"ftypmsf1", "an HEIF picture", SAVE),
    (4, b"ftypcrx ", "a camera's raw picture (CR3)", DEVELOP),
    (4, b"ftyp", "a video", FRAMES),
    (0, b"\x1a\x45\xdf\xa3", "a video", FRAMES),
    (8, b"AVI LIST", "a video", FRAMES),
    (0, b"\xff\x0a", "a JPEG XL picture", SAVE),
    (4, b"JXL \r\n\x87\n", "a JPEG XL picture", SAVE),
    (4, b"jP  \r\n\x87\n", "a JPEG 2000 picture", SAVE),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture", SAVE),
    (0, b"II\xbc\x01", "a JPEG XR picture", SAVE),
    (0, b"8BPS", "a Photoshop document (PSD)", SAVE),
    (0, b"gimp xcf", "a GIMP document (XCF)", SAVE),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw picture (RAF)", DEVELOP),
    (0, b"IIR", "a camera's raw picture (ORF)", DEVELOP),
    (0, b"IIU\0", "a camera's raw picture (RW2)", DEVELOP),
    (0, b"FOVb", "a camera's raw picture (X3F)", DEVELOP),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture", SAVE),
    (0, b"#?RADIANCE", "a Radiance HDR picture", SAVE),
    (0, b"DDS ", "a DDS texture", SAVE),
    (0, b"qoif", "a QOI picture", SAVE),
    (0, b"farbfeld", "a farbfeld picture", SAVE),
    (0, b"\0\0\x01\0", "an icon (ICO)", SAVE),
    (128, b"DICM", "a DICOM picture", SAVE),
    (0, b"%PDF", "a PDF document", SAVE),
    (0, b"%!PS", "a PostScript document", SAVE),
    (0, b"\x93NUMPY", "a NumPy array", SAVE),
    (0, b"\0\x05\x16\x07", "what macOS keeps about a file beside it (AppleDouble)", REMOVE),
];

/// How much of a file is looked at to find out whether it is text, and what of.
const LOOKED_AT: usize = 1024;

impl Content {
    /// What the file with these `bytes`, or the first thousand of it, is, as far as that can be told.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |at: usize, with| bytes.get(at..).is_some_and(|rest| rest.starts_with(with));
        let known = BEGINNINGS.iter().find(|(at, with, ..)| begins(*at, with));
        if let Some((_, _, what, next)) = known {
            return Some(Self { what, next });
        }
        match bytes {
            [] => Some(Self { what: "empty, without a single byte", next: FETCH }),
            _ if bytes.iter().all(|byte| *byte == 0) => Some(Self {
                what: "nothing but zero bytes, as a copy leaves it that was broken off",
                next: FETCH,
            }),
            _ => text(bytes).map(Self::of_text),
        }
    }

    /// Whether it is text of no known kind.
    pub(crate) fn is_text(&self) -> bool {
        self.what == TEXT
    }

    fn of_text(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
        let begins = |with: &[&str]| with.iter().any(|with| text.starts_with(with));
        let (what, next) = if begins(&["<svg"])
            || begins(&["<?xml", "<!--"]) && text.contains("<svg")
        {
            ("an SVG drawing", SAVE)
        } else if begins(&["<!doctype html", "<html", "<head", "<body"]) || text.contains("<html") {
            (
                "a web page (HTML), as servers send it for a file that is gone or needs a login",
                FETCH,
            )
        } else if begins(&["<?xml", "<error"]) {
            ("XML, as servers send it for a file that is gone or needs a login", FETCH)
        } else if begins(&["{", "["]) {
            ("JSON, as servers send it for a file that is gone or needs a login", FETCH)
        } else {
            (TEXT, "replace it by the file that it stands for, or remove it")
        };
        Self { what, next }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is {}; {}", self.what, self.next)
    }
}

/// The first of `bytes` as text, if that is what they are.
fn text(bytes: &[u8]) -> Option<&str> {
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last letter may be cut in two.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_written = |letter: char| !letter.is_control() || letter.is_ascii_whitespace();
    text.chars().all(is_written).then_some(text)
}

/// `text` without the characters that a terminal would obey rather than show.
pub(crate) fn printable(text: impl fmt::Display) -> String {
    let shown = |letter: char| match letter {
        '\n' => letter,
        _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
        _ => letter,
    };
    text.to_string().chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contents of every kind, and what is said of them.
    pub(crate) const CONTENTS: [(&[u8], &str, &str); 22] = [
        (b"", "empty", "fetch it again"),
        (&[0; 600], "zero bytes", "fetch it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
            "Git LFS",
            "`git lfs pull`",
        ),
        (b"/annex/objects/SHA256E-s12--4d7a.jpg\n", "git-annex", "`git annex get`"),
        (b"\x1f\x8b\x08\0\0\0", "gzip", "unpack it"),
        (b"PK\x03\x04\x14\0", "ZIP", "unpack it"),
        (b"\n <!DOCTYPE HTML><title>404</title>", "a web page (HTML)", "fetch it again"),
        (b"\xef\xbb\xbf<html><body>Sign in</body>", "a web page (HTML)", "fetch it again"),
        (
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
            "XML",
            "fetch it again",
        ),
        (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"\">", "SVG", "save it as JPEG or PNG"),
        (b"{\"error\": \"rate limit\"}", "JSON", "fetch it again"),
        (b"Too many requests\r\n", "text", "replace it"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF", "save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC", "save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIF", "save it as JPEG or PNG"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL", "save it as JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL", "save it as JPEG or PNG"),
        (b"8BPS\0\x01", "Photoshop", "save it as JPEG or PNG"),
        (b"FUJIFILMCCD-RAW 0201", "raw picture", "develop it"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01", "raw picture", "develop it"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video", "save frames"),
        (b"\x76\x2f\x31\x01", "OpenEXR", "save it as JPEG or PNG"),
    ];

    #[test]
    fn what_a_file_is_and_how_the_real_one_is_had_are_said() {
        for (bytes, what, next) in CONTENTS {
            let content = Content::of(bytes).unwrap().to_string();
            assert!(content.starts_with("is ") && content.contains(what), "{content}");
            let (_, found) = content.rsplit_once("; ").unwrap();
            assert!(found.contains(next), "{content}");
            assert!(!content.contains(char::is_control), "{content}");
        }
        assert_eq!(Content::of(b"\x07\x01\xff\xfe nothing known"), None);
    }

    #[test]
    fn text_may_be_cut_within_a_letter() {
        let long = "é".repeat(LOOKED_AT);
        assert_eq!(Content::of(&long.as_bytes()[1..]), None);
        let odd = format!("a{long}");
        assert_eq!(Content::of(odd.as_bytes()).unwrap().what, "text");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        assert_eq!(printable("a\x1b[2Jb\u{9b}c\0\nd é"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\nd é");
    }
}
