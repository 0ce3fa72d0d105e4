//! Instructions, precision, and the benches, through the command.

mod support;

use std::fs;

use predicates::prelude::*;
use serde_json::{Value, json};
use support::{command, files, tiny_run};

const LEVEL: &str = "LOGO_SSL_CPU_LEVEL";

fn printed(arguments: &[&str]) -> Value {
    let assert = command().args(arguments).arg("--json").assert().success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

#[test]
fn every_level_there_is_can_be_forced_and_is_recorded() {
    let devices = printed(&["devices"]);
    let available = devices["available"].as_array().unwrap();
    assert!(available.contains(&devices["instructions"]) && available.contains(&"portable".into()));
    for precision in ["f32", "bf16"] {
        assert!(devices["ceiling_gflops"][precision].as_f64().unwrap() > 0.1);
    }
    let folder = tempfile::tempdir().unwrap();
    for level in available.iter().map(|level| level.as_str().unwrap()) {
        let run = folder.path().join(level);
        tiny_run(&run).env(LEVEL, level).args(["--epochs", "1"]).assert().success();
        let config = fs::read_to_string(run.join("config.toml")).unwrap();
        assert!(config.contains(&format!("instructions = \"{level}\"")), "{config}");
    }
}

#[test]
fn a_level_that_is_not_there_is_refused() {
    for (level, message) in [("sse9", "is no instruction level"), ("neon", "this processor has no")]
    {
        if cfg!(target_arch = "aarch64") && level == "neon" {
            continue;
        }
        let refused = command().env(LEVEL, level).arg("devices").assert().code(2);
        refused.stderr(predicate::str::contains(message).and(predicate::str::contains(LEVEL)));
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run)
        .env(LEVEL, "portable")
        .args(["--set", "compute.instructions=avx2"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("compute.instructions"));
    assert!(!run.exists());
}

#[test]
fn going_on_with_other_instructions_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).args(["--epochs", "1"]).assert().success();
    let resume = |level: &str| {
        let mut command = command();
        command
            .env(LEVEL, level)
            .args(["pretrain", "--no-pictures", "--resume", "--run-dir"])
            .arg(&run);
        command.assert().success()
    };
    let native = printed(&["devices"])["instructions"].as_str().unwrap().to_owned();
    let differ = predicate::str::contains("differ in the last digits");
    resume(&native).stderr(differ.clone().not());
    if native != "portable" {
        resume("portable").stderr(differ);
    }
}

#[test]
fn bf16_too_gives_the_same_bytes_for_one_and_two_threads() {
    let folder = tempfile::tempdir().unwrap();
    let of = |threads: &str, precision: &str| {
        let run = folder.path().join(format!("{threads}-{precision}"));
        let options = ["--epochs", "1", "--threads", threads, "--precision", precision];
        tiny_run(&run).args(options).assert().success();
        files(&run)
    };
    let found = of("1", "bf16");
    assert_eq!(found, of("2", "bf16"));
    assert_ne!(found, of("2", "f32"));
}

#[test]
fn an_unknown_precision_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused =
        tiny_run(&folder.path().join("run")).args(["--precision", "f64"]).assert().code(2);
    refused.stderr(predicate::str::contains("compute.precision"));
    let refused = command().args(["bench", "step", "--precision", "f64"]).assert().code(2);
    refused.stderr(predicate::str::contains("f32 or bf16"));
}

/// What the bench named first prints as found, and that it says who found it.
fn found(arguments: &[&str]) -> Value {
    let mut printed = printed(&[&["bench"], arguments].concat());
    assert_eq!((&printed["bench"], &printed["device"]), (&arguments[0].into(), &"cpu".into()));
    assert!(printed["instructions"].is_string() && printed["threads"].as_u64() > Some(0));
    printed["found"].take()
}

/// The number under `key`, which is above zero.
fn positive(found: &Value, key: &str) -> f64 {
    let number = found[key].as_f64().unwrap_or_else(|| panic!("no number {key}: {found}"));
    assert!(number > 0.0 && number.is_finite(), "{key}: {found}");
    number
}

#[test]
fn the_bench_of_steps_counts_the_same_operations_a_crop_for_every_batch() {
    let [one, other] = ["4", "6"].map(|batch| {
        let found = found(&["step", "--width", "4", "--batch", batch, "--precision", "bf16"]);
        assert_eq!(found["precision"], "bf16");
        assert_eq!((found["width"].as_u64(), found["batch"].to_string()), (Some(4), batch.into()));
        if !found["peak_memory_mib"].is_null() {
            positive(&found, "peak_memory_mib");
        }
        positive(&found["rate"], "ceiling_gflops");
        positive(&found["rate"], "gflops") / positive(&found, "crops_per_second")
    });
    assert!((one / other - 1.0).abs() < 1e-9, "{one} and {other} GFLOP a crop");
}

#[test]
fn the_bench_of_neighbours_counts_the_inner_products() {
    let found = found(&["knn", "--queries", "50", "--bank", "300", "--dim", "20"]);
    positive(&found["rate"], "ceiling_gflops");
    let operations = 1e9 * positive(&found["rate"], "gflops") * positive(&found, "seconds");
    let expected = 2.0 * 50.0 * 300.0 * 20.0;
    assert!((operations / expected - 1.0).abs() < 1e-9, "{operations}, not {expected}: {found}");
    command().args(["bench", "knn", "--k", "0"]).assert().code(2);
}

#[test]
fn the_bench_of_views_says_their_sizes_and_its_threads() {
    let found = found(&["views", "--threads", "1"]);
    assert_eq!((&found["sizes"], &found["threads"]), (&json!([32, 16]), &json!(1)));
    positive(&found, "images_per_second");
}

#[test]
fn the_bench_of_updates_waits_for_views_within_the_update() {
    let small = ["train", "--set", "model.width=4", "--set", "optimizer.batch_size=8"];
    let found = found(&[&small[..], &["--steps", "2"]].concat());
    assert_eq!((&found["batch"], &found["sizes"]), (&json!(8), &json!([32, 16])));
    let update_seconds = 8.0 / positive(&found, "images_per_second");
    let waited = positive(&found, "views_wait_seconds");
    assert!(waited <= update_seconds, "{waited} s of {update_seconds} s: {found}");
    let refused = command()
        .arg("bench")
        .args(small)
        .args(["--set", "optimizer.batch_size=4096"])
        .assert()
        .code(2);
    refused.stderr(predicate::str::contains("4000 images"));
}
