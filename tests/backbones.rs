//! The ResNets of all depths, with either stem, against torchvision: names, shapes, features, initial
//! weights.
//!
//! `tests/fixtures/make_backbones.py` makes the expected in f64. It and this file make weights and
//! images by the same formula, so that the fixture need not hold them.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use logo_ssl::interop::{tensors, weights};
use logo_ssl::model::params::{self, State};
use logo_ssl::model::{Architecture, Initializer, ResNet};
use logo_ssl::presets::Layers;
use support::distance;

const DEPTHS: [&str; 5] = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"];
const STEMS: [&str; 2] = ["cifar", "imagenet"];
const IMAGES: [usize; 4] = [2, 3, 33, 30];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The network that a config with these settings has, with fresh weights.
fn network(settings: &[String]) -> ResNet {
    let preset = Layers::preset("cifar10").unwrap();
    let layers = settings.iter().fold(preset, |layers, setting| layers.set(setting).unwrap());
    let config = layers.build().unwrap();
    ResNet::new(&Architecture::from(&config.model), &mut Initializer::new(0, &Device::flex()))
}

fn resnet(depth: &str, stem: &str) -> ResNet {
    network(&[format!("model.backbone={depth}"), format!("model.stem={stem}")])
}

/// Numbers in [-1, 1) with 24 bits: splitmix64 over the index, from the FNV-1a hash of the name.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let key = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |key, byte| {
        (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (1..=count as u64).map(move |index| {
        let z = key.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0
    })
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

/// `network` with all tensors by the formula.
fn by_formula(network: ResNet) -> ResNet {
    let state = params::state(&network, "").into_iter();
    let state: State =
        state.map(|(n, data)| (n.clone(), tensor(&n, data.shape().as_slice()))).collect();
    params::load(network, "", &state).unwrap()
}

fn images() -> Tensor<4> {
    let numbers = uniform("images", IMAGES.iter().product());
    let pixels: Vec<f32> = numbers.map(|u| u as f32).collect();
    Tensor::from_data(TensorData::new(pixels, IMAGES), &Device::flex())
}

fn features(network: &ResNet) -> Vec<f32> {
    network.features(images()).into_data().iter::<f32>().collect()
}

fn shapes(network: &ResNet) -> BTreeMap<String, Vec<usize>> {
    let state = params::state(network, "").into_iter();
    state.map(|(name, data)| (name, data.shape().to_vec())).collect()
}

#[test]
fn features_are_torchvisions() {
    let (expected, _) = tensors::read(&fixture("backbones.safetensors")).unwrap();
    for depth in DEPTHS {
        for stem in STEMS {
            let expected: Vec<f32> = expected[&format!("{depth}.{stem}")].iter::<f32>().collect();
            let error = distance(&features(&by_formula(resnet(depth, stem))), &expected);
            assert!(error < 1e-5, "{depth} with the stem {stem} is off by {error:.2e} of its norm");
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
    for (name, data) in params::state(&resnet("resnet50", "imagenet"), "") {
        let values: Vec<f32> = data.iter::<f32>().collect();
        let [output, _, height, width] = *data.shape().as_slice() else {
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
        let state = params::state(&network(&settings), "").into_iter();
        let scales = state.filter(|(n, _)| n.contains(".bn") && n.ends_with(".weight"));
        for (name, data) in scales {
            let expected = if name.contains(last) { 0.0 } else { 1.0 };
            assert!(data.iter::<f32>().all(|v| v == expected), "{depth} {name}");
        }
    }
}

#[test]
fn a_weights_file_says_which_network_it_is_of() {
    let folder = tempfile::tempdir().unwrap();
    for (depth, stem) in [("resnet50", "imagenet"), ("resnet34", "cifar")] {
        let settings = [("backbone", depth), ("stem", stem), ("width", "4")];
        let settings = settings.map(|(key, value)| format!("model.{key}={value}"));
        let network = by_formula(network(&settings));
        let path = folder.path().join(format!("{depth}.safetensors"));
        tensors::write(&path, &params::state(&network, ""), String::new()).unwrap();
        let read = weights::read(&path, &Device::flex()).unwrap();
        assert_eq!(features(&read), features(&network), "{depth} with the stem {stem}");
    }
}
