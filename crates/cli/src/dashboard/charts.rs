//! The charts of a run: its loss, the terms of the loss, and how good the backbone is.

use logo_ssl::record::Source;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

use super::chart::{self, Chart, Line};
use super::curve::Curve;
use super::draw::WIDE;
use super::state::{State, TERMS};
use super::theme::Theme;

/// Rows that charts of three terms, one above the other, need.
const STACK: u16 = 15;

pub(super) fn draw_charts(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let terms = state.about.terms();
    let has_stack = !terms.is_empty() && area.width >= WIDE && area.height >= STACK;
    let columns = vec![Constraint::Fill(1); if has_stack { 3 } else { 2 }];
    let places = Layout::horizontal(columns).split(area);
    let mut loss = term_chart(0, "loss", places[0], state, theme);
    if has_stack {
        let stack = Layout::vertical(vec![Constraint::Fill(1); terms.len()]).split(places[1]);
        for (&(term, title), place) in terms.iter().zip(stack.iter()) {
            chart::draw(frame, *place, &term_chart(term, title, *place, state, theme), theme);
        }
    } else {
        loss.footer = last_terms(state);
    }
    chart::draw(frame, places[0], &loss, theme);
    let last = places[places.len() - 1];
    chart::draw(frame, last, &quality_chart(last, state, theme), theme);
}

/// The last values of the loss's terms, each of its own size: on one scale with others they would be flat lines.
fn last_terms(state: &State) -> String {
    let last = |(term, _): &(usize, &str)| {
        let (record, name) = TERMS[*term];
        state.scalars.get(record).map(|value| format!("{name} {value:.3}"))
    };
    state.about.terms().iter().filter_map(last).collect::<Vec<_>>().join("  ")
}

fn term_chart(term: usize, title: &str, area: Rect, state: &State, theme: Theme) -> Chart {
    let points = over_epochs(&state.terms[term], area, state);
    let last = points.last().map_or(0.0, |(epochs, _)| *epochs);
    let line = Line { name: TERMS[term].1, points, style: theme.line(term), is_floor: false };
    Chart {
        title: title.to_owned(),
        lines: [line].into_iter().filter(|line| !line.points.is_empty()).collect(),
        epochs: state.epochs().max(last),
        empty: "comes with the first update".to_owned(),
        footer: String::new(),
    }
}

/// The points of a curve over steps, as a chart in `area` has them.
fn over_epochs(curve: &Curve, area: Rect, state: &State) -> Vec<(f64, f64)> {
    let an_epoch = state.steps_per_epoch.unwrap_or(1) as f64;
    let points = curve.points(chart::resolution(area));
    points.into_iter().map(|(step, value)| (step / an_epoch, value)).collect()
}

fn quality_chart(area: Rect, state: &State, theme: Theme) -> Chart {
    let quality = &state.quality;
    let trained = Line {
        name: "trained",
        points: quality.trained.clone(),
        style: theme.line(0),
        is_floor: false,
    };
    let floor = |(source, value): &(Source, f64)| Line {
        name: if *source == Source::Pixels { "pixels" } else { "untrained" },
        points: vec![(0.0, *value)],
        style: theme.quiet(),
        is_floor: true,
    };
    let floors = quality.floors.iter().map(floor);
    // Where both are shares of images, the classifier that learns beside training has its place here.
    let probe = Line {
        name: "online probe",
        points: match quality.is_share {
            true => over_epochs(&state.probe, area, state),
            false => Vec::new(),
        },
        style: theme.line(1),
        is_floor: false,
    };
    let unit = if quality.is_share { ", %" } else { "" };
    Chart {
        title: format!("{} {}{unit}", state.about.charted(), quality.name).trim_end().to_owned(),
        lines: [trained, probe]
            .into_iter()
            .chain(floors)
            .filter(|line| !line.points.is_empty())
            .collect(),
        epochs: state.epochs().max(1.0),
        empty: match state.step {
            0 => "comes with the first evaluation".to_owned(),
            _ => "nothing measured so far".to_owned(),
        },
        footer: String::new(),
    }
}
