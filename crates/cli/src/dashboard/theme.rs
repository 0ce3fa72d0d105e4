//! Colours, which are never the only signal, and none where `$NO_COLOR` is set.

use ratatui::style::{Color, Modifier, Style};

use super::health::Level;

// Okabe and Ito's palette, which the colour-blind can tell apart, as the report has it.
const BLUE: Color = Color::Rgb(86, 180, 233);
const ORANGE: Color = Color::Rgb(230, 159, 0);
const GREEN: Color = Color::Rgb(0, 158, 115);
const PURPLE: Color = Color::Rgb(204, 121, 167);
const RED: Color = Color::Rgb(213, 94, 0);

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) coloured: bool,
}

impl Theme {
    /// As the environment asks for it (<https://no-color.org>).
    pub(super) fn of_environment() -> Self {
        Self { coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn color(self, color: Color) -> Style {
        if self.coloured { Style::new().fg(color) } else { Style::new() }
    }

    /// What stands behind the rest: frames, axes, what is explained.
    pub(super) fn quiet(self) -> Style {
        self.color(Color::DarkGray)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// A key that can be pressed.
    pub(super) fn key(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The line that is number `at` in a chart.
    pub(super) fn line(self, at: usize) -> Style {
        self.color([BLUE, ORANGE, GREEN, PURPLE][at % 4])
    }

    pub(super) fn level(self, level: Level) -> Style {
        match level {
            Level::Unknown => self.quiet(),
            Level::Good => self.color(GREEN),
            Level::Watch => self.color(ORANGE).add_modifier(Modifier::BOLD),
            Level::Bad => self.color(RED).add_modifier(Modifier::BOLD | Modifier::REVERSED),
        }
    }
}
