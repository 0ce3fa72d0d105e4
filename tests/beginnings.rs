//! Runs that begin from checkpoints: encoder, predictor, momentum encoder and queue are those that were saved.
//!
//! `tests/fixtures/make_beginnings.py` saves them with the programs' own code where it can be installed.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl::config::{Config, Features};
use logo_ssl::executor::Device;
use logo_ssl::interop::{Choice, EncoderAt, Fit, Import, Init, InitFrom, Part, tensors};
use logo_ssl::model::params::{State, TensorData, Weights};
use logo_ssl::model::{Network, Phase};
use logo_ssl::presets::Layers;
use logo_ssl::train::{Learner, checkpoint};
use logo_ssl::{Error, Result};
use serde::Deserialize;
use support::{compute, distance, images};

const NARROW: [&str; 5] = [
    "model.backbone=resnet10",
    "model.width=1",
    "framework.logo=false",
    "views.global.size=32",
    "views.local.size=32",
];
const SIMSIAM: [&str; 4] = [
    "framework.name=simsiam",
    "model.stem=imagenet",
    r#"model.projector={layers = 3, hidden = 8, dim = 5, norm = "all"}"#,
    "model.predictor.hidden=4",
];
const MOCO: [&str; 6] = [
    "framework.name=moco",
    "framework.momentum.queue=12",
    "optimizer.batch_size=2",
    "model.stem=imagenet",
    r#"model.projector={layers = 2, hidden = 8, dim = 5, norm = "none"}"#,
    "model.predictor.hidden=0",
];
const BYOL: [&str; 4] = [
    "framework.name=byol",
    "model.stem=cifar",
    r#"model.projector={layers = 2, hidden = 4, dim = 5, norm = "hidden"}"#,
    "model.predictor.hidden=4",
];

/// What is expected of a file: vectors of two images, one behind the other, and keys, the oldest first.
#[derive(Deserialize)]
struct Expected {
    embeddings: Vec<f32>,
    predictions: Option<Vec<f32>>,
    momentum: Option<Vec<f32>>,
    queue: Option<Vec<f32>>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn beginning(file: &str) -> PathBuf {
    fixtures().join("beginnings").join(file)
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_str(&fs::read_to_string(beginning("expected.json")).unwrap()).unwrap()
}

fn config(settings: &[&str]) -> Config {
    let layers = Layers::preset("cifar10").unwrap();
    let all = NARROW.iter().chain(settings);
    all.fold(layers, |layers, setting| layers.set(setting).unwrap()).build().unwrap()
}

fn partly(path: PathBuf) -> InitFrom {
    let choice = Choice { allow_missing: true, ..Choice::default() };
    InitFrom { at: EncoderAt::path(&path), choice }
}

/// What a learner of `config` begins with.
fn begun(config: &Config, from: &InitFrom) -> Result<(Init, Learner)> {
    let init = Init::open(from, config)?;
    let mut learner = Learner::new(config, &Device::cpu())?;
    learner.begin_from(init.state())?;
    Ok((init, learner))
}

/// What the tensors of `state` behind `prefix` make of the images: embeddings, and predictions of them.
fn outputs(network: &Network, state: &State, prefix: &str) -> [Vec<f32>; 2] {
    let layouts = network.layouts();
    let [trained, running] = layouts.map(|layout| {
        let flat = layout.join(state, prefix).unwrap();
        TensorData::new(flat, [layout.len()])
    });
    let inputs = [("trained", trained), ("running", running), ("images", images())];
    let outputs = compute(&Device::cpu(), &inputs, |_, nodes| {
        let weights = Weights::of(layouts, [Some(nodes[0]), Some(nodes[1])]);
        let made = network.forward(nodes[2], &weights, Phase::Eval);
        vec![made.z, made.p]
    });
    outputs.try_into().unwrap()
}

fn fit(init: &Init, part: Part) -> Option<&Fit> {
    init.origin().parts.iter().find(|of| of.part == part).map(|of| &of.fit)
}

fn is_taken(init: &Init, part: Part) -> bool {
    matches!(fit(init, part), Some(Fit::Taken { missing: 0, .. }))
}

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    let error = distance(found, expected);
    assert!(error < 1e-4, "off by {error:.2e}");
}

