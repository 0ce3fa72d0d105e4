//! The `logo-ssl` command, a thin layer over the library: arguments in, library calls, printed results.
//! One file a subcommand, no logic.

#[macro_use]
mod say;

mod affinity;
mod bench;
mod compare;
mod compute;
mod config;
mod dashboard;
mod data;
mod devices;
mod embed;
mod encoder;
mod error;
mod eval;
mod export;
mod export_logs;
mod hints;
mod import;
mod init;
mod knn;
mod lines;
mod log;
mod map;
mod neighbours;
mod pictures;
mod pretrain;
mod progress;
mod report;
mod serve;
mod similarities;
mod sweep;
mod verify;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use logo_ssl::config::Config;
use logo_ssl::data::{DatasetName, Places, Splits};
use logo_ssl::instructions::{self, LEVEL_VARIABLE};
use logo_ssl::train::Workers;

use error::{Error, Result};
use logo_ssl_data::{Recognised, recognise};

/// Self-supervised pretraining of image encoders with LoGo (CVPR 2022).
#[derive(Debug, Parser)]
#[command(name = "logo-ssl", version, args_override_self = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: Output,
}

/// How much is printed, and in which form.
#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// Print results and errors only
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print one JSON object a line instead of text
    #[arg(long, global = true, hide_short_help = true)]
    json: bool,
    /// Print plain lines where a terminal would show a dashboard or bars
    #[arg(long, global = true, hide_short_help = true)]
    plain: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train an encoder without labels, measure it, and write a report
    Pretrain(pretrain::Arguments),
    /// Train several settings one after another, and compare them
    Sweep(sweep::Arguments),
    /// Set runs side by side: mean and spread over seeds, plots
    Compare(compare::Arguments),
    /// Measure an encoder as the field does, with intervals and floors
    Eval(eval::Arguments),
    /// Write the features of any images to a file
    Embed(embed::Arguments),
    /// Write a trained encoder for PyTorch, timm, ONNX and others
    Export(export::Arguments),
    /// Take the backbone of another program's checkpoint
    Import(import::Arguments),
    /// Measure a trained encoder by its nearest neighbours
    Knn(knn::Arguments),
    /// Draw test images beside their nearest neighbours
    Neighbours(neighbours::Arguments),
    /// Draw images in the plane, near where their features are
    Map(map::Arguments),
    /// Draw what LoGo learned: which crops attract, which repel
    Affinity(affinity::Arguments),
    /// Draw how alike views are, now and over training
    Similarities(similarities::Arguments),
    /// Write the plots and report.html of a run again
    Report(report::Arguments),
    /// Say what of a run can be trusted, file by file
    Verify(verify::Arguments),
    /// Show a run in the terminal, live: curves, health, log
    Watch(watch::Arguments),
    /// Write the logs of a run for TensorBoard, or as CSV
    ExportLogs(export_logs::Arguments),
    /// Show all runs of a folder on a local page, live
    Serve(serve::Arguments),
    /// Show where logo-ssl can compute
    Devices(devices::Arguments),
    /// Measure how fast this machine trains, makes views, searches
    #[command(subcommand)]
    Bench(bench::Command),
    /// Get, inspect and preview datasets
    #[command(subcommand)]
    Data(data::Command),
    /// Show the presets
    #[command(subcommand)]
    Config(config::Command),
}

/// Where datasets lie.
#[derive(Clone, Debug, Args)]
struct DataDir {
    /// Folder of datasets [default: $LOGO_SSL_DATA]
    ///
    /// Without either, the user's data directory.
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    data_dir: Option<PathBuf>,
    /// Folder of the dataset that is evaluated, where that is another (eval.dataset) [default: the same]
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    eval_data_dir: Option<PathBuf>,
}

impl DataDir {
    fn places(&self) -> Places {
        Places { data: self.data_dir.clone(), eval: self.eval_data_dir.clone() }
    }

    /// This, with `path` as the folder where one was named without a flag.
    fn or_path(&self, path: Option<&PathBuf>) -> Self {
        let data_dir = path.or(self.data_dir.as_ref()).cloned();
        Self { data_dir, ..self.clone() }
    }

    /// The kind of dataset that lies in the folder that was named, which is told; none where no folder was.
    fn recognised(&self, output: Output) -> Result<Option<DatasetName>> {
        let Some(place) = &self.data_dir else { return Ok(None) };
        let Recognised { dataset, why, .. } = recognise(place)?;
        if !output.quiet && !output.json {
            remark!("{}: {why}, so it is read as --dataset {dataset}", place.display());
        }
        Ok(Some(dataset))
    }

