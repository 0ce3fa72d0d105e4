//! Screens of made-up runs, read as a person reads them.

use std::path::Path;

use logo_ssl::config::Config;
use logo_ssl::presets::Layers;
use logo_ssl::record::scalars::{LOSS, Z_STD};
use logo_ssl::record::{Event, Record, Scalars, Source, synthetic};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

use super::draw;
use super::health::{Level, Light, lights};
use super::keys::{Mode, Ui};
use super::state::{About, Activity, State};
use super::theme::Theme;

const EPOCHS: usize = 24;
const SIZES: [[u16; 2]; 3] = [[80, 24], [120, 40], [40, 12]];

fn config() -> Config {
    Layers::preset("quickstart").unwrap().set("eval.every=2").unwrap().build().unwrap()
}

/// A run before its first event.
fn new() -> State {
    let mut state = State::new(About::of(Path::new("runs/quickstart"), &config()));
    state.disk = Some(104_000_000_000);
    state.tell(&Event::Started { done: 0, total: 40 * EPOCHS as u64, steps_per_epoch: 40 });
    state
}

/// A healthy run after `epochs` epochs.
fn trained(epochs: usize) -> State {
    let mut state = new();
    let timings = synthetic::timings(epochs);
    let mut timings = timings.iter();
    for record in synthetic::records(epochs, true) {
        let closes = matches!(record, Record::Epoch { .. });
        state.tell(&Event::Record(&record));
        if closes {
            timings.next().into_iter().for_each(|timing| state.tell(&Event::Record(timing)));
        }
    }
    timings.for_each(|timing| state.tell(&Event::Record(timing)));
    state.tell(&Event::Saving { step: 40 * epochs as u64 });
    state
}

fn ui(mode: Mode) -> Ui {
    Ui::new(mode, Theme { coloured: true })
}

fn terminal([width, height]: [u16; 2], state: &State, ui: &Ui) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::draw(frame, state, ui)).unwrap();
    terminal
}

/// What is on the screen, row by row.
fn rows(size: [u16; 2], state: &State, ui: &Ui) -> Vec<String> {
    let terminal = terminal(size, state, ui);
    let cells = terminal.backend().buffer().content();
    let rows = cells.chunks(usize::from(size[0]));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
}

fn screen(size: [u16; 2], state: &State, ui: &Ui) -> String {
    rows(size, state, ui).join("\n")
}

/// Whether `screen` has all of `texts`, in this order.
fn has_all(screen: &str, texts: &[&str]) {
    let mut rest = screen;
    for text in texts {
        let at = rest.find(text).unwrap_or_else(|| panic!("no `{text}` in order on\n{screen}"));
        rest = &rest[at + text.len()..];
    }
}

fn is_braille(screen: &str) -> usize {
    screen.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count()
}

#[test]
fn a_run_is_told_at_every_size() {
    let state = trained(8);
    for size in SIZES {
        let screen = screen(size, &state, &ui(Mode::Training));
        has_all(&screen, &["logo-ssl", "runs/quickstart", "epoch 8 of 24", "step 320 of 960"]);
        for (light, word) in [("spread", "healthy"), ("numbers", "finite"), ("disk", "enough")] {
            has_all(&screen, &[&format!("● {light}"), word]);
        }
        has_all(&screen, &[" s ", "save"]);
    }
}

#[test]
fn charts_name_their_lines_and_the_floors() {
    let screen = screen(SIZES[1], &trained(8), &ui(Mode::Training));
    has_all(&screen, &[" loss ", " L_gg, global with global ", "kNN accuracy, k = 1, %"]);
    has_all(&screen, &[" L_lg, local with global ", " L_ll, local with local "]);
    for end in
        ["loss -", "L_gg -0.8", "L_lg -", "L_ll 0.7", "trained 61", "untrained 32", "pixels 23"]
    {
        assert!(screen.contains(end), "no {end} on\n{screen}");
    }
    assert!(screen.contains("epoch 8.0"), "{screen}");
    assert!(is_braille(&screen) > 100, "{screen}");
}

