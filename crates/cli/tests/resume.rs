//! Nothing is lost: a run that was killed, or told to stop, ends as if it had not been.

#![cfg(unix)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use logo_ssl::train::checkpoint;
use serde_json::Value;
use support::{files, resume, tiny_arguments, tiny_run};

fn pretrain(run: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command
        .args(tiny_arguments(run))
        .args(["--epochs", "2", "--checkpoint-every", "3", "--json"])
        .args(more)
        .env_remove("LOGO_SSL_DATA");
    command
}

/// A run that nothing interrupts.
fn uninterrupted(run: &Path, more: &[&str]) {
    assert!(pretrain(run, more).stdout(Stdio::null()).status().unwrap().success());
}

/// A run under way, and the events that it prints.
struct Running {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(run: &Path, more: &[&str]) -> Self {
        let mut command = pretrain(run, more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, events }
    }

    /// Reads events up to the `count`th that is `wanted`.
    fn read_to(&mut self, count: usize, wanted: impl Fn(&Value) -> bool) {
        let mut seen = 0;
        while seen < count {
            let line = self.events.next().expect("the run ended before the event").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            seen += usize::from(wanted(&event));
        }
    }

    /// Waits until it tells of step number `step`.
    fn wait_for_step(&mut self, step: u64) {
        self.read_to(1, |event| event["event"] == "step" && event["step"] == step);
    }

    /// Whether it was killed before its end.
    fn kill(mut self) -> bool {
        self.child.kill().unwrap();
        !self.child.wait().unwrap().success()
    }

    /// Sends `signal` and waits for the end.
    fn stop(self, signal: &str) -> Output {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        self.child.wait_with_output().unwrap()
    }
}

fn goes_on(run: &Path) {
    resume(run).args(["--checkpoint-every", "3"]).assert().success();
}

/// From before the first file to behind the last step, some of them while a checkpoint is written. What
/// lies between the event and the kill is up to the machine.
const MOMENTS: [(&str, usize); 11] = [
    ("started", 0),
    ("started", 1),
    ("knn", 1),
    ("knn", 2),
    ("step", 1),
    ("step", 3),
    ("epoch", 1),
    ("knn", 3),
    ("step", 6),
    ("epoch", 2),
    ("knn", 4),
];

#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    uninterrupted(&whole, &[]);
    let expected = files(&whole);

    let mut cut_short = 0;
    for (event, count) in MOMENTS {
        let run = folder.path().join(format!("{event}-{count}"));
        let mut running = Running::start(&run, &[]);
        running.read_to(count, |found| found["event"] == event);
        cut_short += usize::from(running.kill());
        if run.join("config.toml").exists() {
            goes_on(&run);
        } else {
            tiny_run(&run).assert().success();
        }
        assert_eq!(files(&run), expected, "killed after {event} {count}");
    }
    assert!(cut_short >= 8, "only {cut_short} runs were killed before their end");
}

/// A run under `settings` is killed as soon as it tells of a step, goes on, is killed again … and ends
/// with the bytes of one that was not.
fn assert_survives(settings: &[&str], killed_after: &[u64]) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    uninterrupted(&whole, &settings);
    let run = folder.path().join("run");
    for (attempt, &step) in killed_after.iter().enumerate() {
        let resume: &[&str] = if attempt == 0 { &[] } else { &["--resume"] };
        let mut running = Running::start(&run, &[&settings, resume].concat());
        running.wait_for_step(step);
        running.kill();
    }
    goes_on(&run);
    assert_eq!(files(&run), files(&whole));
}

#[test]
fn killed_within_an_epoch_and_again_it_ends_with_the_same_bytes() {
    assert_survives(&[], &[2, 5, 7]);
}

#[test]
fn killed_within_an_accumulation_it_ends_with_the_same_bytes() {
    let adamw = ["optimizer.name=adamw", "optimizer.lr=0.001", "optimizer.accumulate=2"];
    assert_survives(&adamw, &[1, 3]);
}

#[test]
fn killed_beside_a_probe_and_several_evaluations_it_ends_with_the_same_bytes() {
    let settings =
        ["eval.online=true", "eval.during=[\"few-shot\", \"knn\", \"geometry\", \"classes\"]"];
    assert_survives(&settings, &[1, 4]);
}

