//! `logo-ssl report`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::train::Control;
use logo_ssl_report::{Illustrated, Illustration};
use serde_json::json;

use super::Output;
use super::encoder::{Measured, ReadyRun};
use super::pictures::images_bar;
use crate::error::Result;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory
    run_dir: PathBuf,
    /// Draw its pictures again, too: neighbours, map, affinity
    ///
    /// That needs the run’s images and its last checkpoint. The flags below are for it alone.
    #[arg(long)]
    pictures: bool,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { run_dir, pictures, measured } = arguments;
    if *pictures {
        let ReadyRun { config, splits, learner, device } = measured.open_run(run_dir)?;
        let run = Illustrated {
            run: run_dir,
            config: &config,
            splits: &splits,
            learner: &learner,
            device: &device,
        };
        draw(run, &Control::default(), output)?;
    }
    let report = logo_ssl_report::generate(run_dir)?;
    match output.json {
        true => say!("{}", json!({ "report": report })),
        false => say!("report: {}", report.display()),
    }
    Ok(())
}

/// Draws what suits the run of the pictures that its report shows, until `control` stops that.
pub(crate) fn draw(
    run: Illustrated<'_>,
    control: &Control,
    output: Output,
) -> Result<Vec<Illustration>> {
    let bar = images_bar(output);
    let drawn = run.draw(&mut |picture, done, total| {
        bar.set_prefix(picture.name());
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        Ok(!control.is_stopping())
    })?;
    bar.finish_and_clear();
    Ok(drawn)
}
