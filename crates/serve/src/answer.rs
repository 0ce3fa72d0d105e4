//! From a request to its answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::api::{Comparison, Curves, Details, MOST_COMPARED, Runs};
use crate::library::{Library, locked};
use crate::page;
use crate::run::{Run, Shown};

/// What our own pages may do: load what lies here and nothing else, and be shown in no frame.
const OF_PAGES: &str = "default-src 'self'; style-src-attr 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                        frame-ancestors 'none'; object-src 'none'";

/// What a run's report may do: run the script and the style that it holds, show the pictures that it holds. It
/// is sandboxed, so it shares nothing with our own pages, and reaches neither them nor the network.
const OF_REPORTS: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                          font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                          sandbox allow-scripts";

const JSON: &str = "application/json";
const PNG: &str = "image/png";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Which names of this machine a request may call it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// Those of the loopback alone. Without this, a page from elsewhere could have a name of its own lead to
    /// 127.0.0.1 and read the runs (DNS rebinding). The port is of no account, since it is another behind
    /// `ssh -L`.
    Loopback,
    /// Any, for a machine has names that it does not know.
    Any,
}

impl Names {
    /// Whether a `Host` header has such a name.
    fn hold(self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        self == Names::Any || is_loopback || name.eq_ignore_ascii_case("localhost")
    }
}

/// An answer in the making.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    policy: &'static str,
    body: Bytes,
}

impl Answer {
    fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self { status: StatusCode::OK, content_type, policy: OF_PAGES, body: body.into() }
    }

    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::ok(JSON, body),
            Err(error) => Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// What is wrong, in one line of text.
    fn refusal(status: StatusCode, why: &str) -> Self {
        Self { status, ..Self::ok(TEXT, format!("{why}\n")) }
    }

    fn not_found() -> Self {
        Self::refusal(StatusCode::NOT_FOUND, "there is nothing of this address")
    }

    /// With its headers; without its body where the client has the same already.
    fn finish(self, asked: &HeaderMap) -> Response<Full<Bytes>> {
        let tag = tag_of(&self.body);
        let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str());
        let unchanged = known && self.status == StatusCode::OK;
        let (status, body) = match unchanged {
            true => (StatusCode::NOT_MODIFIED, Bytes::new()),
            false => (self.status, self.body),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let fixed = [
            (header::CONTENT_TYPE, self.content_type),
            (header::CONTENT_SECURITY_POLICY, self.policy),
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let (true, Ok(tag)) = (status.is_success() || unchanged, HeaderValue::from_str(&tag)) {
            headers.insert(header::ETAG, tag);
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if status.is_client_error() && status != StatusCode::NOT_FOUND {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// The entity tag of a body: the same body has the same one as long as the server runs.
fn tag_of(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// The answer to a request.
pub(crate) fn answer(library: &Library, names: Names, request: &Parts) -> Response<Full<Bytes>> {
    let answer = refusal_of(names, request).unwrap_or_else(|| found(library, request));
    answer.finish(&request.headers)
}

/// Why a request is not looked at, whatever it asks for.
fn refusal_of(names: Names, request: &Parts) -> Option<Answer> {
    let refuse = |status, why| Some(Answer::refusal(status, why));
    if request.method != Method::GET && request.method != Method::HEAD {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "this server only shows: GET and HEAD");
    }
    if has_body(&request.headers) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "this server takes no request bodies");
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return refuse(StatusCode::BAD_REQUEST, "a request needs one Host header");
    };
    if request.uri.authority().is_some() {
        return refuse(StatusCode::BAD_REQUEST, "this server is no proxy");
    }
    if !host.to_str().is_ok_and(|host| names.hold(host)) {
        let why = "this server is called localhost or 127.0.0.1; to reach it by another name, have it listen on an \
                   address of yours";
        return refuse(StatusCode::FORBIDDEN, why);
    }
    None
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// What lies at a request's address. No part of an address becomes a path: a run is looked up among those
/// that were found, a file among those that a run may have.
fn found(library: &Library, request: &Parts) -> Answer {
    let path: Vec<&str> = request.uri.path().split('/').skip(1).collect();
    let query = request.uri.query().unwrap_or("");
    match path.as_slice() {
        [""] => Answer::ok(HTML, page::INDEX),
        ["assets", name] => match page::asset(name) {
            Some((content_type, text)) => Answer::ok(content_type, text),
            None => Answer::not_found(),
        },
        ["api", rest @ ..] => {
            library.refresh();
            api(library, rest, query)
        }
        ["runs", id, "preview.png"] => file(library, id, Shown::Preview),
        ["runs", id, "report.html"] => file(library, id, Shown::Report),
        _ => Answer::not_found(),
    }
}

fn api(library: &Library, path: &[&str], query: &str) -> Answer {
    match path {
        ["runs"] => Answer::json(&Runs::of(library)),
        ["runs", id] => with_run(library, id, |run| Answer::json(&Details::of(run))),
        ["runs", id, "curves"] => with_run(library, id, |run| curves(run, query)),
        ["compare"] => compare(library, query),
        _ => Answer::not_found(),
    }
}

fn with_run(library: &Library, id: &str, show: impl FnOnce(&Run) -> Answer) -> Answer {
    match decoded(id).and_then(|name| library.run(&name)) {
        Some(run) => show(&locked(&run)),
        None => Answer::refusal(StatusCode::NOT_FOUND, "there is no such run"),
    }
}

fn file(library: &Library, id: &str, shown: Shown) -> Answer {
    let (content_type, policy) = match shown {
        Shown::Preview => (PNG, OF_PAGES),
        Shown::Report => (HTML, OF_REPORTS),
    };
    match decoded(id).and_then(|name| library.file(&name, shown)) {
        Some(bytes) => Answer { policy, ..Answer::ok(content_type, bytes) },
        None => Answer::refusal(StatusCode::NOT_FOUND, "the run has no such file"),
    }
}

fn curves(run: &Run, query: &str) -> Answer {
    let since = parameter(query, "since").map_or(Ok(0), str::parse::<u64>);
    let names = parameter(query, "names").map(list);
    match (since, names) {
        (Ok(since), Some(Some(names))) => Answer::json(&Curves::of(run, Some(&names), since)),
        (Ok(since), None) => Answer::json(&Curves::of(run, None, since)),
        _ => Answer::refusal(StatusCode::BAD_REQUEST, "names is a list, since a number of steps"),
    }
}

fn compare(library: &Library, query: &str) -> Answer {
    let names = parameter(query, "runs").and_then(list).unwrap_or_default();
    if names.is_empty() || names.len() > MOST_COMPARED {
        let why = format!("runs is a list of 1 to {MOST_COMPARED} runs, with commas between them");
        return Answer::refusal(StatusCode::BAD_REQUEST, &why);
    }
    match Comparison::of(library, &names) {
        Some(comparison) => Answer::json(&comparison),
        None => Answer::refusal(StatusCode::NOT_FOUND, "one of these runs is not there"),
    }
}

/// The value of a query's parameter, as it stands there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// The parts of a list with commas between them; none where one is no text.
fn list(value: &str) -> Option<Vec<String>> {
    value.split(',').filter(|part| !part.is_empty()).map(decoded).collect()
}

/// What was percent-encoded, once; none where it is no UTF-8.
fn decoded(part: &str) -> Option<String> {
    Some(percent_decode_str(part).decode_utf8().ok()?.into_owned())
}
