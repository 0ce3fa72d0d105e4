//! What LoGo's equations forbid: each test here fails when the two optimisers leak into each other.

mod support;

use graph::{Graph, Node, Type, depends};
use logo_ssl::config::{AffinityObjective, AffinityPairs, Config, LocalLocalStep, Terms};
use logo_ssl::executor::Device;
use logo_ssl::framework::logo::{self, Judge, Pairing};
use logo_ssl::framework::{self, Memory};
use logo_ssl::model::params::{State, TensorData, Weights};
use logo_ssl::model::{Affinity, Embedding, Network, Phase};
use logo_ssl::presets::Layers;
use logo_ssl::rng::{Stream, generator};
use logo_ssl::train::{Learner, Rates, Update, Views};
use rand::RngExt;
use support::{devices, distance};

const BATCH: usize = 6;

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

fn noise(key: u64, size: usize) -> TensorData {
    let mut rng = generator(3, Stream::View, key, 0, 0);
    let shape = [2 * BATCH, 3, size, size];
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    TensorData::new(values, shape)
}

fn views(key: u64) -> Views {
    let mut rng = generator(3, Stream::Negative, key, 0, 0);
    Views {
        global: noise(2 * key, 16),
        local: Some(noise(2 * key + 1, 8)),
        negatives: logo::derangement(BATCH, &mut rng),
        noise: None,
        key_order: None,
        labels: None,
    }
}

/// The networks of a config within a graph.
struct Sheet<'g> {
    graph: &'g Graph,
    network: Network,
    weights: Weights<'g>,
    affinity: Affinity,
    of_affinity: Weights<'g>,
}

impl<'g> Sheet<'g> {
    fn new(config: &Config, graph: &'g Graph) -> Self {
        let network = Network::new(&config.model, config.compute.precision);
        let affinity = Affinity::new(config.model.projector.dim, &config.affinity);
        let flat = |name, len| Some(graph.parameter(name, Type::f32([len])));
        let [trained, running] = network.layouts();
        let flats = [flat("network", trained.len()), flat("network.running", running.len())];
        let weights = Weights::of([trained, running], flats);
        let [trained, running] = affinity.layouts();
        let flats = [flat("affinity", trained.len()), flat("affinity.running", running.len())];
        let of_affinity = Weights::of([trained, running], flats);
        Self { graph, network, weights, affinity, of_affinity }
    }

    fn embed(&self, name: &str, size: usize) -> Vec<Embedding<'g>> {
        let views = self.graph.parameter(name, Type::f32([2 * BATCH, 3, size, size]));
        self.network.forward(views, &self.weights, Phase::Train).views(2)
    }
}

/// Whether a loss trains any of a module's tensors.
fn trains(loss: Node<'_>, weights: &Weights<'_>) -> bool {
    weights.trained().iter().any(|tensor| depends(loss, *tensor))
}

#[test]
fn omega_never_trains_the_encoder() {
    let graph = Graph::new();
    let sheet = Sheet::new(&config("cifar10", &[]), &graph);
    let local = sheet.embed("local", 8);
    let negatives = graph.parameter("negatives", Type::new(graph::Element::S32, [BATCH]));
    let pairing = Pairing { negatives, noise: None, pairs: AffinityPairs::OneOrder };
    let judge = Judge { affinity: &sheet.affinity, weights: &sheet.of_affinity };
    let loss = -logo::affinities(judge, &local, pairing).omega(AffinityObjective::Difference);
    assert!(!trains(loss, &sheet.weights));
    assert!(trains(loss, &sheet.of_affinity), "it does train f_d");
}

#[test]
fn local_local_leaves_no_gradient_on_the_affinity() {
    let config = config("cifar10", &["affinity.lambda=1.0"]);
    let graph = Graph::new();
    let sheet = Sheet::new(&config, &graph);
    let (global, local) = (sheet.embed("global", 16), sheet.embed("local", 8));
    let framework = framework::from_config(&config);
    let memory = Memory::default();
    let views = logo::Compared {
        global: &global,
        targets: &global,
        framework: framework.as_ref(),
        memory: &memory,
    };
    let recipe = logo::Recipe {
        lambda: 1.0,
        terms: Terms::Sum,
        step: LocalLocalStep::Joint,
        one_sided: false,
    };
    let frozen = sheet.of_affinity.frozen();
    let judge = Judge { affinity: &sheet.affinity, weights: &frozen };
    let losses = logo::losses(judge, &views, &local, &recipe);
    let local_local = losses.local_local.unwrap();
    assert!(!trains(losses.total, &sheet.of_affinity));
    assert!(trains(local_local, &sheet.weights), "it does train the encoder");
}

