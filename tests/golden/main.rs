//! The equations, the affinity's update and two full LoGo updates against PyTorch.
//!
//! The fixtures are made by `tests/fixtures/make_golden*.py`, in f64; everything here runs in f32
//! and must agree within 1e-5 relative, by norm.

mod frameworks;
mod optimisers;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use graph::{Node, depends, gradients};
use logo_ssl::config::{
    AffinityForm, AffinityObjective, AffinityPairs, Backbone, Config, Features,
};
use logo_ssl::executor::Device;
use logo_ssl::framework::logo::{self, Judge, Pairing};
use logo_ssl::interop::tensors;
use logo_ssl::model::params::{Layout, State, TensorData, Weights};
use logo_ssl::model::{Affinity, Embedding, Phase};
use logo_ssl::objective::{self, Contrast};
use logo_ssl::presets::Layers;
use logo_ssl::train::{Learner, Optimizer, Rates, Views};
use support::{compute, devices, distance};

const TOLERANCE: f64 = 1e-5;

struct Fixture(State);

impl Fixture {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        Self(tensors::read(&path).unwrap().0)
    }

    fn tensor(&self, name: &str) -> TensorData {
        self.0.get(name).unwrap_or_else(|| panic!("the fixture has no `{name}`")).clone()
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.tensor(name).values
    }

    fn indices(&self, name: &str) -> Vec<usize> {
        self.values(name).into_iter().map(|v| v as usize).collect()
    }

    /// Tensors by name, as inputs of a program.
    fn inputs<'a>(&self, names: &[&'a str]) -> Vec<(&'a str, TensorData)> {
        names.iter().map(|name| (*name, self.tensor(name))).collect()
    }

    /// The tensors behind `prefix`, without it.
    fn section(&self, prefix: &str) -> State {
        let inside = self.0.iter().filter_map(|(name, data)| {
            name.strip_prefix(prefix).map(|short| (short.to_owned(), data.clone()))
        });
        inside.collect()
    }
}

/// ‖actual - expected‖ <= tolerance × ‖expected‖.
fn assert_close(what: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let error = distance(actual, expected);
    assert!(error <= TOLERANCE, "{what}: off by {error:.2e} of its norm");
}

/// A bias before a batch norm has no effect and so a gradient of exactly 0, of which f32 leaves
/// rounding noise: relative to nothing, it must be next to nothing.
fn assert_gradients(what: &str, actual: &State, expected: &State) {
    assert!(!expected.is_empty(), "{what}: the fixture has no gradients");
    for (name, expected) in expected {
        let actual = actual.get(name).unwrap_or_else(|| panic!("{what}: no gradient of {name}"));
        if expected.values.iter().all(|e| e.abs() < 1e-9) {
            assert!(actual.values.iter().all(|a| a.abs() < 1e-5), "{what} {name}: {actual:?}");
        } else {
            assert_close(&format!("{what} {name}"), &actual.values, &expected.values);
        }
    }
}

const CONTRAST: Contrast = Contrast { temperature: 0.2, decoupled: false };

#[test]
fn equation_1_info_nce() {
    let f = Fixture::read("golden_losses.safetensors");
    let inputs = f.inputs(&["info_nce.z", "info_nce.positive", "info_nce.negatives"]);
    for (device, on) in devices() {
        let found = compute(&on, &inputs, |_, x| {
            let loss = objective::info_nce(x[0], x[1], x[2], CONTRAST);
            [vec![loss], gradients(loss, &x[..2])].concat()
        });
        for (found, name) in found.iter().zip(["loss", "grad.z", "grad.positive"]) {
            let expected = f.values(&format!("info_nce.{name}"));
            assert_close(&format!("{name} on {device}"), found, &expected);
        }
    }
}

