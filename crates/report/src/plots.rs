//! The four plots of a run: loss, kNN accuracy, spread of the embeddings, cosines.

use std::path::{Path, PathBuf};

use plotters::style::RGBColor;

use super::figure::{self, Figure, Level, Panel, Point, Series};
use logo_ssl::record::scalars::{
    COLLAPSED, COS_GG, COS_LG, COS_LL, GLOBAL_GLOBAL, LOCAL_GLOBAL, LOCAL_LOCAL, LOSS, Z_STD,
};
use logo_ssl::record::{Knn, Record, Scalars, Source};
use logo_ssl::{Error, Result};
use logo_ssl_base::files::{create_folder, write_atomic};

// Okabe and Ito's palette, told apart by colour-blind readers too.
pub(super) const BLACK: RGBColor = RGBColor(31, 35, 40);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 148, 108);
pub(super) const PURPLE: RGBColor = RGBColor(170, 84, 140);
pub(super) const GREY: RGBColor = RGBColor(110, 118, 129);
/// One for each curve; the ninth starts again.
pub(super) const COLORS: [RGBColor; 8] =
    [BLUE, VERMILION, GREEN, PURPLE, BLACK, RGBColor(47, 143, 203), RGBColor(168, 116, 0), GREY];

/// Dots a curve has at most; longer runs show every n-th step.
const MOST_DOTS: usize = 600;
/// Points of a curve that are marked; more would hide it.
const MOST_MARKERS: usize = 30;
/// Epochs from which on the thick line is made of epoch means.
const ENOUGH_EPOCHS: usize = 5;
/// Points of the thick line before that.
const LINE_POINTS: usize = 24;
/// Points of the thick line after that, at most; more would be closer than the line is thick.
const MOST_LINE_POINTS: usize = 250;

/// One plot of a run, as two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// The files' name, without extension.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// For the page and for print.
    pub svg: PathBuf,
    /// For everywhere else.
    pub png: PathBuf,
}

/// A figure with what a report says about it.
pub(super) struct Captioned {
    pub(super) name: &'static str,
    pub(super) caption: &'static str,
    pub(super) figure: Figure,
}

/// Draws every plot that `records` have values for into `dir`, which is made if need be.
/// `embedding_dim` is the dimension of z.
///
/// # Errors
/// [`Error::Io`] when a file cannot be written.
pub fn write_all(records: &[Record], embedding_dim: usize, dir: &Path) -> Result<Vec<Plot>> {
    create_folder(dir)?;
    let plots = all(records, embedding_dim);
    plots.iter().map(|plot| write(plot, dir)).collect()
}

pub(super) fn write(plot: &Captioned, dir: &Path) -> Result<Plot> {
    let svg = dir.join(plot.name).with_extension("svg");
    let text = figure::svg(&plot.figure).map_err(Error::io("draw", &svg))?;
    write_atomic(&svg, text.as_bytes())?;
    let png = dir.join(plot.name).with_extension("png");
    let bytes = figure::png(&plot.figure).map_err(Error::io("draw", &png))?;
    write_atomic(&png, &bytes)?;
    Ok(Plot { name: plot.name, title: plot.figure.title.clone(), svg, png })
}

/// The plots there is something to show in, most telling first.
pub(super) fn all(records: &[Record], embedding_dim: usize) -> Vec<Captioned> {
    let plots = [knn(records), loss(records), spread(records, embedding_dim), cosines(records)];
    let mut plots = Vec::from(plots);
    for plot in &mut plots {
        plot.figure.panels.retain(|panel| !panel.series.is_empty());
    }
    plots.retain(|plot| !plot.figure.panels.is_empty());
    plots
}

