//! `logo-ssl watch` without a terminal: a run's records as lines, as they come.

mod support;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use predicates::prelude::*;
use support::{command, tiny_run};

#[test]
fn a_finished_run_is_told_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).assert().success();
    command()
        .arg("watch")
        .arg(&run)
        .assert()
        .success()
        .stdout(predicate::str::contains("kNN, raw pixels"))
        .stdout(predicate::str::contains("epoch 1: loss"))
        .stdout(predicate::str::contains("epoch 2, step 8: loss"))
        .stdout(predicate::str::contains("kNN, trained backbone (epoch 2)"));
    let output = command().args(["watch", "--json"]).arg(&run).assert().success();
    let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let timings = fs::read_to_string(run.join("timings.jsonl")).unwrap();
    assert_eq!(printed, log + &timings, "each record as it was written");
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_line_is_told_once_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [run, growing] = ["run", "growing"].map(|name| folder.path().join(name));
    tiny_run(&run).assert().success();
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let epochs: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].contains(r#""kind":"epoch""#)).collect();

    fs::create_dir(&growing).unwrap();
    fs::copy(run.join("config.toml"), growing.join("config.toml")).unwrap();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"))
        .arg("watch")
        .arg(&growing)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || told.for_each(|line| drop(sender.send(line.unwrap()))));
    let wait_for = |text: &str| {
        while !receiver.recv_timeout(Duration::from_secs(120)).expect(text).contains(text) {}
    };

    let metrics = growing.join("metrics.jsonl");
    append(&metrics, &lines[..=epochs[0]].concat());
    wait_for("epoch 1: loss");
    let (half, rest) = lines[epochs[1]].split_at(30);
    append(&metrics, &lines[epochs[0] + 1..epochs[1]].concat());
    append(&metrics, half);
    wait_for("kNN, trained backbone (epoch 1)");
    assert!(child.try_wait().unwrap().is_none(), "half a line is no end");
    append(&metrics, rest);
    wait_for("epoch 2: loss");
    // A run that went on from its checkpoint.
    fs::write(&metrics, lines[..=epochs[0]].concat()).unwrap();
    wait_for("epoch 1: loss");
    fs::write(growing.join("weights.safetensors"), "").unwrap();
    assert!(child.wait().unwrap().success(), "with the weights it is finished");
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    command()
        .arg("watch")
        .arg(folder.path())
        .assert()
        .code(1)
        .stderr(predicate::str::contains("holds no run to watch"));
}