    /// What a run of `config` trains on and is measured by.
    fn splits(&self, config: &Config) -> Result<Splits> {
        Ok(logo_ssl::data::load(config, &self.places())?)
    }
}

/// How many threads compute.
#[derive(Clone, Copy, Debug, Args)]
struct Threads {
    /// Threads; results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", hide_short_help = true)]
    threads: Option<usize>,
}

/// How a run goes about its work; nothing of it changes the result.
#[derive(Clone, Copy, Debug, Args)]
struct Running {
    #[command(flatten)]
    threads: Threads,
    /// Threads that make views, beside those that compute [default: 1, and more while updates wait for them]
    #[arg(long, value_name = "N", hide_short_help = true)]
    loader_threads: Option<usize>,
    /// Steps between two checkpoints within an epoch
    #[arg(long, value_name = "STEPS", default_value_t = 100, hide_short_help = true)]
    checkpoint_every: u64,
    /// Also write events for TensorBoard, into the run's folder tensorboard
    #[arg(long, hide_short_help = true)]
    tensorboard: bool,
    /// Draw no pictures for the report: neighbours, map, affinity
    #[arg(long, hide_short_help = true)]
    no_pictures: bool,
}

impl Running {
    /// Sizes the pool as [`Threads::install`], and says who makes the views.
    fn install(self) -> Result<Workers> {
        let threads = self.threads.install()?;
        match self.loader_threads {
            Some(0) => Err(Error::Usage("--loader-threads 0: at least one is needed".into())),
            Some(count) => Ok(Workers::fixed(count)),
            None => Ok(Workers::measured(threads)),
        }
    }

    /// Sizes the pool, and says how a run is trained and shown.
    fn how(self, output: Output) -> Result<pretrain::How> {
        Ok(pretrain::How {
            workers: self.install()?,
            checkpoint_every: self.checkpoint_every,
            tensorboard: self.tensorboard,
            pictures: !self.no_pictures,
            output,
        })
    }
}

impl Threads {
    /// Sizes the pool that all computation shares and says how many threads it has.
    fn install(self) -> Result<usize> {
        let count = match self.threads {
            Some(0) => return Err(Error::Usage("--threads 0: at least one is needed".into())),
            Some(count) => count,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        // It fails only when the pool exists already, and nothing has computed yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(count).build_global();
        Ok(count)
    }
}

/// Parses the arguments, runs the subcommand, and turns its error into a message and an exit code.
fn main() -> ExitCode {
    cpu_kernels::keep_freed_memory();
    let cli = Cli::parse();
    log::to_stderr(cli.output.quiet || cli.output.json);
    // In this order: a decoder's panic, which is caught, leaves the dashboard on the terminal.
    dashboard::leave_on_panic();
    logo_ssl_data::decode::silence_caught_panics();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<()> {
    instructions::check().map_err(|error| Error::Usage(format!("{LEVEL_VARIABLE}: {error}")))?;
    match cli.command {
        Command::Pretrain(arguments) => pretrain::run(arguments, cli.output),
        Command::Sweep(arguments) => sweep::run(&arguments, cli.output),
        Command::Compare(arguments) => compare::run(&arguments, cli.output),
        Command::Eval(arguments) => eval::run(&arguments, cli.output),
        Command::Embed(arguments) => embed::run(&arguments, cli.output),
        Command::Export(arguments) => export::run(&arguments, cli.output),
        Command::Knn(arguments) => knn::run(&arguments, cli.output),
        Command::Import(arguments) => import::run(&arguments, cli.output),
        Command::Neighbours(arguments) => neighbours::run(&arguments, cli.output),
        Command::Map(arguments) => map::run(&arguments, cli.output),
        Command::Affinity(arguments) => affinity::run(&arguments, cli.output),
        Command::Similarities(arguments) => similarities::run(&arguments, cli.output),
        Command::Report(arguments) => report::run(&arguments, cli.output),
        Command::Verify(arguments) => verify::run(&arguments, cli.output),
        Command::Watch(arguments) => watch::run(&arguments, cli.output),
        Command::ExportLogs(arguments) => export_logs::run(&arguments, cli.output),
        Command::Serve(arguments) => serve::run(&arguments, cli.output),
        Command::Devices(arguments) => devices::run(&arguments, cli.output),
        Command::Bench(command) => bench::run(&command, cli.output),
        Command::Data(command) => data::run(command, cli.output),
        Command::Config(command) => config::run(&command),
    }
}
