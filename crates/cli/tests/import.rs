//! Weights in, through the binary: checkpoints as other programs write them (tests/fixtures/make_checkpoints.py).

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl::interop::tensors;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use support::{command, set, shapes_run};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/checkpoints").join(name)
}

#[test]
fn a_checkpoint_becomes_weights_that_measure_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("w.safetensors");
    let mut import = command();
    import.arg("import").arg(fixture("simsiam.pth.tar")).arg("--out").arg(&out);
    let said = String::from_utf8(import.assert().success().get_output().stdout.clone()).unwrap();
    for part in [
        "module.encoder.layer1.0.conv3.weight",
        "  layer1.0.conv3.weight",
        "a ResNet of [1, 1, 1, 1] bottlenecks of width 1 with the stem for large images",
        "behind `state_dict.module.encoder.`",
        "left out: 15 tensors",
        "  state_dict.module.predictor   7 tensors",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let knn = |weights: &Path| {
        let mut knn = command();
        knn.args(["knn", "--json", "--k", "1", "--dataset", "shapes", "--weights"]).arg(weights);
        String::from_utf8(knn.assert().success().get_output().stdout.clone()).unwrap()
    };
    let direct = knn(&fixture("simsiam.pth.tar"));
    assert!(direct.contains(r#""top1":"#), "{direct}");
    assert_eq!(knn(&out), direct, "the file itself and what was imported of it");
    let again = folder.path().join("again.safetensors");
    command().arg("import").arg(&out).arg("--out").arg(&again).assert().success();
    assert_eq!(fs::read(&again).unwrap(), fs::read(&out).unwrap(), "what is imported again");
}

#[test]
fn of_two_encoders_one_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let import = |arguments: &[&str]| {
        let mut import = command();
        import.current_dir(folder.path()).arg("import").arg(fixture("moco_v2.pth.tar"));
        import.args(arguments).assert()
    };
    let asks = contains("`state_dict.module.encoder_k.`, `state_dict.module.encoder_q.`")
        .and(contains("--prefix state_dict.module.encoder_k"));
    import(&[]).code(1).stderr(asks);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a refusal writes nothing");
    import(&["--prefix", "encoder"]).code(1).stderr(contains("begin with `encoder`; there is"));
    import(&["--prefix", "encoder_q", "--quiet"])
        .success()
        .stdout(contains("weights: weights.safetensors"));
    import(&["--prefix", "encoder_q"]).code(2).stderr(contains("name another by --out"));
    let answer = import(&["--prefix", "encoder_k", "--json", "--out", "k.safetensors"]).success();
    let answer: serde_json::Value = serde_json::from_slice(&answer.get_output().stdout).unwrap();
    assert_eq!(answer["prefix"], "state_dict.module.encoder_k.");
    assert_eq!(answer["mapped"][0]["element"], "F16");
    assert_ne!(
        fs::read(folder.path().join("k.safetensors")).unwrap(),
        fs::read(folder.path().join("weights.safetensors")).unwrap()
    );
}

#[test]
fn what_is_unmatched_is_refused_unless_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(fixture("timm.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let kept = tensors.iter().filter(|(name, _)| *name != "layer4.0.bn2.running_var");
    let file = folder.path().join("lacking.safetensors");
    fs::write(&file, safetensors::serialize(kept, None).unwrap()).unwrap();
    let out = folder.path().join("w.safetensors");
    let mut import = command();
    import.arg("import").arg(&file).arg("--out").arg(&out);
    import
        .assert()
        .code(1)
        .stderr(contains("lacks `layer4.0.bn2.running_var`").and(contains("--allow-missing")));
    import.arg("--allow-missing").assert().success().stdout(contains("not there"));
    command().arg("import").arg(&file).arg("--out").arg(&file).assert().code(2);
}

/// A run's backbone as an ONNX model, its batch norms folded into the convolutions or not, comes back.
#[test]
fn a_model_in_onnx_becomes_weights() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // Such a model does not say on how many pixels it was evaluated: on whole images, then.
    shapes_run(&run).args(set(["eval.resize=0", "eval.crop=0"])).assert().success();
    let export = |out: &Path, more: &[&str]| {
        let mut export = command();
        export.args(["export", "--format", "onnx", "--out"]).arg(out).args(more).arg(&run);
        export.assert().success();
    };
    let import = |model: &Path| {
        let out = model.with_extension("safetensors");
        command().arg("import").arg(model).arg("--out").arg(&out).assert().success();
        tensors::read(&out).unwrap().0
    };
    let (own, _) = tensors::read(&run.join("weights.safetensors")).unwrap();
    let plain = folder.path().join("plain.onnx");
    export(&plain, &[]);
    assert!(import(&plain) == own, "named tensors are the weights, bit by bit");
    // Folded, the numbers are others and the features the same.
    let folded = folder.path().join("folded.onnx");
    export(&folded, &["--fold-batch-norm"]);
    assert_eq!(import(&folded).keys().collect::<Vec<_>>(), own.keys().collect::<Vec<_>>());
    let top1 = |weights: &Path| {
        let mut knn = command();
        knn.args(["knn", "--json", "--k", "20", "--dataset", "shapes", "--weights"]).arg(weights);
        let said = knn.assert().success().get_output().stdout.clone();
        let found: serde_json::Value = serde_json::from_slice(&said).unwrap();
        found["results"][0]["top1"].as_f64().unwrap()
    };
    let [weights, model] = [run.join("weights.safetensors"), folded].map(|at| top1(&at));
    assert!((weights - model).abs() < 0.005, "{weights} of the weights, {model} of the model");
}
