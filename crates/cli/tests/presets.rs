//! Every preset trains: a step of it, on images of its kind, with a network of a size for tests.

mod support;

use std::path::Path;

use logo_ssl::config::Config;
use logo_ssl::data::{DatasetName, Images, Places, Splits};
use logo_ssl::executor::Device;
use logo_ssl::{bench, presets};
use support::pictures::eighty;
use support::{command, skipped};

/// Batch and network small; views, framework, affinity and optimiser as the preset has them.
const SMALL: [&str; 9] = [
    "model.width=2",
    "model.projector.hidden=16",
    "model.projector.dim=16",
    "affinity.width=8",
    "optimizer.warmup_epochs=0.0",
    "framework.momentum.queue=64",
    "eval.k=[1]",
    "eval.every=0",
    "eval.floors=false",
];

fn train(preset: &str, further: &[&str]) -> assert_cmd::Command {
    let mut command = command();
    command.args(["pretrain", "--quiet", "--no-pictures", "--preset", preset, "--epochs", "1"]);
    command.args(["--batch-size", "16", "--limit", "16"]);
    for setting in SMALL.iter().chain(further) {
        command.args(["--set", setting]);
    }
    command
}

/// A preset with a predictor keeps one.
fn predictor(preset: &str) -> Option<&'static str> {
    let config = presets::Layers::preset(preset).unwrap().build().unwrap();
    (config.model.predictor.hidden > 0).then_some("model.predictor.hidden=4")
}

#[test]
fn each_trains_a_step_on_small_pictures() {
    let folder = tempfile::tempdir().unwrap();
    for preset in presets::names() {
        let mut further = vec!["data.dataset=folder", "eval.resize=16", "eval.crop=16"];
        further.extend(predictor(preset));
        let run = folder.path().join(preset);
        let places = [("--data-dir", eighty()), ("--run-dir", &run)];
        let mut train = train(preset, &further);
        for (flag, place) in places {
            train.arg(flag).arg(place);
        }
        train.assert().success();
        let log = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
        assert_eq!(log.matches(r#""kind":"step""#).count(), 1, "{preset}");
    }
}

/// A step under `config` passes over a batch of the views that it names, and waits for them no longer than
/// it takes.
fn assert_trains(config: &Config, images: &Images) {
    let found = bench::train(config, images, 1, &Device::cpu()).unwrap();
    assert_eq!(found.batch, config.optimizer.images_per_update(), "{found:?}");
    let views = &config.views;
    assert_eq!(found.sizes, [views.global.size, views.local.size], "{found:?}");
    let seconds = found.batch as f64 / found.images_per_second;
    assert!(seconds.is_finite() && found.views_wait_seconds <= seconds, "{found:?}");
}

/// Without kNN, whose raw pixels take longer than all else.
#[test]
fn each_trains_a_step_on_cifar_10() {
    let Some(data) = std::env::var_os("LOGO_SSL_DATA") else {
        return skipped("LOGO_SSL_DATA is not set");
    };
    let splits = Splits::load(DatasetName::CIFAR10, Some(data.as_ref())).unwrap();
    for preset in presets::names().filter(|name| name.starts_with("cifar10")) {
        let settings =
            SMALL.into_iter().chain(predictor(preset)).chain(["optimizer.batch_size=16"]);
        let layers = presets::Layers::preset(preset).unwrap();
        let layers = settings.fold(layers, |layers, setting| layers.set(setting).unwrap());
        assert_trains(&layers.build().unwrap(), &splits.train);
    }
}

/// The sample of ImageNet among the data, unpacked.
fn imagenet_sample() -> Option<tempfile::TempDir> {
    let archive = Path::new(&std::env::var_os("LOGO_SSL_DATA")?).join("imagenet100-sample.tar");
    let folder = tempfile::tempdir().unwrap();
    let archive = std::fs::File::open(archive).ok()?;
    tar::Archive::new(archive).unpack(folder.path()).unwrap();
    Some(folder)
}

/// Views of 224 and 96 pixels, as the presets have them.
#[test]
fn each_trains_a_step_on_imagenet_and_that_for_folders_too() {
    let Some(folder) = imagenet_sample() else {
        return skipped("LOGO_SSL_DATA is not set, or has no imagenet100-sample.tar");
    };
    let data = folder.path().join("imagenet100-sample");
    let suits = |name: &&str| name.starts_with("imagenet") || *name == "folder";
    for preset in presets::names().filter(suits) {
        let settings = SMALL.into_iter().chain(predictor(preset)).chain(["optimizer.batch_size=4"]);
        let layers = presets::Layers::preset(preset).unwrap();
        let layers = settings.fold(layers, |layers, setting| layers.set(setting).unwrap());
        let config = layers.build().unwrap();
        let places = Places { data: Some(data.clone()), eval: None };
        let splits = logo_ssl::data::load(&config, &places).unwrap();
        assert_eq!((splits.train.len(), splits.evaluation.is_none()), (100, true), "{preset}");
        assert_trains(&config, &splits.train);
    }
}

#[test]
fn any_number_of_views_trains() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("quickstart", ["views.global.count=2", "views.local.count=5"], "2"),
        ("cifar10-moco-logo", ["views.global.count=3", "views.local.count=3"], "3"),
    ];
    for (preset, counts, groups) in cases {
        let groups = format!("framework.momentum.norm_groups={groups}");
        let others = ["data.dataset=shapes", "framework.momentum.queue=96", &groups];
        let settings = [&counts[..], &others].concat();
        let run = folder.path().join(preset);
        train(preset, &settings).arg("--run-dir").arg(&run).assert().success();
        assert!(run.join("preview.png").is_file());
    }
}

#[test]
fn what_contradicts_itself_is_refused_with_the_reason() {
    let cases: [(&str, &[&str], &str); 9] = [
        ("cifar10-moco-logo", &["framework.momentum.queue=1000"], "must be a multiple of 512"),
        ("cifar10-moco-logo", &["framework.momentum.norm_groups=3"], "equal groups"),
        (
            "cifar10-moco-logo",
            &[
                "optimizer.batch_size=17",
                "framework.momentum.queue=34",
                "framework.momentum.norm_groups=1",
            ],
            "its own negative",
        ),
        ("cifar10-byol-logo", &["model.predictor.hidden=0"], "collapse without one"),
        ("cifar10", &["views.local.count=1"], "L_ll compares two local views"),
        ("cifar10", &["views.local.size=40"], "local views are the smaller ones"),
        ("cifar10", &["views.global.count=1"], "expected 2 to 64"),
        ("cifar10", &["affinity.form=cosine"], "a cosine is bounded already"),
        ("cifar10", &["affinity.form=tangent"], "unknown variant"),
    ];
    for (preset, settings, reason) in cases {
        let layers = presets::Layers::preset(preset).unwrap();
        let layers = settings.iter().fold(layers, |layers, setting| layers.set(setting).unwrap());
        let error = layers.build().unwrap_err();
        assert!(matches!(error, logo_ssl::Error::Setting { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{preset} {settings:?}: {error}");
    }
    let plain = presets::Layers::preset("cifar10-simsiam").unwrap();
    plain.set("views.local.count=0").unwrap().build().unwrap();
}
