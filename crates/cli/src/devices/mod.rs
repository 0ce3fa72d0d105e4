//! `logo-ssl devices`

mod fetch;
mod probe;

use std::env::consts::OS;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use logo_ssl::bench;
use logo_ssl::config::Precision;
use logo_ssl::executor::{self, Accelerator};
use logo_ssl::instructions::{self, Chosen, Level};
use plugins::{Candidate, Kind, Surroundings};
use serde_json::{Value, json};

use self::probe::{Opened, Probe};
use super::{Output, Threads};
use crate::error::Result;
use crate::hints;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Open the plugin at this path and print what it says: what the listing has a process of its own do
    #[arg(long, value_name = "PATH", hide = true)]
    probe: Option<PathBuf>,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download the plugin for a device and the libraries that it loads; no Python is involved
    Fetch(fetch::Arguments),
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    match (&arguments.command, &arguments.probe) {
        (Some(Command::Fetch(arguments)), _) => fetch::run(arguments, output),
        (None, Some(path)) => probe::answer(path),
        (None, None) => list(arguments.threads, output),
    }
}

fn list(threads: Threads, output: Output) -> Result<()> {
    let surroundings = executor::surroundings()?;
    // They open while the CPU is measured; each in a process of its own, since a plugin may crash or hang.
    let probes: Vec<(Candidate, Probe)> = candidates(&surroundings)
        .into_iter()
        .map(|candidate| {
            let probe = Probe::start(&candidate.path, surroundings.needed_environment(&candidate));
            (candidate, probe)
        })
        .collect();
    let cpu = Cpu::measure(threads)?;
    let found: Vec<Found> = probes
        .into_iter()
        .map(|(candidate, probe)| Found::new(candidate, &surroundings, probe.result()))
        .collect();
    let missing = missing(&surroundings, &found);
    match output.json {
        true => say!("{}", as_json(&cpu, &found, &missing)),
        false => {
            cpu.print();
            found.iter().for_each(Found::print);
            for (kind, step) in &missing {
                say!("{:<5} not here. {step}", kind.name());
            }
        }
    }
    Ok(())
}

fn as_json(cpu: &Cpu, found: &[Found], missing: &[(Kind, String)]) -> Value {
    let mut all = cpu.as_json();
    all["plugins"] = found.iter().map(Found::as_json).collect();
    let step = |(kind, step): &(Kind, String)| json!({ "device": kind, "next_step": step });
    all["missing"] = missing.iter().map(step).collect();
    all
}

/// The plugins that are here, each once, those of a kind together.
fn candidates(surroundings: &Surroundings) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = vec![];
    for candidate in Kind::ALL.into_iter().flat_map(|kind| surroundings.candidates(kind)) {
        // One that was named by hand may be of any kind, and is found for each.
        if all.iter().all(|known| known.path != candidate.path) {
            let kind = Kind::of_file(&candidate.path);
            all.push(Candidate { kind, ..candidate });
        }
    }
    all
}

/// The kinds without a plugin of their own, with the next step for each.
fn missing(surroundings: &Surroundings, found: &[Found]) -> Vec<(Kind, String)> {
    // One that was named by hand and is of no known kind is listed already, and would stand for each.
    let mut others = surroundings.clone();
    others.variables.remove(OsStr::new(plugins::VARIABLE));
    let is_here = |kind: Kind| found.iter().any(|one| one.candidate.kind == kind);
    let kinds = Accelerator::ALL.map(Accelerator::kind).into_iter().filter(|kind| !is_here(*kind));
    kinds.filter_map(|kind| Some((kind, hints::next_step(&others.next_step(kind, OS)?)))).collect()
}

/// The processor, with its speed.
struct Cpu {
    threads: usize,
    available: Vec<String>,
    level: Level,
    bf16: &'static Chosen,
    peaks: [f64; 2],
}

