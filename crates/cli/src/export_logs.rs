//! `logo-ssl export-logs`

use std::path::PathBuf;

use clap::Args;
use logo_ssl_report::export::{self, Format};
use serde_json::json;

use super::Output;
use crate::error::Result;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory, finished or not
    #[arg(value_name = "RUN")]
    run_dir: PathBuf,
    /// tensorboard: an event file; csv: steps.csv, epochs.csv and evaluations.csv
    #[arg(long, value_name = "FORMAT", default_value_t = Format::TensorBoard)]
    format: Format,
    /// Folder for what is written, in place of an earlier export there; one of its own while the run trains with
    /// --tensorboard [default: the folder tensorboard or csv of the run]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { run_dir, format, out } = arguments;
    let out = out.clone().unwrap_or_else(|| run_dir.join(format.name()));
    let written = export::export(run_dir, *format, &out)?;
    if output.json {
        say!("{}", json!({ "files": written }));
        return Ok(());
    }
    for path in &written {
        say!("{}", path.display());
    }
    if *format == Format::TensorBoard && !output.quiet {
        remark!("to look at it: tensorboard --logdir {}", out.display());
    }
    Ok(())
}
