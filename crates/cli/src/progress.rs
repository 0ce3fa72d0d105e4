//! What a person, a log file or a program sees of a run.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use logo_ssl::Result;
use logo_ssl::config::Config;
use logo_ssl::record::scalars::LOSS;
use logo_ssl::record::{Event, Record, Scalars, Sink, Source};
use logo_ssl::train::Summary;
use serde_json::json;

use super::{Output, lines, log};

/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a run's events: two bars on a terminal that is too small for more, plain lines elsewhere, JSON on
/// request.
pub(crate) struct Progress {
    output: Output,
    run_dir: PathBuf,
    embedding_dim: usize,
    images_per_update: f64,
    bars: Option<Bars>,
    steps_per_epoch: u64,
    total: u64,
    /// What the last step saw; it is shown when its timing comes.
    scalars: Scalars,
    first: Option<(u64, Instant)>,
    last_line: Option<Instant>,
}

/// A bar of `length`, hidden where none is wanted.
pub(crate) fn bar(output: Output, length: u64, template: &'static str) -> ProgressBar {
    match output.quiet || output.json {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(length).with_style(style(template)),
    }
}

fn style(template: &'static str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("a template of this program")
        .progress_chars("━╸ ")
}

struct Bars {
    all: MultiProgress,
    epoch: ProgressBar,
    run: ProgressBar,
}

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let bar = |template| all.add(ProgressBar::new(1).with_style(style(template)));
        let epoch = bar("{prefix:>12} {bar:30.cyan} {pos}/{len} {msg}");
        let run = bar("{prefix:>12} {bar:30.blue} {pos}/{len} steps, {elapsed} gone, {eta} to go");
        run.set_prefix("run");
        let above = all.clone();
        // Fails only when the terminal is gone, and then nobody reads it.
        log::divert(Some(Box::new(move |line| drop(above.println(line)))));
        Self { all, epoch, run }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.epoch.finish_and_clear();
        self.run.finish_and_clear();
        log::divert(None);
    }
}

impl Sink for Progress {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Record(Record::Step { scalars, .. }) = event {
            self.scalars = scalars.clone();
        }
        match self.output {
            Output { json: true, .. } => self.json(event),
            Output { quiet: true, .. } => {}
            _ => self.show(event),
        }
        Ok(())
    }
}

