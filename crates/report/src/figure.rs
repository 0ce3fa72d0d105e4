//! A line chart as a value, and its drawing, the same on every plotters backend.
//!
//! Every series is named at its right end, next to its last value, so no legend is needed. The
//! drawing is laid out on a page of [`WIDTH`] × [`HEIGHT`] and drawn [`SCALE`] times as large,
//! because backends know whole pixels only: the SVG then shows the page at its own size, and the
//! PNG is averaged down to twice that.

use std::io;
use std::sync::Once;

use image::{ImageFormat, RgbImage, imageops};
use logo_ssl_base::words::grouped;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 540;
const SCALE: u32 = 4;
const PNG_SCALE: u32 = 2;

const LEFT: f64 = 72.0;
const RIGHT: f64 = 716.0;
const TOP: f64 = 92.0;
const BOTTOM: f64 = 484.0;
const PANEL_GAP: f64 = 48.0;
/// Least distance of two labels' baselines.
const LABEL_PITCH: f64 = 18.0;
/// Bitmaps get their text too high: how far to lower it, relative to the letters' size.
const BITMAP_TEXT_DROP: f64 = 0.2;

const GROUND: RGBColor = WHITE;
const INK: RGBColor = RGBColor(31, 35, 40);
const MUTED: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(232, 235, 239);
const ZERO: RGBColor = RGBColor(180, 186, 194);

/// A point of a series: where on the x axis, and the value.
pub(super) type Point = (f64, f64);