impl Cpu {
    fn measure(threads: Threads) -> Result<Self> {
        Ok(Self {
            threads: threads.install()?,
            available: Level::available().iter().map(Level::to_string).collect(),
            level: instructions::level(),
            bf16: instructions::bf16_level(),
            peaks: [Precision::F32, Precision::Bf16].map(bench::peak_gflops),
        })
    }

    fn print(&self) {
        let Self { level, threads, peaks: [f32, bf16], .. } = self;
        say!(
            "cpu   {level} instructions, {threads} threads, {f32:.0} GFLOP/s at most (f32), {bf16:.0} (bf16)"
        );
        say!("      bf16 by {} instructions: {}", self.bf16.level(), reason(self.bf16));
        say!(
            "      available: {}; choose with {}",
            self.available.join(", "),
            instructions::LEVEL_VARIABLE
        );
    }

    fn as_json(&self) -> Value {
        let [f32, bf16] = self.peaks;
        let rates = self.bf16.choice().map(|choice| {
            let rate = |(level, rate): &(Level, f64)| (level.to_string(), json!(rate));
            choice.measured.iter().map(rate).collect::<serde_json::Map<_, _>>()
        });
        json!({ "device": "cpu", "instructions": self.level.to_string(),
            "bf16": { "instructions": self.bf16.level().to_string(),
                "reason": reason(self.bf16), "trial_gflops": rates },
            "available": self.available, "threads": self.threads,
            "ceiling_gflops": { "f32": f32, "bf16": bf16 } })
    }
}

/// Why these instructions are used for bf16.
fn reason(chosen: &Chosen) -> String {
    match chosen {
        Chosen::Forced(_) => format!("{} says so", instructions::LEVEL_VARIABLE),
        Chosen::Only(_) => "there are no others to choose from".to_owned(),
        Chosen::Kept(choice) | Chosen::Measured(choice) => {
            let rate = |(level, rate): &(Level, f64)| format!("{level} {rate:.0}");
            let rates: Vec<String> = choice.measured.iter().map(rate).collect();
            format!("the choice of a trial ({} GFLOP/s)", rates.join(", "))
        }
    }
}

/// A plugin, and what it says of itself.
struct Found {
    candidate: Candidate,
    /// What `--device` calls it.
    name: String,
    /// Or why it does not open.
    opened: Result<Opened, String>,
}

impl Found {
    fn new(
        candidate: Candidate,
        surroundings: &Surroundings,
        opened: Result<Opened, String>,
    ) -> Self {
        let kind = candidate.kind;
        let has_name = Accelerator::ALL.iter().any(|known| known.kind() == kind);
        let best = surroundings.candidates(kind).first().is_some_and(|b| b.path == candidate.path);
        let name = match has_name && best {
            true => kind.name().to_owned(),
            false => candidate.path.display().to_string(),
        };
        Self { candidate, name, opened }
    }

    fn print(&self) {
        let Candidate { kind, path, version, origin } = &self.candidate;
        let version = version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        say!("{:<5} plugin{version}: {} ({origin})", kind.name(), path.display());
        match &self.opened {
            Err(problem) => say!("      it does not open: {problem}"),
            Ok(opened) => {
                let Opened { interface, platform, .. } = opened;
                say!("      PJRT {interface}, {platform}: --device {}", self.name);
                for (index, device) in opened.devices.iter().enumerate() {
                    let memory =
                        device.memory_bytes.map(|bytes| format!(", {}", HumanBytes(bytes)));
                    let memory = memory.unwrap_or_default();
                    say!("      :{index:<3} {}{memory}", device.model);
                }
            }
        }
    }

    fn as_json(&self) -> Value {
        let Candidate { kind, path, version, origin } = &self.candidate;
        let mut all = json!({ "device": self.name, "kind": kind, "plugin": path,
            "version": version, "found": origin.to_string() });
        match &self.opened {
            Ok(opened) => all["opened"] = json!(opened),
            Err(problem) => all["error"] = json!(problem),
        }
        all
    }
}
