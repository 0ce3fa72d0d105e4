//! Evaluations through the binary: suites with floors and intervals, the same bytes whatever the threads, and
//! two encoders told apart.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use support::pictures::{pictures, train, two_classes};
use support::{command, files, resume, shapes_run, tiny_run};

/// A tiny run on the embedded images.
fn trained(run: &Path) {
    shapes_run(run).args(["--epochs", "1"]).assert().success();
}

/// The findings of an evaluation of `encoder` as JSON.
fn findings(encoder: &Path, arguments: &[&str]) -> Value {
    let done = command().args(["eval", "--json"]).arg(encoder).args(arguments).assert().success();
    serde_json::from_slice(&done.get_output().stdout).unwrap()
}

/// The scores of `evaluation` of `source`.
fn scores<'a>(found: &'a Value, evaluation: &str, source: &str) -> &'a Value {
    let results = found["results"].as_array().unwrap();
    let of = |result: &&Value| result["evaluation"] == evaluation && result["source"] == source;
    &results.iter().find(of).unwrap_or_else(|| panic!("{evaluation} of {source}"))["scores"]
}

#[test]
fn the_standard_suite_has_every_evaluation_with_its_floors_and_the_same_bytes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    trained(&run);
    let before = files(&run);
    let found = findings(&run, &[]);
    assert_eq!(files(&run), before, "a run's own files stay as they are");
    for evaluation in ["knn", "few-shot", "linear", "classes", "clusters"] {
        for source in ["trained", "untrained", "pixels"] {
            let of = scores(&found, evaluation, source);
            assert!(of.as_object().is_some_and(|scores| !scores.is_empty()), "{evaluation}");
        }
    }
    let top1 = &scores(&found, "knn", "trained")["k=1 top-1"];
    let [low, value, high] = ["low", "value", "high"].map(|end| top1[end].as_f64().unwrap());
    assert!(0.0 < low && low < value && value < high && high < 1.0, "{top1}");
    assert!(scores(&found, "geometry", "trained")["effective rank (RankMe)"].as_f64() >= Some(1.0));

    // What lies in the run is what was printed, and neither threads nor the day change a byte.
    let kept = fs::read(run.join("evaluation.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), found);
    let again = folder.path().join("again.json");
    command()
        .args(["eval", "--quiet", "--threads", "1", "--out"])
        .arg(&again)
        .arg(&run)
        .assert()
        .success();
    assert_eq!(fs::read(&again).unwrap(), kept);

    // The kNN is that of `knn`, and the confusion matrix has every test image once.
    let knn = command().args(["knn", "--json", "--k", "1", "--run"]).arg(&run).assert().success();
    let knn: Value = serde_json::from_slice(&knn.get_output().stdout).unwrap();
    assert_eq!(knn["results"][0]["top1"].as_f64(), Some(value));
    let results = found["results"].as_array().unwrap();
    let confusion = results.iter().find_map(|result| result.get("confusion")).unwrap();
    let counts =
        confusion["counts"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    let total: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(Some(total), found["test_images"].as_u64());
}

#[test]
fn the_reports_numbers_are_those_of_the_json() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    trained(&run);
    let found = findings(&run, &["--suite", "quick"]);
    command().arg("report").arg(&run).assert().success();
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    let mut compared = 0;
    for result in found["results"].as_array().unwrap() {
        // The first column of every table is the run's.
        for (name, score) in result["scores"].as_object().unwrap() {
            let Some(value) = score["value"].as_f64() else { continue };
            let [low, high] = ["low", "high"].map(|end| 100.0 * score[end].as_f64().unwrap());
            let cell = format!("{:.1} % <small>{low:.1} to {high:.1}</small>", 100.0 * value);
            assert!(report.contains(&cell), "{name}: {cell}");
            let line = format!("<th scope=\"row\">{name}</th><td>{cell}");
            assert!(result["source"] != "trained" || report.contains(&line), "{line}");
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared} numbers");
    let confusion = found["results"].as_array().unwrap().iter().find_map(|r| r.get("confusion"));
    let first = confusion.unwrap()["counts"][0][0].as_u64().unwrap();
    assert!(report.contains(&format!("\">{first}</td>")), "the confusion matrix has {first}");
}

#[test]
fn classifiers_are_trained_on_frozen_and_on_moving_backbones() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    two_classes(&data, 20);
    let run = folder.path().join("run");
    train(&data, &run).assert().success();
    let only = ["--no-floors", "--only", "linear-sgd,fine-tune-1,fine-tune-10,fine-tune-100"];
    let found = findings(&run, &only);
    let labelled: BTreeMap<&str, u64> = ["fine-tune-1", "fine-tune-10", "fine-tune-100"]
        .into_iter()
        .map(|name| {
            let images = &scores(&found, name, "trained")["labelled images"];
            (name, images.as_f64().unwrap() as u64)
        })
        .collect();
    // Of 18 images a class: one at least, a tenth, all.
    assert_eq!(labelled.into_values().collect::<Vec<_>>(), [2, 4, 36]);
    assert!(scores(&found, "linear-sgd", "trained")["top-1"]["value"].as_f64() >= Some(0.0));
    assert_eq!(findings(&run, &only), found);
}

#[test]
fn two_encoders_are_told_apart_on_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    trained(&first);
    shapes_run(&second).args(["--epochs", "1", "--seed", "7"]).assert().success();
    // Weights bear their settings, so no dataset need be named.
    let weights = first.join("weights.safetensors");
    let compare = |other: &Path| {
        let other = other.to_str().unwrap();
        let found = findings(&weights, &["--no-floors", "--only", "knn", "--against", other]);
        let compared = found["against"][0].clone();
        assert_eq!(compared["evaluation"], "knn");
        compared
    };
    let same = compare(&first);
    assert_eq!(same["difference"].as_f64(), Some(0.0));
    assert_eq!(same["test"]["p_value"].as_f64(), Some(1.0));
    let other = compare(&second);
    let [ours, theirs] = [0, 1].map(|at| other["scores"][at].as_f64().unwrap());
    assert!((other["difference"].as_f64().unwrap() - (ours - theirs)).abs() < 1e-12, "{other}");
}

