//! Every way in which logo-ssl can refuse or fail, each with the next step in its message.

use std::path::{Path, PathBuf};

use logo_ssl_base::files;

use crate::config::Change;
use crate::data::Remedy;
use crate::executor::Advice;
use crate::interop::{Fit, PartFit};
use crate::model::params::Mismatch;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error a person can act on. [`Error::exit_code`] says what a shell sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is unknown, of another type, out of range, or contradicts another one.
    #[error("{message}")]
    Setting {
        /// The dotted key, of several that contradict each other the first; none where no key could be
        /// made out.
        key: Option<String>,
        /// What is wrong with it, and what would be accepted.
        message: String,
    },

    /// There is no preset, dataset, framework or device of the name that was given.
    #[error("there is no {what} `{given}`: {hint}")]
    Name {
        /// What the name should be of: `preset`, `dataset`, `framework`, `device`.
        what: &'static str,
        /// The name that was given.
        given: String,
        /// The nearest name, or all that there are.
        hint: String,
    },

    /// The images are sound, and cannot be used as the settings say: there are too few, they lack labels,
    /// or they are of different sizes. The message says which setting to change.
    #[error("{0}")]
    Images(String),

    /// The system names no folder for a user's data.
    #[error(
        "no folder for a user's data is known, where {of} would lie; set HOME or XDG_DATA_HOME"
    )]
    NoUserFolder {
        /// What would lie there: `datasets` or `plugins`.
        of: &'static str,
    },

    /// The file of a sweep asks for what is not possible.
    #[error("{place}: {problem}")]
    Sweep {
        /// The file, or the part of it.
        place: String,
        /// What is wrong there.
        problem: Box<Error>,
    },

    /// The images are missing, truncated or not what they claim to be.
    #[error("{path}: {message}", path = .path.display())]
    Data {
        /// The file or folder at fault.
        path: PathBuf,
        /// What is wrong with it, and what to do about it.
        message: String,
        /// What mends a dataset, where it is known.
        remedy: Option<Remedy>,
    },

    /// More images are broken than the config allows.
    #[error(
        "{found} of the {images} images cannot be read, at most {allowed} may be so. Repair or remove them, or raise \
         data.max_bad_fraction. The first are\n  {first}"
    )]
    Broken {
        /// How many were found until it was given up.
        found: usize,
        /// Images in all.
        images: usize,
        /// How many of them were allowed to be broken.
        allowed: usize,
        /// The first of them with what is wrong with each, a line each.
        first: String,
    },

    /// The run directory cannot be used as asked: taken, locked, or from another config.
    #[error("{path}: {problem}", path = .path.display())]
    Run {
        /// The run directory, or a file of it.
        path: PathBuf,
        /// What is wrong with it.
        problem: RunProblem,
    },

    /// The tensors of a file are not those of the network that they were to go into.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),

    /// A later version of this program wrote it, in a form that this one does not know.
    #[error(
        "{path}: is of format {found}, and this version of logo-ssl reads up to {known}; use the version that wrote it, \
         or a later one",
        path = .path.display()
    )]
    Later {
        /// The file.
        path: PathBuf,
        /// The version of its form.
        found: u32,
        /// The latest that is known here.
        known: u32,
    },

    /// A file holds several backbones that differ, such as a momentum encoder beside the one that is trained.
    #[error(
        "{path}: holds several backbones, whose names begin with {}; say which one is meant",
        quoted(.prefixes), path = .path.display()
    )]
    Several {
        /// The file.
        path: PathBuf,
        /// What the names of each begin with.
        prefixes: Vec<String>,
    },

    /// The backbone of a file has other tensors than the ResNet that it looks like.
    #[error("{path}: its backbone is not quite a ResNet: {}", unmatched(.missing, .unknown), path = .path.display())]
    Unmatched {
        /// The file.
        path: PathBuf,
        /// Tensors that a ResNet has and the file lacks, by torchvision's names.
        missing: Vec<String>,
        /// Tensors that the file has within the backbone and a ResNet lacks, by the file's names.
        unknown: Vec<String>,
    },

    /// Parts of a file that a run was to begin from do not fit its settings.
    #[error(
        "{path}: {}. Change the settings, or have what does not fit start as in any run",
        misfits(.parts), path = .path.display()
    )]
    Misfit {
        /// The file.
        path: PathBuf,
        /// Those that do not fit.
        parts: Vec<PartFit>,
    },

    /// Features cannot be measured: there are none, or one is not finite.
    #[error("the features cannot be measured: {0}")]
    Measure(#[from] measures::Error),

    /// The operating system refused to read or write.
    #[error(transparent)]
    Io(#[from] files::Error),

    /// A device cannot run what it was asked to, or failed while it did.
    #[error("{problem}{}", .advice.as_ref().map_or(String::new(), |advice| format!(". {advice}")))]
    Device {
        /// What went wrong.
        problem: String,
        /// What to do about it, where the problem does not say so itself.
        advice: Option<Advice>,
    },

    /// The loss stopped being a number.
    #[error(
        "the loss became {value} at step {step} (epoch {}); the last good checkpoint is {checkpoint}. Resume the run \
         with a lower optimizer.lr, or start again with it or with a longer optimizer.warmup_epochs",
        .epoch + 1
    )]
    NonFinite {
        /// Optimiser steps done before this one.
        step: u64,
        /// Epoch, counted from 0.
        epoch: usize,
        /// The value seen: `NaN`, `inf` or `-inf`.
        value: f32,
        /// Where the run can go on from, or "none yet".
        checkpoint: String,
    },

    /// The run was asked to stop; it has been saved.
    #[error(
        "stopped after step {step}, as was asked for; nothing is lost. Resume the run in {run_dir} to go on",
        run_dir = .run_dir.display()
    )]
    Interrupted {
        /// Optimiser steps done.
        step: u64,
        /// The run directory, whose run can be resumed.
        run_dir: PathBuf,
    },
}

