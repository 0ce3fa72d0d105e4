//! What the tests share: the binary, a run of seconds, and how far two results are apart.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assert_cmd::Command;
use graph::{Graph, Node, Program, Type};
use logo_ssl::executor::{Device, Xla, XlaOptions};
use logo_ssl::model::params::TensorData;

/// Says that a test, or a part of one, is skipped and why. Unlike what is printed by macros, this is shown
/// for tests that pass, too.
pub fn skipped(why: &str) {
    let test = std::thread::current();
    let line = format!("skipped in {}: {why}\n", test.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// The devices that a test of numbers runs on, by name: the processor and, where `LOGO_SSL_PJRT_PLUGIN`
/// names a plugin, XLA through it.
pub fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![("cpu", Device::cpu())];
    match plugin() {
        Some(path) => devices.push(("xla", xla(&path, &[0]))),
        None => skipped("on XLA: LOGO_SSL_PJRT_PLUGIN is not set"),
    }
    devices
}

/// The plugin to test with, where there is one.
pub fn plugin() -> Option<PathBuf> {
    std::env::var_os("LOGO_SSL_PJRT_PLUGIN").map(PathBuf::from)
}

/// Some of the devices of the plugin at `path`.
pub fn xla(path: &Path, devices: &[usize]) -> Device {
    let options = XlaOptions { devices: devices.to_vec(), ..XlaOptions::default() };
    Device::Xla(Arc::new(Xla::open(path, options).unwrap()))
}

/// What `build` makes of `inputs`, on `device`.
pub fn compute(
    device: &Device,
    inputs: &[(&str, TensorData)],
    build: impl for<'g> FnOnce(&'g Graph, &[Node<'g>]) -> Vec<Node<'g>>,
) -> Vec<Vec<f32>> {
    let graph = Graph::new();
    let parameter =
        |(name, data): &(&str, TensorData)| graph.parameter(name, Type::f32(data.shape.clone()));
    let nodes: Vec<_> = inputs.iter().map(parameter).collect();
    let outputs = build(&graph, &nodes);
    let names: Vec<String> = (0..outputs.len()).map(|at| format!("output.{at}")).collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
    let program = Program::new(&graph, &nodes, &named).unwrap();
    let compiled = device.compile(&program).unwrap();
    let arrays = inputs.iter().map(|(_, data)| {
        let TensorData { values, shape } = data.clone();
        device.f32(values, &shape).unwrap()
    });
    let outputs = compiled.run(arrays.collect()).unwrap();
    outputs.iter().map(|array| array.read().unwrap()).collect()
}

/// The binary, with no data directory of the machine's own.
pub fn command() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command.env_remove("LOGO_SSL_DATA");
    command
}

/// The arguments of a run of two epochs of four steps, through every part of the program.
pub fn tiny_arguments(run_dir: &Path) -> Vec<String> {
    let settings = [
        "model.backbone=resnet10",
        "model.width=2",
        "model.projector.hidden=16",
        "model.projector.dim=16",
        "affinity.depth=2",
        "affinity.width=8",
        "views.global.size=16",
        "views.local.size=8",
        "eval.every=1",
    ];
    let mut arguments: Vec<String> = ["pretrain", "--quiet", "--preset", "quickstart"]
        .into_iter()
        .chain(["--limit", "64", "--batch-size", "16"])
        .map(String::from)
        .collect();
    for setting in settings {
        arguments.extend(["--set".to_owned(), setting.to_owned()]);
    }
    arguments.extend(["--run-dir".to_owned(), run_dir.display().to_string()]);
    arguments
}

/// The binary with [`tiny_arguments`] and two epochs, which a test may overrule.
pub fn tiny_run(run_dir: &Path) -> Command {
    let mut command = command();
    command.args(tiny_arguments(run_dir)).args(["--set", "optimizer.epochs=2"]);
    command
}

/// The files of a run that depend on config and seed alone, with their bytes.
pub fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = [
        "config.toml",
        "metrics.jsonl",
        "weights.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "plots/loss.svg",
        "plots/knn.svg",
    ];
    let read = |name: &str| (PathBuf::from(name), fs::read(run.join(name)).unwrap_or_default());
    names.into_iter().map(read).collect()
}

/// ‖found - expected‖ / ‖expected‖
pub fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let mut differences = found.iter().zip(expected).map(|(&f, &e)| f64::from(f) - f64::from(e));
    let size = norm(&mut expected.iter().map(|&e| f64::from(e)));
    norm(&mut differences) / size.max(f64::MIN_POSITIVE)
}
