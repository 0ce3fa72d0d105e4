//! A local page of all runs in a folder: live curves, runs side by side, pictures and settings.
//!
//! ```no_run
//! # fn main() -> Result<(), logo_ssl_serve::Error> {
//! use std::sync::atomic::AtomicBool;
//!
//! let server = logo_ssl_serve::Server::bind("runs".as_ref(), logo_ssl_serve::Place::default())?;
//! println!("{}", server.url());
//! server.run(&AtomicBool::new(false))
//! # }
//! ```
//!
//! The server shows and changes nothing: it opens files to read only, and of a run that trains it reads what
//! was added to its logs. Of a log it keeps curves of bounded size. It looks at the runs only while somebody
//! asks.
//!
//! # Addresses
//!
//! Only `GET` and `HEAD` are answered. `ID` is a run's place in the folder, percent-encoded as one segment:
//! `sweep%2Fseed-0`. All JSON has an `ETag`, so that asking again costs little where nothing is new.
//!
//! | address | what it is |
//! | --- | --- |
//! | `/` | the page |
//! | `/api/runs` | `folder`, `reading` (logs are still read for the first time), `refused` (what is not shown, and why) and `runs`: `id`, `preset`, `dataset`, `framework`, `logo`, `seed`, `images`, `state` (`running`, `finished`, `stale`), `written` (seconds since 1970), `epochs_done`, `epochs_total`, `step`, `steps_per_epoch`, `read` (share of the logs that is read), `latest` (means of the last epoch), `knn` (the latest, with `train_images`, `test_images`, and for each k `top1`, `top1_interval`, `top5`), `speed` (`images_per_second`, `step_ms`, `left_seconds`), `lights` (`name`, `level`, `says`), `problem`, `preview`, `report` |
//! | `/api/runs/ID` | the same of one run, and `curves` (their names), `evaluations`, `floors`, `of_preset` (settings that differ from its preset), `changes` (settings that it went on with), `settings` |
//! | `/api/runs/ID/curves?names=a,b&since=STEP` | `generation` (another one when a log was cut back) and `curves` by name: `width` (steps that share a bucket), `gaps`, and the columns `steps`, `mean`, `low`, `high`, from the bucket of `since` on; all curves where no names are given |
//! | `/api/compare?runs=ID,ID` | `runs`, each as above, and `settings`: `key`, `values` (one for each run), `differs` |
//! | `/runs/ID/preview.png`, `/runs/ID/report.html` | the run's files; the report may run its own script, and reach nothing |
//! | `/assets/…` | scripts and styles of the page |
//!
//! Intervals are of 95 % (Wilson). A number that is none, such as the loss of a run that diverged, is `null`.

mod answer;
mod api;
mod curve;
mod digest;
mod error;
mod folder;
mod health;
mod library;
mod line;
mod listen;
mod page;
mod run;
mod settings;
mod tail;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use answer::Names;
use folder::Folder;
use library::Library;

pub use error::{Error, Result};

/// The port that is meant where none is named.
pub const DEFAULT_PORT: u16 = 8321;

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address. One of the loopback is reached from this machine alone; any other shows the runs to
    /// whoever can reach it, without a password.
    pub host: IpAddr,
    /// The port, or the next one that is free.
    pub port: u16,
    /// How long a connection may lie idle.
    pub idle: Duration,
}

/// Port 8321 of 127.0.0.1.
impl Default for Place {
    fn default() -> Self {
        Self { host: Ipv4Addr::LOCALHOST.into(), port: DEFAULT_PORT, idle: listen::IDLE }
    }
}

/// A server that listens, and answers once [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    library: Arc<Library>,
    idle: Duration,
}

impl Server {
    /// Listens at `place`, and begins to read the runs in `folder`.
    ///
    /// # Errors
    /// [`Error::Folder`] when there is no such folder, [`Error::Place`] when nothing can be listened to there.
    pub fn bind(folder: &Path, place: Place) -> Result<Self> {
        let opened = Folder::open(folder)
            .map_err(|source| Error::Folder { path: folder.to_path_buf(), source })?;
        let failed = |source| Error::Place { host: place.host, port: place.port, source };
        let listener = listen::bind(place.host, place.port).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let library = Arc::new(Library::open(opened));
        Ok(Self { listener, address, library, idle: place.idle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the page, for a browser on this machine.
    pub fn url(&self) -> String {
        let reached = match self.address.ip() {
            ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}/", SocketAddr::new(reached, self.address.port()))
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Answers until `stop` is set, and at most a fifth of a second longer.
    ///
    /// # Errors
    /// [`Error::System`] when the system gives it no threads.
    pub fn run(self, stop: &AtomicBool) -> Result<()> {
        let names = if self.is_local() { Names::Loopback } else { Names::Any };
        listen::listen(self.listener, &self.library, names, self.idle, stop).map_err(Error::System)
    }
}

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
