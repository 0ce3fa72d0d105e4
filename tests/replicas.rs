//! Several devices that share a batch against one that has it whole. The devices are virtual ones of the
//! plugin that `LOGO_SSL_PJRT_PLUGIN` names.

mod support;

use logo_ssl::config::Config;
use logo_ssl::executor::Device;
use logo_ssl::framework::logo;
use logo_ssl::model::params::{State, TensorData};
use logo_ssl::presets::Layers;
use logo_ssl::rng::{Stream, generator};
use logo_ssl::train::{Learner, Rates, Views};
use rand::RngExt;
use support::{distance, plugin, xla};

const BATCH: usize = 8;
const UPDATES: u64 = 20;
const RATES: Rates = Rates { encoder: 0.02, predictor: 0.02, affinity: 0.01, momentum: 0.9 };

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
        "optimizer.batch_size=8",
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
    }
}

/// The losses of the updates, and what they leave.
fn train(config: &Config, device: &Device, key_order: bool) -> (Vec<f32>, State) {
    let mut learner = Learner::new(config, device).unwrap();
    let losses = (0..UPDATES).map(|key| {
        let update = learner.update(vec![views(key, key_order)], RATES).unwrap();
        update.health.loss as f32
    });
    (losses.collect(), learner.state().unwrap())
}

fn all(state: &State) -> Vec<f32> {
    state.values().flat_map(|tensor| tensor.values.iter().copied()).collect()
}

#[test]
fn two_devices_with_halves_are_one_with_the_whole() {
    let Some(path) = plugin() else {
        return eprintln!("skipped: LOGO_SSL_PJRT_PLUGIN is not set");
    };
    let moco = [
        "framework.name=moco",
        "model.projector.norm=none",
        "model.predictor.hidden=0",
        "framework.temperature=0.2",
    ];
    let simclr = ["framework.name=simclr", "model.predictor.hidden=0", "framework.temperature=0.2"];
    let cases: [(&[&str], bool); 4] =
        [(&[], false), (&["framework.name=byol"], false), (&moco, true), (&simclr, false)];
    for (settings, key_order) in cases {
        let config = config(settings);
        let (one_losses, one) = train(&config, &xla(&path, &[0]), key_order);
        let (two_losses, two) = train(&config, &xla(&path, &[0, 1]), key_order);
        let losses = distance(&two_losses, &one_losses);
        let weights = distance(&all(&two), &all(&one));
        eprintln!("{settings:?}: losses {losses:.1e}, weights {weights:.1e}");
        assert!(losses < 1e-5, "{settings:?}: losses are off by {losses:.2e}");
        assert!(weights < 1e-5, "{settings:?}: weights are off by {weights:.2e}");
    }
}

#[test]
fn each_device_may_normalise_its_own_part() {
    let Some(path) = plugin() else {
        return eprintln!("skipped: LOGO_SSL_PJRT_PLUGIN is not set");
    };
    let config = config(&["compute.sync=false"]);
    let (one, _) = train(&config, &xla(&path, &[0]), false);
    let (two, state) = train(&config, &xla(&path, &[0, 1]), false);
    assert!(distance(&two, &one) > 1e-4, "statistics of half a batch are others");
    assert!(all(&state).iter().all(|value| value.is_finite()));
}

#[test]
fn a_run_goes_on_with_another_number_of_devices() {
    let Some(path) = plugin() else {
        return eprintln!("skipped: LOGO_SSL_PJRT_PLUGIN is not set");
    };
    let config = config(&[]);
    let devices = [xla(&path, &[0, 1]), Device::cpu(), xla(&path, &[0])];
    let mut state = Learner::new(&config, &devices[1]).unwrap().state().unwrap();
    let mut whole = Learner::new(&config, &devices[1]).unwrap();
    for (key, device) in (0..).zip(&devices) {
        let mut learner = Learner::new(&config, device).unwrap();
        learner.load(&state).unwrap().unwrap();
        learner.update(vec![views(key, false)], RATES).unwrap();
        state = learner.state().unwrap();
        whole.update(vec![views(key, false)], RATES).unwrap();
    }
    let apart = distance(&all(&state), &all(&whole.state().unwrap()));
    assert!(apart < 1e-5, "off by {apart:.2e}");
}
