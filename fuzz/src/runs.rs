//! What a run leaves, and what people write for one. As in `parsers.rs`, each returns whether it was taken.

#![allow(unreachable_pub, reason = "the tests have this file as a module of their own")]

use std::fs;
use std::path::PathBuf;

use logo_ssl::config::Config;
use logo_ssl::interop::{Choice, Import, tensors};
use logo_ssl::presets::{Layers, read_run_config, to_toml};
use logo_ssl::record;
use logo_ssl::sweep::Sweep;
use logo_ssl::train::checkpoint;
use tempfile::TempDir;

/// Settings: laid over a preset, as the `config.toml` of a run, and as a sweep.
pub fn settings(data: &[u8]) -> bool {
    let (_folder, path) = as_file(data);
    let laid = Layers::preset("cifar10").unwrap().file(&path).and_then(Layers::build);
    let of_run = read_run_config(&path);
    let sweep = Sweep::read(&path);
    let planned = sweep.as_ref().map(|sweep| sweep.runs.as_slice()).unwrap_or_default();
    let configs = planned.iter().map(|run| &run.config).take(8);
    laid.iter().chain(&of_run).chain(configs).for_each(is_read_back);
    laid.is_ok() || of_run.is_ok() || sweep.is_ok()
}

/// What a run writes of its settings is what it goes on with.
fn is_read_back(config: &Config) {
    let (_folder, path) = as_file(to_toml(config).as_bytes());
    assert_eq!(&read_run_config(&path).expect("what was taken is written as it is read"), config);
}

/// A checkpoint of a run, its weights, or the log of what it measured.
pub fn saved(data: &[u8]) -> bool {
    let (_folder, path) = as_file(data);
    if let Ok((state, _)) = tensors::read(&path) {
        for tensor in state.values() {
            assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len());
        }
    }
    let checkpoint = checkpoint::read(&path).is_ok();
    let weights = Import::open(&path, &Choice::default()).is_ok();
    let log = record::read(&path).is_ok_and(|records| !records.is_empty());
    checkpoint || weights || log
}

/// `data` as a file, in a folder that is there as long as it is held.
fn as_file(data: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("file");
    fs::write(&path, data).expect("a temporary file");
    (folder, path)
}
