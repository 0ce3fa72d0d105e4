//! The requirements that a wheel's METADATA declares: the part of PEP 508 that wheels here use.

use crate::python::normalised;
use crate::version::Range;

/// A package and the versions of it that will do.
#[derive(Clone, Debug)]
pub(crate) struct Requirement {
    /// The package's name, normalised.
    pub(crate) name: String,
    pub(crate) range: Range,
}

/// What the markers of a requirement are asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) os: &'a str,
    pub(crate) arch: &'a str,
    pub(crate) extra: &'a str,
}

/// The requirements in `metadata` that belong to the setting's extra.
///
/// # Errors
/// The line that is not understood.
pub(crate) fn of_extra(metadata: &str, setting: Setting<'_>) -> Result<Vec<Requirement>, String> {
    let headers = metadata.lines().take_while(|line| !line.trim().is_empty());
    let lines = headers.filter_map(|line| line.strip_prefix("Requires-Dist:")).map(str::trim);
    let mut found = Vec::new();
    for line in lines {
        let (requirement, marker) = line.split_once(';').unwrap_or((line, ""));
        // What needs no extra is for Python: here it is the extra alone that is wanted.
        if !marker.contains("extra") || !holds(marker, setting).ok_or(line)? {
            continue;
        }
        found.push(Requirement::parse(requirement).ok_or(line)?);
    }
    Ok(found)
}

impl Requirement {
    /// From `name>=1,<2`, `name (>=1)` or `name[extra] ==1`; `None` when it is not understood.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        let rest = rest.trim();
        let rest = match rest.strip_prefix('[') {
            Some(extras) => extras.split_once(']')?.1.trim(),
            None => rest,
        };
        let rest = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
        let range = Range::parse(rest)?;
        (!name.is_empty()).then(|| Self { name: normalised(name), range })
    }
}

/// Whether a marker holds; `None` when it is not understood.
fn holds(marker: &str, setting: Setting<'_>) -> Option<bool> {
    let tokens = tokens(marker)?;
    let mut reader = Reader { tokens: &tokens, setting };
    let value = reader.either()?;
    reader.tokens.is_empty().then_some(value)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

fn tokens(marker: &str) -> Option<Vec<Token>> {
    let mut rest = marker.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = |belongs: fn(char) -> bool| rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        let (token, end) = match first {
            '"' | '\'' => {
                let end = rest[1..].find(first)? + 1;
                (Token::Text(rest[1..end].to_owned()), end + 1)
            }
            '(' | ')' => (Token::Sign(first.to_string()), 1),
            '=' | '!' | '<' | '>' | '~' => {
                let end = length(|c| "=!<>~".contains(c));
                (Token::Sign(rest[..end].to_owned()), end)
            }
            first if first.is_ascii_alphabetic() => {
                let end = length(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                (Token::Word(rest[..end].to_owned()), end)
            }
            _ => return None,
        };
        tokens.push(token);
        rest = rest[end..].trim_start();
    }
    Some(tokens)
}

struct Reader<'a> {
    tokens: &'a [Token],
    setting: Setting<'a>,
}

