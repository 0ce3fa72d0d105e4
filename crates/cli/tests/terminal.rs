//! The program on a terminal, as a person sees it: a pseudo-terminal, and the screen that its bytes make.

#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use support::{files, shapes_arguments, shapes_run, tiny_run};

/// The fullest that a machine may be before a test gives up.
const PATIENCE: Duration = Duration::from_secs(300);
/// How a terminal is taken over and given back.
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// The program on a terminal.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
    reading: JoinHandle<()>,
}

/// What came from the program: its bytes, and the screen that they make.
struct Seen {
    bytes: Vec<u8>,
    screen: vt100::Parser,
}

fn size([columns, rows]: [u16; 2]) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

/// The same for the screen that is seen.
fn sides(dimensions: [u16; 2]) -> [NonZero<u16>; 2] {
    dimensions.map(|side| side.try_into().expect("a screen has a size"))
}

impl Session {
    fn start(dimensions: [u16; 2], arguments: &[String], environment: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(dimensions)).unwrap();
        let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.env_remove("LOGO_SSL_DATA");
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let mut output = pair.master.try_clone_reader().unwrap();
        let [columns, rows] = sides(dimensions);
        let screen = vt100::Parser::new(rows, columns, 1000);
        let seen = Arc::new(Mutex::new(Seen { bytes: Vec::new(), screen }));
        let into = Arc::clone(&seen);
        let reading = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose last program is gone has an end, or an error on some systems.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let mut seen = into.lock().unwrap();
                seen.bytes.extend(&buffer[..count]);
                seen.screen.process(&buffer[..count]);
            }
        });
        Self { child, master: pair.master, keyboard, seen, reading }
    }

    fn screen(&self) -> String {
        self.seen.lock().unwrap().screen.screen().contents()
    }

    /// Waits until the screen is as `wanted`.
    fn wait(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !wanted(&self.screen()) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}) before {what}:\n{}", self.screen());
            assert!(began.elapsed() < PATIENCE, "no {what} on\n{}", self.screen());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&mut self, text: &str) {
        self.wait(text, |screen| screen.contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn resize(&mut self, dimensions: [u16; 2]) {
        self.master.resize(size(dimensions)).unwrap();
        let mut seen = self.seen.lock().unwrap();
        let [columns, rows] = sides(dimensions);
        seen.screen.screen_mut().set_size(rows, columns);
    }

    /// Waits for the end: the exit code, all bytes as text, and the last screen.
    fn end(self) -> (u32, String, String) {
        let Self { mut child, master, keyboard, seen, reading } = self;
        let status = child.wait().unwrap();
        drop((keyboard, master));
        reading.join().unwrap();
        let seen = seen.lock().unwrap();
        let text = String::from_utf8_lossy(&seen.bytes).into_owned();
        (status.exit_code(), text, seen.screen.screen().contents())
    }
}

/// A tiny run that is not quiet, with more arguments.
fn arguments(run: &Path, more: &[&str]) -> Vec<String> {
    let tiny = shapes_arguments(run).into_iter().filter(|argument| argument != "--quiet");
    tiny.chain(more.iter().map(|argument| (*argument).to_owned())).collect()
}

const ROOMY: [u16; 2] = [100, 30];
/// A run that somebody ends: its epochs are long, so that what is said of them does not push all else off the
/// screen.
const LONG: [&str; 6] = ["--epochs", "500", "--limit", "4000", "--set", "eval.every=0"];

#[test]
fn a_run_has_a_dashboard_and_leaves_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let [piped, shown] = ["piped", "shown"].map(|name| folder.path().join(name));
    shapes_run(&piped).assert().success();
    let mut session = Session::start(ROOMY, &arguments(&shown, &["--epochs", "2"]), &[]);
    session.wait_for(" health ");
    let (code, text, screen) = session.end();
    assert_eq!(code, 0, "{screen}");
    assert!(text.contains(TAKEN) && text.contains("accuracy,"), "{text}");
    let after = &text[text.rfind(GIVEN_BACK).expect("the terminal is given back")..];
    let plain = ["epoch 1: loss", "epoch 2: loss", "kNN, trained backbone (epoch 2)", "report:"];
    for line in plain {
        assert!(after.contains(line), "no {line} after the dashboard:\n{after}");
    }
    assert!(screen.contains("report:") && !screen.contains(" health "), "{screen}");
    assert_eq!(files(&shown), files(&piped), "who looks on changes nothing");
}

