//! Evidence: the plots and the report of a run, made from its directory alone, comparisons of runs, and their logs
//! for TensorBoard and in CSV.
//!
//! ```no_run
//! # fn main() -> logo_ssl::Result<()> {
//! let page = logo_ssl_report::generate("runs/quickstart".as_ref())?;
//! println!("{}", page.display());
//! # Ok(())
//! # }
//! ```

pub mod assets;
mod chart;
pub mod compare;
mod curves;
pub mod export;
mod figure;
pub mod html;
mod illustrate;
pub mod pictures;
pub mod plots;
mod scene;
mod scores;
pub mod thin;
mod timing;

use std::path::{Path, PathBuf};

use logo_ssl::config::Config;
use logo_ssl::eval::Findings;
use logo_ssl::presets;
use logo_ssl::record::{self, RunFiles};
use logo_ssl::{Error, Result};

pub use illustrate::{Illustrated, Illustration, remove_all};

/// Draws `plots/` and writes `report.html` from what a run directory holds; returns the latter's
/// path.
///
/// # Errors
/// [`Error::Run`] when `run_dir` holds no run or its config is damaged, [`Error::Data`] when a log is broken, [`Error::Io`]
/// when something cannot be read or written.
pub fn generate(run_dir: &Path) -> Result<PathBuf> {
    let config_toml = required(run_dir, "config.toml")?;
    let files = RunFiles::of(run_dir);
    let config = presets::read_run_config(&files.config_path())?;
    let records = record::read(&files.metrics_path()).map_err(|e| no_metrics(run_dir, e))?;
    let timings = optional(record::read(&files.timings_path()))?;
    let preview_path = files.preview();
    let preview =
        optional(std::fs::read(&preview_path).map(Some).map_err(Error::io("read", &preview_path)))?;
    let pictures = Illustration::ALL.into_iter().map(|picture| {
        let path = picture.path(&files);
        let png = std::fs::read(&path).map(Some).map_err(Error::io("read", &path));
        Ok(optional(png)?.map(|png| (picture, png)))
    });
    let pictures: Vec<_> = pictures.filter_map(Result::transpose).collect::<Result<_>>()?;
    let findings = Findings::read(&files.evaluation())?;
    plots::write_all(&records, config.model.projector.dim, &files.plots())?;
    let path = files.report();
    let commands = commands(&config);
    let commands: Vec<_> =
        commands.iter().map(|(purpose, command)| (*purpose, command.as_str())).collect();
    let input = html::ReportInput {
        name: &name(run_dir),
        config: &config,
        config_toml: &config_toml,
        records: &records,
        timings: &timings,
        version: env!("CARGO_PKG_VERSION"),
        findings: findings.as_ref(),
        preview: preview.as_deref(),
        pictures: &pictures,
        commands: &commands,
    };
    html::write(&input, &path)?;
    Ok(path)
}

/// What can be done in the folder of a run of `config`, and the command line that does it.
fn commands(config: &Config) -> [(&'static str, String); 5] {
    let neighbours: Vec<String> = config.eval.k.iter().map(usize::to_string).collect();
    [
        (
            "the same run again",
            format!(
                "logo-ssl pretrain --preset {} --config config.toml --run-dir ../again",
                config.preset
            ),
        ),
        (
            "its kNN accuracy, measured again",
            format!(
                "logo-ssl knn --run . --k {} --temperature {}",
                neighbours.join(","),
                config.eval.temperature
            ),
        ),
        (
            "its evaluation by the standard suite, which this page then shows",
            "logo-ssl eval . --suite standard".to_owned(),
        ),
        ("this page and the plots, written again", "logo-ssl report .".to_owned()),
        ("the same with its pictures", "logo-ssl report . --pictures".to_owned()),
    ]
}

fn required(run_dir: &Path, name: &str) -> Result<String> {
    let path = run_dir.join(name);
    std::fs::read_to_string(&path).map_err(Error::io("read", &path)).map_err(|error| match error {
        error if is_missing(&error) => Error::run(
            run_dir,
            format!(
                "this is no run directory: it has no {name}; give the folder that a training run \
                 wrote"
            ),
        ),
        error => error,
    })
}

fn no_metrics(run_dir: &Path, error: Error) -> Error {
    match error {
        error if is_missing(&error) => Error::run(
            run_dir,
            "this run has logged nothing yet: there is no metrics.jsonl; train it first, then ask \
             for its report",
        ),
        error => error,
    }
}

/// `T::default()` in place of a file that is not there.
fn optional<T: Default>(read: Result<T>) -> Result<T> {
    match read {
        Err(error) if is_missing(&error) => Ok(T::default()),
        other => other,
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.source.kind() == std::io::ErrorKind::NotFound)
}

/// A run, or a file, is called as the last part of its path.
fn name(path: &Path) -> String {
    // `.` and `runs/..` have a name only once they are resolved.
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    resolved
        .file_name()
        .map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl::record::{Record, synthetic};

    fn write_config(dir: &Path) {
        let layers = presets::Layers::preset("quickstart").unwrap().set("seed=7").unwrap();
        let config = presets::to_toml(&layers.build().unwrap());
        std::fs::write(dir.join("config.toml"), config).unwrap();
    }

    fn write_log(dir: &Path, name: &str, records: &[Record]) {
        let lines: Vec<_> = records.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
        std::fs::write(dir.join(name), lines.join("\n") + "\n").unwrap();
    }

    #[test]
    fn a_run_directory_gets_its_plots_and_report() {
        let dir = tempfile::tempdir().unwrap();
        write_config(dir.path());
        write_log(dir.path(), "metrics.jsonl", &synthetic::records(2, true));
        let path = generate(dir.path()).unwrap();
        assert_eq!(path, dir.path().join("report.html"));
        let plain = std::fs::read_to_string(&path).unwrap();
        assert!(!plain.contains("images / second") && !plain.contains("data:image/png"));
        assert!(dir.path().join("plots/knn.png").is_file());

        write_log(dir.path(), "timings.jsonl", &synthetic::timings(2));
        std::fs::write(dir.path().join("preview.png"), b"\x89PNG").unwrap();
        generate(dir.path()).unwrap();
        let full = std::fs::read_to_string(&path).unwrap();
        assert!(
            full.contains("images / second") && full.contains("data:image/png;base64,iVBORw==")
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 6, "no partial file is left");
    }

    #[test]
    fn the_same_run_gives_the_same_report() {
        let dir = tempfile::tempdir().unwrap();
        write_config(dir.path());
        write_log(dir.path(), "metrics.jsonl", &synthetic::records(1, false));
        let first = std::fs::read(generate(dir.path()).unwrap()).unwrap();
        assert_eq!(std::fs::read(generate(dir.path()).unwrap()).unwrap(), first);
    }

    #[test]
    fn a_folder_that_is_no_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = generate(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Run { .. }), "{error}");
        assert!(error.to_string().contains("no run directory"), "{error}");

        write_config(dir.path());
        let error = generate(dir.path()).unwrap_err();
        assert!(matches!(error, Error::Run { .. }), "{error}");
        assert!(error.to_string().contains("no metrics.jsonl"), "{error}");
    }

    #[test]
    fn a_damaged_config_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), "preset = \"x\"\nseed = 1\n").unwrap();
        let error = generate(dir.path()).unwrap_err();
        assert!(error.to_string().contains("config.toml: is damaged"), "{error}");
    }
}
