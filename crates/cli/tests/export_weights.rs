//! Weights for other programs, through the binary.

mod support;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use support::{command, files, set, tiny_run};
use tempfile::TempDir;

/// A run of seconds with SimSiam's heads and f_d.
fn run() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).assert().success();
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
    let bytes = exported(&run, "safetensors", &folder.path().join("out"), &[]);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let config = header["__metadata__"]["logo_ssl"].as_str().unwrap();
    assert!(config.contains("preset = \"quickstart\""));
    assert_eq!(header["conv1.weight"]["shape"], serde_json::json!([2, 3, 3, 3]));
    assert_eq!(header["bn1.num_batches_tracked"]["dtype"], "I64");
    assert_eq!(header["bn1.num_batches_tracked"]["shape"], serde_json::json!([]));
    assert!(header.as_object().unwrap().keys().all(|name| !name.contains("projector")));
    let bytes = exported(&run, "safetensors", &folder.path().join("heads"), &["--heads"]);
    let text = String::from_utf8_lossy(&bytes[..20_000.min(bytes.len())]).into_owned();
    for name in
        ["projector.layers.0.linear.weight", "predictor.output.bias", "affinity.output.weight"]
    {
        assert!(text.contains(name), "{name}");
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

/// A run of torchvision's stem, of some width.
fn with_imagenets_stem(run: &Path, width: &str) {
    let width = format!("model.width={width}");
    let views = ["views.global.size=32", "views.local.size=32", "model.stem=imagenet"];
    tiny_run(run)
        .args(set(views))
        .args(set(["optimizer.epochs=1", "eval.resize=40", "eval.crop=32", &width]))
        .assert()
        .success();
}

#[test]
fn a_folder_says_whose_network_it_is_and_how_images_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let json = |path: PathBuf| -> serde_json::Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    for (width, library) in [("64", "timm"), ("4", "transformers")] {
        let run = folder.path().join(format!("run-{width}"));
        with_imagenets_stem(&run, width);
        export(&run, "hf").assert().success();
        let out = run.join("export/resnet10-hf");
        let names: Vec<String> = {
            let entries = fs::read_dir(&out).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names.len(), 4, "{names:?}");
        let config = json(out.join("config.json"));
        let images = json(out.join("preprocessor_config.json"));
        assert_eq!(images["size"]["shortest_edge"], 40);
        assert_eq!(images["crop_size"]["height"], 32);
        let weights = fs::read(out.join("model.safetensors")).unwrap();
        let header = String::from_utf8_lossy(&weights[..2000]).into_owned();
        assert!(header.contains(r#""__metadata__":{"format":"pt"}"#), "{header}");
        match library {
            "timm" => {
                assert_eq!(config["architecture"], "resnet18");
                assert_eq!(config["model_args"]["layers"], serde_json::json!([1, 1, 1, 1]));
                assert_eq!(config["pretrained_cfg"]["input_size"], serde_json::json!([3, 32, 32]));
            }
            _ => {
                assert_eq!(config["model_type"], "resnet");
                assert_eq!(config["hidden_sizes"], serde_json::json!([4, 8, 16, 32]));
                assert!(header.contains("encoder.stages.0.layers.0.layer.0.convolution.weight"));
            }
        }
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        for said in [
            &*format!("library_name: {library}"),
            "| method | simsiam",
            "kNN on",
            "## Limits",
            "## Licence",
        ] {
            assert!(card.contains(said), "{said}: {card}");
        }
        export(&run, "hf").assert().failure().stderr(predicate::str::contains("exists already"));
        export(&run, "hf").arg("--overwrite").assert().success();
    }
    let run = folder.path().join("run-4");
    let quick = ["--suite", "quick", "--no-floors"];
    command().arg("eval").arg(&run).args(quick).assert().success();
    export(&run, "hf").arg("--overwrite").assert().success();
    let card = fs::read_to_string(run.join("export/resnet10-hf/README.md")).unwrap();
    assert!(card.contains("| evaluation | score |"), "{card}");
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
