//! What can go wrong, in words for the user.

use std::path::PathBuf;

/// The code of memory that ran out.
const RESOURCE_EXHAUSTED: i32 = 8;
/// The code of what a plugin does not do.
const UNIMPLEMENTED: i32 = 12;
/// The code of a failure inside the plugin.
pub(crate) const INTERNAL: i32 = 13;
/// The codes under which failures of a device are reported: unknown, aborted, internal,
/// unavailable.
const DEVICE_CODES: [i32; 4] = [2, 10, INTERNAL, 14];
/// How the drivers' own messages of memory that ran out are called.
const DRIVER_MEMORY: [&str; 2] = ["CUDA_ERROR_OUT_OF_MEMORY", "hipErrorOutOfMemory"];
/// How the drivers' own messages begin.
const DRIVER_MESSAGES: [&str; 2] = ["CUDA_ERROR_", "hipError"];

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no file at the path.
    #[error("there is no file {}", path.display())]
    Missing {
        /// Where a plugin was looked for.
        path: PathBuf,
    },
    /// The file is no shared library for this system, or one without `GetPjrtApi`.
    #[error("{} is no PJRT plugin: {reason}", path.display())]
    NotAPlugin {
        /// The file that was opened.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin needs another library, which is not found.
    #[error(
        "{} needs the library {library}, which is not found: install it, or name its folder in \
         LD_LIBRARY_PATH", path.display()
    )]
    MissingLibrary {
        /// The plugin.
        path: PathBuf,
        /// The file name of the library that it needs.
        library: String,
    },
    /// The plugin speaks another version of the interface.
    #[error(
        "{} speaks version {}.{} of the PJRT interface, but {}.{} or a later {}.x is needed: \
         install another version of the plugin",
        path.display(), found.0, found.1, needed.0, needed.1, needed.0
    )]
    Version {
        /// The plugin.
        path: PathBuf,
        /// Major and minor version of its interface.
        found: (i32, i32),
        /// The major version and the least minor version that this crate speaks.
        needed: (i32, i32),
    },
    /// A device's or the host's memory ran out.
    #[error("memory ran out: {message}")]
    OutOfMemory {
        /// The plugin's words.
        message: String,
    },
    /// The device stopped working: its driver reported an error of its own (`CUDA_ERROR_…`,
    /// `hipError…`) that is not one of memory, under the code UNKNOWN, ABORTED, INTERNAL or
    /// UNAVAILABLE. Whatever was on it is lost, and the process cannot use it again.
    #[error("the device stopped working; start the program again: {message}")]
    DeviceLost {
        /// The plugin's words.
        message: String,
    },
    /// A device was asked for that is not there.
    #[error("there is no device {wanted}: {}", present_devices(*present))]
    NoSuchDevice {
        /// The index that was asked for.
        wanted: usize,
        /// How many devices there are.
        present: usize,
    },
    /// The compiler refused the program.
    #[error("the program does not compile: {message}")]
    Compile {
        /// The compiler's words.
        message: String,
    },
    /// The plugin lacks a function or does not support what was asked of it.
    #[error("the plugin does not support {what}")]
    Unsupported {
        /// The function, or the plugin's words.
        what: String,
    },
    /// The caller's arguments do not fit together; nothing was given to the plugin.
    #[error("{message}")]
    Argument {
        /// What does not fit.
        message: String,
    },
    /// The folder of a cache cannot be made.
    #[error("the cache folder {} cannot be used: {reason}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Any other failure that the plugin reports.
    #[error("{message} (PJRT error {code})")]
    Other {
        /// The code of the failure, one of the canonical status codes.
        code: i32,
        /// The plugin's words.
        message: String,
    },
}

fn present_devices(present: usize) -> String {
    match present {
        0 => "none is present".into(),
        1 => "only device 0 is present".into(),
        _ => format!("devices 0 to {} are present", present - 1),
    }
}

impl Error {
    /// The error for a status of the plugin.
    pub(crate) fn of_status(code: i32, message: String) -> Self {
        let names = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if code == RESOURCE_EXHAUSTED || names(&DRIVER_MEMORY) {
            Self::OutOfMemory { message }
        } else if DEVICE_CODES.contains(&code) && names(&DRIVER_MESSAGES) {
            Self::DeviceLost { message }
        } else if code == UNIMPLEMENTED {
            Self::Unsupported { what: message }
        } else {
            Self::Other { code, message }
        }
    }

    /// The same where no device was in use yet, so that none can be lost.
    pub(crate) fn before_use(self) -> Self {
        match self {
            Self::DeviceLost { message } => Self::Other { code: INTERNAL, message },
            other => other,
        }
    }

    /// The same for a failure of compilation.
    pub(crate) fn of_compilation(self) -> Self {
        match self {
            Self::Other { message, .. } | Self::Unsupported { what: message } => {
                Self::Compile { message }
            }
            other => other,
        }
    }

    /// The error for an answer of the plugin that breaks the interface's promises.
    pub(crate) fn broken_promise(what: &str) -> Self {
        Self::Other { code: INTERNAL, message: format!("the plugin gave {what}") }
    }

    /// The error for arguments that do not fit together.
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::Argument { message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_the_errors_that_users_can_act_upon() {
        let error = |code, message: &str| Error::of_status(code, message.into());
        assert!(matches!(error(8, "no room"), Error::OutOfMemory { .. }));
        let memory = "failed to allocate: CUDA_ERROR_OUT_OF_MEMORY: out of memory";
        assert!(matches!(error(INTERNAL, memory), Error::OutOfMemory { .. }));
        let lost = "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered";
        assert!(matches!(error(INTERNAL, lost), Error::DeviceLost { .. }));
        assert!(matches!(error(INTERNAL, lost).before_use(), Error::Other { .. }));
        assert!(matches!(error(INTERNAL, "a check failed"), Error::Other { .. }));
        assert!(matches!(error(UNIMPLEMENTED, "that"), Error::Unsupported { .. }));
    }
}
