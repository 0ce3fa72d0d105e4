//! `logo-ssl neighbours`

use std::path::PathBuf;

use clap::Args;
use logo_ssl::eval::Subject;
use logo_ssl::eval::neighbours::{self, Asked};
use logo_ssl_base::words::counted;
use logo_ssl_report::pictures::{self, Format};
use serde_json::json;

use super::Output;
use super::encoder::{Measured, Named, Ready};
use super::pictures::{Draw, images_bar, say_picture, stopped, tell, what};
use crate::error::{Error, Result};

/// Queries and neighbours that a picture has room for.
const MOST: [usize; 2] = [200, 40];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    encoder: Named,
    /// Test images, spread over the classes
    #[arg(long, value_name = "N", default_value_t = 12)]
    queries: usize,
    /// Neighbours of each, which vote for its class
    #[arg(long, value_name = "N", default_value_t = 8)]
    k: usize,
    /// Misclassified test images alone
    #[arg(long)]
    wrong: bool,
    #[command(flatten)]
    draw: Draw,
    /// The picture: .png or .svg
    #[arg(long, value_name = "FILE", default_value = "neighbours.png")]
    out: PathBuf,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Arguments { queries, k, wrong, draw, out, measured, .. } = arguments;
    pictures::check(out, &[Format::Png, Format::Svg])?;
    for (flag, count, most) in [("--queries", *queries, MOST[0]), ("--k", *k, MOST[1])] {
        if !(1..=most).contains(&count) {
            return Err(Error::Usage(format!("{flag} {count}: 1 to {most} have room")));
        }
    }
    let at = arguments.encoder.at()?;
    let Ready { config, labelled, encoder } = measured.open(&at, measured.config(&at)?)?;
    let mut subject = Subject::new(Some(&encoder), &labelled, &config);
    let asked = Asked { queries: *queries, neighbours: *k, seed: draw.seed, only_wrong: *wrong };
    let bar = images_bar(output);
    let found =
        neighbours::of_subject(&mut subject, asked, &mut |done, total| tell(&bar, done, total))?
            .ok_or_else(stopped)?;
    bar.finish_and_clear();
    let kind = if *wrong { "misclassified test image" } else { "test image" };
    let what = format!("{}, drawn from {}", what(&at, &config), counted(found.eligible, kind));
    pictures::neighbours(&found, &labelled, &what, out)?;
    let shown = found.queries.len();
    let right = found.queries.iter().filter(|query| query.guess == query.class).count();
    let told =
        format!("{shown} queries of {what}; the vote of {k} neighbours is right for {right}");
    let values = json!({ "queries": found.queries, "drawn_from": found.eligible });
    say_picture(out, &told, values, output);
    Ok(())
}
