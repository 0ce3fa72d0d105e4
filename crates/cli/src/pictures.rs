//! What the commands that draw pictures share.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use logo_ssl::config::Config;
use logo_ssl::interop::EncoderAt;
use logo_ssl_report::pictures;
use serde_json::{Value, json};

use super::Output;
use super::progress::bar;
use crate::error::Error;

/// Which images are drawn by chance.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Draw {
    /// Which images are drawn
    ///
    /// Another number draws other images.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// A bar of images.
pub(crate) fn images_bar(output: Output) -> ProgressBar {
    bar(output, 0, "{prefix:>12} {bar:30.cyan} {pos}/{len} images, {eta} to go")
}

/// Shows how many images of how many are done, and has the work go on.
pub(crate) fn tell(bar: &ProgressBar, done: usize, total: usize) -> logo_ssl::Result<bool> {
    bar.set_length(total as u64);
    bar.set_position(done as u64);
    Ok(true)
}

/// What is said where a computation ended early, which nothing here asks for.
pub(crate) fn stopped() -> Error {
    Error::Failed("the computation was stopped".into())
}

/// Of which encoder a picture is, and of which images.
pub(crate) fn what(at: &EncoderAt, config: &Config) -> String {
    let (EncoderAt::Run(path) | EncoderAt::Weights(path)) = at;
    pictures::what(path, config)
}

/// Says where a picture is, and in a line or as values what it shows.
pub(crate) fn say_picture(out: &PathBuf, told: &str, shown: Value, output: Output) {
    match output.json {
        true => say!("{}", json!({ "picture": out, "shown": shown })),
        false => say!("{told}\npicture: {}", out.display()),
    }
}
