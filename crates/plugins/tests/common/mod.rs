//! A package index on this machine, whose answers a test decides, and wheels made for it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use logo_ssl_plugins::{Index, Kind, Machine, Patience, Request};
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Honest,
    IgnoresRanges,
    BreaksOffAfter(usize),
    Refuses(u16),
    Silent,
}

/// A request as the server saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub path: String,
    pub range: Option<String>,
    pub login: Option<String>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, (String, Vec<u8>)>,
    moods: BTreeMap<String, VecDeque<Mood>>,
    always: BTreeMap<String, Mood>,
    login: Option<String>,
    seen: Vec<Seen>,
}

/// Runs until the process ends.
#[derive(Clone)]
pub(crate) struct Server {
    pub host: String,
    state: Arc<Mutex<State>>,
}

/// In which form a package's page is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    Html,
    Json,
}

/// A file to be listed in a package's page.
#[derive(Clone)]
pub(crate) struct Listed {
    pub file: String,
    pub bytes: Vec<u8>,
    pub yanked: bool,
    /// Its METADATA, to be served beside it.
    pub metadata: Option<String>,
    /// Instead of the true one.
    pub sha256: Option<String>,
    /// Instead of the true one, in JSON.
    pub size: Option<u64>,
}

impl Listed {
    pub(crate) fn new(file: &str, bytes: Vec<u8>) -> Self {
        let file = file.to_owned();
        Self { file, bytes, yanked: false, metadata: None, sha256: None, size: None }
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A client that hangs up early is no failure of the server.
                thread::spawn(move || answer(stream.unwrap(), &shared).ok());
            }
        });
        Self { host, state }
    }

    pub(crate) fn index(&self) -> Index {
        Index::new(&format!("http://{}/simple", self.host)).unwrap()
    }

    pub(crate) fn file(&self, path: &str, kind: &str, bytes: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        state.files.insert(path.to_owned(), (kind.to_owned(), bytes));
    }

    /// The next answers to requests for `path`; then it is honest.
    pub(crate) fn moods(&self, path: &str, moods: impl IntoIterator<Item = Mood>) {
        let mut state = self.state.lock().unwrap();
        state.moods.insert(path.to_owned(), moods.into_iter().collect());
    }

    pub(crate) fn always(&self, path: &str, mood: Mood) {
        self.state.lock().unwrap().always.insert(path.to_owned(), mood);
    }

    /// Answers nobody else from now on.
    pub(crate) fn require_login(&self, login: &str) {
        self.state.lock().unwrap().login = Some(login.to_owned());
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(crate) fn ranges(&self, path: &str) -> Vec<Option<String>> {
        let seen = self.seen().into_iter();
        seen.filter(|seen| seen.path == path).map(|seen| seen.range).collect()
    }

    /// Lists and serves the files of `package`, and links to them as relative URLs.
    pub(crate) fn package(&self, form: Form, package: &str, files: &[Listed]) {
        for one in files {
            let path = format!("/files/{}", one.file);
            if let Some(metadata) = &one.metadata {
                self.file(&format!("{path}.metadata"), "text/plain", metadata.clone().into());
            }
            self.file(&path, "application/octet-stream", one.bytes.clone());
        }
        let (kind, page) = match form {
            Form::Html => ("text/html", html(files)),
            Form::Json => ("application/vnd.pypi.simple.v1+json", json(files)),
        };
        self.file(&format!("/simple/{package}/"), kind, page.into());
    }
}

fn html(files: &[Listed]) -> String {
    let lines = files.iter().map(|one| {
        let sum = one.sha256.clone().unwrap_or_else(|| sha256(&one.bytes));
        let yanked = if one.yanked { " data-yanked=\"broken\"" } else { "" };
        let metadata = if one.metadata.is_some() { " data-core-metadata=\"true\"" } else { "" };
        let file = &one.file;
        format!(
            "<a href=\"../../files/{file}#sha256={sum}\" data-requires-python=\"&gt;=3.9\"{yanked}{metadata}>{file}</a><br/>\n"
        )
    });
    format!("<!DOCTYPE html><html><body>\n{}</body></html>", lines.collect::<String>())
}

