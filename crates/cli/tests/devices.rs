//! Devices as a person meets them: how they are listed, chosen, refused and fetched. What needs a plugin
//! runs where `LOGO_SSL_PJRT_PLUGIN` names XLA's for the CPU.

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use serde_json::Value;
use support::{command, files, resume, tiny_run};

const VARIABLE: &str = "LOGO_SSL_PJRT_PLUGIN";

/// The plugin that the tests use, if there is one.
fn plugin() -> Option<String> {
    let plugin = support::plugin();
    if plugin.is_none() {
        support::skipped(&format!("{VARIABLE} is not set"));
    }
    plugin.map(|path| path.display().to_string())
}

/// The binary where no plugin is: neither named, nor fetched, nor among Python's packages.
fn bare(folder: &Path) -> assert_cmd::Command {
    let mut command = command();
    for variable in [VARIABLE, "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_INDEX_URL"] {
        command.env_remove(variable);
    }
    command.env("PATH", folder).env("HOME", folder).env("XDG_DATA_HOME", folder.join("data"));
    command
}

fn on(run: &Path, device: &str) -> assert_cmd::Command {
    let mut command = tiny_run(run);
    command.args(["--epochs", "1", "--device", device]);
    command
}

fn recorded(run: &Path) -> String {
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    config["compute"]["device"].as_str().unwrap().to_owned()
}

fn steps(run: &Path) -> usize {
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    log.matches(r#""kind":"step""#).count()
}

#[test]
fn the_listing_has_the_cpu_and_the_next_step_for_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let listed = bare(folder.path()).args(["devices", "--json"]).assert().success();
    let listed: Value = serde_json::from_slice(&listed.get_output().stdout).unwrap();
    assert_eq!(listed["device"], "cpu");
    assert_eq!(listed["plugins"], Value::Array(vec![]));
    let bf16 = &listed["bf16"];
    assert!(bf16["instructions"].is_string() && bf16["reason"].is_string(), "{bf16}");
    let missing = listed["missing"].as_array().unwrap();
    let kinds: Vec<_> = missing.iter().map(|one| one["device"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["cuda", "rocm", "tpu"]);
    assert!(missing.iter().all(|one| !one["next_step"].as_str().unwrap().is_empty()));
    let text = predicate::str::contains("bf16 by").and(predicate::str::contains("tpu   not here."));
    bare(folder.path()).arg("devices").assert().success().stdout(text);
}

#[test]
fn the_listing_has_the_plugin_and_its_devices() {
    let Some(plugin) = plugin() else { return };
    let listed = command().args(["devices", "--json"]).assert().success();
    let listed: Value = serde_json::from_slice(&listed.get_output().stdout).unwrap();
    let plugins = listed["plugins"].as_array().unwrap();
    let found = plugins.iter().find(|one| one["plugin"] == plugin.as_str()).unwrap();
    assert_eq!(found["found"], VARIABLE);
    assert!(found["opened"]["interface"].as_str().unwrap().contains('.'), "{found}");
    assert!(!found["opened"]["devices"].as_array().unwrap().is_empty(), "{found}");
    let device = format!("--device {plugin}\n      :0 ");
    command().arg("devices").assert().success().stdout(predicate::str::contains(device));
}

/// A plugin that cannot be used is listed with the reason, and the rest of the list is there.
#[test]
fn the_listing_outlives_a_plugin_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("plugin.so");
    fs::write(&text, "no library").unwrap();
    bare(folder.path())
        .env(VARIABLE, &text)
        .arg("devices")
        .assert()
        .success()
        .stdout(predicate::str::contains("it does not open"))
        .stdout(predicate::str::contains("is no PJRT plugin"))
        .stdout(predicate::str::contains("cuda  not here."));
}

#[test]
fn a_plugin_trains_to_a_knn_and_the_same_seed_gives_the_same_bytes() {
    let Some(plugin) = plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| {
        let run = folder.path().join(name);
        on(&run, &plugin)
            .arg("--deterministic")
            .assert()
            .success()
            .stdout(predicate::str::contains("kNN, trained backbone (epoch 1)"));
        assert_eq!((recorded(&run), steps(&run)), (plugin.clone(), 4));
        run
    };
    let [first, second] = [of("first"), of("second")];
    assert_eq!(files(&first), files(&second));

    let knn = |device: &str| {
        let mut command = command();
        command.args(["knn", "--dataset", "shapes", "--k", "1", "--json", "--run"]).arg(&first);
        let printed = command.args(["--device", device]).assert().success();
        let printed: Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
        printed["results"][0]["top1"].as_f64().unwrap()
    };
    let (cpu, xla) = (knn("cpu"), knn(&plugin));
    assert!((cpu - xla).abs() < 0.02, "{cpu} on the CPU, {xla} by the plugin");
}

