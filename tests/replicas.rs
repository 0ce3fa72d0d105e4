//! Several devices that share a batch against one that has it whole. The devices are virtual ones of the
//! plugin that `LOGO_SSL_PJRT_PLUGIN` names.
//!
//! At the rates of a warm-up they are compared after twenty updates in a row. At higher ones each update
//! is begun from one state, for in f32 no two orders of sums stay together for long
//! (`src/train/replicas.rs` says why, and compares twenty updates in a row in f64).

mod support;

use logo_ssl::config::Config;
use logo_ssl::executor::Device;
use logo_ssl::framework::logo;
use logo_ssl::model::params::{State, TensorData};
use logo_ssl::presets::Layers;
use logo_ssl::record::scalars;
use logo_ssl::rng::{Stream, generator};
use logo_ssl::train::{Learner, Rates, Views};
use rand::RngExt;
use support::{distance, plugin, skipped, xla};

const BATCH: usize = 16;
const UPDATES: u64 = 20;
/// Small, for one ReLU that flips by rounding moves the gradient of so few images by percents.
const RATES: Rates = Rates { encoder: 5e-4, predictor: 5e-4, affinity: 5e-4, momentum: 0.9 };

/// The loss with its terms. These are of either sign, so that the loss alone can be next to nothing in each of twenty
/// updates, and rounding large beside it.
const LOSSES: [&str; 4] =
    [scalars::LOSS, scalars::GLOBAL_GLOBAL, scalars::LOCAL_GLOBAL, scalars::LOCAL_LOCAL];

const MOCO: [&str; 4] = [
    "framework.name=moco",
    "model.projector.norm=none",
    "model.predictor.hidden=0",
    "framework.temperature=0.2",
];

fn config(settings: &[&str]) -> Config {
    let small = [
        "model.backbone=resnet10",
        "model.width=4",
        "model.projector.hidden=16",
        "model.projector.dim=16",
        "affinity.depth=2",
        "affinity.width=8",
        "affinity.lambda=0.1",
        "framework.momentum.queue=64",
        "optimizer.batch_size=16",
    ];
    let layers = Layers::preset("cifar10").unwrap();
    let layers = small.iter().chain(settings).fold(layers, |layers, s| layers.set(s).unwrap());
    layers.build().unwrap()
}

fn noise(key: u64, size: usize) -> TensorData {
    let mut rng = generator(7, Stream::View, key, 0, 0);
    let shape = [2 * BATCH, 3, size, size];
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    TensorData::new(values, shape)
}

fn views(key: u64, key_order: bool) -> Views {
    let mut rng = generator(7, Stream::Negative, key, 0, 0);
    let order = |view: usize, rng: &mut _| {
        logo::permutation(BATCH, rng).into_iter().map(move |row| view * BATCH + row)
    };
    Views {
        negatives: logo::derangement(BATCH, &mut rng),
        key_order: key_order.then(|| {
            order(0, &mut rng).collect::<Vec<_>>().into_iter().chain(order(1, &mut rng)).collect()
        }),
        global: noise(2 * key, 16),
        local: Some(noise(2 * key + 1, 8)),
        noise: None,
        labels: None,
    }
}

/// An update from `state`: the loss, and what it leaves.
fn update(learner: &mut Learner, state: &State, views: Views) -> (f32, State) {
    learner.load(state).unwrap();
    let update = learner.update(vec![views], RATES).unwrap();
    (update.scalars.get("loss").unwrap() as f32, learner.state().unwrap())
}

fn all(state: &State) -> Vec<f32> {
    state.values().flat_map(|tensor| tensor.values.iter().copied()).collect()
}

/// All weights and running statistics, without what optimisers remember.
fn weights(state: &State) -> Vec<f32> {
    let modules = ["network.", "momentum.", "affinity."];
    let of_modules = |name: &str| modules.iter().any(|module| name.starts_with(module));
    let kept = state.iter().filter(|(name, _)| of_modules(name));
    kept.flat_map(|(_, tensor)| tensor.values.iter().copied()).collect()
}

/// A learner on one device and one on two, which begin alike.
struct Pair {
    one: Learner,
    two: Learner,
    first: State,
    /// Whether its keys are put in an order of their own.
    key_order: bool,
}

impl Pair {
    /// None where there is no plugin, which is said.
    fn new(settings: &[&str], key_order: bool) -> Option<Self> {
        let Some(path) = plugin() else {
            skipped("LOGO_SSL_PJRT_PLUGIN is not set");
            return None;
        };
        let config = config(settings);
        let [one, two] =
            [&[0][..], &[0, 1]].map(|devices| Learner::new(&config, &xla(&path, devices)).unwrap());
        let first = one.state().unwrap();
        Some(Self { one, two, first, key_order })
    }

