//! The dashboard of the run that this process trains.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use logo_ssl::Result;
use logo_ssl::config::Config;
use logo_ssl::record::{Event, Record, RunFiles, Sink};
use logo_ssl::train::Control;
use ratatui::crossterm::event::{self, Event as Input};

use super::draw;
use super::files::{self, Watched};
use super::keys::{Action, Mode, Ui};
use super::screen::Screen;
use super::state::{About, Activity, State};
use super::theme::Theme;
use crate::{lines, log, pretrain};

/// How long the terminal waits for a key before it looks at the run again.
const TICK: Duration = Duration::from_millis(100);
/// How often the screen follows the run. More often nobody reads, and drawing takes from the training.
const FRAME: Duration = Duration::from_millis(500);
/// How long the drawing may take to come to its end.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the disk is looked at.
const DISK_EVERY: Duration = Duration::from_secs(5);

/// Shows a run's events on the terminal, drawn by a thread of its own. What would have been printed without it is
/// printed when it ends.
pub(crate) struct Dashboard {
    shared: Arc<Shared>,
    files: RunFiles,
    config: Config,
    drawing: Option<JoinHandle<()>>,
}

/// What both threads know.
struct Shared {
    state: Mutex<State>,
    changed: AtomicBool,
    closing: AtomicBool,
    control: Control,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.store(true, Ordering::SeqCst);
    }
}

impl Dashboard {
    /// Of the run with these files, which `control` controls. The terminal is taken over once there is something to
    /// train.
    pub(crate) fn new(files: &RunFiles, config: &Config, control: &Control) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(About::of(files.root(), config))),
            changed: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            control: control.clone(),
        };
        Self {
            shared: Arc::new(shared),
            files: files.clone(),
            config: config.clone(),
            drawing: None,
        }
    }

    /// Takes the terminal over. Where that fails the run is told by plain lines.
    fn open(&mut self) {
        let screen = match Screen::enter() {
            Ok(screen) => screen,
            Err(error) => {
                tracing::warn!("there is no dashboard on this terminal: {error}");
                return;
            }
        };
        let shared = Arc::clone(&self.shared);
        log::divert(Some(Box::new(move |line| shared.change(|state| state.say(line)))));
        let (shared, files) = (Arc::clone(&self.shared), self.files.clone());
        self.drawing = Some(thread::spawn(move || follow(screen, &shared, &files)));
    }

    /// Takes in that the run starts, and before it what a run that goes on logged earlier. All of that was printed.
    fn start(&self, started: &Event<'_>) -> Result<()> {
        let mut state = self.shared.state();
        Watched::new(&self.files, &self.config).read(&mut state)?;
        state.tell(started);
        state.lines.iter_mut().for_each(|line| line.lasting = false);
        Ok(())
    }
}

impl Sink for Dashboard {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        if let (Event::Started { done, total, steps_per_epoch }, None) = (event, &self.drawing) {
            let line = lines::of_start(self.files.root(), *done, *total, *steps_per_epoch);
            remark!("{line}");
            self.start(event)?;
            if done < total {
                self.open();
            }
            return Ok(());
        }
        if let (Event::Record(record), None) = (event, &self.drawing) {
            self.print(record);
        }
        self.shared.change(|state| state.tell(event));
        Ok(())
    }
}

impl Dashboard {
    /// The line of a record, where there is no screen to show it on.
    fn print(&self, record: &Record) {
        if let Some(line) = lines::of(record, self.config.model.projector.dim) {
            remark!("{line}");
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let Some(drawing) = self.drawing.take() else { return };
        self.shared.closing.store(true, Ordering::SeqCst);
        // It gives the terminal back however it ends. On a terminal that is gone crossterm reads without an end,
        // and the run has to end nevertheless.
        let asked = Instant::now();
        while !drawing.is_finished() && asked.elapsed() < PATIENCE {
            thread::sleep(TICK / 10);
        }
        log::divert(None);
        for line in self.shared.state().lines.iter().filter(|line| line.lasting) {
            remark!("{}", line.text);
        }
    }
}

/// Draws the run and takes in keys, until the run ends or the terminal is gone.
fn follow(mut screen: Screen, shared: &Shared, files: &RunFiles) {
    let mut ui = Ui::new(Mode::Training, Theme::of_environment());
    let (mut drawn, mut looked): (Option<Instant>, Option<Instant>) = (None, None);
    let is_due =
        |last: Option<Instant>, every| last.is_none_or(|last: Instant| last.elapsed() >= every);
    while !shared.closing.load(Ordering::SeqCst) {
        if is_due(looked, DISK_EVERY) {
            looked = Some(Instant::now());
            let [disk, checkpoint_bytes] = files::space(files);
            shared.change(|state| {
                (state.disk, state.checkpoint_bytes) = (disk, checkpoint_bytes);
            });
        }
        if is_due(drawn, FRAME) && shared.changed.swap(false, Ordering::SeqCst) {
            drawn = Some(Instant::now());
            let state = shared.state();
            if screen.draw(|frame| draw::draw(frame, &state, &ui)).is_err() {
                return;
            }
        }
        match input() {
            Ok(None) => {}
            Ok(Some(input)) => {
                if let Input::Key(key) = input {
                    answer(ui.press(key), shared);
                }
                shared.changed.store(true, Ordering::SeqCst);
                drawn = None;
            }
            Err(_) => return,
        }
    }
}

/// What was pressed, if anything was within a tick.
pub(super) fn input() -> std::io::Result<Option<Input>> {
    match event::poll(TICK)? {
        true => event::read().map(Some),
        false => Ok(None),
    }
}

fn answer(action: Action, shared: &Shared) {
    match action {
        Action::Save => {
            shared.change(|state| state.answer("saving after this step"));
            shared.control.save();
        }
        Action::Evaluate => {
            shared.change(|state| state.answer("evaluating after this step"));
            shared.control.evaluate();
        }
        Action::Stop => {
            shared.change(|state| state.activity = Activity::Stopping);
            pretrain::stop(&shared.control);
        }
        Action::Nothing | Action::Leave => {}
    }
}
