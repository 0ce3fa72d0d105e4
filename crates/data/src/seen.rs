//! What was found of a dataset, in one line.

use std::fmt;

use logo_ssl_base::words::{counted, grouped};
use serde::Serialize;

/// How many kinds of files are named in the line.
const MOST_KINDS: usize = 6;

/// What a run trains on, what it is tested on, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Images that are trained on.
    pub images: usize,
    /// Classes of these; 0 where there are no labels.
    pub classes: usize,
    /// Images held out of training, or in a part of their own to test on.
    pub held_out: usize,
    /// Images that are trained on and have no label.
    pub unlabelled: usize,
    /// What lies beside the images and was not read, the most frequent first.
    pub ignored: Vec<Ignored>,
}

/// Files of one kind that were not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// `.txt`, or what they are, in the singular: `system file`.
    pub kind: String,
    /// How many there are.
    pub files: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, classes, held_out, unlabelled, ignored } = self;
        f.write_str(&counted(*images, "image"))?;
        match (classes, unlabelled) {
            (0, _) => f.write_str(" without labels")?,
            (1, 0) => f.write_str(" in 1 class")?,
            (1, _) => {
                write!(f, " in 1 class, {} of them without a label", grouped(*unlabelled as u64))?
            }
            (_, 0) => write!(f, " in {} classes", grouped(*classes as u64))?,
            _ => {
                let (classes, unlabelled) = (grouped(*classes as u64), grouped(*unlabelled as u64));
                write!(f, " in {classes} classes, {unlabelled} of them without a label")?;
            }
        }
        if *held_out > 0 {
            write!(f, ", {} held out", grouped(*held_out as u64))?;
        }
        let (named, others) = ignored.split_at(ignored.len().min(MOST_KINDS));
        for (number, ignored) in named.iter().enumerate() {
            write!(f, "{} {ignored}", if number == 0 { "; ignored:" } else { "," })?;
        }
        match others.iter().map(|ignored| ignored.files).sum() {
            0 => Ok(()),
            files => write!(f, ", {}", counted(files, "other file")),
        }
    }
}

impl Ignored {
    /// Counts by kind, the most frequent first.
    pub(crate) fn sorted(counts: impl IntoIterator<Item = (String, usize)>) -> Vec<Self> {
        let of = |(kind, files)| Self { kind, files };
        let mut ignored: Vec<Self> = counts.into_iter().map(of).collect();
        ignored.sort_by_key(|ignored| std::cmp::Reverse(ignored.files));
        ignored
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, files } = self;
        match kind.starts_with('.') {
            true => write!(f, "{} {kind}", grouped(*files as u64)),
            false => f.write_str(&counted(*files, kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(kinds: &[(&str, usize)]) -> Vec<Ignored> {
        kinds.iter().map(|&(kind, files)| Ignored { kind: kind.to_owned(), files }).collect()
    }

    #[test]
    fn it_is_one_line() {
        let kinds = [(".txt", 4), ("system file", 2), ("broken link", 1)];
        let seen = Seen {
            images: 1203,
            classes: 12,
            held_out: 130,
            unlabelled: 0,
            ignored: ignored(&kinds),
        };
        assert_eq!(
            seen.to_string(),
            "1,203 images in 12 classes, 130 held out; ignored: 4 .txt, 2 system files, 1 broken link"
        );
        let stray = Seen { unlabelled: 1, held_out: 0, ignored: vec![], ..seen.clone() };
        assert_eq!(stray.to_string(), "1,203 images in 12 classes, 1 of them without a label");
        let flat = Seen { images: 1, unlabelled: 1, ..Seen::default() };
        assert_eq!(flat.to_string(), "1 image without labels");
        let many = Seen { images: 1_281_167, classes: 1, ..Seen::default() };
        assert_eq!(many.to_string(), "1,281,167 images in 1 class");
        let kinds: Vec<String> = (1..10).map(|kind| format!(".{kind}")).collect();
        let counts = kinds.iter().map(|kind| (kind.clone(), 7 - kind.len()));
        let ignored = Ignored::sorted(counts.chain([("system file".to_owned(), 9)]));
        let full = Seen { images: 2, ignored, ..Seen::default() };
        let line = "2 images without labels; ignored: 9 system files, 5 .1, 5 .2, 5 .3, 5 .4, 5 .5, 20 other files";
        assert_eq!(full.to_string(), line);
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!(
            (&json["held_out"], &json["ignored"][1]["kind"]),
            (&130.into(), &"system file".into())
        );
    }
}
