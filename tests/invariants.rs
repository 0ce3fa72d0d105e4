//! What LoGo's equations forbid: each test here fails when the two optimisers leak into each other.

use burn::tensor::{Device, Tensor};
use logo_ssl::config::{AffinityObjective, AffinityPairs, Config, LocalLocalStep, Terms};
use logo_ssl::framework::{self, logo};
use logo_ssl::model::params::{self, State};
use logo_ssl::model::{Embedding, Network, Phase};
use logo_ssl::presets::Layers;
use logo_ssl::rng::{Stream, generator};
use logo_ssl::train::gradients::gradient_norm;
use logo_ssl::train::{Learner, Rates, Update, Views};
use rand::RngExt;

const BATCH: usize = 6;

fn device() -> Device {
    Device::flex().autodiff()
}

fn config(preset: &str, settings: &[&str]) -> Config {
    let small = [
        "model.backbone=resnet10",
        "model.width=2",
        "model.projector.hidden=12",
        "model.projector.dim=12",
        "model.predictor.hidden=4",
        "affinity.depth=2",
        "affinity.width=8",
    ];
    let layers = Layers::preset(preset).unwrap();
    let layers = small.iter().chain(settings).fold(layers, |layers, s| layers.set(s).unwrap());
    layers.build().unwrap()
}

fn noise(key: u64, size: usize) -> Tensor<4> {
    let mut rng = generator(3, Stream::View, key, 0, 0);
    let shape = [2 * BATCH, 3, size, size];
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_data(burn::tensor::TensorData::new(values, shape), &device())
}

fn views(key: u64) -> Views {
    let mut rng = generator(3, Stream::Negative, key, 0, 0);
    Views {
        global: noise(2 * key, 16),
        local: Some(noise(2 * key + 1, 8)),
        negatives: logo::derangement(BATCH, &mut rng),
        noise: None,
        key_order: None,
    }
}

fn embed(network: &Network, key: u64, size: usize) -> Vec<Embedding> {
    network.forward(noise(key, size), Phase::Train).views(2)
}

#[test]
fn omega_never_trains_the_encoder() {
    let learner = Learner::new(&config("cifar10", &[]), &device());
    let local = embed(&learner.network, 0, 8);
    let affinity = learner.affinity().unwrap();
    let affinities =
        logo::affinities(affinity, &local, &[1, 2, 3, 4, 5, 0], None, AffinityPairs::OneOrder);
    let gradients = (-affinities.omega(AffinityObjective::Difference)).backward();
    assert!(params::gradients(&learner.network, "", &gradients).is_empty());
    let of_affinity = params::gradients(affinity, "", &gradients);
    assert!(!of_affinity.is_empty(), "it does train f_d");
}

#[test]
fn local_local_leaves_no_gradient_on_the_affinity() {
    let config = config("cifar10", &["affinity.lambda=1.0"]);
    let learner = Learner::new(&config, &device());
    let (global, local) = (embed(&learner.network, 0, 16), embed(&learner.network, 1, 8));
    let compared = logo::Compared { global: &global, targets: &global };
    let framework = framework::from_config(&config, &device());
    let recipe = logo::Recipe {
        lambda: 1.0,
        terms: Terms::Sum,
        step: LocalLocalStep::Joint,
        one_sided: false,
    };
    let affinity = learner.affinity().unwrap();
    let losses = logo::losses(framework.as_ref(), affinity, &compared, &local, &recipe);
    let gradients = losses.total.backward();
    assert!(params::gradients(affinity, "", &gradients).is_empty());
    let of_network = params::gradients(&learner.network, "", &gradients);
    assert!(!of_network.is_empty(), "it does train the encoder");
}

/// f_d after one update, and after two, under `settings`; the encoder stands still.
fn affinity_after(preset: &str, settings: &[&str]) -> [State; 2] {
    let mut learner = Learner::new(&config(preset, settings), &device());
    [0, 1].map(|key| {
        learner.update(
            &[views(key)],
            Rates { encoder: 0.0, predictor: 0.0, affinity: 0.1, momentum: 0.9 },
        );
        params::state(learner.affinity().unwrap(), "")
    })
}

#[test]
fn local_local_never_moves_the_affinity() {
    let small = affinity_after("cifar10", &["affinity.lambda=0.0"]);
    let large = affinity_after("cifar10", &["affinity.lambda=100.0"]);
    assert_eq!(small, large, "λ weighs on the encoder alone");
}