#[test]
fn a_narrow_terminal_has_the_terms_of_the_loss_in_numbers() {
    let screen = screen(SIZES[0], &trained(8), &ui(Mode::Training));
    has_all(&screen, &[" loss ", "kNN accuracy", " L_gg -0.", "L_lg -2.", "L_ll 0."]);
    assert!(is_braille(&screen) > 30, "{screen}");
    has_all(&screen, &["health", "log", "epoch 8: loss", "kNN, trained backbone (epoch 8)"]);
    has_all(&screen, &["saved at step 320"]);
}

#[test]
fn a_small_terminal_is_told_in_words() {
    let rows = rows(SIZES[2], &trained(8), &ui(Mode::Training));
    assert_eq!(is_braille(&rows.concat()), 0);
    assert!(rows[2].contains("loss -") && rows[2].contains("kNN 61."), "{}", rows.join("\n"));
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let (state, mut ui) = (trained(3), ui(Mode::Training));
    for size in
        [[1, 1], [2, 3], [20, 5], [59, 16], [60, 16], [61, 15], [300, 100], [60, 200], [400, 3]]
    {
        for help in [false, true] {
            ui.help = help;
            terminal(size, &state, &ui);
            terminal(size, &new(), &ui);
        }
    }
}

#[test]
fn before_the_first_update_it_says_what_will_come() {
    let screen = screen(SIZES[0], &new(), &ui(Mode::Training));
    has_all(&screen, &["step 0 of 960, starting", "comes with the first update"]);
    has_all(&screen, &["○ spread", "not yet", "new run in runs/quickstart: step 0 of 960"]);
}

#[test]
fn an_evaluation_says_of_what_and_how_far() {
    let mut state = new();
    state.tell(&Event::Evaluating {
        evaluation: "kNN",
        source: Source::Untrained,
        done: 450,
        total: 1000,
    });
    let screen = screen(SIZES[0], &state, &ui(Mode::Training));
    has_all(&screen, &["kNN of the untrained backbone: 45 %"]);
}

fn light(state: &State, name: &str) -> Light {
    lights(state).into_iter().find(|light| light.name == name).unwrap()
}

