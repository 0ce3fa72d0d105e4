//! Keys and lights, explained.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line as Text;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::keys::{Mode, Ui};

/// What the lights mean, by their names.
const LIGHTS: [&str; 9] = [
    "spread   std of the embeddings; near 0 all images look the same (collapse)",
    "numbers  whether loss and gradients are numbers; a NaN ends the run",
    "speed    the latest updates beside the run's own median",
    "views    the share of the time that updates wait for their views",
    "disk     what is free where the run is kept",
    "time     what is left, by the pace so far",
    "",
    "Curves are means over a few steps. Dotted is what the evaluation finds of",
    "raw pixels and of an untrained network: training has to be above both.",
];

/// Explains what may be pressed and what the lights mean, over whatever is there.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, ui: &Ui) {
    let keys: &[(&str, &str)] = match ui.mode {
        Mode::Training => &[
            ("s", "write a checkpoint after this step"),
            ("e", "measure the encoder now; the run's results stay what they are"),
            ("q", "stop after this step and save; asks first"),
            ("Ctrl-C", "the same without asking; once more ends at once, without saving"),
        ],
        Mode::Watching => &[("q", "leave; the run is only read, and trains on")],
    };
    let key = |(key, does): &(&str, &str)| Text::raw(format!(" {key:<8} {does}"));
    let about = LIGHTS.iter().map(|line| Text::styled(format!(" {line}"), ui.theme.quiet()));
    let mut rows: Vec<Text<'_>> =
        keys.iter().map(key).chain([Text::raw("")]).chain(about).collect();
    rows.push(Text::raw(""));
    rows.push(Text::raw(" any key goes back"));
    let size = [rows.iter().map(Text::width).max().unwrap_or(0) as u16 + 3, rows.len() as u16 + 2];
    let [width, height] = [size[0].min(area.width), size[1].min(area.height)];
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" keys and lights ");
    frame.render_widget(Paragraph::new(rows).block(block), place);
}
