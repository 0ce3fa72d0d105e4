//! What is exported computes what the encoder computes: read back by this program's own reader of ONNX, and run
//! as StableHLO text by XLA.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use logo_ssl::config::{Config, Features};
use logo_ssl::executor::Device;
use logo_ssl::interop::export::{Dtype, Export, Format, Parts};
use logo_ssl::interop::{EncoderAt, tensors, weights};
use logo_ssl::model::params::{State, TensorData};
use logo_ssl::presets::{self, Layers};
use logo_ssl::train::Learner;
use logo_ssl::train::checkpoint::{self, Position};
use support::{distance, plugin, skipped};
use tempfile::TempDir;
use xla::{Argument, Client, CompileOptions, ElementType, Plugin};

const IMAGES: [usize; 4] = [2, 3, 32, 32];

/// A checkpoint of a network whose batch norms do something, in a folder of its own.
struct Trained {
    folder: TempDir,
    config: Config,
    state: State,
}

impl Trained {
    fn new(settings: &[&str]) -> Self {
        let preset = Layers::preset("quickstart").unwrap();
        let of_all = ["model.width=4", "model.projector.hidden=12", "model.projector.dim=6"];
        let settings = of_all.iter().chain(settings);
        let layers = settings.fold(preset, |layers, setting| layers.set(setting).unwrap());
        let config = layers.build().unwrap();
        let mut state = Learner::new(&config, &Device::cpu()).unwrap().state().unwrap();
        for (name, tensor) in &mut state {
            if tensor.shape.len() == 1 {
                // Running variances and γ near one, means and β near zero.
                let offset = if name.ends_with("running_var") || name.ends_with("weight") {
                    1.0
                } else {
                    0.0
                };
                let values = tensor.values.iter_mut().enumerate();
                values.for_each(|(at, value)| *value = offset + 0.3 * wave(at + name.len()));
            }
        }
        let trained = Self { folder: tempfile::tempdir().unwrap(), config, state };
        let position =
            Position { config: presets::to_toml(&trained.config), ..Position::default() };
        checkpoint::write(&trained.path("checkpoint.safetensors"), &position, &trained.state)
            .unwrap();
        trained
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn export(&self, format: Format, parts: Parts, name: &str) -> PathBuf {
        let export =
            Export::open(&EncoderAt::Weights(self.path("checkpoint.safetensors"))).unwrap();
        let out = self.path(name);
        export.write(format, parts, &out, true).unwrap();
        out
    }

    /// The backbone's features of [`pixels`], and the projector's.
    fn outputs(&self) -> [Vec<f32>; 2] {
        let mut learner = Learner::new(&self.config, &Device::cpu()).unwrap();
        learner.load(&self.state).unwrap();
        let encoder = learner.encoder();
        [Features::Backbone, Features::Projector].map(|of| encoder.features(pixels(), of).unwrap())
    }
}

fn wave(at: usize) -> f32 {
    (at as f32 * 1.7).sin()
}

fn pixels() -> TensorData {
    TensorData::new((0..IMAGES.iter().product()).map(wave).collect(), IMAGES)
}

/// The features of what a file of weights holds.
fn features_of(path: &Path) -> Vec<f32> {
    weights::read(path, &Device::cpu()).unwrap().features(pixels(), Features::Backbone).unwrap()
}

/// The tensors of an ONNX model of single precision.
fn read_onnx(path: &Path) -> State {
    let model = onnx::Weights::read(std::fs::read(path).unwrap()).unwrap();
    let tensor = |(name, info): (&String, &onnx::TensorInfo)| {
        let bytes = model.numbers(name).unwrap();
        let (numbers, _) = bytes.as_chunks::<4>();
        let values = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (name.clone(), TensorData::new(values, info.shape.clone()))
    };
    model.tensors().iter().map(tensor).collect()
}

const NETWORKS: [&[&str]; 3] = [
    &["model.backbone=resnet10"],
    &[
        "model.backbone=resnet18",
        "model.stem=imagenet",
        "views.global.size=32",
        "views.local.size=32",
    ],
    &["model.backbone=resnet50", "model.projector.norm=none"],
];

#[test]
fn safetensors_are_the_encoder() {
    for settings in NETWORKS {
        let trained = Trained::new(settings);
        let [expected, _] = trained.outputs();
        for heads in [false, true] {
            let parts = Parts { heads, ..Parts::default() };
            let path = trained.export(Format::Safetensors, parts, "out.safetensors");
            assert_eq!(features_of(&path), expected, "{settings:?}");
        }
        for (dtype, bound) in [(Dtype::F16, 3e-3), (Dtype::Bf16, 3e-2)] {
            let parts = Parts { dtype, heads: false };
            let path = trained.export(Format::Safetensors, parts, "half.safetensors");
            let error = distance(&features_of(&path), &expected);
            assert!(error < bound, "{settings:?} as {dtype} is off by {error:.1e}");
        }
    }
}

#[test]
fn onnx_models_hold_the_encoder_by_torchvisions_names() {
    for settings in NETWORKS {
        let trained = Trained::new(settings);
        let [expected, _] = trained.outputs();
        let plain =
            trained.export(Format::Onnx { fold_batch_norm: false }, Parts::default(), "out.onnx");
        let whole = trained.export(Format::Safetensors, Parts::default(), "whole.safetensors");
        assert_eq!(read_onnx(&plain), tensors::read(&whole).unwrap().0, "{settings:?}");

        let folded =
            trained.export(Format::Onnx { fold_batch_norm: true }, Parts::default(), "folded.onnx");
        let state = read_onnx(&folded);
        let names = |state: &State| state.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&state), names(&tensors::read(&whole).unwrap().0));
        let again = trained.path("folded.safetensors");
        tensors::write(&again, &state, "").unwrap();
        let error = distance(&features_of(&again), &expected);
        assert!(error < 1e-5, "{settings:?}, folded, is off by {error:.1e}");
    }
}

