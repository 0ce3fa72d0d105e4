//! A run's logs as TensorBoard and spreadsheets read them.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use predicates::prelude::*;
use support::{command, files, resume, skipped, tiny_arguments, tiny_run};

/// TensorBoard's own reader, run on the events in `folder`: what it says, or none where it cannot be had.
fn read_by_tensorboard(run: &Path, folder: &Path) -> Option<String> {
    let python = std::env::var_os("LOGO_SSL_TENSORBOARD_PYTHON").unwrap_or("python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check_tensorboard.py");
    let output = match Command::new(python).arg(script).args([run, folder]).output() {
        Ok(output) => output,
        Err(error) => {
            skipped(&format!("there is no Python ({error})"));
            return None;
        }
    };
    let [said, failed] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    match output.status.code() {
        Some(77) => {
            skipped(&format!("{}; name a Python by LOGO_SSL_TENSORBOARD_PYTHON", said.trim()));
            None
        }
        code => {
            assert_eq!(code, Some(0), "{said}{failed}");
            Some(said)
        }
    }
}

fn event_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("tfevents")).collect()
}

/// A table without quotes, row by row.
fn rows(csv: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(csv).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn a_run_writes_events_as_it_trains_and_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, told] = ["plain", "told"].map(|name| folder.path().join(name));
    tiny_run(&plain).assert().success();
    tiny_run(&told).arg("--tensorboard").assert().success();
    assert_eq!(files(&plain), files(&told));
    assert!(!plain.join("tensorboard").exists());
    if let Some(said) = read_by_tensorboard(&told, &told.join("tensorboard")) {
        assert!(said.contains("scalars"), "{said}");
    }
}

#[test]
fn a_run_that_is_killed_and_goes_on_has_no_step_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"))
        .args(tiny_arguments(&run))
        .args(["--epochs", "8", "--tensorboard", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    // The last checkpoint is that of the epoch's end before; two steps will be told again.
    let is_told = |line: String| line.contains(r#""event":"step""#) && line.contains(r#""step":6"#);
    assert!(events.any(|line| is_told(line.unwrap())));
    child.kill().unwrap();
    child.wait().unwrap();
    resume(&run).arg("--tensorboard").assert().success();
    assert_eq!(event_files(&run.join("tensorboard")).len(), 1);
    read_by_tensorboard(&run, &run.join("tensorboard"));
}

#[test]
fn a_finished_run_is_exported_to_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("events"));
    tiny_run(&run).assert().success();
    let before = files(&run);
    fs::create_dir(&out).unwrap();
    let others = out.join("events.out.tfevents.1.another");
    fs::write(&others, "of another program").unwrap();
    let export = || {
        command().arg("export-logs").arg(&run).arg("--out").arg(&out).assert().success();
        let ours = event_files(&out).into_iter().filter(|path| *path != others);
        let ours: Vec<_> = ours.collect();
        assert_eq!(ours.len(), 1);
        (ours[0].clone(), fs::read(&ours[0]).unwrap())
    };
    assert_eq!(export(), export());
    assert_eq!(fs::read_to_string(&others).unwrap(), "of another program");
    fs::remove_file(&others).unwrap();
    assert_eq!(files(&run), before);
    read_by_tensorboard(&run, &out);
}

#[test]
fn tables_hold_what_the_logs_hold() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).assert().success();
    command().args(["export-logs", "--format", "csv"]).arg(&run).assert().success();
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (kind, table) in [("step", "steps.csv"), ("epoch", "epochs.csv")] {
        let rows = rows(&run.join("csv").join(table));
        let logged: Vec<_> = records.iter().filter(|record| record["kind"] == kind).collect();
        assert_eq!(rows.len(), logged.len() + 1);
        for (row, record) in rows[1..].iter().zip(logged) {
            for (name, value) in rows[0].iter().zip(row) {
                if let Some(number) = record[name].as_f64() {
                    assert_eq!(value.parse::<f64>().unwrap(), number, "{table} {name}");
                }
            }
            let names = record.as_object().unwrap().keys().filter(|name| *name != "kind");
            names.for_each(|name| assert!(rows[0].contains(name), "{table} has no {name}"));
        }
    }
    assert!(
        rows(&run.join("csv/steps.csv"))[1..].iter().all(|row| !row.last().unwrap().is_empty())
    );
    let scores = rows(&run.join("csv/evaluations.csv"));
    let head = "epoch,step,evaluation,source,score,value,low,high,asked";
    assert_eq!(scores[0].join(","), head);
    // Two floors and two epochs, each at every k the first and the first five.
    let results = |record: &serde_json::Value| record["results"].as_array().map_or(0, Vec::len);
    assert_eq!(scores.len() - 1, 2 * records.iter().map(results).sum::<usize>());
    assert!(scores[1..].iter().any(|row| row[..5].join(",") == "2,8,kNN,trained,top1_k1"));
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    command()
        .arg("export-logs")
        .arg(folder.path())
        .assert()
        .failure()
        .stderr(predicate::str::contains("no run directory"));
    command()
        .args(["export-logs", "--format", "xml"])
        .arg(folder.path())
        .assert()
        .code(2)
        .stderr(predicate::str::contains("tensorboard, csv"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}