#[test]
fn two_virtual_devices_share_a_batch() {
    let Some(plugin) = plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    let both = format!("{plugin}:0,1");
    let run = folder.path().join("run");
    on(&run, &both).assert().success();
    assert_eq!((recorded(&run), steps(&run)), (both.clone(), 4));
    on(&folder.path().join("odd"), &format!("{plugin}:0,1,2"))
        .assert()
        .code(2)
        .stderr(predicate::str::contains("contradicts optimizer.batch_size = 16"));
    command()
        .args(["bench", "step", "--device", &both])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("bench train"));
}

#[test]
fn a_run_goes_on_elsewhere_and_its_config_says_so() {
    let Some(plugin) = plugin() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // A rate at which the loss is soon no number: the run stays unfinished, with a good checkpoint.
    tiny_run(&run).args(["--set", "optimizer.lr=1e6"]).assert().code(1);
    assert_eq!(recorded(&run), "cpu");
    let goes_on = |device: &str| resume(&run).args(["--device", device]).assert().code(1);
    for device in [plugin.as_str(), "cpu"] {
        let line = format!("goes on with {device}");
        goes_on(device)
            .stderr(predicate::str::contains(line))
            .stderr(predicate::str::contains("at step"));
        assert_eq!(recorded(&run), device);
        goes_on(device).stderr(predicate::str::contains("goes on with").not());
    }
}

#[test]
fn what_is_no_plugin_is_refused_with_the_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let text = folder.path().join("plugin.so");
    fs::write(&text, "no library").unwrap();
    let missing = folder.path().join("missing.so");
    for (path, reason) in [(&text, "is no PJRT plugin"), (&missing, "there is no file")] {
        on(&run, path.to_str().unwrap())
            .assert()
            .code(1)
            .stderr(predicate::str::contains(reason))
            .stderr(predicate::str::contains("logo-ssl devices"));
    }
    if let Some(library) = library_of_c() {
        on(&run, library.to_str().unwrap())
            .assert()
            .code(1)
            .stderr(predicate::str::contains("is no PJRT plugin"));
    }
    assert!(!run.exists(), "a run that never began leaves no folder");
}

/// A shared library that is no plugin.
fn library_of_c() -> Option<PathBuf> {
    let folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders.iter().map(|folder| Path::new(folder).join("libm.so.6")).find(|path| path.is_file())
}

#[test]
fn devices_that_are_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    for (device, reason) in [
        ("cudda", "did you mean `cuda`?"),
        ("cuda:-1", "no device's index"),
        ("cuda:0,0", "names device 0 twice"),
        ("cpu:1", "the CPU is one device"),
    ] {
        on(&run, device).assert().code(2).stderr(predicate::str::contains(reason));
    }
    bare(folder.path())
        .args(["pretrain", "--set", "compute.device=cudda"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("did you mean `cuda`?"));
    bare(folder.path())
        .args(["pretrain", "--device", "rocm", "--run-dir"])
        .arg(&run)
        .assert()
        .code(1)
        .stderr(predicate::str::contains("there is no plugin for rocm here"));
    if let Some(plugin) = plugin() {
        on(&run, &format!("{plugin}:99"))
            .assert()
            .code(1)
            .stderr(predicate::str::contains("there is no device 99"))
            .stderr(predicate::str::contains("logo-ssl devices"));
    }
    assert!(!run.exists(), "a run that never began leaves no folder");
}

#[test]
fn an_index_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let index = format!("http://{}/simple", listener.local_addr().unwrap());
    drop(listener);
    bare(folder.path())
        .args(["devices", "fetch", "cpu", "--yes", "--index", &index])
        .assert()
        .code(1)
        .stderr(predicate::str::contains(&index))
        .stderr(predicate::str::contains("PIP_INDEX_URL"));
    for (arguments, reason) in [
        (vec!["fetch", "cudda"], "did you mean `cuda`?"),
        (vec!["fetch", "tpu"], "no plugin for tpu can be fetched"),
        (vec!["fetch", "cuda", "--index", "nowhere"], "no http or https URL"),
    ] {
        let refused = bare(folder.path()).arg("devices").args(arguments).assert().code(2);
        refused.stderr(predicate::str::contains(reason));
    }
}

#[test]
fn a_step_is_measured_on_a_plugin() {
    let Some(plugin) = plugin() else { return };
    let arguments = ["bench", "step", "--width", "2", "--batch", "4", "--json", "--device"];
    let printed = command().args(arguments).arg(&plugin).assert().success();
    let printed: Value = serde_json::from_slice(&printed.get_output().stdout).unwrap();
    assert_eq!(printed["device"], plugin.as_str());
    assert!(printed["found"]["crops_per_second"].as_f64().unwrap() > 0.0);
}
