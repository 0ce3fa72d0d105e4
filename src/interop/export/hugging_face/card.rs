//! The model card: what it is, what it was trained on, what it is worth, what it is not for.

use std::fmt::Write;

use logo_ssl_base::words::{counted, grouped};

use super::layout::Layout;
use super::preprocessing::Preprocessing;
use crate::config::Config;
use crate::eval::{EvaluationName, Findings};
use crate::interop::export::Export;
use crate::record::{self, Knn, Record, RunFiles, Source};
use crate::{Result, presets};

/// The text of the card.
///
/// # Errors
/// Of a run, where its evaluation or its log is damaged.
pub(super) fn text(
    export: &Export,
    config: &Config,
    layout: Layout,
    images: &Preprocessing,
) -> Result<String> {
    let training = match export.run() {
        Some(_) => training(export, config)?,
        None => {
            "These weights come from a file that says nothing of the run behind it.\n".to_owned()
        }
    };
    Ok(format!(
        include_str!("card.md"),
        library = layout.library(),
        name = export.architecture().name(),
        width = export.architecture().width,
        version = env!("CARGO_PKG_VERSION"),
        dim = export.architecture().block.features(export.architecture().width),
        usage = how_to_use(layout),
        training = training,
        results = results(export)?,
        preprocessing = images.in_words(),
        settings = presets::to_toml(config),
    ))
}

/// What is typed to open it.
fn how_to_use(layout: Layout) -> &'static str {
    match layout {
        Layout::Timm => include_str!("timm.md"),
        Layout::Transformers => include_str!("transformers.md"),
    }
}

/// The run in a table.
fn training(export: &Export, config: &Config) -> Result<String> {
    let Config { framework, optimizer, views, .. } = config;
    let images = match export.run() {
        Some(root) => RunFiles::of(root).fingerprint()?.map(|images| images.images),
        None => None,
    };
    let of_it = match config.data.limit as u64 {
        0 => images,
        limit => images.map(|images| images.min(limit)).or(Some(limit)),
    };
    let images = of_it.map_or(String::new(), |count| format!(", {} images", grouped(count)));
    let logo = if framework.logo { " with LoGo (Zhang et al., CVPR 2022)" } else { "" };
    let done = export.epochs().unwrap_or(optimizer.epochs);
    let mut table = "| | |\n| --- | --- |\n".to_owned();
    let mut row = |name: &str, value: String| {
        writeln!(table, "| {name} | {value} |").expect("a string takes whatever is written");
    };
    row("images", format!("{}{images}", config.data.dataset));
    row("method", format!("{}{logo}", framework.name.as_str()));
    row("epochs", format!("{done} of {}", optimizer.epochs));
    row("batch", format!("{} images", optimizer.images_per_update()));
    let local = match framework.logo {
        true => format!(", {} local ones of {} pixels", views.local.count, views.local.size),
        false => String::new(),
    };
    row(
        "views",
        format!("{} global ones of {} pixels{local}", views.global.count, views.global.size),
    );
    row("seed", config.seed.to_string());
    Ok(table)
}

/// What its run measured.
fn results(export: &Export) -> Result<String> {
    let none = || "Nothing has been measured of it.\n".to_owned();
    let Some(root) = export.run() else { return Ok(none()) };
    let files = RunFiles::of(root);
    if let Some(found) = Findings::read(&files.evaluation())? {
        return Ok(table(&found));
    }
    if !files.metrics_path().exists() {
        return Ok(none());
    }
    let records = record::read(&files.metrics_path())?;
    let last = records.iter().rev().find_map(|record| match record {
        Record::Knn(knn) if knn.source == Source::Trained => Some(knn),
        _ => None,
    });
    Ok(last.map_or_else(none, |knn| nearest(knn, &records)))
}

/// Every score of the trained encoder, beside its floors.
fn table(found: &Findings) -> String {
    let sources = [Source::Trained, Source::Untrained, Source::Pixels];
    let mut text = format!(
        "On {}, {} test images of {} classes, frozen features, {} images to learn from; shares with 95 % intervals.\n\n\
         | evaluation | score | trained | untrained network | pixels |\n| --- | --- | --- | --- | --- |\n",
        found.dataset,
        grouped(found.test_images as u64),
        found.classes,
        grouped(found.train_images as u64)
    );
    for finding in found.results.iter().filter(|finding| finding.source == Source::Trained) {
        let evaluation = &finding.evaluation;
        let title = evaluation.parse::<EvaluationName>();
        let title = title.map_or(evaluation.as_str(), |name| name.evaluation().title());
        for (name, _) in finding.scores.iter() {
            let cell = |source| {
                let score = found.of(evaluation, source).and_then(|of| of.scores.get(name));
                score.map_or_else(String::new, |score| score.to_string())
            };
            let cells = sources.map(cell).join(" | ");
            writeln!(text, "| {title} | {name} | {cells} |")
                .expect("a string takes whatever is written");
        }
    }
    text
}

/// The last kNN of the log, beside its floors.
fn nearest(last: &Knn, records: &[Record]) -> String {
    let mut text = format!(
        "kNN on {} test images against {}, after {}, top-1.\n\n\
         | neighbours | trained | untrained network | pixels |\n| --- | --- | --- | --- |\n",
        grouped(last.test_images as u64),
        grouped(last.train_images as u64),
        counted(last.epoch, "epoch")
    );
    for result in &last.results {
        let floor = |source| {
            let mut knn = records.iter().filter_map(|record| match record {
                Record::Knn(knn) if knn.source == source => Some(knn),
                _ => None,
            });
            let result = knn.next().and_then(|knn| knn.at(result.k));
            result.map_or_else(String::new, |result| percent(result.top1))
        };
        let [untrained, pixels] = [Source::Untrained, Source::Pixels].map(floor);
        writeln!(text, "| {} | {} | {untrained} | {pixels} |", result.k, percent(result.top1))
            .expect("a string takes whatever is written");
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
