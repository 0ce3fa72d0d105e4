//! The ResNets of all depths, with either stem, against torchvision: names, shapes, features, initial
//! weights.
//!
//! `tests/fixtures/make_backbones.py` makes the expected in f64. It and this file make weights and
//! images by the same formula, so that the fixture need not hold them.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logo_ssl::config::Features;
use logo_ssl::eval::{Encoder, Extractor};
use logo_ssl::executor::Device;
use logo_ssl::interop::{tensors, weights};
use logo_ssl::model::params::{Declaration, State, TensorData};
use logo_ssl::model::{Architecture, ResNet};
use logo_ssl::presets::Layers;
use support::{devices, distance, images, uniform};

const DEPTHS: [&str; 5] = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];
const STEMS: [&str; 2] = ["cifar", "imagenet"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A network and its tensors.
struct Backbone {
    network: ResNet,
    declaration: Declaration,
}

impl Backbone {
    /// The network that a config with these settings has.
    fn new(settings: &[String]) -> Self {
        let preset = Layers::preset("cifar10").unwrap();
        let layers = settings.iter().fold(preset, |layers, setting| layers.set(setting).unwrap());
        let config = layers.build().unwrap();
        let mut declaration = Declaration::default();
        let architecture = Architecture::from(&config.model);
        let network = ResNet::new(&architecture, config.compute.precision, &mut declaration);
        Self { network, declaration }
    }

    /// Its first tensors, by name.
    fn first(&self) -> State {
        let Declaration { trained, running, .. } = &self.declaration;
        let mut state = trained.split(&trained.first_values(0), "");
        state.extend(running.split(&running.first_values(0), ""));
        state
    }

    /// All of its tensors by the formula.
    fn by_formula(&self) -> State {
        let state = self.first().into_iter();
        state.map(|(name, data)| (name.clone(), tensor(&name, &data.shape))).collect()
    }

    /// With these tensors, on a device.
    fn with(self, state: &State, device: &Device) -> Encoder {
        let Declaration { trained, running, .. } = &self.declaration;
        let weights = [trained, running]
            .map(|layout| device.f32(layout.join(state, "").unwrap(), &[layout.len()]).unwrap());
        let extractor = Extractor::of_backbone(self.network, self.declaration, device);
        Encoder::new(Arc::new(extractor), weights)
    }
}

fn resnet(depth: &str, stem: &str) -> Backbone {
    Backbone::new(&[format!("model.backbone={depth}"), format!("model.stem={stem}")])
}

/// What stands at `name`: of a size that keeps activations near one through any depth.
fn tensor(name: &str, shape: &[usize]) -> TensorData {
    let (factor, offset) = match *shape {
        [_, input, height, width] => ((6.0 / (input * height * width) as f64).sqrt(), 0.0),
        _ if name.ends_with("running_var") => (0.5, 1.0),
        _ if name.ends_with("weight") => (0.2, 0.8),
        _ => (0.2, 0.0),
    };
    let numbers = uniform(name, shape.iter().product());
    let values: Vec<f32> = numbers.map(|u| (offset + factor * u) as f32).collect();
    TensorData::new(values, shape.to_vec())
}

fn features(encoder: &Encoder) -> Vec<f32> {
    encoder.features(images(), Features::Backbone).unwrap()
}

fn shapes(backbone: &Backbone) -> BTreeMap<String, Vec<usize>> {
    backbone.first().into_iter().map(|(name, data)| (name, data.shape)).collect()
}

#[test]
fn features_are_torchvisions() {
    let (expected, _) = tensors::read(&fixture("backbones.safetensors")).unwrap();
    for (device, on) in devices() {
        for (depth, stem) in DEPTHS.into_iter().flat_map(|depth| STEMS.map(|stem| (depth, stem))) {
            // XLA compiles the deepest for half a minute each, and they differ in their number of blocks.
            if device == "xla" && ["resnet101", "resnet152"].contains(&depth) {
                continue;
            }
            let backbone = resnet(depth, stem);
            let state = backbone.by_formula();
            let found = features(&backbone.with(&state, &on));
            let error = distance(&found, &expected[&format!("{depth}.{stem}")].values);
            assert!(error < 1e-5, "{depth}, stem {stem}, on {device} is off by {error:.2e}");
        }
    }
}

#[test]
fn names_and_shapes_are_torchvisions() {
    type Shapes = BTreeMap<String, Vec<usize>>;
    let text = std::fs::read_to_string(fixture("backbones.json")).unwrap();
    let expected: BTreeMap<String, Shapes> = serde_json::from_str(&text).unwrap();
    for depth in DEPTHS {
        assert_eq!(shapes(&resnet(depth, "imagenet")), expected[depth], "{depth}");
    }
    let mut small_images = expected["resnet18"].clone();
    small_images.insert("conv1.weight".to_owned(), vec![64, 3, 3, 3]);
    assert_eq!(shapes(&resnet("resnet18", "cifar")), small_images);
}

/// Normal over the fan-out (`kaiming_normal_(mode="fan_out")`), γ = 1, β = 0.
#[test]
fn initial_weights_are_torchvisions() {
    for (name, TensorData { shape, values }) in resnet("resnet50", "imagenet").first() {
        let [output, _, height, width] = shape[..] else {
            let expected =
                if name.ends_with("weight") || name.ends_with("var") { 1.0 } else { 0.0 };
            assert!(values.iter().all(|&v| v == expected), "{name}");
            continue;
        };
        let mean_square = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        let expected = 2.0 / (output * height * width) as f32;
        // Of 4,096 numbers, the fewest here, the mean square is within 10 % at 4.5 deviations.
        assert!((mean_square / expected - 1.0).abs() < 0.1, "{name}: {mean_square} of {expected}");
    }
}

#[test]
fn zero_init_residual_silences_the_last_norm_of_each_block() {
    for (depth, last) in [("resnet18", "bn2"), ("resnet50", "bn3")] {
        let settings = ["model.zero_init_residual=true", "model.width=4"].map(str::to_owned);
        let settings = [&settings[..], &[format!("model.backbone={depth}")]].concat();
        let state = Backbone::new(&settings).first().into_iter();
        let scales = state.filter(|(n, _)| n.contains(".bn") && n.ends_with(".weight"));
        for (name, data) in scales {
            let expected = if name.contains(last) { 0.0 } else { 1.0 };
            assert!(data.values.iter().all(|&v| v == expected), "{depth} {name}");
        }
    }
}

#[test]
fn a_weights_file_says_which_network_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    for (depth, stem) in [("resnet50", "imagenet"), ("resnet34", "cifar")] {
        let settings = [("backbone", depth), ("stem", stem), ("width", "4")];
        let settings = settings.map(|(key, value)| format!("model.{key}={value}"));
        let backbone = Backbone::new(&settings);
        let state = backbone.by_formula();
        let path = folder.path().join(format!("{depth}.safetensors"));
        tensors::write(&path, &state, "").unwrap();
        let (read, device) = (weights::read(&path, &Device::cpu()).unwrap(), Device::cpu());
        let expected = features(&backbone.with(&state, &device));
        assert_eq!(features(&read), expected, "{depth} with the stem {stem}");
    }
}
