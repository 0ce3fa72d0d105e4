//! A run as a screen: curves, health, log and keys, of the run that this process trains or of another's files.
//!
//! [`state`] is what is known of the run, fed by its events; [`draw`] makes a screen of it, [`keys`] says what is
//! pressed, and [`screen`] is the terminal. [`live`] has them follow a run of this process, [`files`] one by its
//! logs.

mod chart;
mod charts;
mod curve;
mod draw;
mod files;
mod health;
mod help;
mod keys;
mod live;
mod pace;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod theme;
mod watching;

use std::io::{IsTerminal, stderr, stdin};

pub(crate) use files::Watched;
pub(crate) use live::Dashboard;
pub(crate) use screen::{leave, leave_on_panic};
pub(crate) use watching::watch;

use crate::Output;

/// The smallest terminal that gets a dashboard by itself.
const LEAST_SIZE: (u16, u16) = (60, 16);

/// Whether there is a terminal for a dashboard, and nothing else was asked for.
pub(crate) fn is_wanted(output: Output) -> bool {
    let Output { quiet, json, plain } = output;
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !(quiet || json || plain || (is_dumb && cfg!(unix)))
        && stderr().is_terminal()
        && stdin().is_terminal()
        && ratatui::crossterm::terminal::size()
            .is_ok_and(|(width, height)| width >= LEAST_SIZE.0 && height >= LEAST_SIZE.1)
}
