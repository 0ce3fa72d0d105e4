//! What the tests share: devices, programs on them, and how far two results are apart.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::{Graph, Node, Program, Type};
use logo_ssl::executor::{Device, Xla, XlaOptions};
use logo_ssl::model::params::TensorData;

/// Says that a test, or a part of one, is skipped and why. Unlike what is printed by macros, this is shown
/// for tests that pass, too.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current();
    let line = format!("skipped in {}: {why}\n", test.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// The devices that a test of numbers runs on, by name: the processor and, where `LOGO_SSL_PJRT_PLUGIN`
/// names a plugin, XLA through it.
pub(crate) fn devices() -> Vec<(&'static str, Device)> {
    let mut devices = vec![("cpu", Device::cpu())];
    match plugin() {
        Some(path) => devices.push(("xla", xla(&path, &[0]))),
        None => skipped("on XLA: LOGO_SSL_PJRT_PLUGIN is not set"),
    }
    devices
}

/// The plugin to test with, where there is one.
pub(crate) fn plugin() -> Option<PathBuf> {
    std::env::var_os("LOGO_SSL_PJRT_PLUGIN").map(PathBuf::from)
}

/// Some of the devices of the plugin at `path`, of whatever kind it is. Where it is a GPU's, one program compiled
/// twice must compute the same.
pub(crate) fn xla(path: &Path, devices: &[usize]) -> Device {
    let suiting = XlaOptions::suiting(plugins::Kind::of_file(path), devices);
    let options = XlaOptions { deterministic: true, ..suiting };
    Device::Xla(Arc::new(Xla::open(path, options).unwrap()))
}

/// What `build` makes of `inputs`, on `device`.
pub(crate) fn compute(
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

/// Numbers in [-1, 1) with 24 bits: splitmix64 over the index, from the FNV-1a hash of the name. It is `uniform` of
/// `tests/fixtures/make_backbones.py`.
pub(crate) fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |key, byte| {
        (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (1..=count as u64).map(move |index| {
        let z = key.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
}

/// The images that those fixtures were made with, `[2, 3, 33, 30]`.
pub(crate) fn images() -> TensorData {
    const SHAPE: [usize; 4] = [2, 3, 33, 30];
    let pixels = uniform("images", SHAPE.iter().product()).map(|u| u as f32);
    TensorData::new(pixels.collect(), SHAPE)
}

/// ‖found - expected‖ / ‖expected‖
pub(crate) fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let mut differences = found.iter().zip(expected).map(|(&f, &e)| f64::from(f) - f64::from(e));
    let size = norm(&mut expected.iter().map(|&e| f64::from(e)));
    norm(&mut differences) / size.max(f64::MIN_POSITIVE)
}
