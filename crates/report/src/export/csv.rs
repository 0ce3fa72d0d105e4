//! Tables: a row a step, a row an epoch, a row a score.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::Writer;
use logo_ssl::Result;
use logo_ssl::record::{Record, Scalars};

use super::history::Timed;
use super::scores::{self, Score};
use super::unwritable;

/// The columns of a timing, milliseconds but for the first.
const TIMING: [&str; 4] = ["images_per_second", "step_ms", "views_wait_ms", "bookkeeping_ms"];

/// Writes `steps.csv`, `epochs.csv` and `evaluations.csv`. A value that is no number is `NaN`, a column that a
/// row has no value for is empty.
///
/// # Errors
/// [`logo_ssl::Error::Io`] naming the file.
pub(super) fn export(history: &[Timed], out: &Path) -> Result<Vec<PathBuf>> {
    Ok(vec![
        write(out.join("steps.csv"), steps(history))?,
        write(out.join("epochs.csv"), epochs(history))?,
        write(out.join("evaluations.csv"), evaluations(history))?,
    ])
}

fn write(path: PathBuf, rows: impl IntoIterator<Item = Vec<String>>) -> Result<PathBuf> {
    let file = File::create(&path).map_err(unwritable(&path))?;
    let mut table = Writer::from_writer(file);
    rows.into_iter().try_for_each(|row| table.write_record(row)).map_err(unwritable(&path))?;
    table.flush().map_err(unwritable(&path))?;
    Ok(path)
}

fn steps(history: &[Timed]) -> impl Iterator<Item = Vec<String>> {
    let names = names(history, |record| match record {
        Record::Step { scalars, .. } => Some(scalars),
        _ => None,
    });
    let timings: BTreeMap<u64, [f64; 4]> =
        history.iter().filter_map(|timed| timing(&timed.record)).collect();
    let head = row(["step", "epoch"], names.iter().chain(&TIMING).map(|name| (*name).to_owned()));
    let rows = history.iter().filter_map(move |timed| match &timed.record {
        Record::Step { step, epoch, scalars } => {
            let timing = timings.get(step);
            let timing = (0..TIMING.len()).map(|at| number(timing.map(|timing| timing[at])));
            let values = values(scalars, &names).chain(timing);
            Some(row([step.to_string(), epoch.to_string()], values))
        }
        _ => None,
    });
    [head].into_iter().chain(rows)
}

fn epochs(history: &[Timed]) -> impl Iterator<Item = Vec<String>> {
    let names = names(history, |record| match record {
        Record::Epoch { scalars, .. } => Some(scalars),
        _ => None,
    });
    let head = row(["epoch", "step"], names.iter().map(|name| (*name).to_owned()));
    let rows = history.iter().filter_map(move |timed| match &timed.record {
        Record::Epoch { epoch, step, scalars } => {
            Some(row([epoch.to_string(), step.to_string()], values(scalars, &names)))
        }
        _ => None,
    });
    [head].into_iter().chain(rows)
}

fn evaluations(history: &[Timed]) -> impl Iterator<Item = Vec<String>> {
    let head = ["epoch", "step", "evaluation", "source", "score", "value", "low", "high", "asked"];
    let scores = scores::all(history.iter().map(|timed| &timed.record));
    let rows = scores.into_iter().map(|score| {
        let Score { epoch, step, evaluation, source, name, score, asked } = score;
        let of = [epoch.to_string(), step.to_string(), evaluation, source.to_owned(), name];
        let low = score.interval.map(|interval| interval.low);
        let high = score.interval.map(|interval| interval.high);
        let values = [Some(score.value), low, high].map(number);
        row(of, values.into_iter().chain([asked.to_string()]))
    });
    [row(head, [])].into_iter().chain(rows)
}

fn row<S: Into<String>, const N: usize>(
    first: [S; N],
    more: impl IntoIterator<Item = String>,
) -> Vec<String> {
    first.into_iter().map(Into::into).chain(more).collect()
}

/// The names of all scalars that `of` finds, in the order in which they were logged first.
fn names<'a>(history: &'a [Timed], of: impl Fn(&'a Record) -> Option<&'a Scalars>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for scalars in history.iter().filter_map(|timed| of(&timed.record)) {
        for (name, _) in scalars.iter() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

fn values(scalars: &Scalars, names: &[&str]) -> impl Iterator<Item = String> {
    names.iter().map(|name| number(scalars.get(name)))
}

/// As short as it can be and come back the same.
fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn timing(record: &Record) -> Option<(u64, [f64; 4])> {
    match record {
        Record::Timing {
            step, images_per_second, step_ms, views_wait_ms, bookkeeping_ms, ..
        } => Some((*step, [*images_per_second, *step_ms, *views_wait_ms, *bookkeeping_ms])),
        _ => None,
    }
}
