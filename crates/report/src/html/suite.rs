//! What `eval` found of the trained encoder: one table for each evaluation, and which classes were taken for which.

use logo_ssl::eval::Findings;
use logo_ssl::record::{Confusion, Source};
use logo_ssl_base::words::grouped;

use super::Section;
use super::accuracy::table_of;
use super::text::{Cell, Row, Table, escape};
use crate::scores::{Score, title_of};

/// Most classes whose confusion is shown whole.
const MOST_CLASSES: usize = 30;

/// One section of all that was found; nothing where nothing was.
pub(super) fn section(findings: Option<&Findings>) -> Section {
    Section::new("suite", "Evaluations", findings.map_or_else(String::new, body))
}

fn body(findings: &Findings) -> String {
    let mut names: Vec<&str> = vec![];
    for result in &findings.results {
        if !names.contains(&&*result.evaluation) {
            names.push(&result.evaluation);
        }
    }
    let tables: String = names.into_iter().map(|name| of_evaluation(findings, name)).collect();
    format!(
        "<p class=\"note\">On {}: {} test images of {} classes, {} labelled images to learn from. Small figures are 95 % \
         intervals: Wilson\u{2019}s of shares of images, a bootstrap\u{2019}s of means over draws.</p>\n{tables}",
        escape(findings.dataset.as_str()),
        grouped(findings.test_images as u64),
        grouped(findings.classes as u64),
        grouped(findings.train_images as u64),
    )
}

fn of_evaluation(findings: &Findings, name: &str) -> String {
    let title = title_of(name);
    let scores = table_of(title, |source| {
        let scores = &findings.of(name, source)?.scores;
        Some(scores.iter().map(|(name, score)| (name, Score::from(score))).collect())
    });
    let trained = findings.of(name, Source::Trained);
    let confusion = trained.and_then(|finding| finding.confusion.as_ref());
    format!("<h3>{}</h3>\n{scores}{}", escape(title), confusion.map_or_else(String::new, matrix))
}

/// The confusion matrix, a row for each class and a column for what its images were taken for.
fn matrix(confusion: &Confusion) -> String {
    let Confusion { classes, counts } = confusion;
    if classes.len() > MOST_CLASSES {
        return String::new();
    }
    let cell = |(at, row): (usize, &Vec<u64>), guess: usize| {
        let images: u64 = row.iter().sum();
        let share = row[guess] as f64 / images.max(1) as f64;
        Cell::Share { count: row[guess], share, own: at == guess }
    };
    let rows = counts.iter().enumerate().map(|(at, row)| Row {
        class: "",
        head: classes[at].clone(),
        cells: (0..classes.len()).map(|guess| cell((at, row), guess)).collect(),
    });
    let heads = std::iter::once("class".to_owned());
    Table {
        caption: "Images of each class by the class that they were taken for",
        heads: heads.chain(classes.iter().cloned()).collect(),
        rows: rows.collect(),
    }
    .html()
}
