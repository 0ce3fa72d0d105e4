//! A run's logs in the forms that other tools read: TensorBoard's event files, and tables in CSV.
//!
//! Both are made from what the run's directory holds, and leave the directory's own files alone.
//! [`TensorBoard`] does the same while a run trains, as one of its sinks.

mod csv;
mod history;
mod hparams;
mod scores;
mod tensorboard;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use logo_ssl::record::RunFiles;
use logo_ssl::{Error, Result};
use logo_ssl_base::files::create_folder;

pub use tensorboard::TensorBoard;

/// In which form logs are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One event file with scalars, histograms, the picture of the views, the config, and hyper-parameters.
    TensorBoard,
    /// `steps.csv`, `epochs.csv` and `evaluations.csv`.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::TensorBoard, Self::Csv];

    /// What it is called, and the folder of a run that it goes to where no other is named.
    pub fn name(self) -> &'static str {
        match self {
            Self::TensorBoard => "tensorboard",
            Self::Csv => "csv",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no format `{name}` of logs: {names}")
        })
    }
}

/// Writes the logs of the run in `run_dir` to the folder `out`, in place of what an earlier export left there;
/// returns what was written. The same run gives the same bytes.
///
/// # Errors
/// [`Error::Run`] when `run_dir` holds no run or has logged nothing yet, [`Error::Data`] when a log is broken,
/// [`Error::Io`] when something cannot be read or written.
pub fn export(run_dir: &Path, format: Format, out: &Path) -> Result<Vec<PathBuf>> {
    crate::required(run_dir, "config.toml")?;
    let files = RunFiles::of(run_dir);
    let history = history::read(&files).map_err(|error| crate::no_metrics(run_dir, error))?;
    create_folder(out)?;
    match format {
        Format::TensorBoard => tensorboard::export(&files, &history, out).map(|path| vec![path]),
        Format::Csv => csv::export(&history, out),
    }
}

/// What cannot be written to `path`, as an error.
fn unwritable<E: Into<std::io::Error>>(path: &Path) -> impl Fn(E) -> Error {
    let path = path.to_path_buf();
    move |error| Error::io("write", &path)(error.into())
}