fn loss(records: &[Record]) -> Captioned {
    let parts = [
        series("loss", BLACK, records, |scalars| scalars.get(LOSS)),
        // Without LoGo the loss is L_gg, and a second curve would hide the first.
        series("L_gg", BLUE, records, |scalars| {
            scalars.get(LOCAL_GLOBAL).and(scalars.get(GLOBAL_GLOBAL))
        }),
        series("L_lg", VERMILION, records, |scalars| scalars.get(LOCAL_GLOBAL)),
    ];
    let affinity = series("L_ll", GREEN, records, |scalars| scalars.get(LOCAL_LOCAL));
    let panels = vec![
        Panel { share: 2.4, ..panel("loss", parts) },
        Panel { share: 1.0, ..panel("L_ll, before \u{3bb}", [affinity]) },
    ];
    Captioned {
        name: "loss",
        caption: "\
            What the encoder minimises: loss = L_gg + L_lg + \u{3bb} L_ll. L_gg compares two \
            global views; L_lg sums four local-to-global terms, hence its size; L_ll is the \
            learned affinity of two local views, on an axis of its own. A plain run has L_gg \
            alone. Single steps scatter around their mean. It should fall fast, then slowly. \
            SimSiam's loss ends at \u{2212}1, or \u{2212}5 with LoGo: a fall to that value \
            within an epoch is a sign of collapse.",
        figure: Figure { title: "Loss and its parts".to_owned(), x_label: STEPS, panels },
    }
}

fn spread(records: &[Record], embedding_dim: usize) -> Captioned {
    let healthy = 1.0 / (embedding_dim as f64).sqrt();
    let levels = vec![
        Level { label: "1/\u{221a}d".to_owned(), color: GREY, value: healthy },
        Level {
            label: "collapse".to_owned(),
            color: VERMILION,
            value: collapse_below(embedding_dim),
        },
    ];
    let curve = series("z", BLUE, records, |scalars| scalars.get(Z_STD));
    let panel = panel("standard deviation of z at unit length", [curve]);
    Captioned {
        name: "std",
        caption: "\
            How far the embeddings of a batch spread, averaged over dimensions. Spread evenly over \
            the sphere they reach 1/\u{221a}d; at 0 every image gets the same embedding and \
            nothing is learned. Healthy runs stay well above the line of collapse.",
        figure: Figure {
            title: "Spread of the embeddings".to_owned(),
            x_label: STEPS,
            panels: vec![Panel { from_zero: true, decimals: 4, levels, ..panel }],
        },
    }
}

/// The spread of z under which a run counts as collapsed.
pub(super) fn collapse_below(embedding_dim: usize) -> f64 {
    COLLAPSED / (embedding_dim as f64).sqrt()
}

fn cosines(records: &[Record]) -> Captioned {
    let curves = [
        series("global\u{2013}global", BLUE, records, |scalars| scalars.get(COS_GG)),
        series("local\u{2013}global", VERMILION, records, |scalars| scalars.get(COS_LG)),
        series("local\u{2013}local", GREEN, records, |scalars| scalars.get(COS_LL)),
    ];
    Captioned {
        name: "cosines",
        caption: "How alike the embeddings of one image's views are, 1 being equal. Global views \
                  agree most, since they share most pixels; local views show different parts, and \
                  L_ll asks them to differ. All three at 1, with no spread, is collapse.",
        figure: Figure {
            title: "Agreement between views of one image".to_owned(),
            x_label: STEPS,
            panels: vec![panel("mean cosine", curves)],
        },
    }
}

/// As a macro, since `concat!` takes literals alone.
macro_rules! knn_caption {
    () => {
        "How many test images get their class right from their nearest training images in feature \
         space, with no label used in training. k = 1 copies the nearest, k > 1 takes a vote weighted \
         by similarity."
    };
}

const KNN: &str = knn_caption!();
const KNN_ABOVE_FLOORS: &str = concat!(
    knn_caption!(),
    " The level lines are what k = 1 reaches on raw pixels and on the same network before training: \
     the distance to them is what was learned."
);

