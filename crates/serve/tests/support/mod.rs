//! A server in a thread of the test, runs that were made up, and requests written by hand.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logo_ssl::presets::{self, Layers};
use logo_ssl::record::{Record, synthetic};
use logo_ssl_serve::{Place, Server};
use serde_json::Value;

/// A server that ends with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Serves `folder` on a port of its own. Connections may lie idle for `idle`.
    pub(crate) fn with_idle(folder: &Path, idle: Duration) -> Self {
        let place = Place { port: 0, idle, ..Place::default() };
        let server = Server::bind(folder, place).unwrap();
        let address = server.address();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = Some(std::thread::spawn(move || server.run(&flag).unwrap()));
        Self { address, stop, thread }
    }

    /// Serves `folder` on a port of its own.
    pub(crate) fn of(folder: &Path) -> Self {
        Self::with_idle(folder, Duration::from_secs(20))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// What comes back for these bytes until the connection is closed.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // The server may close before it has read all of it; what it said before counts.
        let _ = stream.write_all(bytes);
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply);
        Reply::of(reply)
    }

    /// The reply to a request for `target` with further headers.
    pub(crate) fn request(&self, method: &str, target: &str, headers: &str) -> Reply {
        let host = self.address;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        self.raw(head.as_bytes())
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.request("GET", target, "")
    }

    /// The JSON at `target`.
    pub(crate) fn json(&self, target: &str) -> Value {
        let reply = self.get(target);
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// The JSON at `target`, once it is as wanted. There is no bound on how slow a machine may be but the
    /// test's patience.
    pub(crate) fn json_when(&self, target: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let value = self.json(target);
            if is_so(&value) {
                return value;
            }
            assert!(Instant::now() < end, "{target} stays {value}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// `/api/runs` once all logs are read.
    pub(crate) fn runs(&self) -> Value {
        let is_read = |answer: &Value| {
            answer["reading"] == false
                && answer["runs"].as_array().is_some_and(|runs| !runs.is_empty())
        };
        self.json_when("/api/runs", is_read)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What a server said.
pub(crate) struct Reply {
    /// 0 where it closed the connection without a word.
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn of(bytes: Vec<u8>) -> Self {
        let end =
            bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: bytes[end..].to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The lines of a log.
pub(crate) fn lines(records: &[Record]) -> String {
    records.iter().map(|record| serde_json::to_string(record).unwrap() + "\n").collect()
}

/// The settings of a run.
pub(crate) fn config(settings: &[&str]) -> String {
    let layers = Layers::preset("quickstart").unwrap();
    let laid = |layers: Layers, setting: &&str| layers.set(setting).unwrap();
    presets::to_toml(&settings.iter().fold(layers, laid).build().unwrap())
}

/// Makes a run of so many epochs, of as many as it should have.
pub(crate) fn run(path: &Path, epochs: usize, settings: &[&str]) {
    std::fs::create_dir_all(path).unwrap();
    let total = format!("optimizer.epochs={epochs}");
    let settings: Vec<&str> =
        [total.as_str()].into_iter().chain(settings.iter().copied()).collect();
    std::fs::write(path.join("config.toml"), config(&settings)).unwrap();
    std::fs::write(path.join("metrics.jsonl"), lines(&synthetic::records(epochs, true))).unwrap();
    std::fs::write(path.join("timings.jsonl"), lines(&synthetic::timings(epochs))).unwrap();
}
