//! `logo-ssl bench`

use clap::{Args, Subcommand};
use logo_ssl::bench::{self, KnnBench, Rate, StepBench, TrainBench, ViewsBench};
use logo_ssl::config::Config;
use logo_ssl::engine::{self, Precision};
use logo_ssl::presets::Layers;
use logo_ssl::{Error, Result};
use serde::Serialize;
use serde_json::json;

use super::{DataDir, Output, Threads};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// A training step of a ResNet-18 on 32-pixel crops: forward, backward, SGD
    Step(Step),
    /// Whole LoGo updates on a preset's dataset: views, both losses, both optimisers
    Train(Train),
    /// Two global and two local views of every image of a preset's dataset
    Views(Views),
    /// Exact nearest neighbours among random vectors
    Knn(Knn),
}

#[derive(Debug, Args)]
pub struct Step {
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
    threads: Threads,
}

#[derive(Debug, Args)]
pub struct Train {
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
    data_dir: DataDir,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Args)]
pub struct Views {
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
pub struct Knn {
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

pub fn run(command: &Command, output: Output) -> Result<()> {
    match command {
        Command::Step(arguments) => step(arguments, output),
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
    positive(&[("--width", arguments.width), ("--batch", arguments.batch)])?;
    let threads = arguments.threads.install()?;
    let found = bench::step(arguments.width, arguments.batch, precision);
    print(output, "step", threads, &found, |StepBench { crops_per_second, rate, .. }| {
        let memory = found.peak_memory_mib.map_or(String::new(), |mib| format!(", {mib:.0} MiB"));
        format!("{crops_per_second:.1} crops/s, {}{memory}", shown(rate, " of the direct method"))
    });
    Ok(())
}

fn train(arguments: &Train, output: Output) -> Result<()> {
    let config = config(&arguments.preset, &arguments.set)?;
    let threads = arguments.threads.install()?;
    let splits = arguments.data_dir.splits(&config)?;
    let (batch, images) = (config.optimizer.batch_size, splits.train.len());
    if batch > images {
        return Err(Error::Usage(format!(
            "optimizer.batch_size = {batch} is more than the {images} images there are; lower it"
        )));
    }
    let found = bench::train(&config, &splits.train, arguments.steps)?;
    print(output, "train", threads, &found, |TrainBench { sizes, images_per_second, .. }| {
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
    print(output, "views", threads, &found, |ViewsBench { sizes, images_per_second, .. }| {
        format!(
            "{images_per_second:.0} images/s (2 × {} px + 2 × {} px), {:.0} a thread",
            sizes[0],
            sizes[1],
            images_per_second / threads as f64
        )
    });
    Ok(())
}

fn knn(arguments: &Knn, output: Output) -> Result<()> {
    let Knn { queries, bank, dim, k, .. } = *arguments;
    positive(&[("--queries", queries), ("--bank", bank), ("--dim", dim), ("--k", k)])?;
    let threads = arguments.threads.install()?;
    let found = bench::knn(queries, bank, dim, k);
    print(output, "knn", threads, &found, |KnnBench { seconds, rate, .. }| {
        format!(
            "{queries} queries, {bank} vectors of {dim}, k = {k}: {seconds:.2} s, {}",
            shown(rate, "")
        )
    });
    Ok(())
}

/// The preset with single values laid over it.
fn config(preset: &str, set: &[String]) -> Result<Config> {
    set.iter().try_fold(Layers::preset(preset)?, |layers, set| layers.set(set))?.build()
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
        rate.ceiling_gflops
    )
}

fn print<B: Serialize>(
    output: Output,
    name: &str,
    threads: usize,
    found: &B,
    text: impl Fn(&B) -> String,
) {
    let instructions = engine::level().to_string();
    match output.json {
        true => say!(
            "{}",
            json!({ "bench": name, "instructions": instructions, "threads": threads, "found": found })
        ),
        false => say!("{}\n{instructions} instructions, {threads} threads", text(found)),
    }
}