#[test]
fn halved_onnx_models_hold_halves() {
    let trained = Trained::new(NETWORKS[0]);
    for (dtype, element) in [(Dtype::F16, onnx::Element::F16), (Dtype::Bf16, onnx::Element::Bf16)] {
        for fold_batch_norm in [false, true] {
            let parts = Parts { dtype, heads: true };
            let path = trained.export(Format::Onnx { fold_batch_norm }, parts, "half.onnx");
            let model = onnx::Weights::read(std::fs::read(path).unwrap()).unwrap();
            for name in ["conv1.weight", "bn1.bias", "layer4.0.downsample.0.weight"] {
                assert_eq!(model.tensors()[name].element, element, "{name}");
            }
        }
    }
}

#[test]
fn a_number_that_does_not_fit_is_named_with_its_tensor() {
    let mut trained = Trained::new(NETWORKS[0]);
    let name = "network.backbone.bn1.running_var";
    trained.state.get_mut(name).unwrap().values[1] = 1e6;
    let file = trained.path("checkpoint.safetensors");
    let position = Position { config: presets::to_toml(&trained.config), ..Position::default() };
    checkpoint::write(&file, &position, &trained.state).unwrap();
    let export = Export::open(&EncoderAt::Weights(file)).unwrap();
    let out = trained.path("out.pth");
    let parts = Parts { dtype: Dtype::F16, heads: false };
    let problem = export.write(Format::Pth, parts, &out, false).unwrap_err().to_string();
    assert!(problem.contains("`bn1.running_var` holds 1000000"), "{problem}");
    assert!(!out.exists());
    let parts = Parts { dtype: Dtype::Bf16, heads: false };
    assert!(export.write(Format::Pth, parts, &out, false).is_ok());
}

#[test]
fn stable_hlo_computes_the_features() {
    let Some(plugin) = plugin() else {
        return skipped("LOGO_SSL_PJRT_PLUGIN is not set");
    };
    let client = Client::new(&Plugin::load(&plugin).unwrap(), &[]).unwrap();
    for (settings, heads) in
        NETWORKS.iter().flat_map(|settings| [(settings, false), (settings, true)])
    {
        let trained = Trained::new(settings);
        let parts = Parts { heads, ..Parts::default() };
        let format = Format::StableHlo { images: IMAGES[0], size: Some(IMAGES[2]) };
        let text = std::fs::read_to_string(trained.export(format, parts, "out.mlir")).unwrap();
        let named = trained.export(Format::Safetensors, parts, "out.safetensors");
        let mut state: BTreeMap<_, _> = tensors::read(&named).unwrap().0;
        state.insert("images".to_owned(), pixels());
        let arguments = text.lines().map_while(|line| line.strip_prefix("// %arg")).map(|line| {
            let name = line.split(' ').nth(1).unwrap();
            let bytes: Vec<u8> =
                state[name].values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Argument::Donated(
                client.upload(bytes, ElementType::F32, &state[name].shape, 0).unwrap(),
            )
        });
        let arguments = vec![arguments.collect()];
        let program = client.compile(&text, &CompileOptions::default()).unwrap();
        let outputs = program.run(arguments).unwrap().remove(0);
        assert_eq!(outputs.len(), if heads { 2 } else { 1 });
        for (output, expected) in outputs.iter().zip(trained.outputs()) {
            let bytes = output.download().unwrap();
            let (numbers, _) = bytes.as_chunks::<4>();
            let found: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let error = distance(&found, &expected);
            assert!(error < 1e-5, "{settings:?}, heads {heads}, is off by {error:.1e}");
        }
    }
}