#[test]
fn embeddings_and_predictions_are_those_of_the_networks_that_were_saved() {
    for (file, expected) in expected() {
        let settings: &[&str] = match &*file {
            "simsiam.pth.tar" => &SIMSIAM,
            "moco.pth.tar" => &MOCO,
            _ => &BYOL,
        };
        let config = config(settings);
        let (init, learner) = begun(&config, &beginning(&file).into()).unwrap();
        let state = learner.state().unwrap();
        let [z, p] = outputs(learner.network(), &state, "network.");
        close(&z, &expected.embeddings);
        close(&p, expected.predictions.as_ref().unwrap_or(&expected.embeddings));
        assert_eq!(is_taken(&init, Part::Predictor), expected.predictions.is_some(), "{file}");
        assert_eq!(is_taken(&init, Part::MomentumEncoder), expected.momentum.is_some(), "{file}");
        assert_eq!(is_taken(&init, Part::Queue), expected.queue.is_some(), "{file}");
        if let Some(momentum) = expected.momentum {
            close(&outputs(learner.network(), &state, "momentum.")[0], &momentum);
        }
        if let Some(queue) = expected.queue {
            close(&state["framework.queue"].values, &queue);
            assert_eq!(state["framework.next"].values, [0.0]);
        }
        assert_eq!(init.origin().left_out, 0, "{file}");
    }
}

#[test]
fn a_file_without_heads_begins_with_the_backbone_alone() {
    let config = config(&SIMSIAM);
    let torchvision = fixtures().join("checkpoints/torchvision.pth");
    let (init, learner) = begun(&config, &torchvision.into()).unwrap();
    assert_eq!(fit(&init, Part::Projector), Some(&Fit::Absent));
    assert_eq!(fit(&init, Part::Predictor), Some(&Fit::Absent));
    // The classifier's weight and bias.
    assert_eq!(init.origin().left_out, 2);
    let first = Learner::new(&config, &Device::cpu()).unwrap().state().unwrap();
    let state = learner.state().unwrap();
    for (name, tensor) in &state {
        let is_of_backbone = name.starts_with("network.backbone.");
        let is_first = *tensor == first[name];
        assert!(is_of_backbone || is_first, "{name}");
    }
    assert_ne!(state["network.backbone.conv1.weight"], first["network.backbone.conv1.weight"]);
}

#[test]
fn what_follows_the_encoder_starts_as_the_encoder_where_it_is_not_there() {
    let mut settings = SIMSIAM.to_vec();
    settings[0] = "framework.name=byol";
    let (init, learner) = begun(&config(&settings), &beginning("simsiam.pth.tar").into()).unwrap();
    assert_eq!(fit(&init, Part::MomentumEncoder), Some(&Fit::Absent));
    let state = learner.state().unwrap();
    let [encoder, follower] =
        ["network.", "momentum."].map(|prefix| outputs(learner.network(), &state, prefix));
    assert_eq!(encoder, follower);
    close(&encoder[0], &expected()["simsiam.pth.tar"].embeddings);
}

#[test]
fn a_head_that_does_not_fit_is_refused_with_the_settings_that_make_it() {
    let path = beginning("simsiam.pth.tar");
    let mut settings = SIMSIAM.to_vec();
    settings.extend(["model.projector.hidden=7", "model.projector.norm=hidden"]);
    let config = config(&settings);
    let problem = Init::open(&path.clone().into(), &config).unwrap_err();
    assert!(matches!(&problem, Error::Misfit { parts, .. } if parts.len() == 2), "{problem}");
    let problem = problem.to_string();
    for part in [
        "simsiam.pth.tar: its projector `state_dict.module.encoder.fc` needs",
        "model.projector.hidden = 8 instead of 7",
        r#"model.projector.norm = "all" instead of "hidden""#,
        "its predictor `state_dict.module.predictor` goes with a projector that is not taken",
    ] {
        assert!(problem.contains(part), "{part} is not in {problem}");
    }
    let (init, learner) = begun(&config, &partly(path)).unwrap();
    assert!(is_taken(&init, Part::Backbone));
    assert!(matches!(fit(&init, Part::Projector), Some(Fit::Misfit { .. })));
    let first = Learner::new(&config, &Device::cpu()).unwrap().state().unwrap();
    let head = "network.projector.layers.0.linear.weight";
    assert_eq!(learner.state().unwrap()[head], first[head], "it starts at random");
}