#[test]
fn decoupled_contrast() {
    let contrast = Contrast { decoupled: true, ..CONTRAST };
    let f = Fixture::read("golden_losses.safetensors");
    let inputs = f.inputs(&["decoupled.z", "decoupled.positive", "decoupled.negatives"]);
    for (device, on) in devices() {
        for name in ["queue", "batch"] {
            let found = compute(&on, &inputs, |_, x| {
                let loss = match name {
                    "queue" => objective::info_nce(x[0], x[1], x[2], contrast),
                    _ => objective::nt_xent(x[0], x[1], contrast),
                };
                [vec![loss], gradients(loss, &x[..2])].concat()
            });
            for (found, part) in found.iter().zip(["loss", "grad.z", "grad.positive"]) {
                let expected = f.values(&format!("decoupled.{name}.{part}"));
                assert_close(&format!("{name}, {part} on {device}"), found, &expected);
            }
        }
    }
}

#[test]
fn equation_2_cosine() {
    let f = Fixture::read("golden_losses.safetensors");
    for (device, on) in devices() {
        let found = compute(&on, &f.inputs(&["cosine.p", "cosine.z"]), |_, x| {
            let loss = objective::cosine(x[0], x[1]);
            assert!(!depends(loss, x[1]), "the target is a constant");
            vec![loss, gradients(loss, &x[..1])[0]]
        });
        assert_close(&format!("loss on {device}"), &found[0], &f.values("cosine.loss"));
        assert_close(&format!("dp on {device}"), &found[1], &f.values("cosine.grad.p"));
    }
}

/// SimSiam's ℓ_s.
fn simsiam<'g>(a: &Embedding<'g>, b: &Embedding<'g>) -> Node<'g> {
    objective::cosine(a.p, b.z)
}