#[test]
fn killed_with_a_queue_and_a_separate_step_it_ends_with_the_same_bytes() {
    let settings = [
        "framework.name=moco",
        "framework.momentum.queue=64",
        "framework.momentum.norm_groups=2",
        "affinity.step=separate",
        "optimizer.accumulate=2",
    ];
    assert_survives(&settings, &[1, 3]);
}

#[test]
fn a_run_that_began_from_a_file_goes_on_without_it_and_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    uninterrupted(&other, &["--seed", "3"]);
    let file = folder.path().join("begun.safetensors");
    let begin = || fs::copy(other.join("checkpoints/last.safetensors"), &file).unwrap();
    let from = ["--init", file.to_str().unwrap()];
    let whole = folder.path().join("whole");
    begin();
    uninterrupted(&whole, &from);
    for step in [1, 5] {
        let run = folder.path().join(format!("run-{step}"));
        begin();
        let mut running = Running::start(&run, &from);
        running.wait_for_step(step);
        running.kill();
        fs::remove_file(&file).unwrap();
        goes_on(&run);
        assert_eq!(files(&run), files(&whole), "killed after step {step}");
    }
    let random = folder.path().join("random");
    uninterrupted(&random, &[]);
    assert_ne!(files(&random), files(&whole), "it began elsewhere");
}

/// A config without the keys that came with the choice of optimisers.
fn of_before(config: &str) -> String {
    let new = [
        "name = \"sgd\"",
        "accumulate",
        "lr_scaling",
        "predictor_fixed_lr",
        "betas",
        "decay_norm_and_bias",
        "clip = 0.0\n",
    ];
    let lines = config.split_inclusive('\n');
    lines.filter(|line| !new.iter().any(|key| line.starts_with(key))).collect()
}

#[test]
fn a_run_of_before_the_choice_of_optimisers_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    uninterrupted(&whole, &[]);
    let run = folder.path().join("run");
    let mut running = Running::start(&run, &[]);
    running.wait_for_step(4);
    running.kill();

    let (config, last) = (run.join("config.toml"), run.join("checkpoints/last.safetensors"));
    fs::write(&config, of_before(&fs::read_to_string(&config).unwrap())).unwrap();
    let (mut position, state) = checkpoint::read(&last).unwrap();
    assert!(state.contains_key("velocity.backbone.conv1.weight"));
    position.config = of_before(&position.config);
    assert!(!position.config.contains("betas"), "{}", position.config);
    checkpoint::write(&last, &position, &state).unwrap();

    goes_on(&run);
    for file in ["metrics.jsonl", "weights.safetensors"] {
        assert!(fs::read(run.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn told_to_stop_it_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    uninterrupted(&whole, &[]);
    for signal in ["-INT", "-TERM"] {
        let run = folder.path().join(signal);
        let mut running = Running::start(&run, &[]);
        running.wait_for_step(1);
        let output = running.stop(signal);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("nothing is lost") && said.contains("--resume --run-dir"), "{said}");
        goes_on(&run);
        assert_eq!(files(&run), files(&whole), "{signal}");
    }
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let assert = tiny_run(&run).args(["--set", "optimizer.lr=1e6"]).assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("at step") && said.contains("last.safetensors"), "{said}");
    let (_, state) = checkpoint::read(&run.join("checkpoints/last.safetensors")).unwrap();
    let finite = state.values().all(|data| data.values.iter().all(|value| value.is_finite()));
    assert!(finite, "the kept checkpoint is good");
}

/// MoCo in the authors' form of LoGo has the most to remember: queue, momentum encoder, two velocities
/// of the encoder, the norm of its last gradient.
#[test]
fn a_momentum_encoder_and_its_queue_come_back() {
    let settings = [
        "framework.name=moco",
        "framework.momentum.queue=64",
        "framework.momentum.norm_groups=4",
        "affinity.step=separate",
        "affinity.pairs=both-orders",
        "affinity.noise=0.3",
    ];
    let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let folder = tempfile::tempdir().unwrap();
    let (whole, run) = (folder.path().join("whole"), folder.path().join("run"));
    uninterrupted(&whole, &more);
    let mut running = Running::start(&run, &more);
    running.wait_for_step(5);
    running.kill();
    goes_on(&run);
    assert_eq!(files(&run), files(&whole));
}
