//! How alike views are: histograms of the state at hand, and the means over training.

use std::path::Path;

use logo_ssl::Result;
use logo_ssl::eval::similarities::Similarities;
use logo_ssl::record::Record;
use logo_ssl::record::scalars::{COS_GG, COS_LG, COS_LL};
use logo_ssl_base::words::{counted, grouped};
use measures::Histogram;

use super::write;
use crate::figure::signed;
use crate::scene::{Anchor, Color, FAINT, INK, MUTED, Paint, Point, Scene, Text};

const WIDTH: f32 = 1080.0;
const HEIGHT: f32 = 580.0;
const TOP: f32 = 118.0;
const BOTTOM: f32 = 500.0;
const BINS: usize = 100;
const TICKS: [f64; 5] = [-1.0, -0.5, 0.0, 0.5, 1.0];
/// The page's columns: histograms, and training.
const LEFT: [f32; 2] = [150.0, 520.0];
const RIGHT: [f32; 2] = [460.0, 950.0];

const KINDS: [(&str, Color); 4] = [
    ("global–global", [0, 114, 178]),
    ("local–global", [213, 94, 0]),
    ("local–local", [0, 148, 108]),
    ("other images", [95, 95, 95]),
];

/// Draws a histogram of each kind of cosine, and beside them the means that training logged, and writes it to
/// `path`: PNG or SVG. `what` says of whom it is.
///
/// # Errors
/// [`logo_ssl::Error::Name`] for another extension; [`logo_ssl::Error::Io`] where it cannot be written.
pub fn similarities(
    found: &Similarities,
    records: &[Record],
    what: &str,
    path: &Path,
) -> Result<()> {
    write(&draw(found, records, what), path)
}

fn draw(found: &Similarities, records: &[Record], what: &str) -> Scene {
    let mut scene = Scene::new([WIDTH, HEIGHT], format!("Similarities of views, {what}"));
    scene.text(Text::new([28.0, 36.0], "How alike the embeddings of views are", 21.0));
    let told = format!(
        "{what}; cosines of {}, augmented as in training, by a network in evaluation mode",
        counted(found.images, "image")
    );
    scene.text(Text::new([28.0, 58.0], told, 13.0).color(MUTED));
    let why = "Training has the statistics of each batch, evaluation those that run over all kinds of views, so the means \
               of both sides differ.";
    scene.text(Text::new([28.0, 542.0 + 18.0], why, 12.0).color(MUTED));
    scene.text(Text::new([28.0, 92.0], "Now: how the cosines are spread", 15.0));
    scene.text(Text::new([LEFT[1] - 40.0, 92.0], "Over training: their means, as logged", 15.0));
    histograms(&mut scene, found);
    training(&mut scene, records);
    scene
}

fn across(column: usize, share: f64) -> f32 {
    LEFT[column] + (RIGHT[column] - LEFT[column]) * share as f32
}

fn histograms(scene: &mut Scene, found: &Similarities) {
    let values = [&found.global_global, &found.local_global, &found.local_local, &found.different];
    let kinds: Vec<_> =
        KINDS.into_iter().zip(values).filter(|(_, values)| !values.is_empty()).collect();
    let pitch = (BOTTOM - TOP) / kinds.len() as f32;
    for tick in TICKS {
        let x = across(0, 0.5 * (tick + 1.0));
        scene.line(vec![[x, TOP], [x, BOTTOM]], Paint::stroke(FAINT, 1.0));
        let number = Text::new([x, BOTTOM + 18.0], signed(tick, 1), 12.0).color(MUTED);
        scene.text(number.anchor(Anchor::Middle));
    }
    let label = Text::new([across(0, 0.5), BOTTOM + 40.0], "cosine", 13.0);
    scene.text(label.anchor(Anchor::Middle));
    for (at, ((name, color), values)) in kinds.into_iter().enumerate() {
        let base = TOP + (at + 1) as f32 * pitch - 4.0;
        let shares = Histogram::new(values, [-1.0, 1.0], BINS).shares();
        // Each is as high as there is room: it is their places that are compared.
        let most = shares.iter().copied().fold(0.0, f64::max);
        let height = |share: f64| (share / most) as f32 * (pitch - 18.0);
        let mut outline: Vec<Point> = vec![[across(0, 0.0), base]];
        for (bin, &share) in shares.iter().enumerate() {
            let edges = [bin, bin + 1].map(|edge| across(0, edge as f64 / BINS as f64));
            outline.extend(edges.map(|x| [x, base - height(share)]));
        }
        outline.push([across(0, 1.0), base]);
        scene.polygon(outline, Paint::sheer(color, 0.35).edged(color, 1.5));
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
        let x = across(0, 0.5 * (mean + 1.0));
        scene.line(vec![[x, base], [x, base - pitch + 18.0]], Paint::stroke(color, 1.5).dashed());
        scene.text(Text::new([28.0, base - 22.0], name, 14.0).color(color));
        let text = format!("mean {}", signed(mean, 3));
        scene.text(Text::new([28.0, base - 4.0], text, 12.0).color(MUTED));
    }
}

