//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::theme::Theme;

/// Whose dashboard it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The process that trains the run, which can be asked for things.
    Training,
    /// One that reads its files.
    Watching,
}

/// What is shown beside the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ui {
    pub(super) mode: Mode,
    pub(super) theme: Theme,
    /// Whether the keys are explained.
    pub(super) help: bool,
    /// Whether it waits for an answer: stop the run?
    pub(super) confirming: bool,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Save,
    Evaluate,
    Stop,
    /// Leave a run that is watched; it trains on.
    Leave,
}

impl Ui {
    pub(super) fn new(mode: Mode, theme: Theme) -> Self {
        Self { mode, theme, help: false, confirming: false }
    }

    /// Takes in a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::Nothing;
        }
        let interrupts =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        match (self.mode, key.code) {
            (Mode::Training, _) if interrupts => Action::Stop,
            (Mode::Watching, _) if interrupts => Action::Leave,
            _ if std::mem::take(&mut self.confirming) => match key.code {
                KeyCode::Char('q' | 'Q' | 'y' | 'Y') | KeyCode::Enter => Action::Stop,
                _ => Action::Nothing,
            },
            // Whatever is pressed closes it, and does nothing else: one may be reading what it would do.
            _ if std::mem::take(&mut self.help) => Action::Nothing,
            (_, KeyCode::Char('?' | 'h')) => {
                self.help = true;
                Action::Nothing
            }
            (Mode::Watching, KeyCode::Char('q' | 'Q') | KeyCode::Esc) => Action::Leave,
            (Mode::Training, KeyCode::Char('q' | 'Q')) => {
                self.confirming = true;
                Action::Nothing
            }
            (Mode::Training, KeyCode::Char('s')) => Action::Save,
            (Mode::Training, KeyCode::Char('e')) => Action::Evaluate,
            _ => Action::Nothing,
        }
    }

    /// The keys with what they do, for the last line.
    pub(super) fn keys(&self) -> &'static [(&'static str, &'static str)] {
        match (self.confirming, self.mode) {
            (true, _) => &[("q", "stop after this step and save"), ("any other key", "train on")],
            (_, Mode::Training) => {
                &[("s", "save"), ("e", "evaluate now"), ("q", "stop and save"), ("?", "help")]
            }
            (_, Mode::Watching) => &[("q", "leave the run to itself"), ("?", "help")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ui(mode: Mode) -> Ui {
        Ui::new(mode, Theme { coloured: false })
    }

    fn press(ui: &mut Ui, key: char) -> Action {
        ui.press(KeyCode::Char(key).into())
    }

    const CTRL_C: KeyEvent = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);

    #[test]
    fn a_run_is_stopped_by_a_second_key_alone() {
        let mut ui = ui(Mode::Training);
        assert_eq!(press(&mut ui, 'q'), Action::Nothing);
        assert_eq!(press(&mut ui, 's'), Action::Nothing, "any other key trains on");
        assert_eq!(press(&mut ui, 's'), Action::Save);
        assert_eq!(press(&mut ui, 'q'), Action::Nothing);
        assert_eq!(press(&mut ui, 'q'), Action::Stop);
        assert_eq!(press(&mut ui, 'e'), Action::Evaluate);
        assert_eq!(ui.press(CTRL_C), Action::Stop);
    }

    #[test]
    fn who_watches_can_leave_and_nothing_else() {
        let mut ui = ui(Mode::Watching);
        for key in ['s', 'e', 'y', 'x'] {
            assert_eq!(press(&mut ui, key), Action::Nothing, "{key}");
        }
        assert_eq!(press(&mut ui, 'q'), Action::Leave);
        assert_eq!(ui.press(CTRL_C), Action::Leave);
        assert_eq!(ui.press(KeyCode::Esc.into()), Action::Leave);
    }

    #[test]
    fn help_is_closed_by_any_key_which_does_nothing_else() {
        let mut ui = ui(Mode::Training);
        press(&mut ui, '?');
        assert!(ui.help);
        assert_eq!(press(&mut ui, 'e'), Action::Nothing);
        assert!(!ui.help);
    }
}
