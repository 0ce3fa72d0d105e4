//! Runs that begin from a checkpoint, through the binary (tests/fixtures/make_beginnings.py).

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use safetensors::SafeTensors;
use serde_json::Value;
use support::{command, set, tiny_run};

/// The networks of the fixtures.
const NARROW: [&str; 7] = [
    "model.backbone=resnet10",
    "model.width=1",
    "model.stem=imagenet",
    "framework.logo=false",
    "views.global.size=32",
    "views.local.size=32",
    "model.projector.dim=5",
];
const MOCO: [&str; 6] = [
    "framework.name=moco",
    "framework.momentum.queue=12",
    "model.projector.layers=2",
    "model.projector.hidden=8",
    "model.projector.norm=none",
    "model.predictor.hidden=0",
];
const SIMSIAM: [&str; 5] = [
    "framework.name=simsiam",
    "model.projector.layers=3",
    "model.projector.hidden=8",
    "model.projector.norm=all",
    "model.predictor.hidden=4",
];

fn beginning(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/beginnings").join(file)
}

/// A run of one epoch of two steps that begins from `file` and learns nothing.
fn begin(run: &Path, file: &Path, settings: &[&str]) -> Command {
    let mut command = command();
    command.args([
        "pretrain",
        "--no-pictures",
        "--preset",
        "quickstart",
        "--limit",
        "12",
        "--batch-size",
        "6",
    ]);
    command.args(["--epochs", "1"]).args(set(["optimizer.lr=0", "eval.every=0"]));
    command.args(set(NARROW)).args(set(settings.iter().copied()));
    command.arg("--init").arg(file).arg("--run-dir").arg(run);
    command
}

/// The numbers of a tensor in the last checkpoint of `run`.
fn tensor(run: &Path, name: &str) -> Vec<u8> {
    let bytes = fs::read(run.join("checkpoints/last.safetensors")).unwrap();
    SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().to_vec()
}

fn origin(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("init.json")).unwrap()).unwrap()
}