#[test]
fn keys_save_measure_and_stop() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let more = [&LONG[..], &["--checkpoint-every", "100000"]].concat();
    let mut session = Session::start(ROOMY, &arguments(&run, &more), &[]);
    session.wait(" left", |screen| screen.contains("epoch") && screen.contains(" left"));
    session.press("s");
    session.wait_for("saving after this step");
    session.press("e");
    session.wait_for("as asked, after step");
    session.press("?");
    session.wait_for("keys and lights");
    session.press("x");
    session.wait("no help", |screen| !screen.contains("keys and lights"));
    session.press("q");
    session.wait_for("Stop?");
    session.press("x");
    session.wait("no question", |screen| !screen.contains("Stop?"));
    session.press("q");
    session.wait_for("Stop?");
    session.press("q");
    let (code, text, screen) = session.end();
    assert_eq!(code, 1, "{screen}");
    assert!(text.contains(GIVEN_BACK));
    assert!(screen.contains("nothing is lost"), "{screen}");
    assert!(screen.contains("--resume --run-dir"), "{screen}");
    let [metrics, timings] =
        ["metrics.jsonl", "timings.jsonl"].map(|name| fs::read_to_string(run.join(name)).unwrap());
    assert!(timings.contains(r#""kind":"asked""#) && !metrics.contains("asked"));
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    let more = LONG;
    let run = folder.path().join("run");
    let mut session = Session::start(ROOMY, &arguments(&run, &more), &[]);
    session.wait_for(" left");
    let process = session.child.process_id().unwrap().to_string();
    std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap();
    let (code, text, screen) = session.end();
    assert_eq!(code, 1, "{screen}");
    assert!(text.contains(GIVEN_BACK) && screen.contains("nothing is lost"), "{screen}");
    assert!(screen.contains("finishing the step and saving"), "{screen}");
}

#[test]
fn a_run_whose_terminal_is_gone_saves_itself_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let more = LONG;
    let run = folder.path().join("run");
    let pair = native_pty_system().openpty(size(ROOMY)).unwrap();
    let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command.args(arguments(&run, &more));
    command.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let began = Instant::now();
    let is_patient = || assert!(began.elapsed() < PATIENCE, "it goes on");
    let log = run.join("metrics.jsonl");
    while !fs::read_to_string(&log).is_ok_and(|log| log.contains(r#""kind":"step""#)) {
        is_patient();
        thread::sleep(Duration::from_millis(20));
    }
    drop(pair.master);
    while child.try_wait().unwrap().is_none() {
        is_patient();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(run.join("checkpoints/last.safetensors").exists());
}

#[test]
fn an_error_gives_the_terminal_back_and_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let more =
        ["--epochs", "50", "--set", "optimizer.lr=1e6", "--set", "optimizer.warmup_epochs=0"];
    let run = folder.path().join("run");
    let (code, text, screen) = Session::start(ROOMY, &arguments(&run, &more), &[]).end();
    assert_eq!(code, 1, "{screen}");
    assert!(text.contains(TAKEN) && text.contains(GIVEN_BACK), "{text}");
    assert!(screen.contains("the loss became"), "{screen}");
}

#[test]
fn a_terminal_may_change_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let more = LONG;
    let run = folder.path().join("run");
    let mut session = Session::start([80, 24], &arguments(&run, &more), &[]);
    session.wait_for(" loss ");
    session.resize([40, 12]);
    session
        .wait("words alone", |screen| screen.contains("● numbers") && !screen.contains(" loss ─"));
    session.resize([130, 40]);
    session.wait_for("L_ll, local with local");
    session.press("\u{3}");
    let (code, _, screen) = session.end();
    assert_eq!(code, 1, "{screen}");
}

#[test]
fn plain_dumb_and_small_terminals_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (ROOMY, vec!["--epochs", "1", "--plain"], vec![]),
        (ROOMY, vec!["--epochs", "1"], vec![("TERM", "dumb")]),
        ([40, 12], vec!["--epochs", "1"], vec![]),
        (ROOMY, vec!["--epochs", "1", "--json"], vec![]),
        (ROOMY, vec!["--epochs", "1", "--quiet"], vec![]),
    ];
    for (number, (dimensions, more, environment)) in cases.iter().enumerate() {
        let run = folder.path().join(number.to_string());
        let session = Session::start(*dimensions, &arguments(&run, more), environment);
        let (code, text, screen) = session.end();
        assert_eq!(code, 0, "{more:?}: {screen}");
        assert!(!text.contains(TAKEN), "{more:?} {environment:?}");
        assert!(text.contains("report"), "{more:?}: {text}");
    }
}

/// Every file of a folder with its bytes and when it was changed.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(everything(&path)),
            false => {
                let changed = path.metadata().unwrap().modified().unwrap();
                found.insert(path.clone(), (fs::read(&path).unwrap(), changed));
            }
        }
    }
    found
}

#[test]
fn a_finished_run_is_watched_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).assert().success();
    let before = everything(&run);
    let watch = ["watch".to_owned(), run.display().to_string()];
    let mut session = Session::start(ROOMY, &watch, &[]);
    session.wait_for("finished");
    for text in ["epoch 2 of 2", "step 8 of 8", "kNN, trained backbone (epoch 2)", "leave"] {
        session.wait_for(text);
    }
    let screen = session.screen();
    assert!(!screen.contains("evaluate now"), "{screen}");
    session.press("q");
    let (code, text, _) = session.end();
    assert_eq!(code, 0);
    assert!(text.contains(GIVEN_BACK));
    assert_eq!(everything(&run), before);
}

#[test]
fn a_run_that_trains_is_watched_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let [alone, watched] = ["alone", "watched"].map(|name| folder.path().join(name));
    shapes_run(&alone).args(["--epochs", "20"]).assert().success();
    let more = ["--epochs", "20"];
    let trained = Session::start(ROOMY, &arguments(&watched, &more), &[]);
    while !watched.join("metrics.jsonl").exists() {
        thread::sleep(Duration::from_millis(20));
    }
    let watch = ["watch".to_owned(), watched.display().to_string()];
    let mut session = Session::start([120, 40], &watch, &[]);
    session.wait_for("epoch 1: loss");
    session.wait_for("finished");
    session.press("q");
    assert_eq!(session.end().0, 0);
    assert_eq!(trained.end().0, 0);
    assert_eq!(files(&watched), files(&alone));
}
