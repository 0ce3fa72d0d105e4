//! What the program says: help that fits a screen, remedies with the flag as it is typed, and weights in the
//! forms that people have them in.

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use predicates::prelude::*;
use predicates::str::contains;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use support::pictures::{train, two_classes};
use support::{command, tiny_run};

/// A terminal as it opens: lines, and characters a line.
const SCREEN: [usize; 2] = [24, 80];

#[test]
fn the_help_of_every_command_is_one_screen() {
    let [lines, characters] = SCREEN;
    let mut waiting = vec![String::new()];
    let mut seen = 0;
    while let Some(name) = waiting.pop() {
        let output = command().args(name.split_whitespace()).arg("-h").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let rows = |line: &str| line.chars().count().div_ceil(characters).max(1);
        let height: usize = help.lines().map(rows).sum();
        let commands = help.split_once("Commands:\n").map_or("", |(_, commands)| commands);
        let listed = commands.lines().take_while(|line| !line.is_empty());
        // All commands there are take a line each.
        let lines = if name.is_empty() { help.lines().count() } else { lines };
        assert!(height <= lines, "`{name} -h` takes {height} lines:\n{help}");
        let words = listed.filter_map(|line| line.split_whitespace().next());
        waiting.extend(words.filter(|word| *word != "help").map(|word| format!("{name} {word}")));
        seen += 1;
    }
    assert!(seen > 15, "{seen} commands");
}

#[test]
fn what_a_short_help_leaves_out_is_in_the_long_one() {
    let help = |flag: &str| {
        let output = command().args(["pretrain", flag]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (short, long) = (help("-h"), help("--help"));
    for rare in
        ["--eval-data-dir", "--checkpoint-every", "--accept-changed-data", "--deterministic"]
    {
        assert!(!short.contains(rare) && long.contains(rare), "{rare}");
    }
    for heading in ["Settings:", "Images:", "Run:", "Machine:"] {
        assert!(long.contains(heading), "{heading}");
    }
    assert!(short.contains("see more with '--help'"), "{short}");
}

#[test]
fn a_setting_that_is_refused_is_named_as_it_is_typed() {
    for (arguments, typed) in [
        (&["--set", "optimizer.lr=-1"][..], "typed as --set optimizer.lr=…"),
        (&["--epochs", "0"], "typed as --epochs"),
        (&["--limit", "10", "--batch-size", "16"], "typed as --limit, --batch-size"),
        (
            &["--set", "eval.crop=40", "--set", "eval.resize=32"],
            "typed as --set eval.crop=…, --set eval.resize=…",
        ),
    ] {
        let refused = command().arg("pretrain").args(arguments).assert().code(2);
        refused.stderr(contains(typed));
    }
}

#[test]
fn one_broken_picture_ends_no_small_folder_and_of_many_the_first_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    two_classes(&data, 20);
    let cut = |name: &str| {
        let path = data.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    };
    cut("cat/000.jpg");
    // One of 40 is more than the share that is allowed.
    train(&data, &folder.path().join("one")).assert().success().stderr(contains("000.jpg"));
    for name in ["cat/001.png", "cat/002.jpg", "cat/003.png", "dog/000.jpg", "dog/001.png"] {
        cut(name);
    }
    let refused = train(&data, &folder.path().join("many")).assert().code(1);
    refused.stderr(
        contains("cannot be read")
            .and(contains("--set data.max_bad_fraction=…"))
            .and(contains("logo-ssl data info"))
            .and(contains("the first are\n"))
            .and(contains("cat/00")),
    );
}

/// The weights at `from`, every name behind `prefix`, every number in `dtype`, at `to`.
fn rewrite(from: &Path, to: &Path, prefix: &str, dtype: Dtype) {
    let bytes = fs::read(from).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let converted: HashMap<String, (Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, view)| {
            let (numbers, _) = view.data().as_chunks::<4>();
            let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes));
            let data = match dtype {
                Dtype::BF16 => numbers.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
                Dtype::F16 => numbers.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
                // What remains of a number that was stored in bf16.
                _ => numbers.flat_map(|x| bf16::from_f32(x).to_f32().to_le_bytes()).collect(),
            };
            (format!("{prefix}{name}"), (view.shape().to_vec(), data))
        })
        .collect();
    let views = converted
        .iter()
        .map(|(name, (shape, data))| (name, TensorView::new(dtype, shape.clone(), data).unwrap()));
    fs::write(to, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn weights_of_any_precision_behind_any_prefix_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).args(["--epochs", "1"]).assert().success();
    let weights = run.join("weights.safetensors");
    let knn = |prefix: &str, dtype: Dtype| {
        let file = folder.path().join("theirs.safetensors");
        rewrite(&weights, &file, prefix, dtype);
        let mut knn = command();
        knn.args(["knn", "--json", "--k", "1,20", "--dataset", "shapes", "--weights"]).arg(&file);
        String::from_utf8(knn.assert().success().get_output().stdout.clone()).unwrap()
    };
    let rounded = knn("", Dtype::F32);
    assert!(rounded.contains(r#""top1":"#), "{rounded}");
    for prefix in ["module.", "backbone.", "module.encoder_q."] {
        assert_eq!(knn(prefix, Dtype::BF16), rounded, "{prefix}");
    }
    assert!(knn("encoder.", Dtype::F16).contains(r#""top1":"#));
}
