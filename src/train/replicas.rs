//! Devices that share a batch are one with the whole of it, in exact arithmetic.
//!
//! In f32 no two orders of sums stay together for long: a ReLU whose input lies within rounding of zero
//! opens on one side and stays shut on the other, and on a few images that moves the gradient by percents.
//! So twenty updates are compared here, in f64 by the graph's own evaluator; `tests/replicas.rs` compares
//! single updates on a plugin's devices.

use std::collections::BTreeMap;

use graph::{Program, evaluate_replicas};
use rand::RngExt;

use super::update::{Accumulation, BatchShape, Method, REPORT, Replicas, inputs};
use crate::config::Config;
use crate::executor::Device;
use crate::framework::{self, logo};
use crate::presets::Layers;
use logo_ssl_base::rng::{Generator, Stream, generator};

const BATCH: usize = 6;
const UPDATES: u64 = 20;
const SIZES: [usize; 2] = [8, 6];

fn config(settings: &[&str]) -> Config {
    let small = [
        "model.backbone=resnet10",
        "model.width=2",
        "model.projector.hidden=8",
        "model.projector.dim=8",
        "model.predictor.hidden=4",
        "affinity.depth=2",
        "affinity.width=4",
        "affinity.lambda=0.1",
        "framework.momentum.queue=24",
        "optimizer.batch_size=6",
        "framework.temperature=0.2",
    ];
    let layers = Layers::preset("cifar10").unwrap();
    let layers = small.iter().chain(settings).fold(layers, |layers, s| layers.set(s).unwrap());
    layers.build().unwrap()
}

/// An update's program, and the state it goes on with.
struct Sheet {
    replicas: usize,
    program: Program,
    state: BTreeMap<String, Vec<f64>>,
}

impl Sheet {
    fn new(config: &Config, replicas: Replicas, key_order: bool) -> Self {
        let method = Method::new(config, framework::from_config(config), replicas);
        let parts = method.parts(config.seed, 1);
        let shape = |size: usize| vec![2 * BATCH / replicas.count, 3, size, size];
        let shape = BatchShape {
            global: shape(SIZES[0]),
            local: Some(shape(SIZES[1])),
            images: BATCH,
            noise: false,
            key_order,
            labels: false,
        };
        let passes: Vec<_> =
            method.passes().iter().map(|pass| (*pass, Accumulation::Alone)).collect();
        let program = method.program(&parts, &passes, &shape, false).program;
        let first = parts.first(&Device::cpu()).unwrap().into_iter();
        let state = first.map(|(name, array)| {
            (name, array.read().unwrap().into_iter().map(f64::from).collect())
        });
        Self { replicas: replicas.count, program, state: state.collect() }
    }

    /// One update on batch number `key`; what it reports, the loss among it.
    fn update(&mut self, key: u64) -> Vec<f64> {
        let of_replica = |replica: usize| {
            let input = |input: &graph::Input| match self.state.get(&input.name) {
                Some(values) => values.clone(),
                None => batch(&input.name, key, replica, self.replicas),
            };
            self.program.inputs().iter().map(input).collect::<Vec<_>>()
        };
        let inputs: Vec<_> = (0..self.replicas).map(of_replica).collect();
        let outputs = evaluate_replicas(&self.program, &inputs);
        assert!(outputs.iter().all(|replica| apart(replica, &outputs[0]) < 1e-12));
        let mut report = vec![];
        for (output, values) in self.program.outputs().iter().zip(&outputs[0]) {
            match output.name.as_str() {
                REPORT => report.clone_from(values),
                name => drop(self.state.insert(name.to_owned(), values.clone())),
            }
        }
        report
    }
}

/// ‖a - b‖ / ‖b‖ over all tensors.
fn apart(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    let size = norm(&mut b.iter().flatten().copied());
    norm(&mut pairs.map(|(a, b)| a - b)) / size
}

/// One of a replica's inputs in batch number `key`.
fn batch(name: &str, key: u64, replica: usize, replicas: usize) -> Vec<f64> {
    let mut rng = generator(11, Stream::View, key, 0, 0);
    let order = key_order(&mut generator(11, Stream::KeyOrder, key, 0, 0));
    let places = |places: Vec<usize>| places.into_iter().map(|at| at as f64).collect();
    match name {
        inputs::GLOBAL => shard(&views(0, key), replica, replicas),
        inputs::LOCAL => shard(&views(1, key), replica, replicas),
        inputs::KEYS => {
            let all = views(0, key);
            let keys: Vec<Vec<f64>> = order.iter().map(|&row| all[row].clone()).collect();
            shard(&keys, replica, replicas)
        }
        inputs::NEGATIVES => places(logo::derangement(BATCH, &mut rng)),
        inputs::KEY_ORDER => places(order),
        inputs::KEY_PLACES => places(
            (0..order.len()).map(|row| order.iter().position(|&at| at == row).unwrap()).collect(),
        ),
        "rates" => vec![0.01, 0.01, 0.01, 0.9, 0.1],
        other => panic!("the update wants `{other}`"),
    }
}

/// Rows of pixels: every image's first view, then every image's second.
fn views(kind: u64, key: u64) -> Vec<Vec<f64>> {
    let mut rng = generator(11, Stream::View, key, kind, 1);
    let pixels = 3 * SIZES[kind as usize].pow(2);
    let row = |rng: &mut Generator| (0..pixels).map(|_| rng.random_range(-1.0..1.0)).collect();
    (0..2 * BATCH).map(|_| row(&mut rng)).collect()
}

fn key_order(rng: &mut Generator) -> Vec<usize> {
    let views = [0, 1].map(|view| (view, logo::permutation(BATCH, rng)));
    let rows = views
        .into_iter()
        .flat_map(|(view, order)| order.into_iter().map(move |image| view * BATCH + image));
    rows.collect()
}

/// Of every view, the images that are this replica's.
fn shard(rows: &[Vec<f64>], replica: usize, replicas: usize) -> Vec<f64> {
    let each = BATCH / replicas;
    let own = |view: &[Vec<f64>]| view[replica * each..(replica + 1) * each].concat();
    rows.chunks(BATCH).flat_map(own).collect()
}

fn assert_alike(settings: &[&str], key_order: bool) {
    let config = config(settings);
    for count in [2, 3] {
        let mut several = Sheet::new(&config, Replicas { count, sync: true }, key_order);
        let mut whole = Sheet::new(&config, Replicas::ONE, key_order);
        for key in 0..UPDATES {
            let [found, expected] = [several.update(key), whole.update(key)];
            let error = apart(&[found], &[expected]);
            assert!(
                error < 1e-5,
                "{settings:?}: the report of update {key} on {count}: {error:.2e}"
            );
        }
        let states = [&several, &whole]
            .map(|sheet| sheet.state.values().cloned().collect::<Vec<Vec<f64>>>());
        let error = apart(&states[0], &states[1]);
        assert!(error < 1e-5, "{settings:?}: the weights of {count} are off by {error:.2e}");
    }
}

#[test]
fn simsiam() {
    assert_alike(&[], false);
}

#[test]
fn moco_with_a_separate_step() {
    let settings = [
        "framework.name=moco",
        "model.projector.norm=none",
        "model.predictor.hidden=0",
        "affinity.step=separate",
        "framework.terms=mean",
    ];
    assert_alike(&settings, true);
}

#[test]
fn byol_and_simclr() {
    assert_alike(&["framework.name=byol"], false);
    assert_alike(&["framework.name=simclr", "model.predictor.hidden=0"], false);
}