impl Progress {
    /// For the run in `run_dir`.
    pub(crate) fn new(output: Output, run_dir: &Path, config: &Config) -> Self {
        let bars =
            !output.quiet && !output.json && !output.plain && std::io::stderr().is_terminal();
        Self {
            output,
            run_dir: run_dir.to_path_buf(),
            embedding_dim: config.model.projector.dim,
            images_per_update: config.optimizer.images_per_update() as f64,
            bars: bars.then(Bars::new),
            steps_per_epoch: 1,
            total: 1,
            scalars: Scalars::default(),
            first: None,
            last_line: None,
        }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { done, total, steps_per_epoch } => {
                self.started(*done, *total, *steps_per_epoch);
            }
            Event::Record(record) => self.record(record),
            Event::Evaluating { evaluation, source, done, total } => {
                self.evaluating(evaluation, *source, [*done, *total]);
            }
            _ => {}
        }
    }

    fn record(&mut self, record: &Record) {
        match record {
            Record::Timing { step, images_per_second, .. } => {
                self.step(*step, *images_per_second);
            }
            record => {
                if let Some(line) = lines::of(record, self.embedding_dim) {
                    self.line(&line);
                }
            }
        }
    }

    fn started(&mut self, done: u64, total: u64, steps_per_epoch: u64) {
        (self.total, self.steps_per_epoch) = (total, steps_per_epoch);
        self.line(&lines::of_start(&self.run_dir, done, total, steps_per_epoch));
        if let Some(bars) = &self.bars {
            bars.run.set_length(total);
            bars.run.set_position(done);
            bars.run.reset_eta();
        }
    }

    fn step(&mut self, step: u64, images_per_second: f64) {
        let loss = self.scalars.get_or_nan(LOSS);
        let spread = lines::spread(&self.scalars, self.embedding_dim);
        let within = (step - 1) % self.steps_per_epoch + 1;
        let epoch = (step - 1) / self.steps_per_epoch + 1;
        if let Some(bars) = &self.bars {
            bars.epoch.set_length(self.steps_per_epoch);
            bars.epoch.set_position(within);
            bars.epoch.set_prefix(format!("epoch {epoch}"));
            bars.epoch.set_message(format!(
                "loss {loss:.4}, std {spread:.3} of healthy, {images_per_second:.0} images/s"
            ));
            bars.run.set_position(step);
            return;
        }
        let now = Instant::now();
        // The first update waits for programs to be compiled, and says nothing of the others.
        self.first.get_or_insert((step, now));
        if self.last_line.is_none_or(|last| now - last >= LINE_EVERY) {
            self.last_line = Some(now);
            let left = self.eta(step).map_or(String::new(), |left| format!(", {left} to go"));
            self.line(&format!(
                "epoch {epoch}, step {step}/{}: loss {loss:.4}, std {spread:.3} of healthy, {:.0} images/s{left}",
                self.total,
                self.speed(step).unwrap_or(images_per_second),
            ));
        }
    }

    /// Images a second since the start.
    fn speed(&self, step: u64) -> Option<f64> {
        let (first, since) = self.first.filter(|(first, _)| step > *first)?;
        Some((step - first) as f64 * self.images_per_update / since.elapsed().as_secs_f64())
    }

    /// The time that the rest takes; none before a second update tells.
    fn eta(&self, step: u64) -> Option<indicatif::HumanDuration> {
        let (first, since) = self.first.filter(|(first, _)| step > *first)?;
        let each = since.elapsed().as_secs_f64() / (step - first) as f64;
        let left = Duration::from_secs_f64(each * (self.total - step) as f64);
        Some(indicatif::HumanDuration(left))
    }

    fn evaluating(&self, evaluation: &'static str, source: Source, [done, total]: [usize; 2]) {
        if let Some(bars) = &self.bars {
            bars.epoch.set_length(total as u64);
            bars.epoch.set_position(done as u64);
            bars.epoch.set_prefix(evaluation);
            bars.epoch.set_message(format!("features of the {}", lines::source(source)));
        }
    }

    fn json(&self, event: &Event<'_>) {
        let value = match event {
            Event::Started { done, total, steps_per_epoch } => {
                json!({ "event": "started", "run_dir": self.run_dir, "done": done, "total": total,
                    "steps_per_epoch": steps_per_epoch })
            }
            Event::Record(Record::Timing { step, images_per_second, .. }) => {
                json!({ "event": "step", "step": step, "images_per_second": images_per_second,
                    "health": self.scalars })
            }
            Event::Record(Record::Epoch { epoch, scalars, .. }) => {
                json!({ "event": "epoch", "epoch": epoch, "health": scalars })
            }
            Event::Record(Record::Knn(knn)) => json!({ "event": "knn", "knn": knn }),
            Event::Record(Record::Scores(scores)) => {
                json!({ "event": "scores", "scores": scores })
            }
            Event::Record(Record::Changed { step, changes }) => {
                json!({ "event": "changed", "step": step, "changes": changes })
            }
            Event::Record(Record::Asked { step, found }) => {
                json!({ "event": "asked", "step": step, "found": found })
            }
            _ => return,
        };
        say!("{value}");
    }

    /// A line that does not tear the bars.
    fn line(&self, text: &str) {
        match &self.bars {
            // Fails only when the terminal is gone, and then nobody reads it.
            Some(bars) => drop(bars.all.println(text)),
            None => remark!("{text}"),
        }
    }
}

/// Prints what came of a run, and where everything lies.
pub(crate) fn results(output: Output, summary: &Summary, weights: &Path, report: &Path) {
    if output.json {
        let done = json!({ "event": "done", "steps": summary.steps, "knn": summary.knn,
            "weights": weights, "report": report });
        say!("{done}");
        return;
    }
    for knn in &summary.knn {
        say!("{}", lines::of_knn(knn));
    }
    for scores in &summary.scores {
        say!("{}", lines::of_scores(scores));
    }
    say!("weights: {}", weights.display());
    say!("report:  {}", report.display());
}
