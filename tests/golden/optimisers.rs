//! Four updates by SGD, LARS, AdamW and Muon, at rates that change, with gradients of the fixture's.

use graph::Node;
use logo_ssl::config::OptimizerConfig;
use logo_ssl::model::Affinity;
use logo_ssl::model::params::TensorData;
use logo_ssl::presets::Layers;
use logo_ssl::train::{Optimizer, Remembered};

use crate::support::{compute, devices};
use crate::{Fixture, Flat, assert_state};

const RATES: [f64; 4] = [0.02, 0.1, 0.07, 0.01];

fn optimizer(settings: &[&str]) -> OptimizerConfig {
    let common = ["optimizer.momentum=0.9", "optimizer.weight_decay=0.05"];
    let settings = common.iter().chain(settings);
    let layers = Layers::preset("cifar10").unwrap();
    let layers = settings.fold(layers, |layers, setting| layers.set(setting).unwrap());
    layers.build().unwrap().optimizer
}

/// The updates of the fixture behind `name`; `scale` is what its rates are multiplied by. Between any
/// two, the optimiser goes on from what it remembers.
fn assert_updates(name: &str, scale: f64, settings: &[&str]) {
    let f = Fixture::read("golden_optimisers.safetensors");
    let mut shape = Layers::preset("cifar10").unwrap().build().unwrap().affinity;
    (shape.width, shape.depth) = (5, 2);
    let affinity = Affinity::new(6, &shape);
    let [layout, _] = affinity.layouts();
    let optimizer = Optimizer::new(&optimizer(settings));
    let flat = |values: Vec<f32>| TensorData::new(values.clone(), [values.len()]);
    for (device, on) in devices() {
        let mut value = Flat::of(affinity.layouts(), &f.section("init.")).trained;
        let mut memory: Vec<Vec<f32>> = optimizer
            .remembers()
            .iter()
            .map(|what| match what {
                Remembered::Each(_) => vec![0.0; value.len()],
                Remembered::Once(_) => vec![0.0],
            })
            .collect();
        for (update, rate) in (1..).zip(RATES) {
            let gradient = layout.join(&f.section(&format!("gradient{update}.")), "").unwrap();
            let mut inputs = vec![("value", flat(value)), ("gradient", flat(gradient))];
            let remembered = ["first", "second", "third"].into_iter().zip(memory);
            inputs.extend(remembered.map(|(name, values)| (name, flat(values))));
            let found = compute(&on, &inputs, |graph, x| {
                let mut memory: Vec<Node<'_>> = x[2..].to_vec();
                let rate = graph.scalar(scale * rate);
                let after = optimizer.step(layout, [x[0], x[1]], &mut memory, |_| rate);
                [vec![after], memory].concat()
            });
            (value, memory) = (found[0].clone(), found[1..].to_vec());
            let expected = f.section(&format!("{name}.after{update}."));
            let what = format!("{name}, update {update} on {device}");
            assert_state(&what, &layout.split(&value, ""), &expected);
        }
    }
}

#[test]
fn sgd_is_pytorchs() {
    assert_updates("sgd", 1.0, &["optimizer.decay_norm_and_bias=false"]);
    assert_updates("sgd_all", 1.0, &[]);
}

#[test]
fn lars_is_moco_v3s() {
    let weights_alone = ["optimizer.name=lars", "optimizer.decay_norm_and_bias=false"];
    assert_updates("lars", 10.0, &weights_alone);
    assert_updates("lars_all", 10.0, &["optimizer.name=lars"]);
}

#[test]
fn adamw_is_pytorchs() {
    let settings = [
        "optimizer.name=adamw",
        "optimizer.betas=[0.8, 0.99]",
        "optimizer.decay_norm_and_bias=false",
    ];
    assert_updates("adamw", 0.1, &settings);
}

#[test]
fn muon_is_airbenchs() {
    assert_updates("muon", 1.0, &["optimizer.name=muon"]);
}