/// One picture: panels on top of each other over one x axis.
pub(super) struct Figure {
    /// What it shows.
    pub title: String,
    /// What the x axis counts.
    pub x_label: &'static str,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// One y axis and what is drawn on it.
pub(super) struct Panel {
    /// What the y axis measures.
    pub y_label: String,
    /// Written behind every number of the y axis.
    pub unit: &'static str,
    /// Digits behind the point of the values that are written out.
    pub decimals: usize,
    /// Share of the height, relative to the other panels.
    pub share: f64,
    /// Whether the y axis starts at 0, where nothing below is to be shown.
    pub from_zero: bool,
    /// The curves.
    pub series: Vec<Series>,
    /// Dashed horizontal lines.
    pub levels: Vec<Level>,
}

/// One curve: light dots behind, a thick line in front.
pub(super) struct Series {
    /// Its name.
    pub label: String,
    /// Of the line; the dots are lighter.
    pub color: RGBColor,
    /// The single values.
    pub dots: Vec<Point>,
    /// What they amount to.
    pub line: Vec<Point>,
    /// Whether the line's own points are to be seen.
    pub markers: bool,
}

/// A value to compare a curve with.
pub(super) struct Level {
    /// Its name.
    pub label: String,
    /// Of the dashes and the name.
    pub color: RGBColor,
    /// Where it is.
    pub value: f64,
}

/// The figure as SVG.
pub(super) fn svg(figure: &Figure) -> io::Result<String> {
    let mut text = String::new();
    render(figure, SVGBackend::with_string(&mut text, (WIDTH * SCALE, HEIGHT * SCALE)), 0.0)?;
    let drawn = format!(r#"width="{}" height="{}""#, WIDTH * SCALE, HEIGHT * SCALE);
    let shown = format!(r#"width="{WIDTH}" height="{HEIGHT}""#);
    Ok(text.replacen(&drawn, &shown, 1))
}

/// The figure as PNG.
pub(super) fn png(figure: &Figure) -> io::Result<Vec<u8>> {
    let (width, height) = (WIDTH * SCALE, HEIGHT * SCALE);
    let mut large = RgbImage::new(width, height);
    render(figure, BitMapBackend::with_buffer(&mut large, (width, height)), BITMAP_TEXT_DROP)?;
    let (width, height) = (WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE);
    let small = imageops::thumbnail(&large, width, height);
    let mut encoded = io::Cursor::new(Vec::new());
    small.write_to(&mut encoded, ImageFormat::Png).map_err(io::Error::other)?;
    Ok(encoded.into_inner())
}

fn render<DB: DrawingBackend>(figure: &Figure, backend: DB, text_drop: f64) -> io::Result<()> {
    register_fonts();
    let area = backend.into_drawing_area();
    draw(figure, &Pen { area: &area, text_drop })
        .and_then(|()| area.present())
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Plotters measures and, on bitmaps, draws text with fonts it was given beforehand.
fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A font that does not parse is reported by the first text drawn, as an error.
        let _ = register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
}

type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn draw<DB: DrawingBackend>(figure: &Figure, pen: &Pen<'_, DB>) -> Drawn<DB> {
    pen.area.fill(&GROUND)?;
    pen.text((24.0, 34.0), &figure.title, &Text::left(21.0, INK))?;
    let x = x_span(figure);
    let shares: f64 = figure.panels.iter().map(|panel| panel.share).sum();
    let gaps = PANEL_GAP * (figure.panels.len() - 1) as f64;
    let mut top = TOP;
    for panel in &figure.panels {
        let bottom = top + (BOTTOM - TOP - gaps) * panel.share / shares;
        let frame = Frame { top, bottom, x, y: y_span(panel) };
        draw_panel(panel, &frame, pen)?;
        top = bottom + PANEL_GAP;
    }
    draw_x_axis(figure.x_label, x, pen)
}

fn draw_x_axis<DB: DrawingBackend>(label: &str, x: Span, pen: &Pen<'_, DB>) -> Drawn<DB> {
    for tick in x.ticks(7, 1.0).values {
        let at = LEFT + (RIGHT - LEFT) * x.share(tick);
        pen.text((at, BOTTOM + 17.0), &grouped(tick as u64), &Text::centred(13.0, MUTED))?;
    }
    pen.text((0.5 * (LEFT + RIGHT), BOTTOM + 40.0), label, &Text::centred(14.0, INK))
}

fn draw_panel<DB: DrawingBackend>(panel: &Panel, frame: &Frame, pen: &Pen<'_, DB>) -> Drawn<DB> {
    draw_grid(panel, frame, pen)?;
    for level in &panel.levels {
        let y = frame.y_of(level.value);
        pen.dashes(y, level.color)?;
    }
    for series in &panel.series {
        let light = mix(series.color, GROUND, 0.72);
        for &dot in &series.dots {
            pen.disc(frame.place(dot), 1.5, light)?;
        }
    }
    draw_labels(panel, frame, pen)?;
    panel.series.iter().try_for_each(|series| draw_line(series, frame, pen))
}

fn draw_grid<DB: DrawingBackend>(panel: &Panel, frame: &Frame, pen: &Pen<'_, DB>) -> Drawn<DB> {
    for tick in frame.x.ticks(7, 1.0).values {
        let x = frame.place((tick, frame.y.low)).0;
        pen.line((x, frame.top), (x, frame.bottom), 1.0, GRID)?;
    }
    let ticks = frame.y.ticks(frame.ticks_that_fit(), 0.0);
    for &tick in &ticks.values {
        let y = frame.y_of(tick);
        let color = if tick == 0.0 { ZERO } else { GRID };
        pen.line((LEFT, y), (RIGHT, y), 1.0, color)?;
        let number = signed(tick, ticks.decimals) + panel.unit;
        pen.text((LEFT - 10.0, y), &number, &Text::right(13.0, MUTED))?;
    }
    pen.text((24.0, frame.top - 20.0), &panel.y_label, &Text::left(14.0, INK))
}

/// Segment by segment with round joints: a backend's own joints shoot out at sharp angles.
fn draw_line<DB: DrawingBackend>(series: &Series, frame: &Frame, pen: &Pen<'_, DB>) -> Drawn<DB> {
    const THICK: f64 = 2.5;
    let points: Vec<Point> = series.line.iter().map(|&point| frame.place(point)).collect();
    for pair in points.windows(2) {
        pen.line(pair[0], pair[1], THICK, series.color)?;
    }
    let single = points.len() == 1;
    for &point in &points {
        if series.markers || single {
            pen.disc(point, 5.5, GROUND)?;
            pen.disc(point, 4.0, series.color)?;
        } else {
            pen.disc(point, 0.5 * THICK, series.color)?;
        }
    }
    Ok(())
}

/// The names at the right end, moved apart where their values are close.
fn draw_labels<DB: DrawingBackend>(panel: &Panel, frame: &Frame, pen: &Pen<'_, DB>) -> Drawn<DB> {
    let labels = labels(panel, frame);
    let wanted: Vec<f64> = labels.iter().map(|label| label.from.1).collect();
    let placed = spread(&wanted, LABEL_PITCH, frame.bottom);
    for (label, y) in labels.iter().zip(placed) {
        let elbow = (RIGHT + 6.0, label.from.1);
        pen.line(label.from, elbow, 1.0, mix(label.color, GROUND, 0.5))?;
        pen.line(elbow, (RIGHT + 16.0, y), 1.0, mix(label.color, GROUND, 0.5))?;
        pen.text((RIGHT + 20.0, y), &label.text, &Text::left(14.0, label.color))?;
    }
    Ok(())
}

struct Label {
    from: Point,
    text: String,
    color: RGBColor,
}

/// What stands at the right end, from top to bottom.
fn labels(panel: &Panel, frame: &Frame) -> Vec<Label> {
    let text = |name: &str, value| {
        // A space that SVG does not merge with the next.
        format!("{name}\u{a0} {}{}", signed(value, panel.decimals), panel.unit)
    };
    let series = panel.series.iter().filter_map(|series| {
        let &(x, value) = series.line.last()?;
        let from = frame.place((x, value));
        Some(Label { from, text: text(&series.label, value), color: series.color })
    });
    let levels = panel.levels.iter().map(|level| {
        let from = (RIGHT, frame.y_of(level.value));
        Label { from, text: text(&level.label, level.value), color: level.color }
    });
    let mut labels: Vec<Label> = series.chain(levels).collect();
    labels.sort_by(|a, b| a.from.1.total_cmp(&b.from.1));
    labels
}

/// Moves ascending positions apart to at least `pitch`, as little as needed, none below `end`.
fn spread(wanted: &[f64], pitch: f64, end: f64) -> Vec<f64> {
    let mut placed: Vec<f64> = wanted.to_vec();
    for i in 1..placed.len() {
        placed[i] = placed[i].max(placed[i - 1] + pitch);
    }
    let mut limit = end;
    for y in placed.iter_mut().rev() {
        *y = y.min(limit);
        limit = *y - pitch;
    }
    placed
}

/// Where a panel is on the page, and what its axes span.
struct Frame {
    top: f64,
    bottom: f64,
    x: Span,
    y: Span,
}

impl Frame {
    fn place(&self, (x, y): Point) -> Point {
        (LEFT + (RIGHT - LEFT) * self.x.share(x), self.y_of(y))
    }

    fn y_of(&self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * self.y.share(value)
    }

    fn ticks_that_fit(&self) -> usize {
        ((self.bottom - self.top) / 48.0).max(3.0) as usize
    }
}

/// What an axis shows, `low < high`.
#[derive(Clone, Copy)]
struct Span {
    low: f64,
    high: f64,
}

struct Ticks {
    values: Vec<f64>,
    decimals: usize,
}

impl Span {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        values.fold(None, |span, value| {
            let span = span.unwrap_or(Span { low: value, high: value });
            Some(Span { low: span.low.min(value), high: span.high.max(value) })
        })
    }

    fn share(self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// About `count` round numbers, at least `least_step` apart.
    fn ticks(self, count: usize, least_step: f64) -> Ticks {
        let rough = (self.high - self.low) / count as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let factor = match rough / power {
            ..1.5 => 1.0,
            ..3.5 => 2.0,
            ..7.5 => 5.0,
            _ => 10.0,
        };
        let step = (factor * power).max(least_step);
        // A hair of slack, so that rounding does not cost the tick at either end.
        let slack = 1e-9;
        let first = (self.low / step - slack).ceil() as i64;
        let last = (self.high / step + slack).floor() as i64;
        let decimals = (-(step * 1.001).log10().floor()).max(0.0) as usize;
        Ticks { values: (first..=last).map(|i| i as f64 * step).collect(), decimals }
    }
}

/// From 0 to the furthest point.
fn x_span(figure: &Figure) -> Span {
    let series = figure.panels.iter().flat_map(|panel| &panel.series);
    let points = series.flat_map(|series| series.dots.iter().chain(&series.line));
    let furthest = points.map(|point| point.0).fold(1.0, f64::max);
    Span { low: 0.0, high: furthest }
}

/// All values with some air around them.
fn y_span(panel: &Panel) -> Span {
    let series = panel.series.iter().flat_map(|series| series.dots.iter().chain(&series.line));
    let levels = panel.levels.iter().map(|level| level.value);
    let zero = panel.from_zero.then_some(0.0);
    let values = series.map(|point| point.1).chain(levels).chain(zero);
    let span = Span::of(values).unwrap_or(Span { low: 0.0, high: 1.0 });
    let height = span.high - span.low;
    let air = if height > 0.0 { 0.06 * height } else { span.low.abs().max(1.0) * 0.1 };
    let low = if panel.from_zero { span.low } else { span.low - air };
    Span { low, high: span.high + air }
}

/// Draws on the page's own coordinates.
struct Pen<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    text_drop: f64,
}

impl<DB: DrawingBackend> Pen<'_, DB> {
    fn line(&self, from: Point, to: Point, width: f64, color: RGBColor) -> Drawn<DB> {
        let style = color.stroke_width(pixels(width) as u32);
        self.area.draw(&PathElement::new(vec![pixel(from), pixel(to)], style))
    }

    fn dashes(&self, y: f64, color: RGBColor) -> Drawn<DB> {
        const DASH: f64 = 7.0;
        const PERIOD: f64 = 12.0;
        let count = ((RIGHT - LEFT) / PERIOD) as usize;
        for i in 0..=count {
            let x = LEFT + i as f64 * PERIOD;
            self.line((x, y), ((x + DASH).min(RIGHT), y), 1.5, color)?;
        }
        Ok(())
    }

    fn disc(&self, centre: Point, radius: f64, color: RGBColor) -> Drawn<DB> {
        self.area.draw(&Circle::new(pixel(centre), pixels(radius), color.filled()))
    }

    fn text(&self, at: Point, text: &str, style: &Text) -> Drawn<DB> {
        let drop = self.text_drop * style.size;
        // Plotters' sizes are line heights, 1.24 times the letters' size.
        let font = ("sans-serif", style.size * 1.24 * f64::from(SCALE)).into_font();
        let style = font.color(&style.color).pos(Pos::new(style.align, VPos::Center));
        self.area.draw_text(text, &style, pixel((at.0, at.1 + drop)))
    }
}

struct Text {
    size: f64,
    color: RGBColor,
    align: HPos,
}

impl Text {
    fn left(size: f64, color: RGBColor) -> Self {
        Self { size, color, align: HPos::Left }
    }

