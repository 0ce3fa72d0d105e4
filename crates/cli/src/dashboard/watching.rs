//! The dashboard of a run that another process trains, or trained.

use std::io;
use std::time::{Duration, Instant};

use logo_ssl::record::RunFiles;
use ratatui::crossterm::event::Event as Input;

use super::draw;
use super::files::Watched;
use super::keys::{Action, Mode, Ui};
use super::live::input;
use super::screen::Screen;
use super::theme::Theme;
use crate::error::{Error, Result};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Shows a run on the terminal until a key says otherwise.
pub(crate) fn watch(files: &RunFiles, mut watched: Watched) -> Result<()> {
    let mut state = watched.state();
    let mut ui = Ui::new(Mode::Watching, Theme::of_environment());
    // What cannot be read is said before there is a screen to say it on.
    watched.read(&mut state)?;
    let failed =
        |error: io::Error| Error::about(files.root(), &format!("cannot be shown: {error}"));
    let mut screen = Screen::enter().map_err(failed)?;
    loop {
        let looked = Instant::now();
        watched.look(&mut state);
        screen.draw(|frame| draw::draw(frame, &state, &ui)).map_err(failed)?;
        while looked.elapsed() < EVERY {
            match input().map_err(failed)? {
                Some(Input::Key(key)) if ui.press(key) == Action::Leave => return Ok(()),
                Some(_) => break,
                None => {}
            }
        }
        watched.read(&mut state)?;
    }
}
