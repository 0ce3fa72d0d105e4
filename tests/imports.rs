//! Checkpoints of other programs: their backbones have the features that their own networks have.
//!
//! `tests/fixtures/make_checkpoints.py` saves them with the programs' own code where it can be installed.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl::Error;
use logo_ssl::config::Features;
use logo_ssl::executor::Device;
use logo_ssl::interop::export::{Dtype, Export, Format, Parts};
use logo_ssl::interop::{Choice, EncoderAt, Import, weights};
use serde::Deserialize;
use support::{distance, images};

/// An `nn.Sequential` that is another network than the ResNet whose parts it has.
const OTHER_NETWORK: &str = "lightly_no_relu.ckpt";

/// What is expected of a file.
#[derive(Deserialize)]
struct Expected {
    features: Vec<f32>,
    /// Whether the file holds another backbone, too.
    #[serde(default)]
    several: bool,
    /// Whether its stem pads by two pixels, which the file does not say.
    #[serde(default)]
    padded_stem: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints")
}

/// By the file's name and the prefix that is chosen, with a colon between.
fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_str(&fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap()
}

fn choice(prefix: &str) -> Choice {
    let prefix = (!prefix.is_empty()).then(|| prefix.to_owned());
    Choice { prefix, ..Choice::default() }
}

#[test]
fn features_are_those_of_the_network_that_was_saved() {
    for (key, expected) in expected() {
        let (file, prefix) = key.split_once(':').unwrap();
        let choice = Choice { padded_stem: expected.padded_stem, ..choice(prefix) };
        let import = Import::open(&folder().join(file), &choice).unwrap();
        let encoder = import.encoder(&Device::cpu()).unwrap();
        let features = encoder.features(images(), Features::Backbone).unwrap();
        let error = distance(&features, &expected.features);
        assert!(error < 1e-4, "{key} is off by {error:.2e}");
        assert_eq!(import.missing().count(), 0, "{key}");
    }
}

#[test]
fn what_is_written_has_the_same_features() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("weights.safetensors");
    let features = |path: &Path| {
        let encoder = weights::read(path, &Device::cpu()).unwrap();
        encoder.features(images(), Features::Backbone).unwrap()
    };
    for file in ["torchvision.pth", "simsiam.pth.tar", "lightly.ckpt", "logo_simsiam.pt"] {
        let file = folder().join(file);
        Import::open(&file, &Choice::default()).unwrap().write(&path).unwrap();
        assert_eq!(features(&path), features(&file), "{}", file.display());
        let again = out.path().join("again.safetensors");
        Import::open(&path, &Choice::default()).unwrap().write(&again).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap(), "{}", file.display());
    }
}

/// The stem of a file that has no settings is written beside its weights, so that it is known from then on.
#[test]
fn a_padded_stem_is_said_once() {
    let out = tempfile::tempdir().unwrap();
    let [path, exported] = ["weights", "exported"].map(|name| out.path().join(name));
    let features = |path: &Path| {
        let encoder = weights::read(path, &Device::cpu()).unwrap();
        encoder.features(images(), Features::Backbone).unwrap()
    };
    let file = folder().join("solo_learn.ckpt");
    let padded = Choice { padded_stem: true, ..Choice::default() };
    Import::open(&file, &padded).unwrap().write(&path).unwrap();
    let expected = &expected()["solo_learn.ckpt:"].features;
    assert!(distance(&features(&path), expected) < 1e-4);
    assert!(distance(&features(&file), expected) > 1e-2, "the file itself does not say");

    let parts = Parts { heads: false, dtype: Dtype::F32 };
    let export = Export::open(&EncoderAt::Weights(path.clone())).unwrap();
    export.write(Format::Safetensors, parts, &exported, false).unwrap();
    assert_eq!(features(&exported), features(&path));

    let large = Import::open(&folder().join("torchvision.pth"), &padded).unwrap_err().to_string();
    assert!(large.contains("7×7"), "{large}");
}

#[test]
fn one_of_several_backbones_has_to_be_named() {
    for (key, expected) in expected().into_iter().filter(|(_, expected)| expected.several) {
        let (file, prefix) = key.split_once(':').unwrap();
        let path = folder().join(file);
        let Err(Error::Several { prefixes, .. }) = Import::open(&path, &Choice::default()) else {
            panic!("{key} holds two backbones ({} features)", expected.features.len());
        };
        assert_eq!(prefixes.len(), 2, "{key}: {prefixes:?}");
        let import = Import::open(&path, &choice(prefix)).unwrap();
        assert!(prefixes.contains(&import.prefix), "{key}: {} of {prefixes:?}", import.prefix);
        let other = Import::open(&path, &choice("nothing")).unwrap_err().to_string();
        assert!(other.contains("`nothing`") && other.contains(&prefixes[0]), "{other}");
    }
}

#[test]
fn every_checkpoint_is_held_to_something() {
    let of_files = |name: &str| name != "expected.json" && name != OTHER_NETWORK;
    let there = fs::read_dir(folder()).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.filter(|name| of_files(name)).collect();
    let held = expected().into_keys().map(|key| key.split_once(':').unwrap().0.to_owned());
    assert_eq!(there, held.collect());
}

#[test]
fn a_sequence_without_what_a_resnet_computes_between_its_parts_is_refused() {
    let problem = Import::open(&folder().join(OTHER_NETWORK), &Choice::default()).unwrap_err();
    let problem = problem.to_string();
    assert!(problem.contains("`state_dict.backbone.` has no ReLU"), "{problem}");
}

#[test]
fn heads_are_left_over_and_counters_are_not_spoken_of() {
    let simsiam = folder().join("simsiam.pth.tar");
    let import = Import::open(&simsiam, &Choice::default()).unwrap();
    assert_eq!(import.prefix, "state_dict.module.encoder.");
    let left: Vec<&str> = import.left_over.iter().map(|left| left.name.as_str()).collect();
    assert!(left.contains(&"state_dict.module.encoder.fc.0.weight"), "{left:?}");
    assert!(left.contains(&"state_dict.module.predictor.3.bias"), "{left:?}");
    assert!(!left.iter().any(|name| name.ends_with("num_batches_tracked")), "{left:?}");
}
