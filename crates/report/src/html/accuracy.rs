//! The tables of what evaluations found, each beside the same without any learning.

use logo_ssl::record::{Knn, KnnResult, Record, Source};
use logo_ssl_base::words::{counted, grouped};

use super::Section;
use super::summary::Facts;
use super::text::{Cell, Row, Table};
use crate::scores::{self, Score};

/// What is compared: the run, and what it is to be better than.
const SOURCES: [(Source, &str, &str); 3] = [
    (Source::Trained, "own", "this run"),
    (Source::Untrained, "floor", "untrained backbone"),
    (Source::Pixels, "floor", "raw pixels"),
];

/// The last kNN of the run and its floors.
pub(super) fn knn_section(facts: &Facts<'_>) -> Section {
    let body = facts.trained.map_or_else(String::new, |trained| knn_table(facts, trained));
    Section::new("knn", "kNN accuracy", body)
}

fn knn_table(facts: &Facts<'_>, trained: &Knn) -> String {
    let heads = std::iter::once("features".to_owned());
    let heads = heads.chain(trained.results.iter().flat_map(heads_of)).collect();
    let rows = SOURCES.into_iter().filter_map(|(source, class, label)| {
        let (head, knn) = match source {
            Source::Trained => {
                (format!("{label}, {}", counted(trained.epoch, "epoch")), Some(trained))
            }
            Source::Untrained => (label.to_owned(), facts.untrained),
            Source::Pixels => (label.to_owned(), facts.pixels),
        };
        let cells = cells_of(knn?, &trained.results);
        Some(Row { class, head, cells })
    });
    let caption = "Test images whose class the nearest images of the bank name";
    let table = Table { caption, heads, rows: rows.collect() };
    let floors = match facts.untrained.or(facts.pixels) {
        Some(_) => " The two floors are the same evaluation without any learning.",
        None => "",
    };
    format!(
        "{}<p class=\"note\">{} test images against a bank of {}. Small figures are Wilson\u{2019}s 95 % intervals. \
         No label was used in training.{floors}</p>\n",
        table.html(),
        grouped(trained.test_images as u64),
        grouped(trained.train_images as u64),
    )
}

fn heads_of(result: &KnnResult) -> Vec<String> {
    let vote = if result.weighted { ", weighted" } else { "" };
    let top1 = format!("k = {}{vote}", result.k);
    // One neighbour names one class, so there is no top-5 at k = 1.
    if result.k > 1 { vec![top1, "top-5".to_owned()] } else { vec![top1] }
}

/// The cells of `knn` under the heads of `columns`.
fn cells_of(knn: &Knn, columns: &[KnnResult]) -> Vec<Cell> {
    let cells = columns.iter().flat_map(|column| {
        let shown = if column.k > 1 { 2 } else { 1 };
        let cells = match knn.at(column.k) {
            Some(result) => scores::of_knn(result, knn.test_images).map(percent_cell),
            None => [Cell::Absent, Cell::Absent],
        };
        cells.into_iter().take(shown)
    });
    cells.collect()
}

fn percent_cell(score: Score) -> Cell {
    Cell::Score { score: score.percent(), decimals: 1, unit: " %" }
}

/// One section for each evaluation other than kNN, with the last scores of every source.
pub(super) fn other_sections(records: &[Record]) -> Vec<Section> {
    let section = |name| {
        let latest = |source| scores::of(records, name, source).next_back();
        let named = |source| Some(scores::named(latest(source)?).collect::<Vec<_>>());
        let title = scores::title_of(name);
        Section::new(format!("evaluation-{}", slug(name)), title, table_of(title, named))
    };
    scores::evaluations(records).into_iter().map(section).collect()
}

/// Scores by name, one line each, in one column for each source that has them.
pub(super) fn table_of<'a>(
    title: &str,
    scores: impl Fn(Source) -> Option<Vec<(&'a str, Score)>>,
) -> String {
    let columns: Vec<_> = SOURCES
        .into_iter()
        .filter_map(|(source, _, label)| Some((label, scores(source)?)))
        .collect();
    let Some((_, first)) = columns.first() else { return String::new() };
    let cell = |column: &[(&str, Score)], name: &str| {
        let found = column.iter().find(|(known, _)| *known == name);
        found.map_or(Cell::Absent, |(_, score)| score_cell(*score))
    };
    let rows = first.iter().map(|(name, _)| Row {
        class: "",
        head: (*name).to_owned(),
        cells: columns.iter().map(|(_, column)| cell(column, name)).collect(),
    });
    let caption = format!("What the evaluation found: {title}");
    let heads = std::iter::once("score").chain(columns.iter().map(|(label, _)| *label));
    let heads = heads.map(str::to_owned).collect();
    Table { caption: &caption, heads, rows: rows.collect() }.html()
}

/// A share in percent, any other number as it is.
fn score_cell(score: Score) -> Cell {
    match score.interval {
        Some(_) => percent_cell(score),
        None if score.value.fract() == 0.0 => Cell::Score { score, decimals: 0, unit: "" },
        None => Cell::Score { score, decimals: 3, unit: "" },
    }
}

/// A name as a part of an anchor.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}