/// A loss of two global and two local views.
type Loss = for<'g> fn(&[Embedding<'g>], &[Embedding<'g>]) -> Node<'g>;

#[test]
fn equations_3_and_4_global_global_and_local_global() {
    let f = Fixture::read("golden_losses.safetensors");
    let names = ["p_g1", "p_g2", "p_l1", "p_l2", "z_g1", "z_g2", "z_l1", "z_l2"];
    let inputs: Vec<(&str, TensorData)> =
        names.iter().map(|name| (*name, f.tensor(&format!("views.{name}")))).collect();
    let losses: [(&str, Loss, &[usize]); 3] = [
        ("gg", |global, _| objective::global_global(global, global, simsiam), &[0, 1]),
        ("gg_one_sided", |global, _| simsiam(&global[0], &global[1]), &[0]),
        ("lg", |global, local| objective::local_global(local, global, simsiam), &[2, 3]),
    ];
    for (device, on) in devices() {
        for (what, loss, gradients_of) in losses {
            let found = compute(&on, &inputs, |_, x| {
                let view = |i: usize| Embedding { p: x[i], z: x[i + 4] };
                let loss = loss(&[view(0), view(1)], &[view(2), view(3)]);
                assert!(!x[4..].iter().any(|z| depends(loss, *z)), "{what}: targets are constants");
                let of: Vec<_> = gradients_of.iter().map(|&i| x[i]).collect();
                [vec![loss], gradients(loss, &of)].concat()
            });
            let what = format!("{what} on {device}");
            assert_close(&what, &found[0], &f.values(&format!("{}.loss", strip(&what))));
            for (found, &i) in found[1..].iter().zip(gradients_of) {
                let expected = f.values(&format!("{}.grad.{}", strip(&what), names[i]));
                assert_close(&format!("{what} {}", names[i]), found, &expected);
            }
        }
    }
}

/// What stands before the device.
fn strip(what: &str) -> &str {
    what.split(' ').next().unwrap_or(what)
}

fn assert_state(what: &str, actual: &State, expected: &State) {
    assert!(!expected.is_empty(), "{what}: the fixture has no tensors");
    for (name, data) in expected {
        let actual = actual.get(name).unwrap_or_else(|| panic!("{what}: no tensor {name}"));
        assert_close(&format!("{what} {name}"), &actual.values, &data.values);
    }
}

/// A module's two flat vectors, with which updates go on.
#[derive(Clone)]
struct Flat {
    trained: Vec<f32>,
    running: Vec<f32>,
}

impl Flat {
    fn of([trained, running]: [&Layout; 2], state: &State) -> Self {
        let join = |layout: &Layout| layout.join(state, "").unwrap();
        Self { trained: join(trained), running: join(running) }
    }

    fn state(&self, [trained, running]: [&Layout; 2]) -> State {
        let mut state = trained.split(&self.trained, "");
        state.extend(running.split(&self.running, ""));
        state
    }

    fn inputs(&self) -> [(&'static str, TensorData); 2] {
        let flat = |values: &Vec<f32>| TensorData::new(values.clone(), [values.len()]);
        [("trained", flat(&self.trained)), ("running", flat(&self.running))]
    }
}

/// Two updates of f_d by Ω, then L_ll and its gradients, as the fixture `name` has them.
fn assert_affinity(name: &str, form: AffinityForm, omega: AffinityObjective) {
    let f = Fixture::read(&format!("golden_{name}.safetensors"));
    let mut settings = Layers::preset("cifar10").unwrap().build().unwrap().affinity;
    (settings.form, settings.objective, settings.width, settings.depth) = (form, omega, 8, 3);
    let affinity = Affinity::new(12, &settings);
    for (device, on) in devices() {
        let what = format!("{name} on {device}");
        let mut flat = Flat::of(affinity.layouts(), &f.section("init."));
        let mut velocity = vec![0.0; flat.trained.len()];
        for step in ["step1", "step2"] {
            let what = format!("{what} {step}");
            let update = AffinityUpdate { affinity: &affinity, objective: omega, fixture: &f };
            let found = update.run(&on, &flat, &velocity);
            let [loss, gradient, trained, running, next] =
                <[Vec<f32>; 5]>::try_from(found).unwrap();
            assert_close(&what, &loss, &f.values(&format!("{step}.loss")));
            let gradients = affinity.layouts()[0].split(&gradient, "");
            assert_gradients(&what, &gradients, &f.section(&format!("{step}.grad.")));
            (flat, velocity) = (Flat { trained, running }, next);
            let after = flat.state(affinity.layouts());
            assert_state(&what, &after, &f.section(&format!("{step}.after.")));
        }
        let inputs = [f.inputs(&["zl1", "zl2"]), flat.inputs().to_vec()].concat();
        let found = compute(&on, &inputs, |_, x| {
            let weights = Weights::of(affinity.layouts(), [Some(x[2]), Some(x[3])]).frozen();
            let affinities = affinity.forward([x[0], x[1]], &weights, Phase::Eval);
            let loss = objective::local_local(affinities);
            [vec![loss], gradients(loss, &x[..2])].concat()
        });
        for (found, name) in found.iter().zip(["loss", "grad.zl1", "grad.zl2"]) {
            assert_close(&format!("{what} L_ll {name}"), found, &f.values(&format!("ll.{name}")));
        }
    }
}

/// f_d's step by Ω.
struct AffinityUpdate<'a> {
    affinity: &'a Affinity,
    objective: AffinityObjective,
    fixture: &'a Fixture,
}

impl AffinityUpdate<'_> {
    /// The loss, its gradient, and what it leaves: weights, running statistics, velocity.
    fn run(&self, on: &Device, flat: &Flat, velocity: &[f32]) -> Vec<Vec<f32>> {
        let velocity = ("velocity", TensorData::new(velocity.to_vec(), [velocity.len()]));
        let embeddings = self.fixture.inputs(&["zl1", "zl2", "negatives"]);
        let inputs = [embeddings, flat.inputs().to_vec(), vec![velocity]].concat();
        let affinity = self.affinity;
        compute(on, &inputs, |graph, x| {
            let local = [x[0], x[1]].map(|z| Embedding { z, p: z });
            let weights = Weights::of(affinity.layouts(), [Some(x[3]), Some(x[4])]);
            let negatives = x[2].convert(graph::Element::S32);
            let pairing = Pairing { negatives, noise: None, pairs: AffinityPairs::OneOrder };
            let judge = Judge { affinity, weights: &weights };
            let loss = -logo::affinities(judge, &local, pairing).omega(self.objective);
            let gradient = graph::flat_gradient(loss, weights.trained());
            let mut memory = [x[5]];
            let [layout, _] = affinity.layouts();
            let rate = graph.scalar(0.05);
            let sgd = Optimizer::sgd(0.9, 1e-4);
            let after = sgd.step(layout, [x[3], gradient], &mut memory, |_| rate);
            vec![loss, gradient, after, weights.all_statistics().unwrap(), memory[0]]
        })
    }
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
fn learner(f: &Fixture, further: &[&str], device: &Device) -> Learner {
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
    let mut learner = Learner::new(&config, device).unwrap();
    learner.show_gradients();
    let initial = f.section("init.").into_iter().map(|(name, data)| match name.as_str() {
        name if name.starts_with("affinity.") => (name.to_owned(), data),
        name => (format!("network.{name}"), data),
    });
    learner.load(&initial.collect()).unwrap();
    learner
}

fn views(f: &Fixture, suffix: &str) -> Views {
    Views {
        global: f.tensor(&format!("global{suffix}")),
        local: Some(f.tensor(&format!("local{suffix}"))),
        negatives: f.indices(&format!("negatives{suffix}")),
        noise: None,
        key_order: None,
        labels: None,
    }
}

/// The learner's tensors under the fixture's names.
fn named(learner: &Learner) -> State {
    let state = learner.state().unwrap().into_iter();
    state.map(|(name, data)| (name.replacen("network.", "", 1), data)).collect()
}

const RATES: Rates = Rates { encoder: 0.05, predictor: 0.05, affinity: 0.02, momentum: 0.9 };

#[test]
fn equation_9_two_full_updates() {
    let f = Fixture::read("golden_step.safetensors");
    for (device, on) in devices() {
        let mut learner = learner(&f, &[], &on);
        for (step, suffix) in [("step1", ""), ("step2", "2")] {
            let update = learner.update(vec![views(&f, suffix)], RATES).unwrap();
            let scalars = &update.scalars;
            let what = format!("{step} on {device}");
            for (name, value) in [
                ("loss", scalars.get("loss")),
                ("gg", scalars.get("global_global")),
                ("lg", scalars.get("local_global")),
                ("ll", scalars.get("local_local")),
                ("omega", scalars.get("omega")),
                ("same", scalars.get("affinity_same")),
                ("different", scalars.get("affinity_different")),
            ] {
                let expected = f.values(&format!("{step}.{name}"));
                assert_close(&format!("{what} {name}"), &[value.unwrap() as f32], &expected);
            }
            assert_gradients(&what, &update.gradients, &f.section(&format!("{step}.grad.")));
            assert_state(&what, &named(&learner), &f.section(&format!("{step}.after.")));
        }
        let mut images = f.tensor("global2");
        images.shape[0] = 6;
        images.values.truncate(images.shape.iter().product());
        let features = learner.encoder().features(images, Features::Backbone).unwrap();
        assert_close(&format!("features on {device}"), &features, &f.values("eval.features"));
    }
}

#[test]
fn plain_simsiam_update() {
    let f = Fixture::read("golden_step.safetensors");
    for (device, on) in devices() {
        let mut learner = learner(&f, &["framework.logo=false"], &on);
        let update = learner.update(vec![views(&f, "")], RATES).unwrap();
        let what = format!("plain on {device}");
        assert_close(&what, &[update.scalars.get("loss").unwrap() as f32], &f.values("plain.loss"));
        assert_gradients(&what, &update.gradients, &f.section("plain.grad."));
    }
}

#[test]
fn mean_of_the_six_terms_update() {
    let f = Fixture::read("golden_step.safetensors");
    let mean = Fixture::read("golden_mean.safetensors");
    for (device, on) in devices() {
        let mut learner = learner(&f, &["framework.terms=mean", "affinity.lambda=0.0"], &on);
        let rates = Rates { affinity: 0.0, ..RATES };
        let update = learner.update(vec![views(&f, "")], rates).unwrap();
        let what = format!("mean on {device}");
        assert_close(&what, &[update.scalars.get("loss").unwrap() as f32], &mean.values("loss"));
        frameworks::assert_whole_gradient(&what, &update.gradients, &mean.section("grad."));
    }
}
