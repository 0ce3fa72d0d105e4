//! Asking over HTTP: logins, ranges, certificates, and trying again.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::fetch::address::Address;
use crate::fetch::{Error, Result};

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often a short question is asked: whoever waits for its answer sees nothing meanwhile.
const SHORT_ATTEMPTS: u32 = 3;

/// How long it is tried before a download is given up.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Failures in a row, without a byte between them, after which it is given up.
    pub attempts: u32,
    /// The pause after the first failure; each further one is twice as long.
    pub pause: Duration,
    /// How long a connection may be silent.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let (pause, silence) = (Duration::from_millis(500), Duration::from_secs(60));
        Self { attempts: 5, pause, silence }
    }
}

impl Patience {
    /// The pause after the `failures`th failure in a row, counted from 1.
    pub(crate) fn pause_after(&self, failures: u32) -> Duration {
        self.pause.saturating_mul(2_u32.saturating_pow(failures - 1)).min(LONGEST_PAUSE)
    }
}

/// Why an answer was not had.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What happened, in words that hold no URL.
    pub(crate) problem: String,
    /// Whether the same question may be answered later.
    pub(crate) passing: bool,
    /// The status, if it was that.
    status: Option<StatusCode>,
}

impl Failure {
    pub(crate) fn passing(problem: impl ToString) -> Self {
        Self { problem: problem.to_string(), passing: true, status: None }
    }

    fn of_error(error: ureq::Error) -> Self {
        if error.to_string().contains("certificate") {
            let problem = format!("{error}; PIP_CERT may name a file of certificates to trust");
            return Self { problem, passing: false, status: None };
        }
        let passing = matches!(
            error,
            ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::ConnectionFailed
                | ureq::Error::Protocol(_)
        );
        let problem = match error {
            // Its text is the URL, with its query.
            ureq::Error::BadUri(_) => "the URL cannot be asked for".to_owned(),
            ureq::Error::Io(error) => error.to_string(),
            ureq::Error::HostNotFound => "the host is not found".to_owned(),
            error => error.to_string(),
        };
        Self { problem, passing, status: None }
    }

    fn of_status(status: StatusCode) -> Self {
        let passing = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        let problem = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!(
                    "the server refuses ({status}); a private index needs its login in PIP_INDEX_URL"
                )
            }
            status => format!("the server answers {status}"),
        };
        Self { problem, passing, status: Some(status) }
    }

    /// Whether the server's file ends before the bytes that were asked for.
    pub(crate) fn is_beyond_the_end(&self) -> bool {
        self.status == Some(StatusCode::RANGE_NOT_SATISFIABLE)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND)
    }

    pub(crate) fn at(self, address: &Address) -> Error {
        Error::NoAnswer { url: address.to_string(), problem: self.problem }
    }
}

/// Which bytes are asked for; the end is exclusive.
pub(crate) type Bytes = Option<(u64, Option<u64>)>;

/// What asks, with its certificates and patience.
pub(crate) struct Client {
    agent: Agent,
    pub(crate) patience: Patience,
}

impl Client {
    pub(crate) fn new(certificates: Option<&Path>, patience: Patience) -> Result<Self> {
        let tls = TlsConfig::builder().root_certs(roots(certificates)?).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .user_agent(concat!("logo-ssl/", env!("CARGO_PKG_VERSION")))
            // Ranges and sizes count the bytes as they lie there.
            .accept_encoding("identity")
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_per_write(Some(patience.silence))
            .build();
        Ok(Self { agent: config.new_agent(), patience })
    }

    /// One question, asked once. The answer is 200 or 206.
    pub(crate) fn ask(
        &self,
        address: &Address,
        accept: &str,
        bytes: Bytes,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(address.request()).header("Accept", accept);
        if let Some(login) = address.login() {
            let login = if login.contains(':') { login.to_owned() } else { format!("{login}:") };
            let header = format!("Basic {}", BASE64_STANDARD.encode(login));
            request = request.header("Authorization", header);
        }
        if let Some((from, end)) = bytes {
            let last = end.map(|end| (end - 1).to_string()).unwrap_or_default();
            request = request.header("Range", format!("bytes={from}-{last}"));
        }
        let response = request.call().map_err(Failure::of_error)?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            status => Err(Failure::of_status(status)),
        }
    }

    /// A short question, asked by `attempt` until it succeeds, fails for good, or patience ends.
    pub(crate) fn patiently<T>(
        &self,
        mut attempt: impl FnMut(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let most = self.patience.attempts.min(SHORT_ATTEMPTS);
        let mut failures = 0;
        loop {
            let failure = match attempt(self) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            failures += 1;
            if !failure.passing || failures >= most {
                return Err(failure);
            }
            thread::sleep(self.patience.pause_after(failures));
        }
    }

    /// A whole answer of at most `most` bytes, with its content type.
    pub(crate) fn read(
        &self,
        address: &Address,
        accept: &str,
        most: u64,
    ) -> Result<(String, Vec<u8>), Failure> {
        self.patiently(|client| {
            let response = client.ask(address, accept, None)?;
            let kind = response.headers().get("Content-Type").and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or_default().to_owned();
            let body = response.into_body().into_with_config().limit(most).read_to_vec();
            body.map(|body| (kind, body)).map_err(Failure::of_error)
        })
    }
}

/// The first byte and the whole size that a 206 answer tells of.
pub(crate) fn content_range<T>(response: &Response<T>) -> Option<(u64, u64)> {
    let header = response.headers().get("Content-Range")?.to_str().ok()?;
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, size.parse().ok()?))
}

/// The certificates of `file`, else those of the system, else Mozilla's as they were compiled in:
/// companies sign their mirrors themselves, and bare containers have no certificates at all.
fn roots(file: Option<&Path>) -> Result<RootCerts> {
    if let Some(path) = file {
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        return in_pem(&bytes)
            .map(|certificates| certificates.into())
            .map_err(|problem| Error::Certificates { path: path.to_path_buf(), problem });
    }
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    let owned = found.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    Ok(owned.collect::<Vec<_>>().into())
}

fn in_pem(bytes: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let mut certificates = Vec::new();
    for item in parse_pem(bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err("it holds no certificate".to_owned()),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_certificate_that_is_not_trusted_is_not_tried_again() {
        let failure = |text: &str| Failure::of_error(ureq::Error::Io(io::Error::other(text)));
        let untrusted = failure("invalid peer certificate: UnknownIssuer");
        assert!(!untrusted.passing && untrusted.problem.contains("PIP_CERT"), "{untrusted:?}");
        let reset = failure("connection reset");
        assert!(reset.passing && reset.problem == "connection reset", "{reset:?}");
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses = [1, 2, 3, 40].map(|failures| Patience::default().pause_after(failures));
        assert_eq!(pauses.map(|pause| pause.as_millis()), [500, 1000, 2000, 30_000]);
    }

    #[test]
    fn content_ranges() {
        let range = |text: &str| {
            content_range(&Response::builder().header("Content-Range", text).body(()).unwrap())
        };
        assert_eq!(range("bytes 5-9/10"), Some((5, 10)));
        assert_eq!(range("bytes */10"), None);
        assert_eq!(range("bytes 5-9/*"), None);
    }
}
