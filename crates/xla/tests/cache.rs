//! With a plugin: the cache of compiled programs.

mod common;

use std::path::{Path, PathBuf};

use common::*;
use logo_ssl_xla::{Argument, Cache, Client, CompileOptions, Error, Executable, Origin};

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn get(cache: &Cache, client: &Client, text: &str) -> (Executable, Origin) {
    cache.compile(client, text, &CompileOptions::default()).unwrap()
}

fn check(client: &Client, step: &Executable) {
    let state = upload(client, &[2.0; 6], &[2, 3]);
    let outputs = run(
        step,
        vec![Argument::Donated(state), Argument::Kept(&upload(client, &[1.0; 6], &[2, 3]))],
    );
    assert_eq!(to_f32s(&outputs[0].download().unwrap()), [2.0; 6]);
    assert_eq!(step.parameters().map(<[_]>::len), Some(2));
}

/// A cache with the one entry of `STEP`, unless the plugin does not serialize programs.
fn filled(folder: &Path, client: &Client) -> Option<(Cache, PathBuf)> {
    let cache = Cache::at(folder).unwrap();
    let (step, origin) = get(&cache, client, STEP);
    check(client, &step);
    if let Origin::Uncached(reason) = origin {
        assert!(matches!(step.serialize(), Err(Error::Unsupported { .. })), "{reason}");
        eprintln!("skipped: the plugin does not serialize programs");
        return None;
    }
    assert_eq!(origin, Origin::Compiled);
    let mut paths = entries(folder);
    assert_eq!(paths.len(), 1);
    Some((cache, paths.remove(0)))
}

#[test]
fn a_program_is_compiled_once() {
    let Some(client) = client() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((cache, _)) = filled(&folder.path().join("made/on/demand"), &client) else { return };
    let (step, origin) = get(&cache, &client, STEP);
    assert_eq!(origin, Origin::Cached);
    check(&client, &step);
    // Another client of the same plugin, as another process would have.
    let client = common::client().unwrap();
    let (step, origin) = get(&cache, &client, STEP);
    assert_eq!(origin, Origin::Cached);
    check(&client, &step);
}

#[test]
fn another_text_or_option_is_another_program() {
    let Some(client) = client() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((cache, _)) = filled(folder.path(), &client) else { return };
    assert_eq!(get(&cache, &client, &STEP.replace("@step", "@stride")).1, Origin::Compiled);
    let overrides = vec![("xla_cpu_enable_fast_math".into(), "false".into())];
    let options = CompileOptions { overrides, ..CompileOptions::default() };
    assert_eq!(cache.compile(&client, STEP, &options).unwrap().1, Origin::Compiled);
    assert_eq!(entries(folder.path()).len(), 3);
}

#[test]
fn damaged_and_foreign_entries_are_made_anew() {
    let Some(client) = client() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((cache, path)) = filled(folder.path(), &client) else { return };
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut renamed = whole.clone();
    renamed[20] ^= 1;
    let damaged = [&whole[..whole.len() / 2], &whole[..10], b"", b"not ours", &flipped, &renamed];
    for bytes in damaged {
        std::fs::write(&path, bytes).unwrap();
        let (step, origin) = get(&cache, &client, STEP);
        assert_eq!(origin, Origin::Compiled);
        check(&client, &step);
        assert_eq!(entries(folder.path()), std::slice::from_ref(&path), "no other file is left");
        assert_eq!(get(&cache, &client, STEP).1, Origin::Cached);
    }
}

#[test]
fn an_entry_that_cannot_be_written_is_no_error() {
    let Some(client) = client() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some((cache, path)) = filled(folder.path(), &client) else { return };
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir_all(path.join("in the way")).unwrap();
    let (step, origin) = get(&cache, &client, STEP);
    assert!(matches!(origin, Origin::Uncached(_)), "{origin:?}");
    check(&client, &step);
    assert_eq!(entries(folder.path()), [path], "no other file is left");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Cache::at(file.path().join("folder")).unwrap_err();
    assert!(matches!(error, Error::Cache { .. }));
    assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
}
