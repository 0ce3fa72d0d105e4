//! `logo-ssl bench`

use clap::{Args, Subcommand};
use logo_ssl::bench::{
    self, KnnBench, Rate, StepBench, StepCase, TrainBench, UpdateBench, ViewsBench,
};
use logo_ssl::config::{Backbone, Config, Precision, Stem};
use logo_ssl::executor::{Device, DeviceName};
use logo_ssl::instructions;
use logo_ssl::presets::Layers;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::compute::{On, open_for};
use super::{DataDir, Output, Threads};
use crate::error::{Error, Result};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// A training step of a backbone on random crops: forward, backward, SGD
    Step(Step),
    /// LoGo updates alone: the same random views, which lie on the device, again and again
    Update(Update),
    /// Whole LoGo updates on a preset's dataset: views, both losses, both optimisers
    Train(Train),
    /// Two global and two local views of every image of a preset's dataset
    Views(Views),
    /// Exact nearest neighbours among random vectors
    Knn(Knn),
}

#[derive(Debug, Args)]
pub(crate) struct Step {
    /// Which network, as model.backbone names it
    #[arg(long, value_name = "NAME", default_value = "resnet18")]
    backbone: String,
    /// Its stem, cifar or imagenet, as model.stem names it
    #[arg(long, value_name = "NAME", default_value = "cifar")]
    stem: String,
    /// Side of the crops, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 32)]
    size: usize,
    /// Channels of the first stage
    #[arg(long, value_name = "W", default_value_t = 64)]
    width: usize,
    /// Crops a step
    #[arg(long, value_name = "B", default_value_t = 64)]
    batch: usize,
    /// Store activations as f32 or bf16
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: String,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Whose views, networks and losses
    #[arg(long, value_name = "NAME", default_value = "quickstart")]
    preset: String,
    /// One value laid over it, for example model.width=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Updates of each of the five groups, of whose times the median counts
    #[arg(long, value_name = "N", default_value_t = 3)]
    steps: usize,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Whose dataset, views, networks and losses
    #[arg(long, value_name = "NAME", default_value = "quickstart")]
    preset: String,
    /// One value laid over it, for example model.width=64; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Updates that count
    #[arg(long, value_name = "N", default_value_t = 7)]
    steps: usize,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct Views {
    /// Whose dataset and views
    #[arg(long, value_name = "NAME", default_value = "quickstart")]
    preset: String,
    /// One value laid over it, for example data.dataset=folder; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Args)]
pub(crate) struct Knn {
    /// Vectors searched for
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    queries: usize,
    /// Vectors searched among
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    bank: usize,
    /// Their dimensions
    #[arg(long, value_name = "N", default_value_t = 512)]
    dim: usize,
    /// Neighbours each
    #[arg(long, value_name = "K", default_value_t = 200)]
    k: usize,
    #[command(flatten)]
    threads: Threads,
}

pub(crate) fn run(command: &Command, output: Output) -> Result<()> {
    match command {
        Command::Step(arguments) => step(arguments, output),
        Command::Update(arguments) => update(arguments, output),
        Command::Train(arguments) => train(arguments, output),
        Command::Views(arguments) => views(arguments, output),
        Command::Knn(arguments) => knn(arguments, output),
    }
}

fn step(arguments: &Step, output: Output) -> Result<()> {
    let precision = match arguments.precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(Error::Usage(format!("--precision {other}: it is f32 or bf16"))),
    };
    let &Step { width, batch, size, .. } = arguments;
    positive(&[("--width", width), ("--batch", batch), ("--size", size)])?;
    let case = StepCase {
        backbone: named::<Backbone>("--backbone", &arguments.backbone)?,
        stem: named::<Stem>("--stem", &arguments.stem)?,
        width,
        batch,
        size,
        precision,
    };
    let place = Place { device: arguments.on.name(), threads: arguments.threads.install()? };
    let device = one_device(&arguments.on)?;
    let found = bench::step(case, &device)?;
    print(output, "step", &place, &found, |StepBench { crops_per_second, rate, .. }| {
        let memory = found.peak_memory_mib.map_or(String::new(), |mib| format!(", {mib:.0} MiB"));
        let rate = match place.device {
            DeviceName::Cpu => shown(rate, " of the direct method"),
            // The peak is the processor's.
            _ => format!("{:.0} GFLOP/s of the direct method", rate.gflops),
        };
        format!("{crops_per_second:.1} crops/s, {rate}{memory}")
    });
    Ok(())
}

/// What a config's key would take for `value`.
fn named<T: DeserializeOwned>(flag: &str, value: &str) -> Result<T> {
    serde_json::from_value(json!(value))
        .map_err(|error| Error::Usage(format!("{flag} {value}: {error}")))
}

fn update(arguments: &Update, output: Output) -> Result<()> {
    let mut config = config(&arguments.preset, &arguments.set)?;
    arguments.on.lay_over(&mut config);
    config.validate()?;
    let threads = arguments.threads.install()?;
    let device = open_for(&config)?;
    let found = bench::update(&config, arguments.steps, &device)?;
    let place = Place { device: config.compute.device, threads };
    print(output, "update", &place, &found, |UpdateBench { sizes, batch, .. }| {
        format!(
            "{:.1} images/s (2 × {} px + 2 × {} px, batch {batch}), ready after {:.1} s, loss {:.4}",
            found.images_per_second, sizes[0], sizes[1], found.warm_up_seconds, found.loss
        )
    });
    Ok(())
}

fn train(arguments: &Train, output: Output) -> Result<()> {
    let mut config = config(&arguments.preset, &arguments.set)?;
    arguments.on.lay_over(&mut config);
    config.validate()?;
    let threads = arguments.threads.install()?;
    let device = open_for(&config)?;
    let splits = arguments.data_dir.splits(&config)?;
    let (batch, images) = (config.optimizer.batch_size, splits.train.len());
    if batch > images {
        return Err(Error::Usage(format!(
            "optimizer.batch_size = {batch} is more than the {images} images there are; lower it"
        )));
    }
    let found = bench::train(&config, &splits.train, arguments.steps, &device)?;
    let place = Place { device: config.compute.device, threads };
    print(output, "train", &place, &found, |TrainBench { sizes, images_per_second, .. }| {
        let memory = found.peak_memory_mib.map_or(String::new(), |mib| format!(", {mib:.0} MiB"));
        format!(
            "{images_per_second:.1} images/s (2 × {} px + 2 × {} px, batch {batch}){memory}",
            sizes[0], sizes[1],
        )
    });
    Ok(())
}

fn views(arguments: &Views, output: Output) -> Result<()> {
    let config = config(&arguments.preset, &arguments.set)?;
    let threads = arguments.threads.install()?;
    let splits = arguments.data_dir.splits(&config)?;
    let found = bench::views(&config, &splits.train)?;
    print(
        output,
        "views",
        &Place::cpu(threads),
        &found,
        |ViewsBench { sizes, images_per_second, .. }| {
            format!(
                "{images_per_second:.0} images/s (2 × {} px + 2 × {} px), {:.0} a thread",
                sizes[0],
                sizes[1],
                images_per_second / threads as f64
            )
        },
    );
    Ok(())
}

fn knn(arguments: &Knn, output: Output) -> Result<()> {
    let Knn { queries, bank, dim, k, .. } = *arguments;
    positive(&[("--queries", queries), ("--bank", bank), ("--dim", dim), ("--k", k)])?;
    let threads = arguments.threads.install()?;
    let found = bench::knn(queries, bank, dim, k);
    print(output, "knn", &Place::cpu(threads), &found, |KnnBench { seconds, rate, .. }| {
        format!(
            "{queries} queries, {bank} vectors of {dim}, k = {k}: {seconds:.2} s, {}",
            shown(rate, "")
        )
    });
    Ok(())
}

/// The preset with single values laid over it.
fn config(preset: &str, set: &[String]) -> Result<Config> {
    let preset = Layers::preset(preset)?;
    Ok(set.iter().try_fold(preset, |layers, set| layers.set(set))?.build()?)
}

/// The step is one device's: on several each would do the whole of it.
fn one_device(on: &On) -> Result<Device> {
    match on.name().replicas() {
        1 => on.open(),
        _ => Err(Error::Usage(format!(
            "--device {}: a step is measured on one device; several share those of bench train",
            on.name()
        ))),
    }
}

/// Where something was measured.
struct Place {
    device: DeviceName,
    threads: usize,
}

impl Place {
    fn cpu(threads: usize) -> Self {
        Self { device: DeviceName::Cpu, threads }
    }
}

fn positive(arguments: &[(&str, usize)]) -> Result<()> {
    match arguments.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => Err(Error::Usage(format!("{name} 0: at least one is needed"))),
        None => Ok(()),
    }
}

fn shown(rate: &Rate, method: &str) -> String {
    format!(
        "{:.0} GFLOP/s{method} ({:.0} % of the ceiling of {:.0})",
        rate.gflops,
        100.0 * rate.share(),
        rate.peak_gflops
    )
}

fn print<B: Serialize>(
    output: Output,
    name: &str,
    place: &Place,
    found: &B,
    text: impl Fn(&B) -> String,
) {
    let Place { device, threads } = place;
    let instructions = instructions::level().to_string();
    if output.json {
        let place = json!({ "bench": name, "device": device, "instructions": instructions,
            "threads": threads, "found": found });
        say!("{place}");
        return;
    }
    let on = match device {
        DeviceName::Cpu => String::new(),
        other => format!("{other}, beside a processor of "),
    };
    say!("{}\n{on}{instructions} instructions, {threads} threads", text(found));
}
