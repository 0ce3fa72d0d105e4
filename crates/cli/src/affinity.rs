//! `logo-ssl affinity`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::eval::affinity::{self, Asked};
use logo_ssl::interop::EncoderAt;
use logo_ssl_report::pictures::{self, Format};
use serde_json::json;

use super::Output;
use super::encoder::{Measured, ReadyRun};
use super::pictures::{Draw, images_bar, say_picture, stopped, tell, what};
use crate::error::{Error, Result};

/// Images, and crops in a row of the grid, that a picture has room for.
const MOST: [usize; 2] = [12, 8];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory: its last checkpoint
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Images, spread over the classes
    #[arg(long, value_name = "N", default_value_t = 4)]
    images: usize,
    /// Local crops in a row, and in a column, of each image
    #[arg(long, value_name = "N", default_value_t = 5)]
    grid: usize,
    #[command(flatten)]
    draw: Draw,
    /// The picture: .png or .svg
    #[arg(long, value_name = "FILE", default_value = "affinity.png")]
    out: PathBuf,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { run, images, grid, draw, out, measured } = arguments;
    pictures::check(out, &[Format::Png, Format::Svg])?;
    for (flag, count, least, most) in
        [("--images", *images, 1, MOST[0]), ("--grid", *grid, 2, MOST[1])]
    {
        if !(least..=most).contains(&count) {
            return Err(Error::Usage(format!("{flag} {count}: {least} to {most} have room")));
        }
    }
    let ReadyRun { config, splits, learner, device } = measured.open_run(run)?;
    // Images that were not trained on, where there are such.
    let shown = splits.evaluation.as_ref().map_or(&splits.train, |evaluation| &evaluation.test);
    let bar = images_bar(output);
    let asked = Asked { images: *images, grid: *grid, seed: draw.seed };
    let maps =
        affinity::of_learner((&learner, &device), shown, &config, asked, &mut |done, total| {
            tell(&bar, done, total)
        })?
        .ok_or_else(stopped)?;
    bar.finish_and_clear();
    let what = what(&EncoderAt::Run(run.clone()), &config);
    pictures::affinity(&maps, shown, &what, out)?;
    let count = maps.images.len();
    let told = format!("f_d of {0} × {0} local crops of {count} images of {what}", maps.grid);
    let values = json!({ "images": maps.images, "grid": maps.grid, "between": maps.between });
    say_picture(out, &told, values, output);
    Ok(())
}
