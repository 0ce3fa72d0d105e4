//! Folders of small pictures, and runs of an epoch on them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use image::{Rgb, RgbImage};

use super::{SMALL, command, set};

/// A picture of `side` × `side + 4` pixels that depends on `number`.
pub(crate) fn picture(side: u32, number: u32) -> RgbImage {
    RgbImage::from_fn(side, side + 4, |x, y| {
        let value = |factor: u32| (factor * (x / 3 + number) + 11 * y) as u8;
        Rgb([value(7), value(13), value(29)])
    })
}

/// Writes `count` pictures of different sizes to `folder`, JPEG and PNG by turns.
pub(crate) fn pictures(folder: &Path, count: u32) {
    fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        let extension = if number % 2 == 0 { "jpg" } else { "png" };
        let path = folder.join(format!("{number:03}.{extension}"));
        picture(20 + number % 5, number).save(path).unwrap();
    }
}

/// A folder for each of two classes, with so many pictures each.
pub(crate) fn two_classes(root: &Path, count: u32) {
    pictures(&root.join("cat"), count);
    pictures(&root.join("dog"), count);
}

/// Forty pictures of each of two classes, written anew by every test program and left in the build's folder.
pub(crate) fn eighty() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let program = std::env::current_exe().unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program.file_name().unwrap());
        two_classes(&folder, 40);
        folder
    });
    &FOLDER
}

/// An epoch of the preset for folders with a network of a size for tests.
pub(crate) fn train(data: &Path, run: &Path) -> assert_cmd::Command {
    let mut command = command();
    command.args([
        "pretrain",
        "--quiet",
        "--no-pictures",
        "--preset",
        "folder",
        "--epochs",
        "1",
        "--batch-size",
        "8",
    ]);
    command.args(set(SMALL)).args(set([
        "model.stem=cifar",
        "optimizer.epochs=1",
        "optimizer.warmup_epochs=0.0",
        "eval.resize=18",
        "eval.crop=16",
        "eval.k=[1]",
    ]));
    command.arg("--data-dir").arg(data).arg("--run-dir").arg(run);
    command
}

pub(crate) fn log(run: &Path) -> String {
    fs::read_to_string(run.join("metrics.jsonl")).unwrap()
}