#[test]
fn the_earlier_codes_leak_reaches_the_next_update_only() {
    let small = affinity_after("cifar10-seed", &["affinity.lambda=0.0"]);
    let large = affinity_after("cifar10-seed", &["affinity.lambda=100.0"]);
    assert_eq!(small[0], large[0]);
    assert_ne!(small[1], large[1]);
}

#[test]
fn a_learner_goes_on_from_its_state() {
    let config = config("cifar10-seed", &[]);
    let rates = Rates { encoder: 0.1, predictor: 0.1, affinity: 0.1, momentum: 0.9 };
    let mut learner = Learner::new(&config, &device());
    learner.update(&[views(0)], rates);
    let mut other = Learner::new(&config, &device());
    other.load(&learner.state(), &device()).unwrap();
    learner.update(&[views(1)], rates);
    other.update(&[views(1)], rates);
    assert_eq!(learner.state(), other.state());

    let mut damaged = learner.state();
    damaged.remove("network.backbone.layer2.0.downsample.0.weight").unwrap();
    let problem = other.load(&damaged, &device()).unwrap_err();
    assert!(problem.contains("layer2.0.downsample.0.weight"), "{problem}");
}

#[test]
fn velocities_of_a_separate_step_go_on_under_their_earlier_names() {
    let config = config("cifar10", &["affinity.step=separate", "affinity.lambda=1.0"]);
    let rates = Rates { encoder: 0.1, predictor: 0.1, affinity: 0.1, momentum: 0.9 };
    let mut learner = Learner::new(&config, &device());
    learner.update(&[views(0)], rates);
    learner.update(&[views(1)], rates);
    let state = learner.state();
    let before = state.clone().into_iter();
    let before = before.map(|(name, data)| (name.replace("separate.velocity.", "separate."), data));
    let mut other = Learner::new(&config, &device());
    other.load(&before.collect(), &device()).unwrap();
    assert!(state.contains_key("separate.velocity.backbone.conv1.weight"));
    assert_eq!(other.state(), state);
}

/// The first update of plain SimSiam under `settings`, by the batches of the given `keys`.
fn plain_update(settings: &[&str], keys: &[u64]) -> Update {
    let settings = [&["framework.logo=false"], settings].concat();
    let mut learner = Learner::new(&config("cifar10", &settings), &device());
    let batches: Vec<Views> = keys.iter().map(|&key| views(key)).collect();
    learner.update(&batches, Rates { encoder: 0.1, predictor: 0.1, affinity: 0.1, momentum: 0.9 })
}

#[test]
fn an_update_follows_the_mean_of_its_batches_gradients() {
    let [first, second, both] = [&[0][..], &[1], &[0, 1]].map(|keys| plain_update(&[], keys));
    for (name, found) in &both.gradients {
        let expected = (first.gradients[name].clone() + second.gradients[name].clone()) * 0.5;
        let [found, expected] = [found.clone(), expected].map(Tensor::into_data);
        assert_eq!(found, expected, "{name}");
    }
    assert_eq!(both.health.loss, (first.health.loss + second.health.loss) / 2.0);
    assert_eq!(both.health.grad_norm, gradient_norm(&both.gradients));
}

#[test]
fn the_affinity_takes_a_step_with_each_batch() {
    let config = config("cifar10", &["optimizer.weight_decay=0.0"]);
    let rates = Rates { encoder: 0.0, predictor: 0.0, affinity: 0.1, momentum: 0.9 };
    let [mut apart, mut together] = [(); 2].map(|()| Learner::new(&config, &device()));
    apart.update(&[views(0)], rates);
    apart.update(&[views(1)], rates);
    together.update(&[views(0), views(1)], rates);
    let [apart, together] = [apart, together].map(|l| params::state(l.affinity().unwrap(), ""));
    assert_eq!(apart, together);
}

#[test]
fn a_bounded_gradient_is_applied_and_its_own_norm_reported() {
    let free = plain_update(&[], &[0]);
    let half = free.health.grad_norm / 2.0;
    let bounded = plain_update(&[&format!("optimizer.clip={half}")], &[0]);
    assert_eq!(bounded.health.grad_norm, free.health.grad_norm);
    assert!((gradient_norm(&bounded.gradients) / half - 1.0).abs() < 1e-4);
}

#[test]
fn names_are_torchvisions() {
    let learner = Learner::new(&config("cifar10", &[]), &device());
    let names: Vec<String> = params::state(&learner.network.backbone, "").into_keys().collect();
    for name in [
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.0.bn2.weight",
    ] {
        assert!(names.iter().any(|known| known == name), "no {name} in {names:?}");
    }
}