/// What is wrong with a run directory, or with a file of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunProblem {
    /// A new run was to begin in a folder that holds one.
    #[error("already holds a run; resume it, or choose another folder")]
    Taken,

    /// A run was to be resumed where there is none.
    #[error("holds no run to resume; start one")]
    Absent,

    /// Another process holds it.
    #[error("is in use by another logo-ssl; wait for it, stop it, or choose another folder")]
    InUse,

    /// The config is another than that of the checkpoint, in settings that a run cannot change on its way.
    #[error(
        "is not the config this run was started with: {}; restore it, or start another run in another folder",
        Change::list(.0)
    )]
    OtherConfig(Vec<Change>),

    /// The images are others than those that the run was trained on. This says what differs.
    #[error(
        "was trained on other images: {0}. Restore them, or say that the run is to go on with what there is now"
    )]
    OtherImages(String),

    /// The file that says where the images lie cannot be understood.
    #[error(
        "is damaged ({0}); remove it, and name the folders of the images when the run is resumed"
    )]
    DamagedPlaces(String),

    /// The trained network has not been measured yet.
    #[error("has no kNN result of the trained network yet; resume the run, and let it finish")]
    Unmeasured,

    /// It was to begin from a file, and was cut off before it had written the weights of that. This is the
    /// file's name.
    #[error("was cut off before it had the weights of {0}; remove it, and start it again")]
    Unbegun(String),

    /// Anything else, with what to do about it.
    #[error("{0}")]
    Other(String),
}

impl<S: Into<String>> From<S> for RunProblem {
    fn from(message: S) -> Self {
        Self::Other(message.into())
    }
}

/// How many names of a long list a message shows.
const MOST_NAMES: usize = 4;

/// Names as a message lists them.
fn quoted(names: &[String]) -> String {
    let shown: Vec<String> =
        names.iter().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(MOST_NAMES + 1) {
        None => shown.join(", "),
        Some(more) => format!("{} and {} more", shown.join(", "), more + 1),
    }
}

