//! The simple index: which files there are of a package (PEP 503 in HTML, PEP 691 in JSON).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::Surroundings;
use crate::fetch::address::{Address, shown};
use crate::fetch::http::Client;
use crate::fetch::{Error, Result};
use crate::version::Version;

/// The index when `PIP_INDEX_URL` names none.
const STANDARD: &str = "https://pypi.org/simple";

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// The longest page that is read; that of the packages here has some ten kilobytes.
const MOST_BYTES: u64 = 64 << 20;

/// A simple package index. Shown, it has no login.
#[derive(Clone, Debug)]
pub struct Index {
    address: Address,
    pub(crate) certificates: Option<PathBuf>,
}

impl Index {
    /// The index at `url`, whose login, if it has one, is sent to that host alone.
    ///
    /// # Errors
    /// [`Error::Address`] when it is no http or https URL.
    pub fn new(url: &str) -> Result<Self> {
        let url = url.trim().trim_end_matches('/');
        let address = Address::parse(url).ok_or_else(|| Error::Address { shown: shown(url) })?;
        Ok(Self { address, certificates: None })
    }

    /// The index that pip would use: `PIP_INDEX_URL`, else PyPI; with the certificates of `PIP_CERT`,
    /// else those of the system.
    ///
    /// # Errors
    /// As [`Index::new`].
    pub fn of(surroundings: &Surroundings) -> Result<Self> {
        let url =
            surroundings.variable("PIP_INDEX_URL").and_then(OsStr::to_str).unwrap_or(STANDARD);
        let certificates = surroundings.path("PIP_CERT");
        Ok(Self { certificates, ..Self::new(url)? })
    }

    /// The files of the package `name`.
    pub(crate) fn files(&self, client: &Client, name: &str) -> Result<Vec<Link>> {
        let page = self.address.with_suffix(&format!("/{name}/"));
        let (kind, body) =
            client.read(&page, ACCEPT, MOST_BYTES).map_err(|failure| {
                match failure.is_not_found() {
                    true => Error::NoPackage { name: name.to_owned(), index: self.to_string() },
                    false => failure.at(&page),
                }
            })?;
        links(&kind, &String::from_utf8_lossy(&body), &page)
            .map_err(|problem| Error::Index { url: page.to_string(), problem })
    }
}

impl Display for Index {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.address, f)
    }
}

/// One file of a package.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) file: String,
    pub(crate) address: Address,
    pub(crate) sha256: Option<String>,
    pub(crate) size: Option<u64>,
    pub(crate) yanked: bool,
    /// Whether the METADATA of the wheel can be had beside it (PEP 658).
    pub(crate) metadata: bool,
}

fn links(kind: &str, body: &str, page: &Address) -> Result<Vec<Link>, String> {
    // Which files Python can use is not asked: none runs here.
    if kind.contains("json") { in_json(body, page) } else { in_html(body, page) }
}

#[derive(Deserialize)]
struct Page {
    files: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    size: Option<u64>,
    #[serde(default)]
    yanked: Value,
    #[serde(default)]
    core_metadata: Value,
    #[serde(default)]
    dist_info_metadata: Value,
}

