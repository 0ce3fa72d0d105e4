//! Versions and the ranges that requirements ask for: the part of PEP 440 that wheels here use.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};

/// A final release, or a post-release of one.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    text: String,
    release: Vec<u64>,
    post: Option<u64>,
}

impl Version {
    /// `None` for what is never chosen here: alphas, betas, candidates, development releases,
    /// local versions and epochs.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (release, rest) = release(text)?;
        let post = match rest {
            "" => None,
            rest => Some(rest.strip_prefix("post")?.parse().ok()?),
        };
        Some(Self { text: text.to_owned(), release, post })
    }

    fn key(&self) -> (&[u64], Option<u64>) {
        (without_zeros(&self.release), self.post)
    }

    fn starts_with(&self, prefix: &[u64]) -> bool {
        let numbers = self.release.iter().chain(std::iter::repeat(&0));
        prefix.iter().zip(numbers).all(|(a, b)| a == b)
    }
}

/// The leading numbers of a version and what follows them, without the dot between.
fn release(text: &str) -> Option<(Vec<u64>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let numbers = if rest.is_empty() { numbers } else { numbers.trim_end_matches('.') };
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    Some((numbers?, rest))
}

/// 1.0 and 1.0.0 are one version.
fn without_zeros(numbers: &[u64]) -> &[u64] {
    let end = numbers.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
    &numbers[..end]
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a requirement asks of a version, as in `>=9.12.0.46,<10.0`; empty accepts any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range(Vec<Bound>);

#[derive(Clone, Debug)]
struct Bound {
    text: String,
    operator: Operator,
    version: Version,
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Equal,
    EqualPrefix,
    NotEqual,
    NotEqualPrefix,
    AtLeast,
    AtMost,
    Above,
    Below,
    Compatible,
}

impl Range {
    /// `None` when a part is not understood.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(Bound::parse).collect::<Option<_>>().map(Self)
    }

    /// Both ranges at once.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(crate) fn accepts(&self, version: &Version) -> bool {
        self.0.iter().all(|bound| bound.accepts(version))
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.0.iter().map(|bound| bound.text.as_str()).collect();
        f.write_str(&parts.join(","))
    }
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !"=<>!~".contains(c))?;
        let (operator, version) = (&text[..end], text[end..].trim());
        let (version, prefix) = match version.strip_suffix(".*") {
            Some(version) => (version, true),
            None => (version, false),
        };
        let operator = match (operator, prefix) {
            ("==", false) => Operator::Equal,
            ("==", true) => Operator::EqualPrefix,
            ("!=", false) => Operator::NotEqual,
            ("!=", true) => Operator::NotEqualPrefix,
            (">=", false) => Operator::AtLeast,
            ("<=", false) => Operator::AtMost,
            (">", false) => Operator::Above,
            ("<", false) => Operator::Below,
            ("~=", false) => Operator::Compatible,
            _ => return None,
        };
        // Only final releases are compared, so `<2.0.dev0` is `<2.0` and `>=1.0rc1` is `>=1.0`.
        let version = match Version::parse(version) {
            Some(version) => version,
            None => {
                let (release, _) = release(version)?;
                Version { text: version.to_owned(), release, post: None }
            }
        };
        Some(Self { text: text.to_owned(), operator, version })
    }

    fn accepts(&self, version: &Version) -> bool {
        let (bound, numbers) = (&self.version, &self.version.release);
        match self.operator {
            Operator::Equal => version == bound,
            Operator::EqualPrefix => version.starts_with(numbers),
            Operator::NotEqual => version != bound,
            Operator::NotEqualPrefix => !version.starts_with(numbers),
            Operator::AtLeast => version >= bound,
            Operator::AtMost => version <= bound,
            // A post-release of 1.7 is not above 1.7.
            Operator::Above => {
                version > bound && (bound.post.is_some() || version.key().0 != bound.key().0)
            }
            Operator::Below => version < bound,
            Operator::Compatible => {
                version >= bound && version.starts_with(&numbers[..numbers.len() - 1])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(range: &str, version: &str) -> bool {
        Range::parse(range).unwrap().accepts(&Version::parse(version).unwrap())
    }

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        let texts = ["0.9.2", "0.10.0", "0.10.0.post1", "0.11.2", "13.2", "13.10.0.20"];
        let versions: Vec<_> = texts.map(|text| Version::parse(text).unwrap()).into();
        assert!(versions.is_sorted_by(|a, b| a < b));
        assert_eq!(Version::parse("1.0"), Version::parse("1.0.0"));
    }

    #[test]
    fn what_is_no_final_release_is_none() {
        for text in ["0.0.1rc0", "0.11.0a2", "9.25.0.15.dev58388748", "1.0+cu13", "1!2.0", "", "x"]
        {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ranges() {
        for (range, inside, outside) in [
            ("", "1.0", ""),
            ("==0.11.2", "0.11.2", "0.11.2.post1"),
            ("==2.*", "2.7", "20.1"),
            ("!=1.5", "1.6", "1.5.0"),
            ("!=1.5.*", "1.6", "1.5.3"),
            (">=13.0.0.19", "13.10.0.20", "13.0.0.2"),
            ("<10.0,>=9.12.0.46", "9.28.1.4", "10.0"),
            ("<= 2.0", "2.0.0", "2.0.1"),
            (">1.7", "1.7.1", "1.7.post1"),
            ("~=2.2", "2.9", "3.0"),
            ("~=1.4.5", "1.4.9", "1.5.0"),
            ("<2.0.dev0", "1.9", "2.0"),
        ] {
            assert!(accepts(range, inside), "{range} accepts {inside}");
            assert!(outside.is_empty() || !accepts(range, outside), "{range} refuses {outside}");
        }
        for text in ["1.0", "===1.0", "<2.*", ">="] {
            assert!(Range::parse(text).is_none(), "{text}");
        }
    }
}
