//! Weights for other programs, through the binary.

mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use support::pictures::{train, two_classes};
use support::{command, files, set};
use tempfile::TempDir;

/// An epoch on a few pictures, in a folder of its own.
fn run() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let [data, run] = ["pictures", "run"].map(|name| folder.path().join(name));
    two_classes(&data, 12);
    train(&data, &run).assert().success();
    (folder, run)
}

/// `logo-ssl export ENCODER --format FORMAT`, with whatever else.
fn export(encoder: &Path, format: &str) -> assert_cmd::Command {
    let mut command = command();
    command.args(["export", "--format", format]).arg(encoder);
    command
}

/// The bytes of what an export writes.
fn exported(encoder: &Path, format: &str, out: &Path, with: &[&str]) -> Vec<u8> {
    export(encoder, format).args(with).arg("--overwrite").arg("--out").arg(out).assert().success();
    fs::read(out).unwrap()
}

#[test]
fn every_format_goes_to_the_runs_folder_and_is_the_same_bytes_again() {
    let (_folder, run) = run();
    let before = files(&run);
    for (format, name) in [
        ("safetensors", "resnet10.safetensors"),
        ("pth", "resnet10.pth"),
        ("onnx", "resnet10.onnx"),
        ("stablehlo", "resnet10.mlir"),
    ] {
        let path = run.join("export").join(name);
        let written = predicate::str::contains(path.display().to_string());
        export(&run, format).assert().success().stdout(written);
        let first = fs::read(&path).unwrap();
        export(&run, format).assert().failure().stderr(predicate::str::contains("exists already"));
        assert_eq!(fs::read(&path).unwrap(), first);
        export(&run, format).arg("--overwrite").assert().success();
        assert_eq!(fs::read(&path).unwrap(), first, "{format}");
    }
    assert_eq!(files(&run), before, "the run is what it was");
}

#[test]
fn a_run_and_its_weights_file_are_the_same_export() {
    let (folder, run) = run();
    let weights = run.join("weights.safetensors");
    for format in ["safetensors", "pth", "onnx"] {
        let [ours, theirs] = [&run, &weights]
            .map(|encoder| exported(encoder, format, &folder.path().join("out"), &[]));
        assert_eq!(ours, theirs, "{format}");
    }
    export(&weights, "safetensors").assert().success();
    let beside = run.join("weights.export.safetensors");
    assert!(beside.exists(), "the file itself is not overwritten");
    let again = exported(&beside, "pth", &folder.path().join("out"), &[]);
    assert_eq!(again, exported(&run, "pth", &folder.path().join("out"), &[]));
}