    fn centred(size: f64, color: RGBColor) -> Self {
        Self { size, color, align: HPos::Center }
    }

    fn right(size: f64, color: RGBColor) -> Self {
        Self { size, color, align: HPos::Right }
    }
}

fn pixels(length: f64) -> i32 {
    (length * f64::from(SCALE)).round() as i32
}

fn pixel((x, y): Point) -> (i32, i32) {
    (pixels(x), pixels(y))
}

/// `share` of the way from `color` to `other`. Opaque, so that overlapping dots stay light.
fn mix(color: RGBColor, other: RGBColor, share: f64) -> RGBColor {
    let channel = |a: u8, b: u8| (f64::from(a) * (1.0 - share) + f64::from(b) * share) as u8;
    RGBColor(channel(color.0, other.0), channel(color.1, other.1), channel(color.2, other.2))
}

/// A number with a typographic minus, and none before a rounded 0.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let zero = text.chars().all(|c| c == '0' || c == '.');
    if value < 0.0 && !zero { format!("\u{2212}{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let ticks = Span { low: -0.31, high: 1.02 }.ticks(6, 0.0);
        assert_eq!(ticks.decimals, 1);
        assert_eq!(ticks.values.len(), 7, "-0.2 to 1.0 by 0.2");
        assert!(ticks.values.iter().all(|&tick| (-0.31..=1.02).contains(&tick)));
        let epochs = Span { low: 0.0, high: 2.0 }.ticks(7, 1.0);
        assert_eq!(epochs.values, [0.0, 1.0, 2.0]);
    }

    #[test]
    fn labels_keep_their_distance_and_stay_inside() {
        let placed = spread(&[10.0, 12.0, 95.0, 99.0], 18.0, 100.0);
        assert!(placed.windows(2).all(|pair| pair[1] - pair[0] >= 18.0 - 1e-9), "{placed:?}");
        assert!(placed.iter().all(|&y| y <= 100.0));
        assert_eq!(spread(&[5.0, 50.0], 18.0, 100.0), [5.0, 50.0]);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(signed(-0.25, 1), "\u{2212}0.2");
        assert_eq!(signed(-0.001, 2), "0.00");
    }
}