#[test]
fn a_queue_of_another_length_is_refused_or_starts_at_random() {
    let mut settings = MOCO.to_vec();
    settings.push("framework.momentum.queue=16");
    let config = config(&settings);
    let path = beginning("moco.pth.tar");
    let problem = Init::open(&path.clone().into(), &config).unwrap_err().to_string();
    let expected =
        "its queue `state_dict.module.queue` needs framework.momentum.queue = 12 instead of 16";
    assert!(problem.contains(expected), "{problem}");
    let (init, learner) = begun(&config, &partly(path)).unwrap();
    assert!(is_taken(&init, Part::MomentumEncoder) && is_taken(&init, Part::Projector));
    let first = Learner::new(&config, &Device::cpu()).unwrap().state().unwrap();
    assert_eq!(learner.state().unwrap()["framework.queue"], first["framework.queue"]);
}

#[test]
fn another_backbone_is_refused_by_both_names_and_the_settings_to_change() {
    let path = beginning("simsiam.pth.tar");
    let mut settings = SIMSIAM.to_vec();
    settings.extend(["model.backbone=resnet18", "model.width=2", "model.stem=cifar"]);
    let problem = Init::open(&partly(path), &config(&settings)).unwrap_err();
    assert!(matches!(problem, Error::Setting { .. }), "{problem}");
    let problem = problem.to_string();
    for part in [
        "its backbone is ResNet-10 of width 1 with the stem for large images",
        "that of the settings ResNet-18 of width 2 with the stem for small images",
        r#"model.backbone = "resnet10" instead of "resnet18""#,
        r#"model.stem = "imagenet" instead of "cifar""#,
        "model.width = 1 instead of 2",
    ] {
        assert!(problem.contains(part), "{part} is not in {problem}");
    }
    // Bottlenecks of which each stage has one are in no setting.
    let bottlenecks = fixtures().join("checkpoints/simsiam.pth.tar");
    let problem = Init::open(&bottlenecks.into(), &config(&SIMSIAM)).unwrap_err().to_string();
    assert!(problem.contains("no model.backbone is like it"), "{problem}");
}