#[test]
fn numbers_are_stored_as_asked() {
    let (folder, run) = run();
    let out = folder.path().join("out");
    let lengths = |format: &str| {
        ["f32", "f16", "bf16"].map(|dtype| exported(&run, format, &out, &["--dtype", dtype]).len())
    };
    for format in ["safetensors", "pth", "onnx"] {
        let [single, half, brain] = lengths(format);
        assert!(half < single && brain.abs_diff(half) < 4096, "{format}: {single} {half} {brain}");
    }
    export(&run, "pth").args(["--dtype", "bf16"]).assert().success();
    assert!(run.join("export/resnet10-bf16.pth").exists());
    export(&run, "pth")
        .args(["--dtype", "f64"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("f32, f16, bf16"));
    export(&run, "stablehlo")
        .args(["--dtype", "f16"])
        .assert()
        .failure()
        .stderr(predicate::str::contains("nothing to round"));
}

#[test]
fn a_safetensors_file_has_torchvisions_tensors_and_the_settings() {
    let (folder, run) = run();
    let out = folder.path().join("out");
    exported(&run, "safetensors", &out, &[]);
    let backbone = header(out);
    let config = backbone["__metadata__"]["logo_ssl"].as_str().unwrap();
    assert!(config.contains("preset = \"folder\""), "{config}");
    assert_eq!(backbone["conv1.weight"]["shape"], serde_json::json!([2, 3, 3, 3]));
    let counter = &backbone["bn1.num_batches_tracked"];
    assert_eq!((&counter["dtype"], &counter["shape"]), (&"I64".into(), &serde_json::json!([])));
    assert!(backbone.as_object().unwrap().keys().all(|name| !name.contains("projector")));
    let out = folder.path().join("heads");
    exported(&run, "safetensors", &out, &["--heads"]);
    let heads = header(out);
    for name in ["projector.layers.0.linear.weight", "affinity.output.weight", "conv1.weight"] {
        assert!(heads.get(name).is_some(), "{name}");
    }
}

#[test]
fn an_archive_for_pytorch_names_its_tensors_in_order() {
    let (folder, run) = run();
    let out = folder.path().join("out.pth");
    exported(&run, "pth", &out, &[]);
    let mut archive = zip::ZipArchive::new(fs::File::open(&out).unwrap()).unwrap();
    let mut pickle = Vec::new();
    archive.by_name("archive/data.pkl").unwrap().read_to_end(&mut pickle).unwrap();
    let place = |name: &str| pickle.windows(name.len()).position(|part| part == name.as_bytes());
    let order = ["conv1.weight", "bn1.weight", "bn1.running_var", "bn1.num_batches_tracked"];
    let more =
        ["layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "layer4.0.downsample.1.bias"];
    let places: Vec<usize> = order.iter().chain(&more).map(|name| place(name).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn models_hold_the_projector_where_it_is_asked_for() {
    let (folder, run) = run();
    let plain = exported(&run, "onnx", &folder.path().join("plain.onnx"), &[]);
    let heads = exported(&run, "onnx", &folder.path().join("heads.onnx"), &["--heads"]);
    let holds =
        |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds(&plain, "features") && !holds(&plain, "embedding"));
    assert!(holds(&heads, "features") && holds(&heads, "embedding"));
    let folded =
        exported(&run, "onnx", &folder.path().join("f"), &["--heads", "--fold-batch-norm"]);
    assert!(!holds(&folded, "BatchNormalization") && holds(&plain, "BatchNormalization"));
    let text =
        String::from_utf8(exported(&run, "stablehlo", &folder.path().join("t"), &["--heads"]));
    let text = text.unwrap();
    assert!(text.starts_with("// %arg0: images"), "{}", &text[..80]);
    assert!(text.contains(": conv1.weight") && text.contains(": projector.layers.0.linear.weight"));
    let sized = exported(
        &run,
        "stablehlo",
        &folder.path().join("s"),
        &["--batch-size", "3", "--size", "24"],
    );
    assert!(String::from_utf8(sized).unwrap().contains("tensor<3x3x24x24xf32>"));
    export(&run.join("weights.safetensors"), "onnx")
        .arg("--heads")
        .assert()
        .failure()
        .stderr(predicate::str::contains("backbone alone"));
}

/// The same of a network with torchvision's stem and a width of 4.
fn run_with_imagenets_stem() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let [data, run] = ["pictures", "run"].map(|name| folder.path().join(name));
    two_classes(&data, 12);
    let views = ["views.global.size=32", "views.local.size=32", "model.stem=imagenet"];
    let others = ["eval.resize=40", "eval.crop=32", "model.width=4"];
    train(&data, &run).args(set(views)).args(set(others)).assert().success();
    (folder, run)
}

/// Weights of ones with the names of the tensors in `narrow`, of a network 16 times as wide.
fn widened(narrow: &[u8], out: &Path) {
    let tensors = safetensors::SafeTensors::deserialize(narrow).unwrap();
    let wide = tensors.iter().filter(|(name, _)| !name.ends_with("tracked")).map(|(name, view)| {
        let kept = |at: &usize| if matches!(at, 1 | 3 | 7) { *at } else { 16 * at };
        let shape: Vec<usize> = view.shape().iter().map(kept).collect();
        let ones = 1_f32.to_le_bytes().repeat(shape.iter().product());
        (name.to_owned(), shape, ones)
    });
    let wide: Vec<_> = wide.collect();
    let views = wide.iter().map(|(name, shape, bytes)| {
        let single = safetensors::Dtype::F32;
        (name, safetensors::tensor::TensorView::new(single, shape.clone(), bytes).unwrap())
    });
    fs::write(out, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn json(path: PathBuf) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The header of a safetensors file.
fn header(path: PathBuf) -> serde_json::Value {
    let bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[8..8 + length]).unwrap()
}

#[test]
fn a_folder_is_transformers_or_timms_by_the_networks_width() {
    let (folder, run) = run_with_imagenets_stem();
    export(&run, "hf").assert().success();
    let out = run.join("export/resnet10-hf");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4);
    let config = json(out.join("config.json"));
    assert_eq!(config["model_type"], "resnet");
    assert_eq!(config["hidden_sizes"], serde_json::json!([4, 8, 16, 32]));
    let weights = header(out.join("model.safetensors"));
    assert_eq!(weights["__metadata__"], serde_json::json!({ "format": "pt" }));
    let name = "encoder.stages.0.layers.0.layer.0.convolution.weight";
    assert_eq!(weights[name]["shape"], serde_json::json!([4, 4, 3, 3]));
    let images = json(out.join("preprocessor_config.json"));
    assert_eq!(
        (&images["size"]["shortest_edge"], &images["crop_size"]["width"]),
        (&40.into(), &32.into())
    );

    let wide = folder.path().join("wide.safetensors");
    widened(&fs::read(run.join("weights.safetensors")).unwrap(), &wide);
    export(&wide, "hf").args(["--dataset", "imagenet100"]).assert().success();
    let out = folder.path().join("wide-hf");
    let config = json(out.join("config.json"));
    assert_eq!(config["architecture"], "resnet18");
    assert_eq!(config["model_args"]["layers"], serde_json::json!([1, 1, 1, 1]));
    assert_eq!(config["pretrained_cfg"]["input_size"], serde_json::json!([3, 224, 224]));
    assert_eq!(config["pretrained_cfg"]["mean"], serde_json::json!([0.485, 0.456, 0.406]));
    let weights = header(out.join("model.safetensors"));
    assert_eq!(weights["layer1.0.conv1.weight"]["shape"], serde_json::json!([64, 64, 3, 3]));
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(
        card.contains("library_name: timm") && card.contains("Nothing has been measured"),
        "{card}"
    );
}

#[test]
fn the_card_says_what_was_trained_and_measured() {
    let (_folder, run) = run_with_imagenets_stem();
    let card = |with: &[&str]| {
        export(&run, "hf").args(with).assert().success();
        fs::read_to_string(run.join("export/resnet10-hf/README.md")).unwrap()
    };
    let first = card(&[]);
    for said in [
        "library_name: transformers",
        "| images | folder, 22 images |",
        "| method | simclr with LoGo",
        "| epochs | 1 of 1 |",
        "kNN on",
        "brought to 40 pixels",
        "## Limits",
        "## Licence",
        "preset = \"folder\"",
    ] {
        assert!(first.contains(said), "{said}: {first}");
    }
    export(&run, "hf").assert().failure().stderr(predicate::str::contains("exists already"));
    command().args(["eval", "--suite", "quick", "--no-floors"]).arg(&run).assert().success();
    let evaluated = card(&["--overwrite"]);
    assert!(evaluated.contains("| evaluation | score |"), "{evaluated}");
    export(&run, "hf")
        .args(["--heads", "--overwrite"])
        .assert()
        .failure()
        .stderr(predicate::str::contains("have no place"));
}

#[test]
fn what_no_library_has_is_refused_with_what_to_use_instead() {
    let (folder, run) = run();
    export(&run, "hf").assert().failure().stderr(
        predicate::str::contains("stem for small images").and(predicate::str::contains("onnx")),
    );
    assert!(!run.join("export").exists(), "nothing is written");
    for (format, flag) in
        [("pth", "--fold-batch-norm"), ("onnx", "--size=8"), ("hf", "--batch-size=2")]
    {
        let name = flag.split('=').next().unwrap();
        export(&run, format).arg(flag).assert().code(2).stderr(predicate::str::contains(name));
    }
    export(&run, "stablehlo").arg("--size=0").assert().code(2);
    export(&run, "keras")
        .assert()
        .code(2)
        .stderr(predicate::str::contains("safetensors, pth, onnx"));
    export(folder.path(), "pth")
        .assert()
        .failure()
        .stderr(predicate::str::contains("is this a run directory?"));
    let text = folder.path().join("notes.txt");
    fs::write(&text, "no weights").unwrap();
    export(&text, "pth").assert().failure().stderr(predicate::str::contains("notes.txt"));
}

#[test]
fn weights_that_do_not_say_what_they_saw_need_a_dataset() {
    let (folder, run) = run();
    let with_config = exported(&run, "safetensors", &folder.path().join("out"), &[]);
    let foreign = folder.path().join("foreign.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&with_config).unwrap();
    fs::write(&foreign, safetensors::serialize(tensors.tensors(), None).unwrap()).unwrap();
    export(&foreign, "stablehlo")
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--dataset or --size"));
    export(&foreign, "stablehlo").arg("--size=16").assert().success();
    assert!(folder.path().join("foreign.mlir").exists());
    export(&foreign, "hf").assert().code(2).stderr(predicate::str::contains("--dataset"));
    export(&foreign, "onnx").assert().success();
}