/// Both "yanked" and "core-metadata" are a boolean or say more.
fn is_set(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn in_json(body: &str, page: &Address) -> Result<Vec<Link>, String> {
    let parsed: Page = serde_json::from_str(body)
        .map_err(|error| format!("the answer is no list of files in JSON ({error})"))?;
    let link = |entry: Entry| {
        Some(Link {
            address: page.join(&entry.url)?,
            file: entry.filename,
            sha256: entry.hashes.get("sha256").map(|sum| sum.to_ascii_lowercase()),
            size: entry.size,
            yanked: is_set(&entry.yanked),
            metadata: is_set(&entry.core_metadata) || is_set(&entry.dist_info_metadata),
        })
    };
    Ok(parsed.files.into_iter().filter_map(link).collect())
}

fn in_html(body: &str, page: &Address) -> Result<Vec<Link>, String> {
    if !body.to_ascii_lowercase().contains("<html") && !body.contains("<a ") {
        return Err("the answer is neither JSON nor HTML".to_owned());
    }
    let tags = body.split('<').filter(|tag| {
        tag.get(..1).is_some_and(|name| name.eq_ignore_ascii_case("a"))
            && tag[1..].starts_with(|c: char| c.is_ascii_whitespace())
    });
    Ok(tags.filter_map(|tag| link_of(&attributes(&tag[1..]), page)).collect())
}

fn link_of(attributes: &BTreeMap<String, String>, page: &Address) -> Option<Link> {
    let href = attributes.get("href")?;
    let address = page.join(href)?;
    let fragment = href.split_once('#').map_or("", |(_, fragment)| fragment);
    let sha256 = fragment.split('&').find_map(|part| part.strip_prefix("sha256="));
    let metadata = ["data-core-metadata", "data-dist-info-metadata"];
    let offers = |name| attributes.get(name).is_some_and(|value: &String| value != "false");
    Some(Link {
        file: address.file(),
        address,
        sha256: sha256.map(str::to_ascii_lowercase),
        size: None,
        yanked: attributes.contains_key("data-yanked"),
        metadata: metadata.into_iter().any(offers),
    })
}

/// The attributes of a tag, whose name has been cut off.
fn attributes(tag: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = tag.trim_start();
    while !rest.is_empty() && !rest.starts_with(['>', '/']) {
        let end = rest.find(|c: char| c.is_ascii_whitespace() || "=>".contains(c));
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        let (value, after) = match after.trim_start().strip_prefix('=') {
            Some(after) => value(after.trim_start()),
            None => ("", after),
        };
        found.insert(name.to_ascii_lowercase(), unescaped(value));
        rest = after.trim_start();
        if name.is_empty() {
            break;
        }
    }
    found
}

/// An attribute's value and what follows it.
fn value(text: &str) -> (&str, &str) {
    let quote = text.chars().next().filter(|first| ['"', '\''].contains(first));
    match quote {
        Some(quote) => text[1..].split_once(quote).unwrap_or((&text[1..], "")),
        None => {
            let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>');
            text.split_at(end.unwrap_or(text.len()))
        }
    }
}

fn unescaped(text: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'")];
    let text = entities.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    // Last, so that `&amp;lt;` is `&lt;`.
    text.replace("&amp;", "&")
}

/// What the plugin is to run on.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// As in [`std::env::consts::OS`].
    pub os: &'static str,
    /// As in [`std::env::consts::ARCH`].
    pub arch: &'static str,
}

impl Machine {
    /// The machine that this program was built for.
    pub const THIS: Self = Self { os: std::env::consts::OS, arch: std::env::consts::ARCH };
}

impl Display for Machine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.os, self.arch)
    }
}

/// What the name of a wheel tells.
#[derive(Clone, Debug)]
pub(crate) struct WheelName {
    pub(crate) version: Version,
    python: String,
    abi: String,
    platforms: Vec<String>,
}

impl WheelName {
    /// `None` for files that are no wheels, for wheels that are no final release, and for names that
    /// are no plain file names.
    pub(crate) fn parse(file: &str) -> Option<Self> {
        if !file.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+!".contains(c)) {
            return None;
        }
        let parts: Vec<&str> = file.strip_suffix(".whl")?.split('-').collect();
        // A build number may stand between version and tags.
        let (version, tags) = match parts[..] {
            [_, version, python, abi, platform] => (version, [python, abi, platform]),
            [_, version, _, python, abi, platform] => (version, [python, abi, platform]),
            _ => return None,
        };
        let [python, abi, platform] = tags.map(str::to_owned);
        let platforms = platform.split('.').map(str::to_owned).collect();
        Some(Self { version: Version::parse(version)?, python, abi, platforms })
    }

    /// Whether it holds no Python code that only one version of Python loads.
    pub(crate) fn is_for_any_python(&self) -> bool {
        self.abi == "none" && self.python.split('.').any(|tag| tag == "py3")
    }

    /// `None` when the machine cannot load it, else how old the C library may be, least first.
    pub(crate) fn rank(&self, machine: Machine) -> Option<(u32, u32)> {
        self.platforms.iter().filter_map(|tag| least_libc(tag, machine)).min()
    }
}