fn step(step: u64, scalars: &[(&'static str, f64)]) -> Record {
    Record::Step { step, epoch: 0, scalars: scalars.iter().copied().collect::<Scalars>() }
}

#[test]
fn a_collapse_turns_its_light() {
    // Embeddings of 64 numbers: healthy is 0.125.
    for (std, level, word) in [
        (0.1, Level::Good, "healthy"),
        (0.03, Level::Watch, "narrow"),
        (0.01, Level::Bad, "COLLAPSING"),
    ] {
        let mut state = new();
        state.record(&step(1, &[(LOSS, -1.0), (Z_STD, std)]));
        let light = light(&state, "spread");
        assert_eq!((light.level, light.word), (level, word), "{std}");
        assert!(light.detail.contains("1/√64"), "{}", light.detail);
    }
}

#[test]
fn what_is_no_number_is_remembered() {
    let mut state = new();
    state.record(&step(1, &[(LOSS, f64::NAN)]));
    state.record(&step(2, &[(LOSS, 1.0)]));
    let light = light(&state, "numbers");
    assert_eq!((light.level, light.detail.as_str()), (Level::Bad, "since step 1"));
}

fn timing(step_ms: f64, views_wait_ms: f64) -> Record {
    Record::Timing {
        epoch: 0,
        step: 1,
        images_per_second: 64_000.0 / (step_ms + views_wait_ms),
        step_ms,
        views_wait_ms,
        bookkeeping_ms: 0.0,
        views_cpu_ms: None,
    }
}

#[test]
fn a_run_that_slows_down_or_waits_for_views_shows_it() {
    let mut state = new();
    (0..100).for_each(|_| state.record(&timing(10.0, 0.0)));
    assert_eq!(light(&state, "speed").word, "steady");
    assert_eq!(light(&state, "views").word, "keep up");
    (0..16).for_each(|_| state.record(&timing(10.0, 10.0)));
    let speed = light(&state, "speed");
    assert_eq!((speed.level, speed.word), (Level::Watch, "slow"));
    assert_eq!(speed.detail, "3200 images/s, 50 % of usual");
    let views = light(&state, "views");
    assert_eq!((views.level, views.detail.as_str()), (Level::Watch, "50 % waiting"));
}

#[test]
fn a_disk_is_full_where_two_checkpoints_find_no_place() {
    let mut state = new();
    state.checkpoint_bytes = Some(500_000_000);
    for (free, word) in
        [(104_000_000_000, "enough"), (1_500_000_000, "low"), (1_000_000_000, "FULL")]
    {
        state.disk = Some(free);
        assert_eq!(light(&state, "disk").word, word, "{free}");
    }
}

#[test]
fn lights_are_told_apart_without_colours() {
    let mut state = trained(1);
    state.record(&step(41, &[(LOSS, f64::NAN), (Z_STD, 0.03)]));
    let plain = Ui::new(Mode::Training, Theme { coloured: false });
    let screen = screen(SIZES[0], &state, &plain);
    has_all(&screen, &["▲ spread", "narrow"]);
    has_all(&screen, &["■ numbers", "NaN"]);
    let terminal = terminal(SIZES[0], &state, &plain);
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

#[test]
fn who_watches_is_offered_no_key_that_touches_the_run() {
    let mut state = trained(2);
    for size in SIZES {
        let screen = screen(size, &state, &ui(Mode::Watching));
        has_all(&screen, &[" q ", "leave"]);
        assert!(!screen.contains("evaluate now") && !screen.contains(" save "), "{screen}");
    }
    state.activity = Activity::Silent(190);
    let screen = screen(SIZES[0], &state, &ui(Mode::Watching));
    has_all(&screen, &["silent for 3 min 10 s", "▲ time", "silent"]);
}

#[test]
fn stopping_is_asked_about_and_then_told() {
    let (mut state, mut ui) = (trained(2), ui(Mode::Training));
    ui.press(KeyCode::Char('q').into());
    has_all(&screen(SIZES[0], &state, &ui), &["Stop?", "any other key", "train on"]);
    state.activity = Activity::Stopping;
    state.record(&step(81, &[(LOSS, 1.0)]));
    let screen = screen(SIZES[0], &state, &ui);
    has_all(&screen, &["stopping", "saving;", "Ctrl-C"]);
}

#[test]
fn help_explains_keys_and_lights() {
    let mut ui = ui(Mode::Training);
    ui.press(KeyCode::Char('?').into());
    let screen = screen(SIZES[1], &trained(2), &ui);
    has_all(&screen, &["keys and lights", "checkpoint after this step", "collapse", "any key"]);
}

#[test]
fn long_warnings_are_broken_between_words() {
    let mut state = new();
    let warning = "warning: the embeddings are collapsing at step 12: their std is 0.00100, healthy is about \
                   0.12500. Lower optimizer.lr, or use a predictor (SimSiam) or a larger batch (SimCLR)";
    state.say(warning);
    let shown = |state: &State| screen(SIZES[0], state, &ui(Mode::Training));
    has_all(&shown(&state), &["warning: the embeddings", "healthy is", "(SimCLR)"]);
    // A first word that is no longer than the indent of later rows.
    state.say("as asked, after step 9: kNN");
    has_all(&shown(&state), &["as asked, after step 9: kNN"]);
}

#[test]
fn a_line_that_answers_a_key_does_not_last() {
    let mut state = new();
    state.answer("saving after this step");
    state.say("epoch 1: loss 1.0");
    let lasting: Vec<_> = state.lines.iter().filter(|line| line.lasting).collect();
    assert!(lasting.iter().all(|line| line.text != "saving after this step"));
    assert_eq!(lasting.last().unwrap().text, "epoch 1: loss 1.0");
    assert!(screen(SIZES[0], &state, &ui(Mode::Training)).contains("saving after this step"));
}
