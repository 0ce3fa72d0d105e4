//! `--init` of `logo-ssl pretrain`: what a new run begins from.

use std::path::{Path, PathBuf};

use clap::Args;
use logo_ssl::interop::{Choice, EncoderAt, Fit, InitFrom, Origin, Part, PartFit};
use logo_ssl_base::words::counted;
use serde_json::json;

use super::Output;
use crate::error::{Error, Result};

/// How many digits of a checksum a person is shown.
const DIGITS: usize = 12;

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What to begin from: a checkpoint, or a run
    ///
    /// Of this or another program (.pth, .ckpt, safetensors): the backbone, and projector, predictor, momentum
    /// encoder and queue where they are there and fit.
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    init: Option<PathBuf>,
    /// With --init: of several backbones, the one whose names begin with this, such as encoder_q
    #[arg(long, value_name = "PREFIX", requires = "init", hide_short_help = true)]
    init_prefix: Option<String>,
    /// With --init: what is not there or does not fit starts at random
    #[arg(long, requires = "init", hide_short_help = true)]
    init_allow_missing: bool,
}

impl Init {
    /// What the library is to begin from, where something is named.
    pub(crate) fn from(&self) -> Option<InitFrom> {
        let path = self.init.as_ref()?;
        // What a stem is that no file tells, model.stem tells.
        let choice = Choice {
            prefix: self.init_prefix.clone(),
            allow_missing: self.init_allow_missing,
            padded_stem: false,
        };
        Some(InitFrom { at: EncoderAt::path(path), choice })
    }

    /// `error` of a run that was to be created, with the flags of this command.
    pub(crate) fn explained(error: logo_ssl::Error) -> Error {
        match &error {
            logo_ssl::Error::Several { prefixes, .. } => Error::Failed(format!(
                "{error}: --init-prefix {} takes the first",
                prefixes[0].trim_end_matches('.')
            )),
            logo_ssl::Error::Unmatched { .. } => Error::Failed(format!(
                "{error}. With --init-allow-missing what it lacks starts at random"
            )),
            _ => error.into(),
        }
    }

    /// Refuses to begin a run that was begun from something else. The command that began it may be repeated.
    pub(crate) fn check_begun(&self, origin: Option<&Origin>) -> Result<()> {
        let Some(name) = self.init.as_deref().and_then(Path::file_name) else { return Ok(()) };
        let began = match origin {
            Some(origin) if Path::new(&origin.file).starts_with(name) => return Ok(()),
            Some(origin) => format!("from {}", origin.file),
            None => "at random".to_owned(),
        };
        Err(Error::Usage(format!(
            "--init is for a new run, and this one began {began}: leave it out, or start another with --run-dir"
        )))
    }
}

/// Says what a run begins from.
pub(crate) fn tell(origin: &Origin, output: Output) {
    if output.json {
        say!("{}", json!({ "event": "init", "from": origin }));
    } else if !output.quiet {
        remark!("begins from {} (SHA-256 {}…)", origin.file, &origin.sha256[..DIGITS]);
        let from = |part: &PartFit| part.from.clone().unwrap_or_else(|| "–".to_owned());
        let width = origin.parts.iter().map(|part| from(part).chars().count()).max();
        let width = width.unwrap_or(0);
        for part in &origin.parts {
            remark!("  {:16}  {:width$}  {}", part.part, from(part), what_became(part));
        }
        if origin.left_out > 0 {
            remark!("  {} more stay in the file", counted(origin.left_out, "tensor"));
        }
    }
}

fn what_became(PartFit { part, fit, .. }: &PartFit) -> String {
    let start = match part {
        Part::MomentumEncoder => "starts as the encoder",
        _ => "starts at random",
    };
    match fit {
        Fit::Taken { tensors, missing: 0 } => format!("taken: {}", counted(*tensors, "tensor")),
        Fit::Taken { tensors, missing } => {
            format!(
                "taken: {}; {missing} more are not there and start at random",
                counted(*tensors, "tensor")
            )
        }
        Fit::Absent => format!("not there: {start}"),
        Fit::Unused => "stays there: the settings have none".to_owned(),
        Fit::Misfit { why } => format!("{start}: it {why}"),
    }
}