fn unmatched(missing: &[String], unknown: &[String]) -> String {
    let part = |verb: &str, names: &[String]| match names {
        [] => None,
        _ => Some(format!("it {verb} {}", quoted(names))),
    };
    let parts = [part("lacks", missing), part("also has", unknown)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn misfits(parts: &[PartFit]) -> String {
    let each = parts.iter().map(|PartFit { part, from, fit }| {
        let from = from.as_ref().map_or_else(String::new, |from| format!(" `{from}`"));
        let why = match fit {
            Fit::Misfit { why } => why,
            _ => "does not fit",
        };
        format!("its {part}{from} {why}")
    });
    each.collect::<Vec<_>>().join("; ")
}

impl From<checkpoints::Error> for Error {
    fn from(error: checkpoints::Error) -> Self {
        match error {
            checkpoints::Error::Io(error) => Self::Io(error),
            checkpoints::Error::Unusable { path, problem } => Self::data(path, problem.to_string()),
        }
    }
}

impl From<logo_ssl_data::Error> for Error {
    fn from(error: logo_ssl_data::Error) -> Self {
        use logo_ssl_data::Error as Of;
        match error {
            Of::Data { path, message, remedy } => Self::Data { path, message, remedy },
            Of::Broken { found, images, allowed, first } => {
                Self::Broken { found, images, allowed, first }
            }
            Of::Io(error) => Self::Io(error),
            Of::Name { given, hint } => Self::Name { what: "dataset", given, hint },
            Of::NoUserFolder => Self::NoUserFolder { of: "datasets" },
            error => Self::Images(error.to_string()),
        }
    }
}

impl Error {
    /// 2 when the request was wrong, 1 when it was right and could not be met.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Setting { .. }
            | Error::Name { .. }
            | Error::Images(_)
            | Error::Misfit { .. }
            | Error::NoUserFolder { .. }
            | Error::Sweep { .. }
            | Error::Run { problem: RunProblem::OtherConfig(_), .. } => 2,
            _ => 1,
        }
    }

    /// An [`Error::Setting`] of `key`.
    pub(crate) fn setting(key: &str, message: impl Into<String>) -> Self {
        Error::Setting { key: Some(key.to_owned()), message: message.into() }
    }

    /// An [`Error::Setting`] of no key that could be made out.
    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Error::Setting { key: None, message: message.into() }
    }

    /// An [`Error::Name`] of `what`.
    pub(crate) fn name(what: &'static str, given: &str, hint: String) -> Self {
        Error::Name { what, given: given.to_owned(), hint }
    }

    /// This as [`Error::Sweep`] at `place` where the request is refused; other errors stay as they are.
    pub(crate) fn of_sweep(self, place: impl Into<String>) -> Self {
        match self.exit_code() {
            2 => Error::Sweep { place: place.into(), problem: Box::new(self) },
            _ => self,
        }
    }

    /// An [`Error::Device`] whose text says all there is to say.
    pub(crate) fn device(problem: impl Into<String>) -> Self {
        Error::Device { problem: problem.into(), advice: None }
    }

    /// For `map_err`: an I/O error that names its file.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let named = files::Error::on(action, path);
        move |error| Error::Io(named(error))
    }

    /// A [`Error::Data`] about `path`.
    pub fn data(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Error::Data { path: path.as_ref().to_path_buf(), message: message.into(), remedy: None }
    }

    /// An [`Error::Mismatch`] as [`Error::Data`] about the file that the tensors are of; other errors stay as
    /// they are.
    pub fn in_file(self, path: impl AsRef<Path>) -> Self {
        match self {
            Error::Mismatch(problem) => Self::data(path, problem.to_string()),
            other => other,
        }
    }

    /// A [`Error::Run`] about `path`.
    pub fn run(path: impl AsRef<Path>, problem: impl Into<RunProblem>) -> Self {
        Error::Run { path: path.as_ref().to_path_buf(), problem: problem.into() }
    }
}
