//! `embed` through the binary: what every format holds, what a broken-off command leaves, and what is refused.

mod features;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use features::{Table, read};
use logo_ssl::data::load;
use logo_ssl::eval::features::of_encoder;
use logo_ssl::executor::Device;
use logo_ssl::interop::EncoderAt;
use predicates::prelude::*;
use predicates::str::contains;
use support::pictures::{picture, train, two_classes};
use support::{command, shapes_run};
use tempfile::TempDir;

const FORMATS: [&str; 4] = ["npy", "npz", "parquet", "safetensors"];

/// A folder of two classes, and a run of an epoch on it.
fn trained_on_pictures() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    two_classes(&data, 20);
    train(&data, &run).assert().success();
    (folder, data, run)
}

/// A run of an epoch on the embedded dataset.
fn trained_on_shapes() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    shapes_run(&run).args(["--epochs", "1"]).assert().success();
    (folder, run)
}

fn embed(run: &Path, out: &Path) -> assert_cmd::Command {
    let mut command = command();
    command.arg("embed").arg("--run").arg(run).arg("--out").arg(out);
    command
}

/// What `out` holds when the command with `arguments` has written it.
fn embedded(run: &Path, out: &Path, arguments: &[&str]) -> Table {
    embed(run, out).args(arguments).assert().success();
    read(out).0
}

#[test]
fn every_format_holds_the_same_rows_with_names_and_classes_but_for_broken_images() {
    let (folder, data, run) = trained_on_pictures();
    picture(21, 3).save(data.join("cover.png")).unwrap();
    fs::write(data.join("cat/bad.jpg"), b"\xff\xd8\xff\xe0 no picture").unwrap();
    for dtype in ["f32", "f16"] {
        let mut first: Option<Table> = None;
        for format in FORMATS {
            let out = folder.path().join(format!("{dtype}.{format}"));
            let mut command = embed(&run, &out);
            command.arg(&data).args(["--dtype", dtype]);
            let told = contains("41 vectors of 16 numbers, without 1 image that could not be read");
            command.assert().success().stdout(told).stderr(contains("as --dataset folder"));
            let (table, metadata) = read(&out);
            if let Some(metadata) = metadata {
                let said = |key: &str| metadata[key].clone();
                assert_eq!(said("rows"), 41, "{metadata}");
                assert_eq!((said("broken"), said("dataset")), (1.into(), "folder".into()));
                assert_eq!((said("crop"), said("dtype")), (16.into(), dtype.into()));
                assert!(said("encoder").as_str().unwrap().ends_with("last.safetensors"));
                assert!(said("architecture").as_str().unwrap().starts_with("resnet10 of width 2"));
            }
            assert_eq!((table.dim, table.rows.len()), (16, 41 * 16));
            let names: Vec<&str> =
                table.ids.iter().map(|id| id.rsplit('/').next().unwrap()).collect();
            assert!(names.contains(&"cover.png") && !names.contains(&"bad.jpg"), "{names:?}");
            for (id, &label) in table.ids.iter().zip(&table.labels) {
                let class = usize::try_from(label).ok().map(|label| &*table.classes[label]);
                let expected = ["cat", "dog"].into_iter().find(|class| id.contains(*class));
                assert_eq!(class, expected, "{id}");
            }
            assert!(first.get_or_insert(table.clone()) == &table, "{format}");
            assert!(!out.with_extension(format!("{format}.part")).exists());
        }
    }
    let [full, half] = ["f32.npz", "f16.npz"].map(|name| read(&folder.path().join(name)).0.rows);
    let near = |(full, half): (&f32, &f32)| (full - half).abs() <= 1e-3 * full.abs() + 1e-6;
    assert!(full.iter().zip(&half).all(near));
}

#[test]
fn vectors_are_those_by_which_knn_is_computed() {
    let (folder, _, run) = trained_on_pictures();
    let at = EncoderAt::Run(run.clone());
    let config = at.config().unwrap().unwrap();
    let encoder = at.open(&config, &Device::cpu()).unwrap();
    let labelled = load(&config, &at.places().unwrap()).unwrap().evaluation.unwrap();
    let mut both = Vec::new();
    for (split, images) in [("train", &labelled.bank), ("test", &labelled.test)] {
        let set = of_encoder(&encoder, images, &config, &mut |_| Ok(true)).unwrap().unwrap();
        let out = folder.path().join(format!("{split}.npz"));
        let found = embedded(&run, &out, &["--unit", "--split", split]);
        assert_eq!((&found.rows, found.dim), (&set.rows, set.dim), "{split}");
        let labels: Vec<usize> = found.labels.iter().map(|&label| label as usize).collect();
        assert_eq!(labels, set.labels);
        both.extend(set.rows);
    }
    let all = embedded(&run, &folder.path().join("all.npz"), &["--unit"]);
    assert_eq!(all.rows, both, "parts together are the parts");
    let raw = embedded(&run, &folder.path().join("raw.npz"), &[]);
    assert_ne!(raw.rows, all.rows);
    let one = |rows: &[f32]| rows.iter().map(|x| x * x).sum::<f32>().sqrt();
    assert!((one(&all.rows[..16]) - 1.0).abs() < 1e-6);
    let projected = embedded(
        &run,
        &folder.path().join("z.npz"),
        &["--features", "projector", "--split", "test"],
    );
    assert_ne!(projected.rows, raw.rows[raw.rows.len() - projected.rows.len()..]);
}

