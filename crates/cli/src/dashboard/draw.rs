//! A run's state as a screen of any size.

use logo_ssl_base::words::grouped;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Block, Paragraph};

use super::charts::draw_charts;
use super::health::{Level, Light, duration, lights};
use super::help;
use super::keys::Ui;
use super::state::{Activity, State, TERMS};
use super::theme::Theme;
use crate::lines;

/// Columns and rows from which on there are charts; smaller terminals are told in words.
const ROOMY: [u16; 2] = [60, 16];
/// Columns from which on the loss's terms have charts of their own, and lights are three abreast.
pub(super) const WIDE: u16 = 110;
/// The shortest bar that says something.
const LEAST_BAR: u16 = 6;

pub(super) fn draw(frame: &mut Frame<'_>, state: &State, ui: &Ui) {
    let area = frame.area();
    let roomy = area.width >= ROOMY[0] && area.height >= ROOMY[1];
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Fill(1), Constraint::Length(1)])
            .areas(area);
    draw_head(frame, head, state, ui.theme);
    match roomy {
        true => draw_panels(frame, body, state, ui.theme),
        false => draw_words(frame, body, state, ui.theme),
    }
    draw_foot(frame, foot, state, ui);
    if ui.help {
        help::draw(frame, area, ui);
    }
}

fn draw_panels(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let abreast: u16 = if area.width >= WIDE { 3 } else { 2 };
    let health = 6 / abreast + 2;
    let charts = ((area.height - health) * 3 / 5).max(6);
    let [charts, health, log] = Layout::vertical([
        Constraint::Length(charts),
        Constraint::Length(health),
        Constraint::Fill(1),
    ])
    .areas(area);
    draw_charts(frame, charts, state, theme);
    let block = Block::bordered().border_style(theme.quiet()).title(" health ");
    let inside = block.inner(health);
    frame.render_widget(block, health);
    draw_lights(frame, inside, &lights(state), abreast, theme);
    let block = Block::bordered().border_style(theme.quiet()).title(" log ");
    let inside = block.inner(log);
    frame.render_widget(block, log);
    draw_log(frame, inside, state, theme);
}

/// Without charts: what they would show last, the lights, and what is left of the log.
fn draw_words(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let lights = lights(state);
    let [numbers, health, log] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(lights.len() as u16),
        Constraint::Fill(1),
    ])
    .areas(area);
    let mut text = match state.scalars.get(TERMS[0].0) {
        Some(loss) => format!(" loss {loss:.4}"),
        None => " no update yet".to_owned(),
    };
    if let Some((_, value)) = state.quality.trained.last() {
        let value =
            if state.quality.is_share { format!("{value:.1} %") } else { format!("{value:.4}") };
        text.push_str(&format!(", {} {value}", state.about.charted()));
    }
    frame.render_widget(Paragraph::new(text), numbers);
    draw_lights(frame, health, &lights, 1, theme);
    draw_log(frame, log, state, theme);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let name = Text::from(vec![
        Span::styled(" logo-ssl ", theme.strong()),
        Span::raw(format!(" {} ", state.about.folder)),
    ]);
    let what = format!("{} ", state.about.what);
    let fits = name.width() + what.chars().count() <= usize::from(first.width);
    frame.render_widget(Paragraph::new(name), first);
    if fits {
        let what = Text::styled(what, theme.quiet());
        let what = Paragraph::new(what).alignment(Alignment::Right);
        frame.render_widget(what, first);
    }
    draw_progress(frame, second, state, theme);
}

