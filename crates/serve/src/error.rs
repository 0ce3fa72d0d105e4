//! Why there is no server.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// What came of it, or why nothing did.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder of the runs is not there, or cannot be read.
    #[error("{path}: cannot be read ({source}); give the folder that the runs lie in", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing can be listened to there.
    #[error(
        "cannot listen on {host}, from port {port} on ({source}); choose another port, or an address of this machine"
    )]
    Place {
        /// The address.
        host: IpAddr,
        /// The first port that was tried.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The system has no threads for it.
    #[error("the server cannot go on ({0}); end other programs and start it again")]
    System(io::Error),
}
