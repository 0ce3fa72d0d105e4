//! Line charts in braille, with each line's name and last value at its end.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::Line as Text;
use ratatui::widgets::canvas::{Canvas, Line as Stroke, Points};
use ratatui::widgets::{Block, Paragraph};

use super::theme::Theme;

/// The fewest columns that a curve is worth drawing in.
const LEAST_COLUMNS: u16 = 12;
/// Dots of a braille character, across.
const DOTS: usize = 2;

/// A chart over epochs.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
    /// Epochs at its right end.
    pub(super) epochs: f64,
    /// What stands there as long as there is nothing to draw.
    pub(super) empty: String,
    /// What stands in its lower edge.
    pub(super) footer: String,
}

/// One line of a chart.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// Epochs and values, in order.
    pub(super) points: Vec<(f64, f64)>,
    pub(super) style: Style,
    /// Whether it is one value to be compared with, drawn as a dotted line from side to side.
    pub(super) is_floor: bool,
}

/// How many points a curve of a chart in `area` needs at most.
pub(super) fn resolution(area: Rect) -> usize {
    usize::from(area.width) * DOTS
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, chart: &Chart, theme: Theme) {
    let title = format!(" {} ", chart.title);
    let mut block =
        Block::bordered().border_style(theme.quiet()).title(Text::styled(title, Style::new()));
    if !chart.footer.is_empty() {
        let footer = format!(" {} ", chart.footer);
        block = block.title_bottom(Text::styled(footer, Style::new()));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(range) = range(&chart.lines) else {
        let middle = Rect { y: inner.y + inner.height / 2, height: 1, ..inner };
        let empty = Paragraph::new(chart.empty.as_str()).style(theme.quiet());
        frame.render_widget(empty.alignment(Alignment::Center), middle.intersection(inner));
        return;
    };
    let decimals = decimals(range);
    let scale = [range[1], range[0]].map(|value| rounded(value, decimals));
    let ends = ends(&chart.lines, decimals + 1);
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) as u16 + 1;
    let left = widest(&mut scale.iter().map(|text| text.chars().count()));
    let right = widest(&mut ends.iter().map(|end| end.text.chars().count()));
    let [above, below] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(inner);
    let columns = [Constraint::Length(left), Constraint::Fill(1), Constraint::Length(right)];
    let [scale_area, plot, end_area] = Layout::horizontal(columns).areas(above);
    if plot.width < LEAST_COLUMNS || plot.height < 2 {
        return values_alone(frame, inner, &ends);
    }
    draw_scale(frame, scale_area, &scale, theme);
    draw_lines(frame, plot, chart, range);
    draw_ends(frame, end_area, ends, range);
    let axis = Rect { x: plot.x, width: plot.width, ..below };
    draw_epochs(frame, axis, chart.epochs, theme);
}

/// Least and greatest value, with some room; none where there is nothing.
fn range(lines: &[Line]) -> Option<[f64; 2]> {
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let (least, greatest) =
        values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, g), v| (l.min(v), g.max(v)));
    if least > greatest {
        return None;
    }
    let room = match greatest - least {
        0.0 => least.abs().max(1.0) * 0.1,
        span => span * 0.04,
    };
    Some([least - room, greatest + room])
}

/// Decimals that tell values of a range apart.
fn decimals([least, greatest]: [f64; 2]) -> usize {
    (1.0 - (greatest - least).log10().floor()).clamp(0.0, 6.0) as usize
}

/// With so many decimals, and no sign where only zeros are left.
fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        _ => text,
    }
}

/// A line's name and last value, and where it ends.
struct End {
    text: String,
    value: f64,
    style: Style,
}

fn ends(lines: &[Line], decimals: usize) -> Vec<End> {
    let end = |line: &Line| {
        let (_, value) = *line.points.last()?;
        Some(End {
            text: format!("{} {}", line.name, rounded(value, decimals)),
            value,
            style: line.style,
        })
    };
    lines.iter().filter_map(end).collect()
}

/// Where there is no room for curves: what they would end with.
fn values_alone(frame: &mut Frame<'_>, area: Rect, ends: &[End]) {
    let lines = ends.iter().map(|end| Text::styled(end.text.clone(), end.style));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn draw_scale(frame: &mut Frame<'_>, area: Rect, scale: &[String; 2], theme: Theme) {
    let rows = [area.y, area.bottom() - 1];
    for (text, y) in scale.iter().zip(rows) {
        let label = Paragraph::new(text.as_str()).style(theme.quiet()).alignment(Alignment::Right);
        frame.render_widget(label, Rect { y, height: 1, width: area.width - 1, ..area });
    }
}

fn draw_lines(frame: &mut Frame<'_>, area: Rect, chart: &Chart, range: [f64; 2]) {
    let dots = usize::from(area.width) * DOTS;
    let canvas = Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, chart.epochs])
        .y_bounds(range)
        .paint(|context| {
            for line in &chart.lines {
                let color = line.style.fg.unwrap_or(Color::Reset);
                let drawn = match (line.is_floor, line.points.last()) {
                    (true, Some((_, value))) => dotted(*value, chart.epochs, dots),
                    _ => line.points.clone(),
                };
                context.draw(&Points { coords: &drawn, color });
                for pair in drawn.windows(2).filter(|_| !line.is_floor) {
                    let [(x1, y1), (x2, y2)] = [pair[0], pair[1]];
                    context.draw(&Stroke { x1, y1, x2, y2, color });
                }
            }
        });
    frame.render_widget(canvas, area);
}

/// Every third dot of a line from side to side.
fn dotted(value: f64, epochs: f64, dots: usize) -> Vec<(f64, f64)> {
    let at = |dot: usize| (epochs * dot as f64 / dots as f64, value);
    (0..dots).step_by(3).map(at).collect()
}

/// Names and values beside the ends of their lines, moved apart where they would cover each other.
fn draw_ends(frame: &mut Frame<'_>, area: Rect, mut ends: Vec<End>, [least, greatest]: [f64; 2]) {
    let last = area.height - 1;
    ends.sort_by(|a, b| b.value.total_cmp(&a.value));
    let wanted = |end: &End| {
        let share = (greatest - end.value) / (greatest - least);
        (share * f64::from(area.height)).clamp(0.0, f64::from(last)) as u16
    };
    let mut rows: Vec<u16> = ends.iter().map(wanted).collect();
    for at in 1..rows.len() {
        rows[at] = rows[at].max(rows[at - 1] + 1);
    }
    // Pushed out at the bottom, they move up again.
    let mut lowest = i32::from(last);
    for row in rows.iter_mut().rev() {
        *row = i32::from(*row).min(lowest).max(0) as u16;
        lowest = i32::from(*row) - 1;
    }
    for (End { text, style, .. }, row) in ends.into_iter().zip(rows) {
        let place = Rect { x: area.x, y: area.y + row, width: area.width, height: 1 };
        frame.render_widget(Paragraph::new(format!(" {text}")).style(style), place);
    }
}

fn draw_epochs(frame: &mut Frame<'_>, area: Rect, epochs: f64, theme: Theme) {
    let end =
        if epochs < 10.0 { format!("epoch {epochs:.1}") } else { format!("epoch {epochs:.0}") };
    frame.render_widget(Paragraph::new("0").style(theme.quiet()), area);
    let end = Paragraph::new(end).style(theme.quiet()).alignment(Alignment::Right);
    frame.render_widget(end, area);
}