fn knn(records: &[Record]) -> Captioned {
    let mut neighbours: Vec<usize> =
        evaluations(records, Source::Trained).map(|(_, k, _)| k).collect();
    neighbours.sort_unstable();
    neighbours.dedup();
    let colors = [BLUE, VERMILION, GREEN, PURPLE, BLACK];
    let curves = neighbours
        .iter()
        .zip(colors.into_iter().cycle())
        .map(|(&k, color)| accuracy_curve(records, k, color));
    let least = neighbours.first().copied().unwrap_or(1);
    let floors = [(Source::Untrained, "untrained"), (Source::Pixels, "raw pixels")];
    let levels: Vec<_> = floors
        .into_iter()
        .filter_map(|(source, name)| floor(records, source, name, least))
        .collect();
    let caption = if levels.is_empty() { KNN } else { KNN_ABOVE_FLOORS };
    let panel = Panel { levels, ..panel("top-1 accuracy", curves) };
    Captioned {
        name: "knn",
        caption,
        figure: Figure {
            title: "kNN accuracy on the test set".to_owned(),
            x_label: "epochs",
            panels: vec![Panel { from_zero: true, unit: " %", decimals: 1, ..panel }],
        },
    }
}

/// `(epoch, k, top-1 in percent)` of every finite result of `source`.
fn evaluations(
    records: &[Record],
    source: Source,
) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
    let of_source = records.iter().filter_map(move |record| match record {
        Record::Knn(Knn { epoch, source: of, results, .. }) if *of == source => {
            Some((*epoch, results))
        }
        _ => None,
    });
    of_source
        .flat_map(|(epoch, results)| results.iter().map(move |r| (epoch, r.k, 100.0 * r.top1)))
        .filter(|(_, _, percent)| percent.is_finite())
}

fn accuracy_curve(records: &[Record], k: usize, color: RGBColor) -> Option<Series> {
    let line: Vec<Point> = evaluations(records, Source::Trained)
        .filter(|&(_, of, _)| of == k)
        .map(|(epoch, _, percent)| (epoch as f64, percent))
        .collect();
    let label = format!("k = {k}");
    let line = some_of(&line, MOST_LINE_POINTS);
    let markers = line.len() <= MOST_MARKERS;
    (!line.is_empty()).then_some(Series { label, color, dots: Vec::new(), line, markers })
}

fn floor(records: &[Record], source: Source, name: &str, k: usize) -> Option<Level> {
    let (_, _, value) = evaluations(records, source).find(|&(_, of, _)| of == k)?;
    Some(Level { label: name.to_owned(), color: GREY, value })
}

pub(super) const STEPS: &str = "optimiser steps";

pub(super) fn panel(
    y_label: impl Into<String>,
    series: impl IntoIterator<Item = Option<Series>>,
) -> Panel {
    let series = series.into_iter().flatten().collect();
    Panel {
        y_label: y_label.into(),
        unit: "",
        decimals: 2,
        share: 1.0,
        from_zero: false,
        series,
        levels: Vec::new(),
    }
}

/// One value over the steps of a run; `None` when no record has it.
fn series(
    label: &str,
    color: RGBColor,
    records: &[Record],
    value: impl Fn(&Scalars) -> Option<f64>,
) -> Option<Series> {
    let (steps, epochs) = values(records, value);
    let line = if epochs.len() >= ENOUGH_EPOCHS || steps.is_empty() {
        means(&at_middle(&epochs), MOST_LINE_POINTS)
    } else {
        means(&steps, LINE_POINTS)
    };
    let dots = some_of(&steps, MOST_DOTS);
    (!line.is_empty()).then_some(Series {
        label: label.to_owned(),
        color,
        dots,
        line,
        markers: false,
    })
}

/// One finite value of every step, and of every epoch.
fn values(records: &[Record], value: impl Fn(&Scalars) -> Option<f64>) -> (Vec<Point>, Vec<Point>) {
    let (mut steps, mut epochs) = (Vec::new(), Vec::new());
    for record in records {
        let (points, step, scalars) = match record {
            Record::Step { step, scalars, .. } => (&mut steps, step, scalars),
            Record::Epoch { step, scalars, .. } => (&mut epochs, step, scalars),
            _ => continue,
        };
        let finite = value(scalars).filter(|value| value.is_finite());
        points.extend(finite.map(|value| (*step as f64, value)));
    }
    (steps, epochs)
}

