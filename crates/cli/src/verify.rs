//! `logo-ssl verify`

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::verify::{Checked, Trust, Verified, verify};
use serde_json::json;

use super::{Output, hints};
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let run = &arguments.run;
    let verified = verify(run)?;
    match output.json {
        true => json_of(run, &verified),
        false => table(run, &verified, output),
    }
    match verified.is_damaged() {
        false => Ok(()),
        true => Err(Error::about(run, &what_to_do(run, &verified))),
    }
}

/// What a person does about a run with a damaged file.
fn what_to_do(run: &Path, verified: &Verified) -> String {
    match verified.goes_on_from {
        Some(step) => format!(
            "something is damaged, as is said above; the last whole checkpoint is of step {step}, from which `logo-ssl \
             pretrain --resume --run-dir {}` goes on",
            run.display()
        ),
        None => "something is damaged, as is said above, and no checkpoint is whole; restore the run from a copy, or \
                 train it again from its config.toml"
            .to_owned(),
    }
}

fn table(run: &Path, verified: &Verified, output: Output) {
    for file in &verified.files {
        let (word, told) = told(&file.trust);
        if !output.quiet || matches!(file.trust, Trust::Damaged(_)) {
            say!("{:<34} {word:<10} {told}", name(run, file));
        }
    }
    if let (Some(step), false) = (verified.goes_on_from, output.quiet) {
        say!("it goes on from step {step}");
    }
}

/// A file by its place in the run.
fn name(run: &Path, file: &Checked) -> String {
    file.path.strip_prefix(run).unwrap_or(&file.path).display().to_string()
}

/// What is thought of a file in a word, and more.
fn told(trust: &Trust) -> (&'static str, String) {
    match trust {
        Trust::Whole(told) => ("whole", told.clone()),
        Trust::Unsealed(told) => ("readable", format!("{told}; it bears no checksum")),
        Trust::Damaged(error) => ("DAMAGED", hints::line(error)),
        Trust::Absent => ("absent", String::new()),
        Trust::Leftover => ("leftover", "of a write that was cut off; nothing reads it".to_owned()),
    }
}

fn json_of(run: &Path, verified: &Verified) {
    let files: Vec<_> = verified
        .files
        .iter()
        .map(|file| {
            json!({ "file": name(run, file), "verdict": file.trust.name(),
                "told": told(&file.trust).1 })
        })
        .collect();
    say!("{}", json!({ "files": files, "goes_on_from": verified.goes_on_from }));
}