#[test]
fn evaluations_are_listed_and_other_names_refused() {
    let listed = command().args(["eval", "--list"]).assert().success();
    let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    for name in ["knn", "few-shot", "linear", "linear-sgd", "fine-tune-10", "geometry"] {
        assert!(listed.lines().any(|line| line.starts_with(&format!("{name} "))), "{listed}");
    }
    command()
        .args(["eval", "run", "--only", "liner"])
        .assert()
        .code(2)
        .stderr(contains("there is no evaluation `liner`").and(contains("linear")));
    command()
        .args(["eval", "run", "--suite", "standart"])
        .assert()
        .code(2)
        .stderr(contains("standard"));
    command().arg("eval").assert().code(2);
    command()
        .args(["pretrain", "--set", "eval.during=[\"kmn\"]"])
        .assert()
        .code(2)
        .stderr(contains("eval.during").and(contains("knn")));
}

#[test]
fn what_has_no_labels_cannot_be_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 20);
    let run = folder.path().join("run");
    train(&data, &run).assert().success();
    let refused = command().arg("eval").arg(&run).assert().code(2);
    refused.stderr(contains("nothing can be measured on folder").and(contains("--dataset")));
    command()
        .arg("eval")
        .arg(folder.path().join("nothing.safetensors"))
        .assert()
        .code(1)
        .stderr(contains("nothing.safetensors"));
}

#[test]
fn an_online_probe_is_logged_and_needs_labels() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let plain = folder.path().join("plain");
    tiny_run(&run).args(["--epochs", "1", "--set", "eval.online=true"]).assert().success();
    tiny_run(&plain).args(["--epochs", "1"]).assert().success();
    let accuracies = |run: &Path| -> Vec<f64> {
        let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let steps = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        steps.filter_map(|step| step["probe_accuracy"].as_f64()).collect()
    };
    assert_eq!(accuracies(&run).len(), 5, "four steps and the epoch");
    assert!(accuracies(&run).iter().all(|accuracy| (0.0..=1.0).contains(accuracy)));
    assert!(accuracies(&plain).is_empty());
    let weights = |run: &Path| {
        let bytes = fs::read(run.join("weights.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
            (name.to_owned(), view.data().to_vec())
        };
        tensors.iter().map(tensor).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(weights(&run), weights(&plain), "what it learns leaves the backbone alone");

    let data = folder.path().join("data");
    pictures(&data, 20);
    train(&data, &folder.path().join("unlabelled"))
        .args(["--set", "eval.online=true"])
        .assert()
        .failure()
        .stderr(contains("eval.online").and(contains("labels")));
}

#[test]
fn floors_are_left_out_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).args(["--epochs", "1", "--set", "eval.floors=false"]).assert().success();
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let evaluations = records.filter(|record| record["kind"] == "knn");
    let sources: Vec<Value> = evaluations.map(|record| record["source"].clone()).collect();
    assert_eq!(sources, ["trained"]);
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("kNN accuracy"));
    assert!(
        !report.contains("raw pixels") && !report.contains("two floors"),
        "they are not spoken of"
    );
}

#[test]
fn evaluations_beside_training_are_logged_and_survive_an_interruption() {
    let folder = tempfile::tempdir().unwrap();
    let during = ["--set", "eval.during=[\"geometry\", \"knn\"]"];
    let whole = folder.path().join("whole");
    tiny_run(&whole).args(during).assert().success();
    let log = fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    let of_geometry = log.lines().filter(|line| line.contains(r#""evaluation":"geometry""#));
    // The untrained network and two epochs; pixels have no network.
    assert_eq!(of_geometry.count(), 3, "{log}");
    let report = fs::read_to_string(whole.join("report.html")).unwrap();
    assert!(report.contains("Geometry") && report.contains("RankMe"));
    let resumed = folder.path().join("resumed");
    tiny_run(&resumed).args(during).args(["--epochs", "1"]).assert().success();
    resume(&resumed).args(["--epochs", "2"]).assert().success();
    let log = fs::read_to_string(resumed.join("metrics.jsonl")).unwrap();
    assert_eq!(log.matches(r#""evaluation":"geometry""#).count(), 3, "{log}");
}