/// An epoch's mean belongs to the middle of its steps; it is logged at their end.
pub(super) fn at_middle(epochs: &[Point]) -> Vec<Point> {
    let starts = std::iter::once(0.0).chain(epochs.iter().map(|epoch| epoch.0));
    let middle = |(start, &(end, value)): (f64, &Point)| (0.5 * (start + end), value);
    starts.zip(epochs).map(middle).collect()
}

/// At most `count` of `points`, equally far apart; the last is always among them.
pub(super) fn some_of(points: &[Point], count: usize) -> Vec<Point> {
    let every = points.len().div_ceil(count).max(1);
    let mut some: Vec<Point> = points.iter().rev().step_by(every).copied().collect();
    some.reverse();
    some
}

/// The means of about `count` runs of neighbouring points.
fn means(points: &[Point], count: usize) -> Vec<Point> {
    let mean = |chunk: &[Point]| {
        let (x, y) = chunk.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (x / chunk.len() as f64, y / chunk.len() as f64)
    };
    let size = points.len().div_ceil(count).max(1);
    points.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl::record::synthetic;

    fn drawn(records: &[Record]) -> Vec<Plot> {
        let dir = tempfile::tempdir().unwrap();
        let plots = write_all(records, 128, dir.path()).unwrap();
        for plot in &plots {
            let svg = std::fs::read_to_string(&plot.svg).unwrap();
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
            let png = image::open(&plot.png).unwrap().to_rgb8();
            assert_eq!(png.dimensions(), (1800, 1080));
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2 * plots.len());
        plots
    }

    fn names(plots: &[Plot]) -> Vec<&str> {
        plots.iter().map(|plot| plot.name).collect()
    }

    #[test]
    fn a_whole_run_has_four_plots() {
        assert_eq!(names(&drawn(&synthetic::records(8, true))), ["knn", "loss", "std", "cosines"]);
    }

    #[test]
    fn one_epoch_of_a_plain_run_is_enough() {
        assert_eq!(names(&drawn(&synthetic::records(1, false))), ["knn", "loss", "std", "cosines"]);
    }

    #[test]
    fn a_single_step_is_enough_and_nothing_is_no_error() {
        let records = synthetic::records(1, true);
        let step = records.into_iter().find(|record| matches!(record, Record::Step { .. }));
        assert_eq!(names(&drawn(&[step.unwrap()])), ["loss", "std", "cosines"]);
        assert!(drawn(&[]).is_empty());
    }

    #[test]
    fn values_that_are_no_numbers_are_skipped() {
        let mut records = synthetic::records(6, true);
        for record in &mut records {
            if let Record::Step { step, scalars, .. } = record
                && *step % 3 == 0
            {
                scalars.set(LOSS, f64::NAN);
                scalars.set(Z_STD, f64::INFINITY);
            }
        }
        assert_eq!(drawn(&records).len(), 4);
    }

    #[test]
    fn a_plain_run_shows_its_loss_once() {
        let plain = loss(&synthetic::records(6, false));
        let labels: Vec<_> = plain.figure.panels[0].series.iter().map(|s| &s.label).collect();
        assert_eq!(labels, ["loss"]);
    }

    #[test]
    fn epoch_means_sit_in_the_middle_of_their_epochs() {
        assert_eq!(at_middle(&[(10.0, 1.0), (20.0, 2.0)]), [(5.0, 1.0), (15.0, 2.0)]);
    }

    #[test]
    fn some_points_are_few_and_the_last_is_among_them() {
        let points: Vec<Point> = (0..10).map(|i| (f64::from(i), 2.0)).collect();
        assert_eq!(some_of(&points, 4), [(0.0, 2.0), (3.0, 2.0), (6.0, 2.0), (9.0, 2.0)]);
        assert_eq!(some_of(&points, 10), points);
        assert!(some_of(&[], 4).is_empty());
    }

    #[test]
    fn means_keep_the_order_and_the_last_point() {
        let points: Vec<Point> = (0..10).map(|i| (f64::from(i), 2.0)).collect();
        assert_eq!(means(&points, 4), [(1.0, 2.0), (4.0, 2.0), (7.0, 2.0), (9.0, 2.0)]);
        assert!(means(&[], 4).is_empty());
    }
}
