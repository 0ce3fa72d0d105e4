//! `logo-ssl devices fetch`

use std::io::{self, IsTerminal, Write};

use clap::Args;
use indicatif::{HumanBytes, HumanDuration, ProgressBar};
use logo_ssl::executor;
use logo_ssl_base::suggest;
use plugins::{Event, Index, Installed, Kind, Plan, Request};
use serde_json::json;

use crate::Output;
use crate::error::{Error, Result};
use crate::progress::bar;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Which plugin: cuda, rocm, or cpu for XLA on the processor
    #[arg(value_name = "KIND", value_parser = kind)]
    kind: Kind,
    /// Do not ask whether to download
    #[arg(long, short)]
    yes: bool,
    /// A simple package index (PEP 503) [default: $PIP_INDEX_URL, else PyPI]
    #[arg(long, value_name = "URL")]
    index: Option<String>,
}

fn kind(name: &str) -> Result<Kind> {
    let known = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::Other);
    known().find(|kind| kind.name() == name).ok_or_else(|| {
        let hint = suggest(name, known().map(Kind::name));
        Error::Usage(format!("there is no plugin for `{name}`: {hint}"))
    })
}

pub(super) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let plan = plugins::plan(&arguments.request()?).map_err(told)?;
    let installed = match plan.installed() {
        Some(installed) => installed,
        None => {
            show(&plan, output);
            if !arguments.agreed(output)? {
                remark!("nothing was downloaded");
                return Ok(());
            }
            execute(&plan, output)?
        }
    };
    finish(&installed, output);
    Ok(())
}

impl Arguments {
    fn request(&self) -> Result<Request> {
        let mut surroundings = executor::surroundings()?;
        if let Some(url) = &self.index {
            surroundings.variables.insert("PIP_INDEX_URL".into(), url.into());
        }
        let index = Index::of(&surroundings).map_err(told)?;
        Ok(Request::new(self.kind, index, &surroundings.plugins))
    }

    /// Whether the person who sees the sizes wants the download.
    fn agreed(&self, output: Output) -> Result<bool> {
        if self.yes {
            return Ok(true);
        }
        if output.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Error::Usage(format!(
                "nobody is here to ask; to download it, say: logo-ssl devices fetch {} --yes",
                self.kind
            )));
        }
        let asked = io::stderr().write_all(b"Download it? [y/N] ");
        asked.map_err(Error::io("write", "the terminal"))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(Error::io("read", "the terminal"))?;
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }
}

fn show(plan: &Plan, output: Output) {
    if output.json {
        let wheels = plan.wheels.iter().map(|wheel| {
            json!({ "name": wheel.name, "version": wheel.version, "bytes": wheel.size, "url": wheel.url() })
        });
        let wheels: Vec<_> = wheels.collect();
        say!(
            "{}",
            json!({ "event": "plan", "version": plan.version, "bytes": plan.total_bytes,
                "folder": plan.folder(), "wheels": wheels })
        );
        return;
    }
    if output.quiet {
        return;
    }
    for wheel in &plan.wheels {
        say!("{:>12}  {} {}", HumanBytes(wheel.size).to_string(), wheel.name, wheel.version);
    }
    say!(
        "{:>12}  to download, for the {} plugin {} in {}",
        HumanBytes(plan.total_bytes).to_string(),
        plan.kind,
        plan.version,
        plan.folder().display()
    );
}

fn execute(plan: &Plan, output: Output) -> Result<Installed> {
    let template = "{bar:30.cyan} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go {msg}";
    let bar = bar(output, plan.total_bytes, template);
    let installed = plugins::execute(plan, &mut |event| follow(&bar, &event, output));
    bar.finish_and_clear();
    installed.map_err(told)
}

fn follow(bar: &ProgressBar, event: &Event<'_>, output: Output) {
    match event {
        Event::Receiving { wheel, done_in_all, .. } => {
            bar.set_position(*done_in_all);
            bar.set_message(wheel.name.clone());
        }
        Event::Unpacking { wheel } => bar.set_message(format!("unpacking {}", wheel.name)),
        Event::Waiting { wheel, problem, pause } if !output.quiet && !output.json => {
            let pause = HumanDuration(*pause);
            bar.suspend(|| remark!("{}: {problem}; again in {pause}", wheel.name));
        }
        _ => {}
    }
}

fn finish(installed: &Installed, output: Output) {
    let path = installed.path();
    let device = match installed.kind {
        Kind::Cpu | Kind::Other => path.display().to_string(),
        kind => kind.name().to_owned(),
    };
    match output.json {
        true => say!(
            "{}",
            json!({ "event": "done", "version": installed.version, "plugin": path, "device": device })
        ),
        false => {
            say!("the {} plugin {} lies in {}", installed.kind, installed.version, path.display());
            say!("train with it: logo-ssl pretrain --device {device}");
        }
    }
}

fn told(error: plugins::Error) -> Error {
    match error {
        plugins::Error::Address { .. } | plugins::Error::NotFetched { .. } => {
            Error::Usage(error.to_string())
        }
        _ => Error::Failed(error.to_string()),
    }
}
