//! How much of the encoder's gradient comes from L_ll: trains for a while, and now and then takes the gradients of one
//! batch with L_ll and without it.
//!
//! `cargo run --release --example local_local_share -- DIR [KEY=VALUE …]`, where DIR holds CIFAR-10 and the settings are
//! laid over the preset `cifar10-cpu`. A line is of one batch: updates done, L_ll, ‖∇ L_ll‖ / ‖∇ (L_gg + L_lg)‖, the cosine
//! of the two, and the λ at which the first would be a tenth of the second.

use std::path::Path;

use logo_ssl::Result;
use logo_ssl::augment::views::{ViewKind, ViewMaker};
use logo_ssl::config::Config;
use logo_ssl::data::{DatasetName, Images, Splits};
use logo_ssl::executor::Device;
use logo_ssl::framework::logo;
use logo_ssl::loader::epoch_order;
use logo_ssl::model::params::{State, TensorData};
use logo_ssl::presets::Layers;
use logo_ssl::rng::{Stream, generator};
use logo_ssl::train::{Learner, Rates, Views};

const UPDATES: usize = 1200;
const EVERY: usize = 100;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: local_local_share DIR [KEY=VALUE …]");
        std::process::exit(2);
    };
    let settings: Vec<String> = arguments.collect();
    let config = configured(&settings)?;
    let images = Splits::load(DatasetName::CIFAR10, Some(Path::new(&folder)))?.train;
    let maker = ViewMaker::of_config(&config);
    let mut learner = Learner::new(&config, &Device::cpu())?;
    let mut probes = Probes { with: probe(&settings, 1.0)?, without: probe(&settings, 0.0)? };
    let rates = Rates::full(&config);
    println!("updates  L_ll     share    cosine   λ of a tenth");
    for (number, batch) in batches(&config, images.len()).take(UPDATES + 1).enumerate() {
        let views = views_of(&batch, number, &images, &maker)?;
        if number % EVERY == 0 {
            let Found { value, share, cosine } = probes.find(&learner.state()?, &views, rates)?;
            println!("{number:<8} {value:<8.4} {share:<8.4} {cosine:<8.3} {:.3}", 0.1 / share);
        }
        learner.update(vec![views], rates)?;
    }
    Ok(())
}

/// The same learner with λ = 1 and with λ = 0.
struct Probes {
    with: Learner,
    without: Learner,
}

/// What one batch says of L_ll.
struct Found {
    value: f64,
    /// The norm of its gradient, as a share of the others'.
    share: f64,
    /// Between the two.
    cosine: f64,
}

impl Probes {
    fn find(&mut self, state: &State, views: &Views, rates: Rates) -> Result<Found> {
        let update = |learner: &mut Learner| {
            learner.load(state)?;
            learner.update(vec![views.clone()], rates)
        };
        let (with, without) = (update(&mut self.with)?, update(&mut self.without)?);
        let [all, others] = [&with, &without].map(|update| encoders(&update.gradients));
        let of_l_ll: Vec<f64> = all.iter().zip(&others).map(|(a, b)| a - b).collect();
        Ok(Found {
            value: with.scalars.get_or_nan("local_local"),
            share: norm(&of_l_ll) / norm(&others),
            cosine: dot(&of_l_ll, &others) / (norm(&of_l_ll) * norm(&others)),
        })
    }
}

fn configured(settings: &[String]) -> Result<Config> {
    settings.iter().try_fold(Layers::preset("cifar10-cpu")?, |layers, s| layers.set(s))?.build()
}

/// What tells the gradients under another λ, in single precision: their difference is small.
fn probe(settings: &[String], lambda: f64) -> Result<Learner> {
    let mut config = configured(settings)?;
    config.affinity.lambda = lambda;
    let mut learner = Learner::new(&config, &Device::cpu())?;
    learner.show_gradients();
    Ok(learner)
}

/// Images of whole batches, epoch after epoch.
fn batches(config: &Config, images: usize) -> impl Iterator<Item = Vec<usize>> {
    let (seed, size) = (config.seed, config.optimizer.batch_size);
    (0..).flat_map(move |epoch| {
        let order = epoch_order(seed, epoch, images);
        order.chunks_exact(size).map(<[usize]>::to_vec).collect::<Vec<_>>()
    })
}

/// The views of images, those of all in each slot together; of images that can all be read.
fn views_of(batch: &[usize], number: usize, images: &Images, maker: &ViewMaker) -> Result<Views> {
    let mut kinds = [ViewKind::Global, ViewKind::Local].map(|kind| {
        let side = maker.size(kind);
        TensorData::new(
            vec![0.0; maker.count(kind) * batch.len() * 3 * side * side],
            [maker.count(kind) * batch.len(), 3, side, side],
        )
    });
    let globals = maker.count(ViewKind::Global);
    for (row, &image) in batch.iter().enumerate() {
        images.read(image, |picture| {
            let pixels = picture.open()?.pixels()?;
            for slot in 0..globals + maker.count(ViewKind::Local) {
                let (kind, view) = if slot < globals { (0, slot) } else { (1, slot - globals) };
                let len: usize = kinds[kind].shape[1..].iter().product();
                let at = (view * batch.len() + row) * len;
                let out = &mut kinds[kind].values[at..at + len];
                maker.view(pixels.image(), number as u64, image as u64, slot, out);
            }
            Ok(())
        })?;
    }
    let mut rng = generator(maker.seed(), Stream::Negative, number as u64, 0, 0);
    let [global, local] = kinds;
    Ok(Views {
        global,
        local: Some(local),
        negatives: logo::derangement(batch.len(), &mut rng),
        noise: None,
        key_order: None,
        labels: None,
    })
}

/// All of the encoder's gradients in a row, without f_d's.
fn encoders(gradients: &State) -> Vec<f64> {
    let named = gradients.iter().filter(|(name, _)| !name.starts_with("affinity."));
    named.flat_map(|(_, tensor)| &tensor.values).map(|&value| f64::from(value)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