fn learner(config: &Config, device: &Device) -> Learner {
    let mut learner = Learner::new(config, device).unwrap();
    learner.show_gradients();
    learner
}

/// f_d after one update, and after two, under `settings`; the encoder stands still.
fn affinity_after(preset: &str, settings: &[&str], device: &Device) -> [State; 2] {
    let mut learner = learner(&config(preset, settings), device);
    [0, 1].map(|key| {
        let rates = Rates { encoder: 0.0, predictor: 0.0, affinity: 0.1, momentum: 0.9 };
        learner.update(vec![views(key)], rates).unwrap();
        learner.affinity_state().unwrap()
    })
}

#[test]
fn local_local_never_moves_the_affinity() {
    for (device, on) in devices() {
        let small = affinity_after("cifar10", &["affinity.lambda=0.0"], &on);
        let large = affinity_after("cifar10", &["affinity.lambda=100.0"], &on);
        assert_eq!(small, large, "on {device}, λ weighs on the encoder alone");
    }
}

#[test]
fn the_earlier_codes_leak_reaches_the_next_update_only() {
    for (device, on) in devices() {
        let small = affinity_after("cifar10-seed", &["affinity.lambda=0.0"], &on);
        let large = affinity_after("cifar10-seed", &["affinity.lambda=100.0"], &on);
        assert_eq!(small[0], large[0], "on {device}");
        assert_ne!(small[1], large[1], "on {device}");
    }
}

const RATES: Rates = Rates { encoder: 0.1, predictor: 0.1, affinity: 0.1, momentum: 0.9 };

#[test]
fn a_learner_goes_on_from_its_state() {
    let config = config("cifar10-seed", &[]);
    for (device, on) in devices() {
        let mut first = learner(&config, &on);
        first.update(vec![views(0)], RATES).unwrap();
        let mut other = learner(&config, &on);
        other.load(&first.state().unwrap()).unwrap();
        first.update(vec![views(1)], RATES).unwrap();
        other.update(vec![views(1)], RATES).unwrap();
        assert_eq!(first.state().unwrap(), other.state().unwrap(), "on {device}");

        let mut damaged = first.state().unwrap();
        damaged.remove("network.backbone.layer2.0.downsample.0.weight").unwrap();
        let problem = other.load(&damaged).unwrap_err().to_string();
        assert!(problem.contains("layer2.0.downsample.0.weight"), "{problem}");
    }
}

#[test]
fn half_of_an_optimisers_memory_is_refused() {
    let config = config("cifar10", &["optimizer.name=adamw"]);
    let mut learner = learner(&config, &Device::cpu());
    learner.update(vec![views(0)], RATES).unwrap();
    let mut state = learner.state().unwrap();
    state.remove("second_moment.predictor.output.bias").unwrap();
    let problem = learner.load(&state).unwrap_err().to_string();
    assert!(problem.contains("second_moment.predictor.output.bias"), "{problem}");
}

#[test]
fn velocities_of_a_separate_step_go_on_under_their_earlier_names() {
    let config = config("cifar10", &["affinity.step=separate", "affinity.lambda=1.0"]);
    let mut first = learner(&config, &Device::cpu());
    first.update(vec![views(0)], RATES).unwrap();
    first.update(vec![views(1)], RATES).unwrap();
    let state = first.state().unwrap();
    let before = state.clone().into_iter();
    let before = before.map(|(name, data)| (name.replace("separate.velocity.", "separate."), data));
    let mut other = learner(&config, &Device::cpu());
    other.load(&before.collect()).unwrap();
    assert!(state.contains_key("separate.velocity.backbone.conv1.weight"));
    assert_eq!(other.state().unwrap(), state);
}

/// The first update of plain SimSiam under `settings`, by the batches of the given `keys`.
fn plain_update(settings: &[&str], keys: &[u64], device: &Device) -> Update {
    let accumulate = format!("optimizer.accumulate={}", keys.len());
    let settings = [&["framework.logo=false", &accumulate], settings].concat();
    let mut learner = learner(&config("cifar10", &settings), device);
    learner.update(keys.iter().map(|&key| views(key)).collect(), RATES).unwrap()
}

fn all(gradients: &State) -> Vec<f32> {
    gradients.values().flat_map(|tensor| tensor.values.iter().copied()).collect()
}

