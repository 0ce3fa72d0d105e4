//! `logo-ssl map`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::eval::map::{self, MapMethod};
use logo_ssl_report::pictures::{self, Format, MapPicture};
use serde_json::json;

use super::Output;
use super::encoder::{Measured, Named, Ready};
use super::pictures::{Draw, images_bar, say_picture, stopped, tell, what};
use crate::error::{Error, Result};

/// Images that a map has room for.
const MOST: usize = 20_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: Named,
    /// How: pca or tsne
    #[arg(long, value_name = "NAME", default_value_t = MapMethod::Tsne)]
    method: MapMethod,
    /// Test images, spread over the classes
    ///
    /// All of them, if there are fewer.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    images: usize,
    /// Draw the images in place of marks
    ///
    /// Where there is room; a page has them both ways.
    #[arg(long)]
    thumbnails: bool,
    #[command(flatten)]
    draw: Draw,
    /// The picture: .png, .svg or .html
    ///
    /// The last is a page to move about in.
    #[arg(long, value_name = "FILE", default_value = "map.html")]
    out: PathBuf,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { method, images, draw, out, measured, .. } = arguments;
    pictures::check(out, &[Format::Png, Format::Svg, Format::Html])?;
    if !(4..=MOST).contains(images) {
        return Err(Error::Usage(format!("--images {images}: a map has 4 to {MOST}")));
    }
    let at = arguments.encoder.at()?;
    let Ready { config, labelled, encoder } = measured.open(&at, measured.config(&at)?)?;
    let bar = images_bar(output);
    let test = &labelled.test;
    let asked = (*method, *images, draw.seed);
    let map = map::of_encoder(&encoder, test, &config, asked, &mut |done, total| {
        tell(&bar, done, total)
    })?
    .ok_or_else(stopped)?;
    bar.finish_and_clear();
    let what = what(&at, &config);
    let picture =
        MapPicture { map: &map, images: test, what: &what, thumbnails: arguments.thumbnails };
    pictures::map(&picture, out)?;
    let shown = map.images.len();
    let told = format!(
        "{} of {shown} test images of {what}: trustworthiness {:.3} by {} neighbours",
        method.title(),
        map.trustworthiness,
        map.neighbours
    );
    let values = json!({ "method": method.name(), "images": shown,
        "trustworthiness": map.trustworthiness, "neighbours": map.neighbours,
        "explained_variance": map.explained });
    say_picture(out, &told, values, output);
    Ok(())
}
