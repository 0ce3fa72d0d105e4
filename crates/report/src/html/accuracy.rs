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
    format!(
        "{}<p class=\"note\">{} test images against a bank of {}. Small figures are Wilson\u{2019}s 95 % intervals. \
         No label was used in training. The two floors are the same evaluation without any \
         learning.</p>\n",
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
    let evaluations = scores::evaluations(records);
    evaluations.into_iter().map(|name| other_section(records, name)).collect()
}

fn other_section(records: &[Record], name: &str) -> Section {
    let latest = |source| scores::of(records, name, source).next_back();
    let found: Vec<_> = SOURCES
        .into_iter()
        .filter_map(|(source, class, label)| {
            let named: Vec<(&str, Score)> = scores::named(latest(source)?).collect();
            Some((class, label, named))
        })
        .collect();
    let columns: Vec<&str> = found
        .first()
        .map_or_else(Vec::new, |(.., named)| named.iter().map(|(name, _)| *name).collect());
    let cell = |named: &[(&str, Score)], column: &str| {
        let score = named.iter().find(|(name, _)| *name == column).map(|(_, score)| *score);
        score.map_or(Cell::Absent, |score| Cell::Score { score, decimals: 3, unit: "" })
    };
    let rows = found.iter().map(|(class, label, named)| Row {
        class,
        head: (*label).to_owned(),
        cells: columns.iter().map(|column| cell(named, column)).collect(),
    });
    let heads = std::iter::once("features").chain(columns.iter().copied());
    let caption = format!("What the evaluation {name} found");
    let table = Table {
        caption: &caption,
        heads: heads.map(str::to_owned).collect(),
        rows: rows.collect(),
    };
    Section::new(format!("evaluation-{}", slug(name)), name, table.html())
}

/// A name as a part of an anchor.
fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}