/// Which epoch, a bar of the whole run, which step, what it is doing.
fn draw_progress(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let epochs = state.about.epochs;
    // That of the last update.
    let epoch = (state.epochs().ceil() as usize).clamp(1, epochs.max(1));
    let width = |text: &str| text.chars().count() as u16;
    let left = format!(" epoch {epoch} of {epochs} ");
    let step = match state.total() {
        Some(total) => format!(" step {} of {}", grouped(state.step), grouped(total)),
        None => format!(" step {}", grouped(state.step)),
    };
    let full = format!("{step}, {} ", activity(state));
    let fits = width(&left) + width(&full) + LEAST_BAR <= area.width;
    let right = if fits { full } else { step + " " };
    let [before, bar, behind] = Layout::horizontal([
        Constraint::Length(width(&left)),
        Constraint::Fill(1),
        Constraint::Length(width(&right)),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(left), before);
    frame.render_widget(Paragraph::new(right), behind);
    let share = state.total().map_or(0.0, |total| state.step as f64 / total.max(1) as f64);
    let done = (f64::from(bar.width) * share.min(1.0)).round() as usize;
    let rest = usize::from(bar.width) - done;
    let bar_text = Text::from(vec![
        Span::styled("━".repeat(done), theme.line(0)),
        Span::styled("─".repeat(rest), theme.quiet()),
    ]);
    frame.render_widget(Paragraph::new(bar_text), bar);
}

fn activity(state: &State) -> String {
    match &state.activity {
        Activity::Starting => "starting".to_owned(),
        Activity::Training => match state.seconds_left() {
            Some(left) => format!("{} left", duration(left)),
            None => "training".to_owned(),
        },
        Activity::Evaluating { evaluation, source, done, total } => {
            let share = 100 * done / (*total).max(1);
            format!("{evaluation} of the {}: {share} %", lines::source(*source))
        }
        Activity::Stopping => "stopping".to_owned(),
        Activity::Finished => "finished".to_owned(),
        Activity::Silent(seconds) => format!("silent for {}", duration(*seconds as f64)),
    }
}

fn draw_lights(frame: &mut Frame<'_>, area: Rect, lights: &[Light; 6], abreast: u16, theme: Theme) {
    let columns = Layout::horizontal(vec![Constraint::Fill(1); usize::from(abreast)]).split(area);
    let rows = lights.len() / usize::from(abreast);
    for (at, light) in lights.iter().enumerate() {
        let (column, row) = (columns[at / rows], (at % rows) as u16);
        let place = Rect { y: column.y + row, height: 1, ..column }.intersection(area);
        frame.render_widget(Paragraph::new(light_text(light, theme)), place);
    }
}

fn light_text(light: &Light, theme: Theme) -> Text<'static> {
    // A form of its own for each level, beside its word and its colour.
    let mark = match light.level {
        Level::Unknown => "○",
        Level::Good => "●",
        Level::Watch => "▲",
        Level::Bad => "■",
    };
    Text::from(vec![
        Span::styled(format!(" {mark} "), theme.level(light.level)),
        Span::raw(format!("{:<8}", light.name)),
        Span::styled(light.word, theme.level(light.level)),
        Span::styled(format!("  {}", light.detail), theme.quiet()),
    ])
}

/// The end of the log.
fn draw_log(frame: &mut Frame<'_>, area: Rect, state: &State, theme: Theme) {
    let (width, height) = (usize::from(area.width).saturating_sub(1), usize::from(area.height));
    let mut rows: Vec<Text<'_>> = Vec::new();
    for line in state.lines.iter().rev() {
        if rows.len() >= height || width == 0 {
            break;
        }
        let style = match (line.lasting, line.text.starts_with("warning:")) {
            (false, _) => theme.quiet(),
            (_, true) => theme.level(Level::Watch),
            _ => ratatui::style::Style::new(),
        };
        let wrapped = wrapped(&line.text, width);
        rows.extend(wrapped.into_iter().rev().map(|row| Text::styled(format!(" {row}"), style)));
    }
    rows.truncate(height);
    rows.reverse();
    frame.render_widget(Paragraph::new(rows), area);
}

/// `text` in rows of at most `width` characters, broken between words where that is possible; rows but for the first
/// are indented.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    // Characters of the last row, and whether a word is among them.
    let (mut used, mut is_begun) = (0, false);
    for word in text.split_whitespace() {
        let mut letters: Vec<char> = word.chars().collect();
        if is_begun && used + 1 + letters.len() > width {
            rows.push("  ".to_owned());
            used = 2;
        } else if is_begun {
            rows.last_mut().expect("there is a row").push(' ');
            used += 1;
        }
        // A word that is longer than a row.
        while used + letters.len() > width && width > 2 {
            let rest = letters.split_off(width - used);
            rows.last_mut().expect("there is a row").extend(letters);
            rows.push("  ".to_owned());
            (letters, used) = (rest, 2);
        }
        used += letters.len();
        is_begun = true;
        rows.last_mut().expect("there is a row").extend(letters);
    }
    rows
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, state: &State, ui: &Ui) {
    let mut spans = Vec::new();
    let stopping = state.activity == Activity::Stopping;
    if stopping {
        spans.push(Span::raw(" saving; "));
    } else if ui.confirming {
        spans.push(Span::styled(" Stop? ", ui.theme.strong()));
    }
    let keys: &[_] = match stopping {
        true => &[("Ctrl-C", "end at once, without saving")],
        false => ui.keys(),
    };
    let narrow = area.width < ROOMY[0];
    for (key, does) in keys {
        let does = match narrow {
            true => does.split(' ').next().unwrap_or_default().to_owned(),
            false => format!("{does}  "),
        };
        spans.push(Span::styled(format!(" {key} "), ui.theme.key()));
        spans.push(Span::raw(format!(" {does} ")));
    }
    let keys = Text::from(spans);
    let saved = state.saved.map(|step| format!("saved at step {} ", grouped(step)));
    let saved = saved.unwrap_or_default();
    let fits = keys.width() + saved.chars().count() <= usize::from(area.width);
    frame.render_widget(Paragraph::new(keys), area);
    if fits {
        let saved = Text::styled(saved, ui.theme.quiet());
        let saved = Paragraph::new(saved).alignment(Alignment::Right);
        frame.render_widget(saved, area);
    }
}