/// No file of another program says that its stem pads by two pixels: the settings do. One of this program's does.
#[test]
fn a_stem_is_padded_where_the_settings_say_so() {
    let solo_learn = fixtures().join("checkpoints/solo_learn.ckpt");
    let padded = config(&["model.stem=cifar-padded"]);
    let (_, learner) = begun(&padded, &partly(solo_learn.clone())).unwrap();
    let features = learner.encoder().features(images(), Features::Backbone).unwrap();
    let text = fs::read_to_string(fixtures().join("checkpoints/expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = expected["solo_learn.ckpt:"]["features"].as_array().unwrap();
    close(&features, &expected.iter().map(|x| x.as_f64().unwrap() as f32).collect::<Vec<_>>());

    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights.safetensors");
    let choice = Choice { padded_stem: true, ..Choice::default() };
    Import::open(&solo_learn, &choice).unwrap().write(&weights).unwrap();
    let problem = Init::open(&partly(weights), &config(&["model.stem=cifar"])).unwrap_err();
    assert!(problem.to_string().contains(r#"set model.stem = "cifar-padded""#), "{problem}");
}

#[test]
fn a_momentum_encoder_is_asked_for_only_where_the_run_has_none() {
    let moco = beginning("moco.pth.tar");
    let settings = [&SIMSIAM[..], &[MOCO[4]]].concat();
    let config = config(&settings);
    let asked = Init::open(&partly(moco.clone()), &config).unwrap_err();
    let Error::Several { prefixes, .. } = asked else { panic!("{asked}") };
    assert_eq!(prefixes, ["state_dict.module.encoder_k.", "state_dict.module.encoder_q."]);
    let chosen = |prefix: &str| {
        let choice = Choice { prefix: Some(prefix.to_owned()), ..Choice::default() };
        let from = InitFrom { at: EncoderAt::path(&moco), choice };
        let (init, learner) = begun(&config, &from).unwrap();
        let [z, _] = outputs(learner.network(), &learner.state().unwrap(), "network.");
        (init, z)
    };
    let expected = expected();
    let Expected { embeddings, momentum, .. } = &expected["moco.pth.tar"];
    let (init, z) = chosen("encoder_q");
    close(&z, embeddings);
    assert_eq!(fit(&init, Part::MomentumEncoder), Some(&Fit::Unused));
    assert_eq!(fit(&init, Part::Queue), Some(&Fit::Unused));
    let (init, z) = chosen("encoder_k");
    close(&z, momentum.as_ref().unwrap());
    assert_eq!(fit(&init, Part::MomentumEncoder), None, "what is taken follows nothing here");
}

#[test]
fn a_run_begins_from_all_that_another_had_learned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let mut settings = MOCO.to_vec();
    settings.extend(["framework.logo=true", "affinity.width=8", "affinity.depth=2"]);
    let other = config(&[&settings[..], &["seed=1"]].concat());
    let now = config(&[&settings[..], &["seed=2"]].concat());
    let mut learned = Learner::new(&other, &Device::cpu()).unwrap().state().unwrap();
    // The oldest key is number 4; the optimizer's memory is no weights.
    learned.get_mut("framework.next").unwrap().values[0] = 4.0;
    for (name, tensor) in &mut learned {
        if name.starts_with("velocity.") || name.starts_with("momentum.") {
            tensor.values.iter_mut().for_each(|value| *value += 1.0);
        }
    }
    checkpoint::write(&path, &checkpoint::Position::default(), &learned).unwrap();
    let (init, learner) = begun(&now, &path.clone().into()).unwrap();
    for part in
        [Part::Backbone, Part::Projector, Part::MomentumEncoder, Part::Queue, Part::Affinity]
    {
        assert!(is_taken(&init, part), "{part}: {:?}", fit(&init, part));
    }
    let state = learner.state().unwrap();
    let first = Learner::new(&now, &Device::cpu()).unwrap().state().unwrap();
    for (name, tensor) in &state {
        let expected = match name.as_str() {
            "framework.next" => TensorData::new(vec![0.0], [1]),
            "framework.queue" => {
                let mut queue = learned[name].clone();
                queue.values.rotate_left(4 * 5);
                queue
            }
            name if name.starts_with("velocity.") => first[name].clone(),
            name => learned[name].clone(),
        };
        assert_eq!(*tensor, expected, "{name}");
    }
    let (_, digest) = tensors::read(&path).unwrap();
    assert!(digest.is_some() && init.origin().sha256.len() == 64);
    assert_eq!(init.origin().file, "last.safetensors");
    assert_eq!(init.origin().bytes, fs::metadata(&path).unwrap().len());
}

#[test]
fn f_d_of_another_size_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let with = |width: &str| config(&[&BYOL[..], &["framework.logo=true", width]].concat());
    let learned = Learner::new(&with("affinity.width=8"), &Device::cpu()).unwrap().state().unwrap();
    checkpoint::write(&path, &checkpoint::Position::default(), &learned).unwrap();
    let problem = Init::open(&path.into(), &with("affinity.width=6")).unwrap_err().to_string();
    assert!(problem.contains("affinity.width or affinity.depth"), "{problem}");
    assert!(problem.contains("has shape [8, 10], expected [6, 10]"), "{problem}");
}
