//! How fast the run trained, and what it waited for.

use std::collections::HashMap;

use logo_ssl::record::Record;
use logo_ssl_base::words::grouped;

use super::Section;
use super::curves::Curves;
use super::text::{Row, Table};
use crate::curves;
use crate::timing::{self, Timing, median};

/// Medians over the run, and the same over its course.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn section(timings: &[Record], curves: &mut Curves) -> std::io::Result<Section> {
    let rows = rows(timings);
    let mut body = String::new();
    if !rows.is_empty() {
        let caption = "Medians over the run";
        body = Table { caption, heads: Vec::new(), rows }.html();
        body += "<p class=\"note\">The wait for views is near 0 when preparing images keeps up with \
                 training.</p>\n";
    }
    if let Some(block) = curves::throughput(&timing::all(timings)) {
        body += &curves.block(block, &mut HashMap::new())?;
    }
    Ok(Section::new("throughput", "Throughput", body))
}

fn rows(records: &[Record]) -> Vec<Row> {
    let timings = timing::all(records);
    let of_step = |value: fn(&Timing) -> f64| {
        let (part, whole) = (median(&timings, value)?, median(&timings, |t| t.step_ms)?);
        Some(format!("{part:.1} ms, {:.1} %", 100.0 * part / whole))
    };
    let evaluations = records.iter().filter_map(|record| match record {
        Record::Evaluation { seconds, .. } => Some(*seconds),
        _ => None,
    });
    let evaluations: f64 = evaluations.sum();
    let speed = median(&timings, |t| t.images_per_second);
    let rows = [
        ("images / second", speed.map(|speed| grouped(speed.round() as u64))),
        ("optimiser step", median(&timings, |t| t.step_ms).map(|ms| format!("{ms:.1} ms"))),
        ("of it, waiting for views", of_step(|t| t.views_wait_ms)),
        ("of it, logs and checkpoints", of_step(|t| t.bookkeeping_ms)),
        ("all evaluations", (evaluations > 0.0).then(|| format!("{evaluations:.1} s"))),
    ];
    rows.into_iter().filter_map(|(name, value)| Some(Row::pair(name, value?))).collect()
}
