//! `logo-ssl report`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::Output;
use crate::error::Result;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory
    run_dir: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let report = logo_ssl_report::generate(&arguments.run_dir)?;
    match output.json {
        true => say!("{}", json!({ "report": report })),
        false => say!("report: {}", report.display()),
    }
    Ok(())
}
