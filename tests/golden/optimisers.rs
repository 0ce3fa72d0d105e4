//! Four updates by SGD, LARS and AdamW, at rates that change, with gradients of the fixture's.

use burn::tensor::Tensor;
use logo_ssl::config::{AffinityConfig, OptimizerConfig};
use logo_ssl::model::params;
use logo_ssl::presets::Layers;
use logo_ssl::train::Optimizer;
use logo_ssl::train::gradients::NamedGradients;

use crate::{Fixture, affinity, assert_state};

const RATES: [f64; 4] = [0.02, 0.1, 0.07, 0.01];

fn optimizer(settings: &[&str]) -> OptimizerConfig {
    let common = ["optimizer.momentum=0.9", "optimizer.weight_decay=0.05"];
    let settings = common.iter().chain(settings);
    let layers = Layers::preset("cifar10").unwrap();
    let layers = settings.fold(layers, |layers, setting| layers.set(setting).unwrap());
    layers.build().unwrap().optimizer
}

fn gradients(f: &Fixture, update: usize) -> NamedGradients {
    let drawn = f.section(&format!("gradient{update}.")).into_iter();
    let flat = |data: burn::tensor::TensorData| {
        let numbers: Vec<f32> = data.iter::<f32>().collect();
        Tensor::from_data(numbers.as_slice(), &crate::device().inner())
    };
    drawn.map(|(name, data)| (name, flat(data))).collect()
}

/// The updates of the fixture behind `name`; `scale` is what its rates are multiplied by. Between any
/// two, the optimiser goes on from its state.
fn assert_updates(name: &str, scale: f64, settings: &[&str]) {
    let f = Fixture::read("golden_optimisers.safetensors");
    let preset = Layers::preset("cifar10").unwrap().build().unwrap().affinity;
    let mut module = affinity(&f, &AffinityConfig { width: 5, depth: 2, ..preset }, 6);
    let config = optimizer(settings);
    let mut state = params::State::new();
    for (update, rate) in (1..).zip(RATES) {
        let mut optimizer = Optimizer::new(&config);
        optimizer.load(&state, &crate::device().inner(), |_| true).unwrap();
        module = optimizer.step(module, "", &gradients(&f, update), |_| scale * rate);
        state = optimizer.state();
        let expected = f.section(&format!("{name}.after{update}."));
        assert_state(&format!("{name}, update {update}"), &params::state(&module, ""), &expected);
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
fn half_a_state_is_refused() {
    let f = Fixture::read("golden_optimisers.safetensors");
    let config = optimizer(&["optimizer.name=adamw"]);
    let preset = Layers::preset("cifar10").unwrap().build().unwrap().affinity;
    let module = affinity(&f, &AffinityConfig { width: 5, depth: 2, ..preset }, 6);
    let mut optimizer = Optimizer::new(&config);
    optimizer.step(module, "", &gradients(&f, 1), |_| 0.1);
    let mut state = optimizer.state();
    state.remove("second_moment.output.bias").unwrap();
    let problem = optimizer.load(&state, &crate::device().inner(), |_| true).unwrap_err();
    assert!(problem.contains("second_moment.output.bias"), "{problem}");
}
