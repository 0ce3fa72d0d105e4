//! `logo-ssl similarities`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::eval::similarities;
use logo_ssl::interop::EncoderAt;
use logo_ssl::record::{self, RunFiles};
use logo_ssl_report::pictures::{self, Format};
use serde_json::json;

use super::Output;
use super::encoder::{Measured, ReadyRun};
use super::pictures::{Draw, images_bar, say_picture, stopped, tell, what};
use crate::error::Result;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory: its last checkpoint, and what it logged
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Training images, spread over the classes
    #[arg(long, value_name = "N", default_value_t = 256)]
    images: usize,
    #[command(flatten)]
    draw: Draw,
    /// The picture: .png or .svg
    #[arg(long, value_name = "FILE", default_value = "similarities.png")]
    out: PathBuf,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { run, images, draw, out, measured } = arguments;
    pictures::check(out, &[Format::Png, Format::Svg])?;
    let ReadyRun { config, splits, learner, .. } = measured.open_run(run)?;
    let bar = images_bar(output);
    let found = similarities::of_encoder(
        &learner.encoder(),
        &splits.train,
        &config,
        (*images, draw.seed),
        &mut |done, total| tell(&bar, done, total),
    )?
    .ok_or_else(stopped)?;
    bar.finish_and_clear();
    let records = record::read(&RunFiles::of(run).metrics_path())?;
    let what = what(&EncoderAt::Run(run.clone()), &config);
    pictures::similarities(&found, &records, &what, out)?;
    let means = json!({
        "global_global": mean(&found.global_global),
        "local_global": mean(&found.local_global),
        "local_local": mean(&found.local_local),
        "different": mean(&found.different),
    });
    let told = format!("cosines of views of {} images of {what}: means {means}", found.images);
    say_picture(out, &told, json!({ "images": found.images, "means": means }), output);
    Ok(())
}

/// None of nothing.
fn mean(values: &[f32]) -> Option<f64> {
    let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
    (!values.is_empty()).then(|| sum / values.len() as f64)
}
