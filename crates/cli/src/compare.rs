//! `logo-ssl compare`

use std::path::PathBuf;

use clap::Args;
use logo_ssl_report::compare::Comparison;
use serde_json::json;

use super::Output;
use crate::error::Result;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Run directories; those that differ in their seed alone become one row
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Folder for the table and the plots
    #[arg(long, value_name = "DIR", default_value = "comparison")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    show(&Comparison::read(&arguments.runs)?, &arguments.out, output)
}

/// Writes a comparison into `out` and prints its table and where everything lies.
pub(crate) fn show(comparison: &Comparison, out: &std::path::Path, output: Output) -> Result<()> {
    let written = comparison.write(out)?;
    if output.json {
        say!("{}", json!({ "files": written, "table": comparison.table() }));
        return Ok(());
    }
    say!("{}", comparison.table().trim_end());
    for path in written {
        say!("{}", path.display());
    }
    Ok(())
}
