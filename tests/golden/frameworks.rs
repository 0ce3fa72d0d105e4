//! Two consecutive updates of MoCo, BYOL and SimCLR, plain and under LoGo: losses, gradients, weights,
//! running statistics, momentum encoder and queue.

use logo_ssl::executor::Device;
use logo_ssl::model::params::{State, TensorData};
use logo_ssl::presets::Layers;
use logo_ssl::train::{Learner, Rates, Views};

use crate::support::{devices, distance};
use crate::{Fixture, assert_close, assert_state};

const SMALL: [&str; 15] = [
    "model.backbone=resnet10",
    "model.width=4",
    "model.projector.hidden=24",
    "model.projector.dim=24",
    "framework.temperature=0.2",
    "framework.momentum.queue=48",
    "affinity.depth=2",
    "affinity.width=8",
    "affinity.lambda=0.1",
    "affinity.objective=difference",
    "affinity.clip=0.015",
    "optimizer.batch_size=12",
    "optimizer.momentum=0.9",
    "optimizer.weight_decay=0.0005",
    "optimizer.warmup_epochs=0.0",
];

const MOCO: [&str; 4] = [
    "framework.name=moco",
    "model.projector.norm=none",
    "model.predictor.hidden=0",
    "framework.momentum.norm_groups=2",
];

/// The authors' form of LoGo on MoCo.
const MOCO_LOGO: [&str; 6] = [
    "framework.terms=mean",
    "affinity.objective=softplus",
    "affinity.pairs=both-orders",
    "affinity.normalise=true",
    "affinity.noise=0.3",
    "affinity.step=separate",
];

const BYOL: [&str; 3] =
    ["framework.name=byol", "model.projector.norm=hidden", "model.predictor.hidden=6"];

const SIMCLR: [&str; 3] =
    ["framework.name=simclr", "model.projector.norm=all", "model.predictor.hidden=0"];

fn learner(initial: State, settings: &[&str], device: &Device) -> Learner {
    let settings = SMALL.iter().chain(settings);
    let layers = Layers::preset("cifar10").unwrap();
    let layers = settings.fold(layers, |layers, setting| layers.set(setting).unwrap());
    let mut learner = Learner::new(&layers.build().unwrap(), device).unwrap();
    learner.show_gradients();
    let mut initial = initial;
    initial.insert("main_norm".to_owned(), TensorData::new(vec![0.0], [1]));
    learner.load(&initial).unwrap();
    learner
}

fn views(f: &Fixture, step: &str) -> Views {
    let noise = |place: usize| f.tensor(&format!("{step}.noise{place}"));
    Views {
        global: f.tensor(&format!("{step}.global")),
        local: Some(f.tensor(&format!("{step}.local"))),
        negatives: f.indices(&format!("{step}.negatives")),
        noise: Some([noise(1), noise(2)]),
        key_order: Some(f.indices(&format!("{step}.order"))),
        labels: None,
    }
}

/// Both updates of the fixture `name` behind `prefix`, on every device.
fn assert_updates(name: &str, prefix: &str, settings: &[&str]) {
    let f = Fixture::read(&format!("golden_{name}.safetensors"));
    for (device, on) in devices() {
        let mut learner = learner(f.section(&format!("{prefix}.init.")), settings, &on);
        for step in ["step1", "step2"] {
            let what = format!("{name} {prefix} {step} on {device}");
            assert_update(&mut learner, &f, &[prefix, step], settings, &what);
        }
        let after = f.section(&format!("{prefix}.after."));
        assert_state(&format!("{name} {prefix} on {device}"), &learner.state().unwrap(), &after);
    }
}

fn assert_update(
    learner: &mut Learner,
    f: &Fixture,
    at: &[&str; 2],
    settings: &[&str],
    what: &str,
) {
    let mut views = views(f, at[1]);
    if settings.contains(&"affinity.pairs=both-orders") {
        views.negatives = logo_ssl::framework::logo::flipped(12);
    } else {
        views.noise = None;
    }
    let rates = Rates { encoder: 0.05, predictor: 0.05, affinity: 0.02, momentum: 0.9 };
    let update = learner.update(vec![views], rates).unwrap();
    let (scalars, at) = (&update.scalars, at.join("."));
    let number = |name: &str| scalars.get(name).unwrap();
    let mut reported = vec![("loss", number("loss")), ("gg", number("global_global"))];
    reported.extend(scalars.get("local_global").map(|lg| ("lg", lg)));
    reported.extend(scalars.get("omega").map(|omega| ("omega", omega)));
    for (part, value) in reported {
        let expected = f.values(&format!("{at}.{part}"));
        assert_close(&format!("{what} {part}"), &[value as f32], &expected);
    }
    assert_whole_gradient(what, &update.gradients, &f.section(&format!("{at}.grad.")));
}

/// All gradients as one vector within 1e-5 of its norm, and each within 1e-4 of its own.
///
/// A norm's γ or β has two numbers in this network, sums over every pixel that nearly cancel: their own
/// norm is small beside what was summed, and f32 leaves up to 4e-5 of it.
pub(crate) fn assert_whole_gradient(what: &str, actual: &State, expected: &State) {
    assert!(!expected.is_empty(), "{what}: the fixture has no gradients");
    let (mut all, mut all_expected) = (Vec::new(), Vec::new());
    for (name, expected) in expected {
        let gradient = actual.get(name).unwrap_or_else(|| panic!("{what}: no gradient of {name}"));
        let (actual, expected) = (&gradient.values, &expected.values);
        if expected.iter().any(|e| e.abs() >= 1e-9) {
            let error = distance(actual, expected);
            assert!(error <= 1e-4, "{what} {name}: off by {error:.2e} of its norm");
        }
        all.extend(actual);
        all_expected.extend(expected);
    }
    assert_close(what, &all, &all_expected);
}

fn both(of: &[&'static str], logo: &[&'static str]) -> [Vec<&'static str>; 2] {
    [[of, &["framework.logo=false"]].concat(), [of, logo, &["framework.logo=true"]].concat()]
}

#[test]
fn moco_and_moco_logo() {
    let [plain, logo] = both(&MOCO, &MOCO_LOGO);
    assert_updates("moco", "plain", &plain);
    assert_updates("moco", "logo", &logo);
}

#[test]
fn byol_and_byol_logo() {
    let [plain, logo] = both(&BYOL, &[]);
    assert_updates("byol", "plain", &plain);
    assert_updates("byol", "logo", &logo);
}

#[test]
fn simclr_and_simclr_logo() {
    let [plain, logo] = both(&SIMCLR, &[]);
    assert_updates("simclr", "plain", &plain);
    assert_updates("simclr", "logo", &logo);
}
