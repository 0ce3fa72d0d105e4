//! The head of the page: what came of the run, in one sentence and some figures.

use std::fmt::Write as _;

use logo_ssl::record::scalars::{LOSS, Z_STD};
use logo_ssl::record::{Knn, Record, Scalars, Source};
use logo_ssl_base::words::{counted, grouped, plural};

use super::ReportInput;
use super::text::{escape, percent, points};
use crate::figure::signed;
use crate::plots;
use crate::timing::{self, median};

/// What the records say in the end.
pub(super) struct Facts<'a> {
    pub(super) epochs: usize,
    pub(super) steps: u64,
    pub(super) last: Option<&'a Scalars>,
    pub(super) trained: Option<&'a Knn>,
    pub(super) untrained: Option<&'a Knn>,
    pub(super) pixels: Option<&'a Knn>,
    pub(super) embedding_dim: usize,
}

impl<'a> Facts<'a> {
    pub(super) fn of(report: &ReportInput<'a>) -> Self {
        let records = report.records;
        let epoch = records.iter().rev().find_map(|record| match record {
            Record::Epoch { epoch, scalars, .. } => Some((*epoch, scalars)),
            _ => None,
        });
        let step = records.iter().rev().find_map(|record| match record {
            Record::Step { step, scalars, .. } => Some((*step, scalars)),
            Record::Epoch { step, scalars, .. } => Some((*step, scalars)),
            _ => None,
        });
        Self {
            epochs: epoch.map_or(0, |(epoch, _)| epoch),
            steps: step.map_or(0, |(step, _)| step),
            // An epoch's means say more than a single step.
            last: epoch.map(|(_, scalars)| scalars).or(step.map(|(_, scalars)| scalars)),
            trained: last_evaluation(records, Source::Trained),
            untrained: last_evaluation(records, Source::Untrained),
            pixels: last_evaluation(records, Source::Pixels),
            embedding_dim: report.config.model.projector.dim,
        }
    }

    /// Points of accuracy at the least k above that of `floor`.
    pub(super) fn gain(&self, floor: Option<&Knn>) -> Option<f64> {
        let own = self.trained?.nearest()?;
        let floor = floor?.at(own.k)?.top1;
        Some(100.0 * (own.top1 - floor))
    }

    /// The spread of z as a share of the healthy 1/√d.
    pub(super) fn relative_spread(&self) -> Option<f64> {
        let z_std = self.last?.get(Z_STD)?;
        z_std.is_finite().then(|| z_std * (self.embedding_dim as f64).sqrt())
    }

    pub(super) fn collapsed(&self) -> bool {
        let z_std = self.last.and_then(|last| last.get(Z_STD));
        z_std.is_some_and(|z_std| z_std < plots::collapse_below(self.embedding_dim))
    }

    fn summary(&self) -> String {
        let Some((evaluation, own)) = self.trained.and_then(|e| Some((e, e.nearest()?))) else {
            return self.summary_without_knn();
        };
        let images = grouped(evaluation.test_images as u64);
        let mut text = format!("kNN (k = {}) {} on {images} test images", own.k, percent(own.top1));
        let gains = [(self.pixels, "raw pixels"), (self.untrained, "the untrained backbone")];
        let gains = gains.into_iter().filter_map(|(floor, name)| {
            let points = self.gain(floor)?;
            let side = if points < 0.0 { "below" } else { "above" };
            Some((format!("{:.1}", points.abs()), side, name))
        });
        let gains: Vec<_> = gains.collect();
        for (i, (points, side, name)) in gains.iter().enumerate() {
            let lead = if i == 0 { ": " } else { ", " };
            let unit = if i == 0 { "points " } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{lead}{points} {unit}{side} {name}");
        }
        text + "."
    }

    pub(super) fn loss(&self) -> Option<f64> {
        self.last?.get(LOSS)
    }

    fn summary_without_knn(&self) -> String {
        match self.loss() {
            Some(loss) => format!(
                "{} of training, loss {}; not evaluated yet.",
                counted(self.epochs, "epoch"),
                signed(loss, 3)
            ),
            None => "Nothing has been logged yet.".to_owned(),
        }
    }
}

fn last_evaluation(records: &[Record], wanted: Source) -> Option<&Knn> {
    records.iter().rev().find_map(|record| match record {
        Record::Knn(knn) if knn.source == wanted => Some(knn),
        _ => None,
    })
}

pub(super) fn header(report: &ReportInput<'_>, facts: &Facts<'_>) -> String {
    let tiles: String =
        tiles(report, facts).iter().map(|(value, label)| tile(value, label)).collect();
    format!(
        "<header>\n<p class=\"eyebrow\">logo-ssl \u{b7} preset {} \u{b7} seed {}</p>\n<h1>{}</h1>\n\
         <p class=\"summary\">{}</p>\n<dl class=\"tiles\">\n{tiles}</dl>\n</header>\n",
        escape(&report.config.preset),
        report.config.seed,
        escape(report.name),
        escape(&facts.summary()),
    )
}

/// The key figures there are values for.
fn tiles(report: &ReportInput<'_>, facts: &Facts<'_>) -> Vec<(String, String)> {
    let nearest = facts.trained.and_then(Knn::nearest);
    let gain = |floor| facts.gain(floor).map(points);
    let tiles = [
        nearest.map(|own| (percent(own.top1), format!("kNN top-1, k\u{a0}=\u{a0}{}", own.k))),
        gain(facts.pixels).map(|gain| (gain, "points over raw pixels".to_owned())),
        gain(facts.untrained).map(|gain| (gain, "points over untrained".to_owned())),
        facts.loss().map(|loss| (signed(loss, 3), "loss, last epoch".to_owned())),
        median(&timing::all(report.timings), |timing| timing.images_per_second)
            .map(|speed| (grouped(speed.round() as u64), "images / second".to_owned())),
        facts.last.map(|_| {
            let steps = counted(facts.steps as usize, "step");
            (grouped(facts.epochs as u64), format!("{}, {steps}", plural(facts.epochs, "epoch")))
        }),
    ];
    tiles.into_iter().flatten().collect()
}

fn tile(value: &str, label: &str) -> String {
    format!("<div class=\"tile\"><dt>{}</dt><dd>{}</dd></div>\n", escape(label), escape(value))
}