fn norm(gradients: &State) -> f64 {
    all(gradients).into_iter().map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn an_update_follows_the_mean_of_its_batches_gradients() {
    for (device, on) in devices() {
        let [first, second, both] =
            [&[0][..], &[1], &[0, 1]].map(|keys| plain_update(&[], keys, &on));
        let mean: Vec<f32> = all(&first.gradients)
            .into_iter()
            .zip(all(&second.gradients))
            .map(|(first, second)| (first + second) * 0.5)
            .collect();
        let apart = distance(&all(&both.gradients), &mean);
        assert!(apart < 1e-6, "on {device}: {apart:.2e}");
        assert_eq!(
            both.scalars.get_or_nan("loss"),
            (first.scalars.get_or_nan("loss") + second.scalars.get_or_nan("loss")) / 2.0
        );
        assert!((both.scalars.get_or_nan("grad_norm") / norm(&both.gradients) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn the_affinity_takes_a_step_with_each_batch() {
    let rates = Rates { encoder: 0.0, predictor: 0.0, affinity: 0.1, momentum: 0.9 };
    let learner = |accumulate: &str| {
        let settings = ["optimizer.weight_decay=0.0", accumulate];
        learner(&config("cifar10", &settings), &Device::cpu())
    };
    let mut apart = learner("optimizer.accumulate=1");
    apart.update(vec![views(0)], rates).unwrap();
    apart.update(vec![views(1)], rates).unwrap();
    let mut together = learner("optimizer.accumulate=2");
    together.update(vec![views(0), views(1)], rates).unwrap();
    let [apart, together] = [apart, together].map(|learner| learner.affinity_state().unwrap());
    assert_eq!(apart, together);
}

#[test]
fn a_bounded_gradient_is_applied_and_its_own_norm_reported() {
    let device = Device::cpu();
    let free = plain_update(&[], &[0], &device);
    let half = free.scalars.get_or_nan("grad_norm") / 2.0;
    let bounded = plain_update(&[&format!("optimizer.clip={half}")], &[0], &device);
    assert_eq!(bounded.scalars.get_or_nan("grad_norm"), free.scalars.get_or_nan("grad_norm"));
    assert!((norm(&bounded.gradients) / half - 1.0).abs() < 1e-4);
}

#[test]
fn names_are_torchvisions() {
    let config = config("cifar10", &[]);
    let network = Network::new(&config.model, config.compute.precision);
    let names: Vec<&str> = network
        .layouts()
        .into_iter()
        .flat_map(|layout| layout.entries().iter().map(|entry| entry.name.as_str()))
        .collect();
    for name in [
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer4.0.bn2.weight",
    ] {
        let name = format!("backbone.{name}");
        assert!(names.contains(&name.as_str()), "no {name} in {names:?}");
    }
}

#[test]
fn an_online_probe_learns_and_its_gradient_never_reaches_the_backbone() {
    for preset in ["cifar10", "cifar10-moco-logo"] {
        let config = config(preset, &["framework.momentum.queue=12", "optimizer.lr=0.1"]);
        for (name, device) in devices() {
            let learner = |classes: Option<usize>| {
                let framework = framework::from_config(&config);
                Learner::with_probe(&config, framework, classes, &device).unwrap()
            };
            let labels: Vec<Option<usize>> =
                (0..BATCH).map(|at| (at > 0).then_some(at % 3)).collect();
            let (mut plain, mut probed) = (learner(None), learner(Some(3)));
            let mut losses = vec![];
            for _ in 0..12 {
                plain.update(vec![views(0)], Rates::full(&config)).unwrap();
                let views = Views { labels: Some(labels.clone()), ..views(0) };
                let scalars = probed.update(vec![views], Rates::full(&config)).unwrap().scalars;
                losses.push(scalars.get("probe_loss").unwrap());
                assert!((0.0..=1.0).contains(&scalars.get("probe_accuracy").unwrap()));
            }
            assert!((losses[0] - 3_f64.ln()).abs() < 1e-5, "before it learned: {}", losses[0]);
            assert!(losses[11] < 0.8 * losses[0], "it learns: {losses:?}");
            let of_probe = |name: &String| name.starts_with("probe.");
            let (plain, mut probed) = (plain.state().unwrap(), probed.state().unwrap());
            assert_eq!(probed.keys().filter(|name| of_probe(name)).count(), 2);
            probed.retain(|name, _| !of_probe(name));
            match name {
                "cpu" => assert_eq!(plain, probed, "all else is the same, bit by bit"),
                // XLA may put another order to what it fuses.
                _ => plain.iter().for_each(|(tensor, data)| {
                    let far = distance(&data.values, &probed[tensor].values);
                    assert!(far < 1e-4, "{tensor} on {name}: {far}");
                }),
            }
        }
    }
}