/// The version of the GNU C library that a platform tag asks for.
fn least_libc(tag: &str, machine: Machine) -> Option<(u32, u32)> {
    if tag == "any" {
        return Some((0, 0));
    }
    if machine.os != "linux" {
        return None;
    }
    let system = tag.strip_suffix(machine.arch)?.strip_suffix('_')?;
    match system {
        "manylinux1" => Some((2, 5)),
        "manylinux2010" => Some((2, 12)),
        "manylinux2014" => Some((2, 17)),
        // It promises nothing, so that any other is better.
        "linux" => Some((u32::MAX, 0)),
        system => {
            let (major, minor) = system.strip_prefix("manylinux_")?.split_once('_')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: Machine = Machine { os: "linux", arch: "x86_64" };

    fn page() -> Address {
        Address::parse("https://user:secret@host/simple/a/").unwrap()
    }

    #[test]
    fn html_of_all_sorts() {
        let body = r#"<!DOCTYPE html><HTML><body><h1>Links</h1>
            <a href="../../p/a-1.0-py3-none-any.whl#sha256=ABCD" data-requires-python="&gt;=3.9">a</a><br/>
            <A data-yanked HREF='https://host/a-2.0.tar.gz#md5=0'>x</A>
            <a href=a-3.0-py3-none-any.whl?k=1&amp;l=2 data-core-metadata="sha256=12" data-yanked="why">y</a>
            <a
              href="a-4.0-py3-none-any.whl" data-dist-info-metadata="false">z</a>
            <abbr href="no"></abbr><a name="no">n</a><a href="ftp://host/no">n</a>"#;
        let found = links("text/html", body, &page()).unwrap();
        let files: Vec<_> = found.iter().map(|link| link.file.as_str()).collect();
        assert_eq!(
            files,
            [
                "a-1.0-py3-none-any.whl",
                "a-2.0.tar.gz",
                "a-3.0-py3-none-any.whl",
                "a-4.0-py3-none-any.whl"
            ]
        );
        assert_eq!(found[0].address.to_string(), "https://host/p/a-1.0-py3-none-any.whl");
        assert_eq!(found[0].sha256.as_deref(), Some("abcd"));
        assert!(found[2].address.request().ends_with("whl?k=1&l=2"));
        let yanked: Vec<_> = found.iter().map(|link| link.yanked).collect();
        assert_eq!(yanked, [false, true, true, false]);
        let metadata: Vec<_> = found.iter().map(|link| link.metadata).collect();
        assert_eq!(metadata, [false, false, true, false]);
    }

    #[test]
    fn json_of_all_sorts() {
        let body = r#"{"meta": {"api-version": "1.1"}, "name": "a", "files": [
            {"filename": "a.whl", "url": "../../p/a.whl", "hashes": {"sha256": "AB"}, "size": 5, "yanked": false,
             "requires-python": ">=3.9", "core-metadata": {"sha256": "cd"}},
            {"filename": "b.whl", "url": "https://other/b.whl", "hashes": {}, "yanked": "broken"},
            {"filename": "c.whl", "url": "c.whl", "core-metadata": false, "dist-info-metadata": true}]}"#;
        let found = links("application/vnd.pypi.simple.v1+json", body, &page()).unwrap();
        assert_eq!((found[0].size, found[0].sha256.as_deref()), (Some(5), Some("ab")));
        assert_eq!(found.iter().map(|link| link.yanked).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(found.iter().map(|link| link.metadata).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(found[1].address.login(), None);
    }

    #[test]
    fn what_is_no_page_is_said_so() {
        assert!(links("application/json", "{}", &page()).unwrap_err().contains("JSON"));
        assert!(links("text/plain", "hello", &page()).unwrap_err().contains("HTML"));
        assert!(attributes("href=\"open").contains_key("href"));
        assert!(attributes("=\"\" href").len() == 1);
    }

    #[test]
    fn wheels_for_this_machine() {
        for (file, expected) in [
            ("a-1.0-py3-none-any.whl", Some((0, 0))),
            ("a-1.0-py3-none-manylinux_2_27_x86_64.whl", Some((2, 27))),
            ("a-1.0-1-py2.py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl", Some((2, 5))),
            ("a-1.0-py3-none-manylinux2014_aarch64.whl", None),
            ("a-1.0-py3-none-win_amd64.whl", None),
            ("a-1.0-py3-none-macosx_11_0_arm64.whl", None),
        ] {
            let name = WheelName::parse(file).unwrap();
            assert!(name.is_for_any_python());
            assert_eq!(name.rank(PC), expected, "{file}");
        }
        let python = WheelName::parse("a-1.0-cp312-cp312-manylinux_2_27_x86_64.whl").unwrap();
        assert!(!python.is_for_any_python());
        let mac = Machine { os: "macos", arch: "x86_64" };
        let name = WheelName::parse("a-1.0-py3-none-manylinux_2_27_x86_64.whl").unwrap();
        assert_eq!(name.rank(mac), None);
        for file in
            ["a-1.0.tar.gz", "a-1.0rc1-py3-none-any.whl", "a.whl", "../a-1.0-py3-none-any.whl"]
        {
            assert!(WheelName::parse(file).is_none(), "{file}");
        }
    }
}
