//! What the tests share: the binary and a run of seconds.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod pictures;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// Says that a test, or a part of one, is skipped and why. Unlike what is printed by macros, this is shown
/// for tests that pass, too.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current();
    let line = format!("skipped in {}: {why}\n", test.name().unwrap_or("a test"));
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// The plugin to test with, where there is one.
pub(crate) fn plugin() -> Option<PathBuf> {
    std::env::var_os("LOGO_SSL_PJRT_PLUGIN").map(PathBuf::from)
}

/// The binary, with no data directory of the machine's own.
pub(crate) fn command() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command.env_remove("LOGO_SSL_DATA");
    command
}

/// A network and views of a size for tests.
pub(crate) const SMALL: [&str; 8] = [
    "model.backbone=resnet10",
    "model.width=2",
    "model.projector.hidden=16",
    "model.projector.dim=16",
    "affinity.depth=2",
    "affinity.width=8",
    "views.global.size=16",
    "views.local.size=8",
];

/// `settings` as arguments.
pub(crate) fn set<'a>(
    settings: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    settings.into_iter().flat_map(|setting| ["--set", setting])
}

/// What runs of two epochs of four steps, through every part of the program, have in common.
const TINY: [&str; 4] = ["--limit", "64", "--batch-size", "16"];

fn arguments(flags: &[&str], settings: &[&str], run_dir: &Path) -> Vec<String> {
    let start = ["pretrain", "--quiet", "--no-pictures"].iter().chain(&TINY).chain(flags).copied();
    let evaluated = ["eval.every=1", "eval.resize=16", "eval.crop=16"];
    let settings = SMALL.iter().chain(&evaluated).chain(settings).copied();
    let mut arguments: Vec<String> = start.chain(set(settings)).map(str::to_owned).collect();
    arguments.extend(["--run-dir".to_owned(), run_dir.display().to_string()]);
    arguments
}

/// The arguments of such a run on pictures so few that its evaluations take no time.
pub(crate) fn tiny_arguments(run_dir: &Path) -> Vec<String> {
    let pictures = pictures::eighty().to_str().unwrap();
    let flags = ["--preset", "folder", "--data-dir", pictures];
    arguments(&flags, &["model.stem=cifar", "optimizer.warmup_epochs=0.0"], run_dir)
}

/// The same on the embedded dataset, of which every evaluation renders and embeds 5,000 images: for tests that need
/// so many, or their ten classes.
pub(crate) fn shapes_arguments(run_dir: &Path) -> Vec<String> {
    arguments(&["--preset", "quickstart"], &[], run_dir)
}

/// The binary with `arguments` and two epochs, which a test may overrule.
fn two_epochs(arguments: Vec<String>) -> Command {
    let mut command = command();
    command.args(arguments).args(["--set", "optimizer.epochs=2"]);
    command
}

/// Two epochs of [`tiny_arguments`].
pub(crate) fn tiny_run(run_dir: &Path) -> Command {
    two_epochs(tiny_arguments(run_dir))
}

/// Two epochs of [`shapes_arguments`].
pub(crate) fn shapes_run(run_dir: &Path) -> Command {
    two_epochs(shapes_arguments(run_dir))
}

/// Goes on with a run, without the pictures of its report.
pub(crate) fn resume(run_dir: &Path) -> Command {
    let mut command = command();
    command.args(["pretrain", "--quiet", "--no-pictures", "--resume", "--run-dir"]).arg(run_dir);
    command
}

/// The files of a run that depend on config and seed alone, with their bytes.
pub(crate) fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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