#[test]
fn what_fits_is_told_as_a_table_and_kept_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let told = begin(&run, &beginning("moco.pth.tar"), &MOCO).assert().success();
    let told = String::from_utf8(told.get_output().stderr.clone()).unwrap();
    for line in [
        "begins from moco.pth.tar (SHA-256 ",
        "  backbone          state_dict.module.encoder_q     taken: ",
        "  projector         state_dict.module.encoder_q.fc  taken: 4 tensors",
        "  momentum encoder  state_dict.module.encoder_k     taken: ",
        "  queue             state_dict.module.queue         taken: 1 tensor",
    ] {
        assert!(told.contains(line), "`{line}` is not in\n{told}");
    }
    let kept = origin(&run);
    let bytes = fs::read(beginning("moco.pth.tar")).unwrap();
    assert_eq!(kept["file"], "moco.pth.tar");
    assert_eq!(kept["bytes"], bytes.len());
    assert_eq!(kept["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(kept["parts"][1]["part"], "projector");
    assert_eq!(kept["parts"][1]["fit"], "taken");

    // The weights are those of the file to the last bit, for the rate is 0.
    let out = folder.path().join("q.safetensors");
    let mut import = command();
    import.arg("import").arg(beginning("moco.pth.tar")).args(["--prefix", "encoder_q", "--out"]);
    import.arg(&out).assert().success();
    let imported = fs::read(&out).unwrap();
    let imported = SafeTensors::deserialize(&imported).unwrap();
    for name in ["conv1.weight", "bn1.weight", "layer3.0.downsample.0.weight"] {
        let of_run = tensor(&run, &format!("network.backbone.{name}"));
        assert_eq!(of_run, imported.tensor(name).unwrap().data(), "{name}");
    }
}

#[test]
fn a_run_begins_from_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    tiny_run(&first).args(["--epochs", "1"]).assert().success();
    let second = folder.path().join("second");
    let mut again = tiny_run(&second);
    again.args(["--epochs", "1", "--seed", "7", "--set", "optimizer.lr=0", "--init"]).arg(&first);
    again.assert().success();
    assert_eq!(origin(&second)["file"], "first/checkpoints/last.safetensors");
    for name in ["network.backbone.conv1.weight", "network.projector.layers.0.linear.weight"] {
        assert_eq!(tensor(&second, name), tensor(&first, name), "{name}");
    }
    // The floor is of random weights all the same.
    let floor = |run: &Path| {
        let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        let is_floor = |line: &&str| line.contains(r#""untrained""#);
        log.lines().find(is_floor).unwrap().to_owned()
    };
    let fresh = folder.path().join("fresh");
    tiny_run(&fresh).args(["--epochs", "1", "--seed", "7"]).assert().success();
    assert_eq!(floor(&second), floor(&fresh));
}

#[test]
fn of_two_encoders_one_is_asked_for_unless_there_is_a_place_for_both() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut settings = SIMSIAM.to_vec();
    settings.extend(&MOCO[2..5]);
    begin(&run, &beginning("moco.pth.tar"), &settings).assert().code(1).stderr(
        contains("`state_dict.module.encoder_k.`, `state_dict.module.encoder_q.`")
            .and(contains("--init-prefix state_dict.module.encoder_k takes the first")),
    );
    assert!(!run.exists(), "a refusal leaves nothing");
    let mut named = begin(&run, &beginning("moco.pth.tar"), &settings);
    named.args(["--init-prefix", "encoder_q"]).assert().success().stderr(
        contains(
            "momentum encoder  state_dict.module.encoder_k     stays there: the settings have none",
        )
        .and(contains(
            "predictor         –                               not there: starts at random",
        )),
    );
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let file = beginning("simsiam.pth.tar");
    let mut settings = SIMSIAM.to_vec();
    settings.push("model.projector.hidden=7");
    begin(&run, &file, &settings).assert().code(2).stderr(
        contains("needs model.projector.hidden = 8 instead of 7")
            .and(contains("--set model.projector.hidden=…"))
            .and(contains("--init-allow-missing")),
    );
    assert!(!run.exists(), "a refusal leaves nothing");
    let mut allowed = begin(&run, &file, &settings);
    allowed.args(["--init-allow-missing", "--json"]);
    let told = String::from_utf8(allowed.assert().success().get_output().stdout.clone()).unwrap();
    let told = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = told.filter(|event| event["event"] == "init").collect::<Vec<_>>();
    assert_eq!(told[0]["from"]["parts"][1]["fit"], "misfit");
    assert_eq!(told[0]["from"], origin(&run));

    let other = folder.path().join("other");
    begin(&other, &file, &[&SIMSIAM[..], &["model.backbone=resnet18"]].concat())
        .args(["--init-allow-missing"])
        .assert()
        .code(2)
        .stderr(
            contains("ResNet-10")
                .and(contains("ResNet-18"))
                .and(contains("--set model.backbone=…")),
        );
    begin(&other, Path::new("none.pth"), &SIMSIAM).assert().code(1).stderr(contains("none.pth"));
    assert!(!other.exists());
}

#[test]
fn a_run_that_goes_on_keeps_what_it_began_from() {
    let folder = tempfile::tempdir().unwrap();
    let [run, random] = ["run", "random"].map(|name| folder.path().join(name));
    let file = beginning("simsiam.pth.tar");
    begin(&run, &file, &SIMSIAM).assert().success();
    begin(&run, &file, &SIMSIAM).arg("--resume").assert().success();
    begin(&run, &beginning("moco.pth.tar"), &SIMSIAM)
        .arg("--resume")
        .assert()
        .code(2)
        .stderr(contains("began from simsiam.pth.tar"));
    tiny_run(&random).args(["--epochs", "1"]).assert().success();
    let mut elsewhere = tiny_run(&random);
    elsewhere.arg("--resume").arg("--init").arg(&file);
    elsewhere.assert().code(2).stderr(contains("began at random"));

    // Cut off before it had the weights, it does not begin at random instead.
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let mut cut_off = command();
    cut_off.args(["pretrain", "--no-pictures", "--resume", "--run-dir"]).arg(&run);
    cut_off.assert().code(1).stderr(contains("before it had the weights of simsiam.pth.tar"));
}
