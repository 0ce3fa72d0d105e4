//! `logo-ssl eval`

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use logo_ssl::config::Config;
use logo_ssl::eval::{Compared, EvaluationName, Examined, Findings, Suite};
use logo_ssl::interop::EncoderAt;
use logo_ssl::record::{RunFiles, Score, Source};
use logo_ssl_base::words::grouped;
use serde_json::json;

use super::Output;
use super::encoder::{Measured, Ready, evaluated};
use super::lines::title_of;
use super::progress::bar;
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run directory, or a file of weights
    #[arg(value_name = "RUN|WEIGHTS", required_unless_present = "list")]
    encoder: Option<PathBuf>,
    /// quick, standard or full
    #[arg(long, value_name = "NAME", default_value_t = Suite::Standard)]
    suite: Suite,
    /// These alone, by name, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "suite")]
    only: Vec<EvaluationName>,
    /// Leave out the untrained encoder and the pixels
    #[arg(long)]
    no_floors: bool,
    /// A second encoder, told apart by paired tests
    #[arg(long, value_name = "RUN|WEIGHTS")]
    against: Option<PathBuf>,
    /// Findings as JSON [default: RUN/evaluation.json]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// List the evaluations and their suites
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    measured: Measured,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let Some(path) = arguments.encoder.as_ref().filter(|_| !arguments.list) else {
        list(output);
        return Ok(());
    };
    let at = EncoderAt::path(path);
    let config = arguments.measured.config(&at)?;
    let seed = config.seed;
    let found = arguments.examine(&at, config, output)?;
    let kept = arguments.out.clone().or_else(|| match &at {
        EncoderAt::Run(root) => Some(RunFiles::of(root).evaluation()),
        EncoderAt::Weights(_) => None,
    });
    if let Some(kept) = &kept {
        found.write(kept)?;
    }
    let other = arguments.against.as_deref().map(EncoderAt::path);
    let compared = match &other {
        Some(other) => {
            let config = arguments.measured.config(other)?;
            found.compare(&arguments.examine(other, config, output)?, seed)?
        }
        None => vec![],
    };
    match output.json {
        true if other.is_some() => {
            say!("{}", json!({ "findings": found, "against": compared }));
        }
        true => say!("{}", json!(found)),
        false => {
            table(&found);
            if let Some(second) = &arguments.against {
                pairs(&compared, [path, second]);
            }
            kept.iter().for_each(|kept| say!("findings: {}", kept.display()));
            if let EncoderAt::Run(root) = &at {
                remark!("`logo-ssl report {}` puts them into report.html", root.display());
            }
        }
    }
    Ok(())
}

impl Arguments {
    fn evaluations(&self) -> Vec<EvaluationName> {
        match self.only.is_empty() {
            true => self.suite.evaluations(),
            false => self.only.clone(),
        }
    }

    fn examine(&self, at: &EncoderAt, config: Config, output: Output) -> Result<Findings> {
        let Ready { config, labelled, encoder } = self.measured.open(at, config)?;
        let dataset = evaluated(&config);
        let examined =
            Examined { encoder: &encoder, dataset, labelled: &labelled, config: &config };
        let shown =
            Shown { bar: bar(output, 0, "{prefix:>36} {bar:30.cyan} {pos}/{len}, {eta} to go") };
        let found = examined.run(
            &self.evaluations(),
            !self.no_floors,
            &mut |name, source, done, total| {
                shown.tell(name, source, [done, total]);
                Ok(true)
            },
        )?;
        shown.bar.finish_and_clear();
        found.ok_or_else(|| Error::Failed("the evaluation was stopped".into()))
    }
}

/// The evaluation under way, as a bar.
struct Shown {
    bar: ProgressBar,
}

impl Shown {
    fn tell(&self, name: EvaluationName, source: Source, [done, total]: [usize; 2]) {
        let prefix = format!("{}, {}", name.evaluation().title(), source_name(source));
        if self.bar.prefix() != prefix {
            self.bar.reset();
            self.bar.set_prefix(prefix);
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

/// What was measured, for people.
fn source_name(source: Source) -> &'static str {
    match source {
        Source::Trained => "trained",
        Source::Untrained => "untrained",
        Source::Pixels => "pixels",
    }
}

/// Which sources have a column, in order.
const COLUMNS: [Source; 3] = [Source::Trained, Source::Untrained, Source::Pixels];

/// One line a score, one column a source; of more classes than fit a screen, the table has the mean alone.
fn table(found: &Findings) {
    let Findings { dataset, train_images, test_images, classes, .. } = found;
    say!(
        "{dataset}: {} test images of {} classes, {} to learn from; shares with their 95 % interval",
        grouped(*test_images as u64),
        grouped(*classes as u64),
        grouped(*train_images as u64)
    );
    let columns: Vec<Source> = COLUMNS
        .into_iter()
        .filter(|source| found.results.iter().any(|result| result.source == *source))
        .collect();
    let heads: String =
        columns.iter().map(|source| format!("  {:>22}", source_name(*source))).collect();
    say!("{:<40}{heads}", "");
    for finding in found.results.iter().filter(|result| result.source == columns[0]) {
        say!("{}", title_of(&finding.evaluation));
        for (name, _) in finding.scores.iter() {
            let cell = |source: &Source| {
                let score = found
                    .of(&finding.evaluation, *source)
                    .and_then(|finding| finding.scores.get(name));
                format!("  {:>22}", score.map_or_else(String::new, |score| score.to_string()))
            };
            let cells: String = columns.iter().map(cell).collect();
            say!("  {name:<38}{}", cells.trim_end());
        }
    }
}

fn pairs(compared: &[Compared], [first, second]: [&PathBuf; 2]) {
    say!("{} against {}, paired over test images", first.display(), second.display());
    for Compared { evaluation, scores: [ours, theirs], paired } in compared {
        let difference = Score::within(paired.difference, paired.interval);
        say!(
            "  {evaluation:<20} {:6.2} % against {:6.2} %: {difference}, p = {:.2e} by McNemar's exact test",
            100.0 * ours,
            100.0 * theirs,
            paired.test.p_value
        );
    }
}

fn list(output: Output) {
    let suites = |name: EvaluationName| {
        let of = Suite::ALL.into_iter().filter(move |suite| suite.evaluations().contains(&name));
        of.map(Suite::name).collect::<Vec<_>>()
    };
    for name in EvaluationName::all() {
        let title = name.evaluation().title();
        match output.json {
            true => say!("{}", json!({ "name": name, "title": title, "suites": suites(name) })),
            false => say!("{name:<16} {title:<28} {}", suites(name).join(", ")),
        }
    }
}
