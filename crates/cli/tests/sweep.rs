//! Several runs with one command, and their comparison.

mod support;

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use support::{command, files};

const SMALL: &str = r#"
preset = "quickstart"
set = [
    "model.backbone=resnet10", "model.width=2", "model.projector.hidden=16", "model.projector.dim=16",
    "affinity.depth=2", "affinity.width=8", "views.global.size=16", "views.local.size=8",
    "data.limit=32", "optimizer.batch_size=16", "optimizer.epochs=1", "eval.resize=16", "eval.crop=16",
]
[[variant]]
name = "plain"
set = ["framework.logo=false"]
[[variant]]
name = "logo"
[grid]
seed = [0, 1]
"#;

fn sweep(folder: &Path) -> assert_cmd::Command {
    let mut command = command();
    let file = folder.join("both.toml");
    command.args(["sweep", "--quiet"]).arg(file).arg("--out").arg(folder.join("out"));
    command
}

#[test]
fn a_sweep_trains_compares_and_keeps_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("both.toml"), SMALL).unwrap();
    let table = || {
        predicate::str::contains("| plain | 2 | 1 |")
            .and(predicate::str::contains("| logo | 2 | 1 |"))
            .and(predicate::str::contains(" ± "))
    };
    sweep(folder.path()).assert().success().stdout(table());
    let out = folder.path().join("out");
    for name in ["compare.md", "compare-knn.svg", "compare-loss.png"] {
        assert!(out.join(name).is_file(), "{name}");
    }

    // One run is lost: it alone is trained again, to the same bytes.
    let (lost, kept) = (out.join("logo-seed-1"), out.join("plain-seed-0"));
    let before = files(&lost);
    let written = fs::metadata(kept.join("metrics.jsonl")).unwrap().modified().unwrap();
    fs::remove_dir_all(&lost).unwrap();
    sweep(folder.path()).assert().success().stdout(table());
    assert_eq!(files(&lost), before);
    assert_eq!(fs::metadata(kept.join("metrics.jsonl")).unwrap().modified().unwrap(), written);

    // Other settings under the same name would mix two experiments.
    fs::write(folder.path().join("both.toml"), SMALL.replace("epochs=1", "epochs=2")).unwrap();
    sweep(folder.path()).assert().code(1).stderr(
        predicate::str::contains("plain-seed-0").and(predicate::str::contains("other settings")),
    );
}

#[test]
fn a_sweep_that_cannot_be_is_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let last_is_wrong = format!("{SMALL}\n\"optimizer.lr\" = [0.1, -1.0]\n");
    fs::write(folder.path().join("both.toml"), last_is_wrong).unwrap();
    sweep(folder.path()).assert().code(2).stderr(
        predicate::str::contains("both.toml").and(predicate::str::contains("optimizer.lr")),
    );
    assert!(!folder.path().join("out").exists());
}

#[test]
fn what_is_no_run_cannot_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    command()
        .arg("compare")
        .arg(folder.path())
        .assert()
        .code(1)
        .stderr(predicate::str::contains("no run directory"));
    command().arg("compare").assert().code(2);
}