/// Runs the command and kills it when its partial file has more than `bytes`. On a machine that is busy it may
/// end before that, and is begun again.
fn killed(run: &Path, out: &Path, part: &Path, bytes: u64) {
    for _ in 0..20 {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"))
            .args(["embed", "--quiet", "--threads", "1", "--split", "train", "--run"])
            .arg(run)
            .arg("--out")
            .arg(out)
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            if part.metadata().is_ok_and(|file| file.len() > bytes) {
                child.kill().unwrap();
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        child.wait().unwrap();
        if part.exists() {
            return;
        }
        fs::remove_file(out).unwrap();
    }
    panic!("it always ended before it could be killed");
}

#[test]
fn a_killed_command_goes_on_and_gives_the_bytes_of_an_undisturbed_one() {
    let (folder, run) = trained_on_shapes();
    let place = |name: &str| folder.path().join(name);
    // 4,000 images are 16 batches, of 256 × 16 numbers each.
    let (out, part) = (place("a.npz"), place("a.npz.part"));
    killed(&run, &out, &part, 3 * 256 * 64);
    let begun = fs::read(&part).unwrap();
    // A power failure may leave less than was written, or other bytes at its end.
    let torn = [&begun[..begun.len() - 7], &[9; 5000]].concat();
    let head = begun.iter().position(|&byte| byte == b'\n').unwrap();
    let leftovers = [&begun[..], &torn, &begun[..head + 1], &begun[..head / 2], &[]];
    for format in FORMATS {
        let whole = place(&format!("whole.{format}"));
        let arguments = ["--split", "train", "--threads", "2"];
        embed(&run, &whole).args(arguments).assert().success();
        let expected = fs::read(&whole).unwrap();
        for (number, leftover) in leftovers.iter().enumerate() {
            let out = place(&format!("{number}.{format}"));
            let part = place(&format!("{number}.{format}.part"));
            fs::write(&part, leftover).unwrap();
            let done = embed(&run, &out).args(arguments).arg("--json").assert().success();
            let told: serde_json::Value =
                serde_json::from_slice(&done.get_output().stdout).unwrap();
            let resumed = told["written"]["resumed"].as_u64().unwrap();
            assert_eq!(resumed > 0, number < 2, "{number}: {told}");
            assert_eq!(resumed % 256, 0);
            assert!(fs::read(&out).unwrap() == expected, "{number}.{format}");
            assert!(!part.exists());
        }
    }
    // Killed between the last rename and the end, it makes the same file once more.
    let part = place("whole.npz.part");
    fs::write(&part, &begun).unwrap();
    let before = fs::read(place("whole.npz")).unwrap();
    embed(&run, &place("whole.npz")).args(["--split", "train"]).assert().success();
    assert!(fs::read(place("whole.npz")).unwrap() == before && !part.exists());
}

#[test]
fn the_beginning_of_other_features_is_refused_with_what_to_do() {
    let (folder, run) = trained_on_shapes();
    let (out, part) = (folder.path().join("a.npz"), folder.path().join("a.npz.part"));
    killed(&run, &out, &part, 2000);
    let begun = fs::read(&part).unwrap();
    let other = folder.path().join("other");
    shapes_run(&other).args(["--epochs", "1", "--seed", "7"]).assert().success();
    let refused = |run: &Path, arguments: &[&str], difference: &str| {
        let told = contains(difference).and(contains("a.npz.part")).and(contains("remove it"));
        embed(run, &out).args(arguments).assert().code(1).stderr(told);
        assert_eq!(fs::read(&part).unwrap(), begun, "a refusal changes nothing");
    };
    refused(&other, &["--split", "train"], "`encoder` was");
    refused(&run, &["--split", "train", "--unit"], "`unit` was false and is true");
    refused(&run, &["--split", "train", "--dtype", "f16"], "`dtype` was \"f32\" and is \"f16\"");
    refused(&run, &["--split", "test"], "there were 4000 images and are 1000");
    refused(&run, &["--split", "train", "--set", "data.std=[1.0, 1.0, 1.0]"], "`std` was");
    let checkpoint = "checkpoints/last.safetensors";
    let kept = fs::read(run.join(checkpoint)).unwrap();
    fs::copy(other.join(checkpoint), run.join(checkpoint)).unwrap();
    refused(&run, &["--split", "train"], "`weights` was");
    fs::write(run.join(checkpoint), kept).unwrap();
    fs::write(&part, "another file\n").unwrap();
    embed(&run, &out).assert().code(1).stderr(contains("does not begin as such a file does"));
    assert_eq!(fs::read(&part).unwrap(), b"another file\n");
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is_made() {
    let (folder, run) = trained_on_shapes();
    let place = |name: &str| folder.path().join(name);
    let refused = |name: &str, arguments: &[&str], code: i32, told: &str| {
        embed(&run, &place(name)).args(arguments).assert().code(code).stderr(contains(told));
    };
    refused("a.hdf5", &[], 2, "`.hdf5`: expected one of: npy, npz, parquet, safetensors");
    refused("a", &[], 2, "expected one of: npy, npz, parquet, safetensors");
    refused("none/a.npz", &[], 1, "none/a.npz.part");
    refused("a.npz", &["--split", "unlabelled"], 2, "only train, test");
    refused("a.npz", &["--split", "tets"], 2, "did you mean `test`?");
    refused("a.npz", &["--dtype", "f64"], 2, "expected one of: f32, f16");
    for taken in ["a.npz", "a.csv"] {
        fs::write(place(taken), "mine").unwrap();
    }
    refused("a.npz", &[], 1, "a.npz: exists already");
    refused("a.npy", &[], 1, "a.csv: exists already");
    assert_eq!(fs::read(place("a.csv")).unwrap(), b"mine");
    let mut of_weights = command();
    of_weights.args(["embed", "--features", "projector", "--weights"]);
    of_weights.arg(run.join("weights.safetensors")).arg("--out").arg(place("b.npz"));
    of_weights.assert().code(1).stderr(contains("no projector"));
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// The command where files may have so many blocks of 512 bytes, as on a disk that is full then.
#[cfg(unix)]
fn limited(run: &Path, out: &Path, blocks: u64) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command.args(["embed", "--quiet", "--split", "test", "--run"]).arg(run).arg("--out").arg(out);
    command
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing_that_was_made() {
    let (folder, run) = trained_on_shapes();
    let place = |name: &str| folder.path().join(name);
    let whole = place("whole.npz");
    embed(&run, &whole).args(["--split", "test"]).assert().success();
    let expected = fs::read(&whole).unwrap();
    let out = place("a.npz");
    // A thousand vectors are 64,000 bytes, and their names more.
    for (blocks, file) in [(60, "a.npz.part"), (150, "a.npz")] {
        let told = format!("cannot write {}: ", place(file).display());
        limited(&run, &out, blocks).assert().code(1).stderr(contains(told));
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.npz.part", "run", "whole.npz"]);
    }
    embed(&run, &out).args(["--split", "test"]).assert().success();
    assert!(fs::read(&out).unwrap() == expected);
}

#[test]
fn pictures_of_different_sizes_are_brought_to_one() {
    let (folder, data, run) = trained_on_pictures();
    let out = |name: &str| folder.path().join(name);
    let whole = ["--set", "eval.resize=0", "--set", "eval.crop=0"];
    let mut command = embed(&run, &out("a.npz"));
    let told = contains("different sizes: the middle 96 pixels of 110");
    command.args(whole).assert().success().stderr(told);
    assert_eq!(read(&out("a.npz")).1.unwrap()["crop"], 96);
    // Of a run on other images, the preset for folders is what suits these.
    let shapes = folder.path().join("shapes");
    shapes_run(&shapes).args(["--epochs", "1"]).assert().success();
    embed(&shapes, &out("b.npz")).arg(&data).assert().success();
    let (table, metadata) = read(&out("b.npz"));
    let metadata = metadata.unwrap();
    assert_eq!((table.ids.len(), &metadata["crop"]), (40, &96.into()));
    assert_eq!(metadata["parts"], serde_json::json!({ "train": 36, "test": 4 }));
    // Without labels there is no part to test on, and no class.
    fs::remove_dir_all(data.join("dog")).unwrap();
    for entry in fs::read_dir(data.join("cat")).unwrap() {
        let path = entry.unwrap().path();
        fs::rename(&path, data.join(path.file_name().unwrap())).unwrap();
    }
    let flat = embedded(&shapes, &out("c.npy"), &[data.to_str().unwrap()]);
    assert_eq!((flat.labels, flat.classes), (vec![-1; 20], vec![]));
}