    fn assert_each_update_is_the_same(&mut self) {
        let mut state = self.first.clone();
        let [mut losses, mut expected_losses] = [vec![], vec![]];
        for key in 0..UPDATES {
            let views = views(key, self.key_order);
            let (expected_loss, expected) = update(&mut self.one, &state, views.clone());
            let (loss, found) = update(&mut self.two, &state, views);
            let apart = distance(&weights(&found), &weights(&expected));
            assert!(apart < 1e-5, "update {key}: the weights are off by {apart:.2e}");
            losses.push(loss);
            expected_losses.push(expected_loss);
            state = expected;
        }
        // A single loss can be next to nothing, the sum of terms of either sign.
        let apart = distance(&losses, &expected_losses);
        assert!(apart < 1e-5, "the losses are off by {apart:.2e}");
    }

    fn assert_a_warm_up_in_a_row_is_the_same(&mut self) {
        let [mut losses, mut expected_losses] = [vec![], vec![]];
        self.one.load(&self.first).unwrap();
        self.two.load(&self.first).unwrap();
        for key in 0..UPDATES {
            let rate = 1e-4 * (key + 1) as f64 / UPDATES as f64;
            let rates = Rates { encoder: rate, predictor: rate, affinity: rate, momentum: 0.9 };
            let losses_of = |learner: &mut Learner| {
                let update = learner.update(vec![views(key, self.key_order)], rates).unwrap();
                LOSSES.map(|name| update.scalars.get(name).unwrap() as f32)
            };
            expected_losses.extend(losses_of(&mut self.one));
            losses.extend(losses_of(&mut self.two));
        }
        let [found, expected] =
            [&self.two, &self.one].map(|learner| weights(&learner.state().unwrap()));
        assert!(distance(&expected, &weights(&self.first)) > 1e-3, "the weights do not move");
        let apart = distance(&found, &expected);
        assert!(apart < 1e-5, "the weights are off by {apart:.2e}");
        let apart = distance(&losses, &expected_losses);
        assert!(apart < 1e-5, "the losses are off by {apart:.2e}");
    }
}

#[test]
fn two_devices_with_halves_are_one_with_the_whole() {
    let Some(mut pair) = Pair::new(&[], false) else { return };
    pair.assert_each_update_is_the_same();
    pair.assert_a_warm_up_in_a_row_is_the_same();
}

#[test]
fn a_queue_whose_keys_change_places_is_the_same_on_two_devices() {
    let Some(mut pair) = Pair::new(&MOCO, true) else { return };
    pair.assert_each_update_is_the_same();
    pair.assert_a_warm_up_in_a_row_is_the_same();
}

#[test]
fn a_momentum_encoder_is_the_same_on_two_devices() {
    let Some(mut pair) = Pair::new(&["framework.name=byol"], false) else { return };
    pair.assert_each_update_is_the_same();
}

#[test]
fn contrast_in_the_batch_is_the_same_on_two_devices() {
    let simclr = ["framework.name=simclr", "model.predictor.hidden=0", "framework.temperature=0.2"];
    let Some(mut pair) = Pair::new(&simclr, false) else { return };
    pair.assert_each_update_is_the_same();
}

#[test]
fn each_device_may_normalise_its_own_part() {
    let Some(path) = plugin() else {
        return skipped("LOGO_SSL_PJRT_PLUGIN is not set");
    };
    let config = config(&["compute.sync=false"]);
    let state = Learner::new(&config, &Device::cpu()).unwrap().state().unwrap();
    let [(one, _), (two, left)] = [&[0][..], &[0, 1]].map(|devices| {
        let mut learner = Learner::new(&config, &xla(&path, devices)).unwrap();
        update(&mut learner, &state, views(0, false))
    });
    assert!((two / one - 1.0).abs() > 1e-4, "statistics of half a batch are others");
    assert!(all(&left).iter().all(|value| value.is_finite()));
}

#[test]
fn a_run_goes_on_with_another_number_of_devices() {
    let Some(path) = plugin() else {
        return skipped("LOGO_SSL_PJRT_PLUGIN is not set");
    };
    let config = config(&[]);
    let devices = [xla(&path, &[0, 1]), Device::cpu(), xla(&path, &[0])];
    let mut state = Learner::new(&config, &devices[1]).unwrap().state().unwrap();
    let mut whole = Learner::new(&config, &devices[1]).unwrap();
    for (key, device) in (0..).zip(&devices) {
        let mut learner = Learner::new(&config, device).unwrap();
        learner.load(&state).unwrap();
        learner.update(vec![views(key, false)], RATES).unwrap();
        state = learner.state().unwrap();
        whole.update(vec![views(key, false)], RATES).unwrap();
    }
    let apart = distance(&weights(&state), &weights(&whole.state().unwrap()));
    assert!(apart < 1e-5, "off by {apart:.2e}");
}