/// The means over training: of epochs, or of steps where there is no whole epoch.
fn training(scene: &mut Scene, records: &[Record]) {
    let names = [COS_GG, COS_LG, COS_LL];
    let curves: Vec<Vec<(f64, f64)>> = names.iter().map(|name| logged(records, name)).collect();
    let last = curves.iter().flatten().map(|point| point.0).fold(1.0, f64::max);
    let values = curves.iter().flatten().map(|point| point.1);
    let low = values.fold(0.0, f64::min);
    let low = (low * 5.0).floor() / 5.0;
    let down = |value: f64| BOTTOM - (BOTTOM - TOP) * ((value - low) / (1.0 - low)) as f32;
    let ticks = ((1.0 - low) * 5.0).round() as usize;
    for tick in 0..=ticks {
        let value = low + tick as f64 / 5.0;
        let y = down(value);
        scene.line(vec![[LEFT[1], y], [RIGHT[1], y]], Paint::stroke(FAINT, 1.0));
        let number = Text::new([LEFT[1] - 8.0, y + 4.0], signed(value, 1), 12.0).color(MUTED);
        scene.text(number.anchor(Anchor::End));
    }
    let each = round_step(last);
    for tick in 0..=(last / each) as u64 {
        let step = tick * each as u64;
        let x = across(1, step as f64 / last);
        let number = Text::new([x, BOTTOM + 18.0], grouped(step), 12.0).color(MUTED);
        scene.text(number.anchor(Anchor::Middle));
    }
    let label = Text::new([across(1, 0.5), BOTTOM + 40.0], "optimiser steps", 13.0);
    scene.text(label.anchor(Anchor::Middle));
    if curves.iter().all(Vec::is_empty) {
        let none = Text::new([across(1, 0.5), 0.5 * (TOP + BOTTOM)], "nothing is logged yet", 13.0);
        scene.text(none.color(MUTED).anchor(Anchor::Middle));
    }
    let mut label_end = f32::NEG_INFINITY;
    let mut drawn: Vec<_> = curves.into_iter().zip(KINDS).filter(|(c, _)| !c.is_empty()).collect();
    drawn.sort_by(|(a, _), (b, _)| last_of(b).total_cmp(&last_of(a)));
    for (curve, (name, color)) in drawn {
        let points: Vec<Point> =
            curve.iter().map(|&(step, value)| [across(1, step / last), down(value)]).collect();
        let [x, y] = points[points.len() - 1];
        match points.len() {
            1 => scene.disc([x, y], 3.5, Paint::fill(color)),
            _ => scene.line(points, Paint::stroke(color, 2.0)),
        }
        // The highest comes first; the next keeps below it.
        label_end = (y + 4.0).max(label_end + 16.0);
        let text = format!("{name} {}", signed(last_of(&curve), 2));
        scene.text(Text::new([RIGHT[1] + 8.0, label_end], text, 12.5).color(color));
    }
    scene.line(vec![[LEFT[1], BOTTOM], [RIGHT[1], BOTTOM]], Paint::stroke(INK, 1.0));
}

/// The least round number of steps, 1, 2 or 5 and zeros, of which at most six are as many as `last`.
fn round_step(last: f64) -> f64 {
    let powers = (0..18).map(|power| 10_f64.powi(power));
    let mut round = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|first| first * power));
    round.find(|step| last / step <= 6.0).unwrap_or(last)
}

fn last_of(curve: &[(f64, f64)]) -> f64 {
    curve.last().map_or(0.0, |point| point.1)
}

fn logged(records: &[Record], name: &str) -> Vec<(f64, f64)> {
    let of = |epochs: bool| {
        let points = records.iter().filter_map(|record| match record {
            Record::Epoch { step, scalars, .. } if epochs => Some((step, scalars)),
            Record::Step { step, scalars, .. } if !epochs => Some((step, scalars)),
            _ => None,
        });
        let values = points.filter_map(|(step, scalars)| Some((*step as f64, scalars.get(name)?)));
        values.filter(|(_, value)| value.is_finite()).collect::<Vec<_>>()
    };
    let epochs = of(true);
    if epochs.is_empty() { of(false) } else { epochs }
}

#[cfg(test)]
mod tests {
    use logo_ssl::record::synthetic;

    use super::*;

    #[test]
    fn steps_are_told_in_round_numbers() {
        let steps = [(1.0, 1.0), (6.0, 1.0), (7.0, 2.0), (1488.0, 500.0), (78_125.0, 20_000.0)];
        assert_eq!(steps.map(|(last, _)| round_step(last)), steps.map(|(_, step)| step));
    }

    #[test]
    fn epochs_are_shown_and_steps_where_there_are_none() {
        let records = synthetic::records(3, true);
        assert_eq!(logged(&records, COS_LG).len(), 3);
        let steps: Vec<Record> =
            records.into_iter().filter(|record| matches!(record, Record::Step { .. })).collect();
        assert_eq!(logged(&steps, COS_LG).len(), steps.len());
        assert!(logged(&synthetic::records(3, false), COS_LL).is_empty());
    }

    #[test]
    fn a_plain_run_has_two_histograms_and_one_curve() {
        let found = Similarities {
            images: 2,
            global_global: vec![0.9, 0.8],
            different: vec![0.1, -1.0, 1.0],
            ..Similarities::default()
        };
        let svg = draw(&found, &synthetic::records(2, false), "a run").svg().unwrap();
        assert_eq!(svg.matches("<polygon").count(), 2);
        assert!(svg.contains("mean 0.850") && !svg.contains("local–local"), "{svg}");
        let empty = draw(&found, &[], "a run").svg().unwrap();
        assert!(empty.contains("nothing is logged yet"));
    }
}