fn json(files: &[Listed]) -> String {
    let entries: Vec<_> = files
        .iter()
        .map(|one| {
            serde_json::json!({
                "filename": one.file,
                "url": format!("/files/{}", one.file),
                "hashes": {"sha256": one.sha256.clone().unwrap_or_else(|| sha256(&one.bytes))},
                "size": one.size.unwrap_or(one.bytes.len() as u64),
                "yanked": one.yanked,
                "core-metadata": one.metadata.is_some(),
            })
        })
        .collect();
    serde_json::json!({"meta": {"api-version": "1.1"}, "name": "x", "files": entries}).to_string()
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let path = lines.next().unwrap()?.split(' ').nth(1).unwrap().to_owned();
    let mut seen = Seen { path, range: None, login: None };
    for line in lines {
        let line = line?;
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        match name.to_lowercase().as_str() {
            "range" => seen.range = value.strip_prefix("bytes=").map(str::to_owned),
            "authorization" => seen.login = Some(value.to_owned()),
            "" => break,
            _ => {}
        }
    }
    let (found, mood) = {
        let mut state = state.lock().unwrap();
        state.seen.push(seen.clone());
        let mood = state.moods.get_mut(&seen.path).and_then(VecDeque::pop_front);
        let mood = mood.or(state.always.get(&seen.path).copied()).unwrap_or(Mood::Honest);
        let login =
            state.login.as_ref().map(|login| format!("Basic {}", BASE64_STANDARD.encode(login)));
        let refused = login.is_some() && login != seen.login;
        let mood = if refused { Mood::Refuses(401) } else { mood };
        (state.files.get(&seen.path).cloned(), mood)
    };
    respond(stream, found, mood, &seen)
}

fn respond(
    mut stream: TcpStream,
    found: Option<(String, Vec<u8>)>,
    mood: Mood,
    seen: &Seen,
) -> std::io::Result<()> {
    let status = match (mood, &found) {
        (Mood::Refuses(status), _) => Some(status),
        (_, None) => Some(404),
        _ => None,
    };
    if let Some(status) = status {
        return write!(
            stream,
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if matches!(mood, Mood::Silent) {
        thread::sleep(Duration::from_secs(20));
        return Ok(());
    }
    let (kind, bytes) = found.unwrap();
    let range = seen.range.as_deref().filter(|_| !matches!(mood, Mood::IgnoresRanges));
    let (from, end) = match range {
        Some(range) => {
            let (from, last) = range.split_once('-').unwrap();
            let end = last.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
            (from.parse::<usize>().unwrap(), end)
        }
        None => (0, bytes.len()),
    };
    let body = &bytes[from..end];
    let head = match range {
        Some(_) => {
            format!(
                "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
                end - 1,
                bytes.len()
            )
        }
        None => "200 OK".to_owned(),
    };
    write!(
        stream,
        "HTTP/1.1 {head}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    let sent = match mood {
        Mood::BreaksOffAfter(count) => &body[..count.min(body.len())],
        _ => body,
    };
    stream.write_all(sent)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A wheel with these files; those in a `bin` folder may be run.
pub(crate) fn wheel(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let mode = if name.contains("/bin/") { 0o755 } else { 0o644 };
        writer.start_file(*name, SimpleFileOptions::default().unix_permissions(mode)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Bytes that do not compress well, so that a download has some length.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

pub(crate) const CPU_PLUGIN: &str = "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so";
pub(crate) const CPU_PACKAGE: &str = "lammps-jax-pjrt-cpu";
pub(crate) const CPU_WHEEL: &str = "lammps_jax_pjrt_cpu-0.11.2-py3-none-manylinux_2_27_x86_64.whl";

/// The CPU plugin's wheel with something for its plugin.
pub(crate) fn cpu_wheel(plugin: &[u8]) -> Vec<u8> {
    wheel(&[
        (CPU_PLUGIN, plugin),
        ("lammps_jax_pjrt_cpu/__init__.py", b"import this"),
        ("lammps_jax_pjrt_cpu-0.11.2.dist-info/METADATA", b"Name: lammps-jax-pjrt-cpu\n"),
    ])
}

pub(crate) fn request(kind: Kind, index: Index, plugins: &Path) -> Request {
    let patience =
        Patience { attempts: 3, pause: Duration::from_millis(10), silence: Duration::from_secs(5) };
    let machine = Machine { os: "linux", arch: "x86_64" };
    Request { patience, machine, ..Request::new(kind, index, plugins) }
}