impl Reader<'_> {
    fn either(&mut self) -> Option<bool> {
        let mut value = self.both()?;
        while self.take_word("or") {
            value |= self.both()?;
        }
        Some(value)
    }

    fn both(&mut self) -> Option<bool> {
        let mut value = self.single()?;
        while self.take_word("and") {
            value &= self.single()?;
        }
        Some(value)
    }

    fn single(&mut self) -> Option<bool> {
        let open = Token::Sign("(".to_owned());
        if self.tokens.first() != Some(&open) {
            return self.comparison();
        }
        self.tokens = &self.tokens[1..];
        let value = self.either()?;
        (self.next()? == Token::Sign(")".to_owned())).then_some(value)
    }

    fn comparison(&mut self) -> Option<bool> {
        let left = self.next()?;
        let operator = match self.next()? {
            Token::Sign(sign) => sign,
            Token::Word(word) if word == "in" => word,
            Token::Word(word) if word == "not" && self.take_word("in") => "not in".to_owned(),
            _ => return None,
        };
        let right = self.next()?;
        // No Python runs, so that what asks about one is taken to be met.
        let (Some(left), Some(right)) = (self.value(&left)?, self.value(&right)?) else {
            return Some(true);
        };
        match operator.as_str() {
            "==" => Some(left == right),
            "!=" => Some(left != right),
            "in" => Some(right.contains(&left)),
            "not in" => Some(!right.contains(&left)),
            _ => None,
        }
    }

    /// `Some(None)` for what only a Python interpreter has.
    fn value(&self, token: &Token) -> Option<Option<String>> {
        let word = match token {
            Token::Text(text) => return Some(Some(text.clone())),
            Token::Word(word) => word,
            Token::Sign(_) => return None,
        };
        let linux = self.setting.os == "linux";
        let value = match word.as_str() {
            "extra" => self.setting.extra,
            "platform_machine" => self.setting.arch,
            "sys_platform" => self.setting.os,
            "platform_system" if linux => "Linux",
            "os_name" if linux => "posix",
            name if name.starts_with("python_") => return Some(None),
            name if name.contains("implementation") => return Some(None),
            _ => return None,
        };
        Some(Some(value.to_owned()))
    }

    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.first(), Some(Token::Word(first)) if first == word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: Setting<'_> = Setting { os: "linux", arch: "x86_64", extra: "with-cuda" };

    #[test]
    fn the_extra_of_a_real_metadata() {
        let metadata = "Metadata-Version: 2.4\nName: jax-cuda13-plugin\n\
            Requires-Dist: jax-cuda13-pjrt==0.11.2\nProvides-Extra: with-cuda\n\
            Requires-Dist: nvidia-cublas>=13.0.0.19; sys_platform == \"linux\" and extra == \"with-cuda\"\n\
            Requires-Dist: nvidia-cudnn-cu13<10.0,>=9.12.0.46; sys_platform == \"linux\" and extra == \"with-cuda\"\n\
            Requires-Dist: nvidia-windows; sys_platform == \"win32\" and extra == \"with-cuda\"\n\
            Requires-Dist: nvidia-nvvm; extra == \"with-cuda\"\n\nRequires-Dist: in-the-text; extra == 'with-cuda'\n";
        let found = of_extra(metadata, SETTING).unwrap();
        let found: Vec<_> = found.iter().map(|one| format!("{}{}", one.name, one.range)).collect();
        assert_eq!(
            found,
            ["nvidia-cublas>=13.0.0.19", "nvidia-cudnn-cu13<10.0,>=9.12.0.46", "nvidia-nvvm"]
        );
    }

    #[test]
    fn markers() {
        for (marker, expected) in [
            ("extra == 'with-cuda'", Some(true)),
            ("extra == 'other'", Some(false)),
            (
                "extra == 'other' or (platform_machine in 'x86_64 AMD64' and os_name=='posix')",
                Some(true),
            ),
            ("python_version >= '3.12' and extra != 'with-cuda'", Some(false)),
            ("platform_machine not in 'aarch64'", Some(true)),
            ("(extra == 'with-cuda'", None),
            ("extra == 'with-cuda", None),
            ("unknown_thing == 'x'", None),
            ("extra", None),
        ] {
            assert_eq!(holds(marker, SETTING), expected, "{marker}");
        }
    }

    #[test]
    fn requirements() {
        for (text, name, range) in [
            ("Nvidia_NVVM", "nvidia-nvvm", ""),
            ("jax.lib (>=1.0)", "jax-lib", ">=1.0"),
            ("a[b,c] ==1.0 , <2", "a", "==1.0,<2"),
        ] {
            let found = Requirement::parse(text).unwrap();
            assert_eq!((found.name.as_str(), found.range.to_string().as_str()), (name, range));
        }
        for text in ["", "a @ https://host/a.whl", "a[b", "a ??1"] {
            assert!(Requirement::parse(text).is_none(), "{text}");
        }
        let line = of_extra("Requires-Dist: a @ https://h/a; extra == 'with-cuda'", SETTING);
        assert!(line.unwrap_err().starts_with("a @"));
    }
}
