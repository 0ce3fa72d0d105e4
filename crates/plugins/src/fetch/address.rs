//! URLs of http and https that never show a login or a query.

use std::fmt::{self, Debug, Display, Formatter};

use percent_encoding::percent_decode_str;

/// An absolute URL. Shown, it has neither login nor query: both may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// As in `https://host:port`.
    origin: String,
    /// From the first slash on.
    path: String,
    /// With its question mark, or empty.
    query: String,
    /// As in `user:password`, decoded.
    login: Option<String>,
}

impl Address {
    /// `None` for what is no http or https URL. A fragment is dropped.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        // A password may hold an `@` that should have been encoded.
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(decoded(login)), host),
            None => (None, authority),
        };
        let (path, query) = path_and_query(rest);
        let origin = format!("{scheme}://{}", host.to_ascii_lowercase());
        (!host.is_empty()).then(|| Self { origin, path: normal(path), query, login })
    }

    /// What `reference`, found in the page at this address, points to.
    pub(crate) fn join(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim();
        let scheme = reference.split(['/', '?', '#']).next().is_some_and(|head| head.contains(':'));
        let mut target = if scheme {
            Self::parse(reference)?
        } else if reference.starts_with("//") {
            let (scheme, _) = self.origin.split_once(':')?;
            Self::parse(&format!("{scheme}:{reference}"))?
        } else {
            let (path, query) = path_and_query(reference);
            let path = match path {
                "" => self.path.clone(),
                path if path.starts_with('/') => normal(path),
                path => normal(&format!("{}{path}", self.folder())),
            };
            Self { path, query, ..self.clone() }
        };
        // A login is for the host that it was given with, and for no other.
        if target.login.is_none() && target.origin == self.origin {
            target.login.clone_from(&self.login);
        }
        Some(target)
    }

    fn folder(&self) -> &str {
        &self.path[..self.path.rfind('/').map_or(0, |last| last + 1)]
    }

    /// This address with `suffix` after its path.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        Self { path: format!("{}{suffix}", self.path), ..self.clone() }
    }

    /// What to ask for, without the login.
    pub(crate) fn request(&self) -> String {
        format!("{}{}{}", self.origin, self.path, self.query)
    }

    pub(crate) fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// The last part of the path.
    pub(crate) fn file(&self) -> String {
        decoded(&self.path[self.folder().len()..])
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

impl Debug for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

/// `text` as it may be shown when it is no [`Address`]: whatever could be a login is left out.
pub(crate) fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn path_and_query(text: &str) -> (&str, String) {
    let text = text.split('#').next().unwrap_or_default();
    match text.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (text, String::new()),
    }
}

/// The path without `.` and `..`, and with a slash before it.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.trim_start_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let folder = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}", parts.join("/"), if folder { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_as_browsers_do() {
        let page = Address::parse("https://u:p%40q@Host:8080/root/simple/a/?token=1#top").unwrap();
        for (reference, expected) in [
            ("a.whl#sha256=0", "https://host:8080/root/simple/a/a.whl"),
            ("../../packages/a.whl", "https://host:8080/root/packages/a.whl"),
            ("../../../../../a.whl", "https://host:8080/a.whl"),
            ("/files/./a.whl?key=2", "https://host:8080/files/a.whl"),
            ("//other/a.whl", "https://other/a.whl"),
            ("http://other:81/a.whl", "http://other:81/a.whl"),
            ("", "https://host:8080/root/simple/a/"),
        ] {
            assert_eq!(page.join(reference).unwrap().to_string(), expected, "{reference}");
        }
        for reference in ["file:///etc/passwd", "ftp://host/a", "https://"] {
            assert_eq!(page.join(reference), None, "{reference}");
        }
    }

    #[test]
    fn logins_stay_with_their_host_and_are_never_shown() {
        let page = Address::parse("https://user:p%40ss@host/simple/a/?token=1").unwrap();
        assert_eq!(page.login(), Some("user:p@ss"));
        assert_eq!(page.join("a.whl").unwrap().login(), Some("user:p@ss"));
        assert_eq!(page.join("https://host/b").unwrap().login(), Some("user:p@ss"));
        assert_eq!(page.join("https://elsewhere/b").unwrap().login(), None);
        assert_eq!(page.join("http://host/b").unwrap().login(), None);
        assert_eq!(format!("{page} {page:?}"), "https://host/simple/a/ https://host/simple/a/");
        assert_eq!(page.request(), "https://host/simple/a/?token=1");
        assert_eq!(shown("ftp://user:pass@host/a?b"), "…@host/a");
    }

    #[test]
    fn files_are_named_decoded() {
        let address = Address::parse("https://host/a%2Bb-1.0.whl?x#y").unwrap();
        assert_eq!(address.file(), "a+b-1.0.whl");
        assert_eq!(
            address.with_suffix(".metadata").request(),
            "https://host/a%2Bb-1.0.whl.metadata?x"
        );
    }
}
