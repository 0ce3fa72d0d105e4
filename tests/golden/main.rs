//! The equations, the affinity's update and two full LoGo updates against PyTorch.
//!
//! The fixtures are made by `tests/fixtures/make_golden*.py`, in f64; everything here runs in f32
//! and must agree within 1e-5 relative, by norm.

mod frameworks;
mod optimisers;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use logo_ssl::config::{
    AffinityConfig, AffinityForm, AffinityObjective, AffinityPairs, Backbone, Config,
};
use logo_ssl::framework::logo;
use logo_ssl::interop::tensors;
use logo_ssl::model::params::{self, State};
use logo_ssl::model::{Affinity, Embedding, Initializer, Phase};
use logo_ssl::objective;
use logo_ssl::presets::Layers;
use logo_ssl::train::{Learner, Optimizer, Rates, Views};
use support::distance;

const TOLERANCE: f64 = 1e-5;

struct Fixture(State);

impl Fixture {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        Self(tensors::read(&path).unwrap().0)
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let data = self.0.get(name).unwrap_or_else(|| panic!("the fixture has no `{name}`"));
        data.iter::<f32>().collect()
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.values(name);
        Tensor::from_data(self.0[name].clone(), &device())
    }

    fn indices(&self, name: &str) -> Vec<usize> {
        self.values(name).into_iter().map(|v| v as usize).collect()
    }

    /// The tensors behind `prefix`, without it.
    fn section(&self, prefix: &str) -> State {
        let inside = self.0.iter().filter_map(|(name, data)| {
            name.strip_prefix(prefix).map(|short| (short.to_owned(), data.clone()))
        });
        inside.collect()
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

/// ‖actual - expected‖ <= tolerance × ‖expected‖.
fn assert_close(what: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let error = distance(actual, expected);
    assert!(error <= TOLERANCE, "{what}: off by {error:.2e} of its norm");
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// A bias before a batch norm has no effect and so a gradient of exactly 0, of which f32 leaves
/// rounding noise: relative to nothing, it must be next to nothing.
fn assert_gradients(
    what: &str,
    actual: &std::collections::BTreeMap<String, Tensor<1>>,
    expected: &State,
) {
    assert!(!expected.is_empty(), "{what}: the fixture has no gradients");
    for (name, data) in expected {
        let expected: Vec<f32> = data.iter::<f32>().collect();
        let gradient = actual.get(name).unwrap_or_else(|| panic!("{what}: no gradient of {name}"));
        let actual = numbers(gradient.clone());
        if expected.iter().all(|e| e.abs() < 1e-9) {
            assert!(actual.iter().all(|a| a.abs() < 1e-5), "{what} {name}: {actual:?}");
        } else {
            assert_close(&format!("{what} {name}"), &actual, &expected);
        }
    }
}

#[test]
fn equation_1_info_nce() {
    let f = Fixture::read("golden_losses.safetensors");
    let z = f.tensor::<2>("info_nce.z").require_grad();
    let positive = f.tensor::<2>("info_nce.positive").require_grad();
    let loss =
        objective::info_nce(z.clone(), positive.clone(), f.tensor("info_nce.negatives"), 0.2);
    assert_close("loss", &numbers(loss.clone()), &f.values("info_nce.loss"));
    let gradients = loss.backward();
    let of = |t: Tensor<2>| numbers(t.grad(&gradients).unwrap());
    assert_close("dz", &of(z), &f.values("info_nce.grad.z"));
    assert_close("dz+", &of(positive), &f.values("info_nce.grad.positive"));
}

#[test]
fn equation_2_cosine() {
    let f = Fixture::read("golden_losses.safetensors");
    let p = f.tensor::<2>("cosine.p").require_grad();
    let z = f.tensor::<2>("cosine.z").require_grad();
    let loss = objective::cosine(p.clone(), z.clone());
    assert_close("loss", &numbers(loss.clone()), &f.values("cosine.loss"));
    let gradients = loss.backward();
    assert_close("dp", &numbers(p.grad(&gradients).unwrap()), &f.values("cosine.grad.p"));
    assert!(z.grad(&gradients).is_none(), "the target is a constant");
}

/// An embedding from the fixture's z and p.
fn embedding(f: &Fixture, z: &str, p: &str) -> Embedding {
    Embedding { z: f.tensor(z), p: f.tensor(p) }
}

/// SimSiam's ℓ_s.
fn simsiam(a: &Embedding, b: &Embedding) -> Tensor<1> {
    objective::cosine(a.p.clone(), b.z.clone())
}

#[test]
fn equations_3_and_4_global_global_and_local_global() {
    let f = Fixture::read("golden_losses.safetensors");
    let tracked = |name: &str| f.tensor::<2>(name).require_grad();
    let ps = ["p_g1", "p_g2", "p_l1", "p_l2"].map(|name| tracked(&format!("views.{name}")));
    let zs = ["z_g1", "z_g2", "z_l1", "z_l2"].map(|name| tracked(&format!("views.{name}")));
    let view = |i: usize| Embedding { z: zs[i].clone(), p: ps[i].clone() };
    let (global, local) = ([view(0), view(1)], [view(2), view(3)]);

    let check = |what: &str, loss: Tensor<1>, gradients_of: &[usize]| {
        assert_close(what, &numbers(loss.clone()), &f.values(&format!("{what}.loss")));
        let gradients = loss.backward();
        for &i in gradients_of {
            let name = ["p_g1", "p_g2", "p_l1", "p_l2"][i];
            let gradient = numbers(ps[i].grad(&gradients).unwrap());
            assert_close(
                &format!("{what} {name}"),
                &gradient,
                &f.values(&format!("{what}.grad.{name}")),
            );
        }
        assert!(zs.iter().all(|z| z.grad(&gradients).is_none()), "{what}: targets are constants");
    };
    check("gg", objective::global_global(&global, &global, simsiam), &[0, 1]);
    check("gg_one_sided", simsiam(&global[0], &global[1]), &[0]);
    check("lg", objective::local_global(&local, &global, simsiam), &[2, 3]);
}

fn affinity(f: &Fixture, settings: &AffinityConfig, dim: usize) -> Affinity {
    let fresh = Affinity::new(dim, settings, &mut Initializer::new(0, &device()));
    params::load(fresh, "", &f.section("init.")).unwrap()
}

fn assert_state(what: &str, actual: &State, expected: &State) {
    assert!(!expected.is_empty(), "{what}: the fixture has no tensors");
    for (name, data) in expected {
        let actual = actual.get(name).unwrap_or_else(|| panic!("{what}: no tensor {name}"));
        let [actual, expected] = [actual, data].map(|d| d.iter::<f32>().collect::<Vec<_>>());
        assert_close(&format!("{what} {name}"), &actual, &expected);
    }
}

/// Two updates of f_d by Ω, then L_ll and its gradients, as the fixture `name` has them.
fn assert_affinity(name: &str, form: AffinityForm, omega: AffinityObjective) {
    let f = Fixture::read(&format!("golden_{name}.safetensors"));
    let preset = Layers::preset("cifar10").unwrap().build().unwrap().affinity;
    let settings = AffinityConfig { form, objective: omega, width: 8, depth: 3, ..preset };
    let mut fd = affinity(&f, &settings, 12);
    let mut optimizer = Optimizer::sgd(0.9, 1e-4);
    let local = [embedding(&f, "zl1", "zl1"), embedding(&f, "zl2", "zl2")];
    for step in ["step1", "step2"] {
        let affinities =
            logo::affinities(&fd, &local, &f.indices("negatives"), None, AffinityPairs::OneOrder);
        let loss = -affinities.omega(omega);
        assert_close(step, &numbers(loss.clone()), &f.values(&format!("{step}.loss")));
        let gradients = params::gradients(&fd, "", &loss.backward());
        assert_gradients(step, &gradients, &f.section(&format!("{step}.grad.")));
        fd = optimizer.step(fd, "", &gradients, |_| 0.05);
        assert_state(step, &params::state(&fd, ""), &f.section(&format!("{step}.after.")));
    }
    let [zl1, zl2] = ["zl1", "zl2"].map(|name| f.tensor::<2>(name).require_grad());
    let loss = objective::local_local(fd.frozen().forward(zl1.clone(), zl2.clone(), Phase::Eval));
    assert_close("L_ll", &numbers(loss.clone()), &f.values("ll.loss"));
    let gradients = loss.backward();
    assert_close("dzl1", &numbers(zl1.grad(&gradients).unwrap()), &f.values("ll.grad.zl1"));
    assert_close("dzl2", &numbers(zl2.grad(&gradients).unwrap()), &f.values("ll.grad.zl2"));
}

#[test]
fn equations_5_and_6_affinity() {
    assert_affinity("affinity", AffinityForm::Mlp, AffinityObjective::Difference);
}

#[test]
fn equation_6_bounded_by_softplus() {
    assert_affinity("affinity_softplus", AffinityForm::Mlp, AffinityObjective::Softplus);
}

#[test]
fn equation_6_over_cosines() {
    assert_affinity("affinity_cosine", AffinityForm::CosineMlp, AffinityObjective::Difference);
}

/// The small network of `golden_step.safetensors`, with the fixture's initial weights.
fn learner(f: &Fixture, further: &[&str]) -> Learner {
    let settings = [
        "model.backbone=resnet10",
        "model.width=4",
        "model.projector.hidden=24",
        "model.projector.dim=24",
        "model.predictor.hidden=6",
        "framework.name=simsiam",
        "affinity.lambda=0.1",
        "affinity.objective=difference",
        "affinity.depth=2",
        "affinity.width=8",
        "optimizer.momentum=0.9",
        "optimizer.weight_decay=0.0005",
    ];
    let settings = settings.iter().chain(further);
    let layers = settings
        .fold(Layers::preset("cifar10").unwrap(), |layers, setting| layers.set(setting).unwrap());
    let config: Config = layers.build().unwrap();
    assert_eq!(config.model.backbone, Backbone::Resnet10);
    let mut learner = Learner::new(&config, &device());
    let initial = f.section("init.").into_iter().map(|(name, data)| match name.as_str() {
        name if name.starts_with("affinity.") => (name.to_owned(), data),
        name => (format!("network.{name}"), data),
    });
    learner.load(&initial.collect(), &device()).unwrap();
    learner
}

fn views(f: &Fixture, suffix: &str) -> Views {
    Views {
        global: f.tensor(&format!("global{suffix}")),
        local: Some(f.tensor(&format!("local{suffix}"))),
        negatives: f.indices(&format!("negatives{suffix}")),
        noise: None,
        key_order: None,
    }
}

/// The learner's tensors under the fixture's names.
fn named(learner: &Learner) -> State {
    let state = learner.state().into_iter();
    state.map(|(name, data)| (name.replacen("network.", "", 1), data)).collect()
}

#[test]
fn equation_9_two_full_updates() {
    let f = Fixture::read("golden_step.safetensors");
    let mut learner = learner(&f, &[]);
    for (step, suffix) in [("step1", ""), ("step2", "2")] {
        let update = learner.update(
            &[views(&f, suffix)],
            Rates { encoder: 0.05, predictor: 0.05, affinity: 0.02, momentum: 0.9 },
        );
        let health = &update.health;
        for (name, value) in [
            ("loss", Some(health.loss)),
            ("gg", Some(health.global_global)),
            ("lg", health.local_global),
            ("ll", health.local_local),
            ("omega", health.omega),
            ("same", health.affinity_same),
            ("different", health.affinity_different),
        ] {
            let expected = f.values(&format!("{step}.{name}"));
            assert_close(&format!("{step} {name}"), &[value.unwrap() as f32], &expected);
        }
        assert_gradients(step, &update.gradients, &f.section(&format!("{step}.grad.")));
        assert_state(step, &named(&learner), &f.section(&format!("{step}.after.")));
    }
    let images: Tensor<4> = f.tensor::<4>("global2").narrow(0, 0, 6).inner();
    let features = learner.network.valid().backbone.features(images);
    assert_close("features", &numbers(features), &f.values("eval.features"));
}

#[test]
fn plain_simsiam_update() {
    let f = Fixture::read("golden_step.safetensors");
    let mut learner = learner(&f, &["framework.logo=false"]);
    let update = learner.update(
        &[views(&f, "")],
        Rates { encoder: 0.05, predictor: 0.05, affinity: 0.02, momentum: 0.9 },
    );
    assert_close("loss", &[update.health.loss as f32], &f.values("plain.loss"));
    assert_gradients("plain", &update.gradients, &f.section("plain.grad."));
}

#[test]
fn mean_of_the_six_terms_update() {
    let f = Fixture::read("golden_step.safetensors");
    let mean = Fixture::read("golden_mean.safetensors");
    let mut learner = learner(&f, &["framework.terms=mean", "affinity.lambda=0.0"]);
    let update = learner.update(
        &[views(&f, "")],
        Rates { encoder: 0.05, predictor: 0.05, affinity: 0.0, momentum: 0.9 },
    );
    assert_close("loss", &[update.health.loss as f32], &mean.values("loss"));
    frameworks::assert_whole_gradient("mean", &update.gradients, &mean.section("grad."));
}
