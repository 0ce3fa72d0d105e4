//! What a person, a log file or a program sees of a run.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use logo_ssl::Result;
use logo_ssl::config::{Change, Config};
use logo_ssl::eval::EvaluationName;
use logo_ssl::record::scalars::{GLOBAL_GLOBAL, LOCAL_GLOBAL, LOCAL_LOCAL, LOSS, Z_STD};
use logo_ssl::record::{Event, Knn, Record, Scalars, Scores, Sink, Source};
use logo_ssl::train::Summary;
use serde_json::json;

use super::{Output, log};

/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows a run's events: two bars on a terminal, plain lines elsewhere, JSON on request.
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
        log::above_bars(Some(all.clone()));
        Self { all, epoch, run }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        log::above_bars(None);
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
        let bars = !output.quiet && !output.json && std::io::stderr().is_terminal();
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
            Record::Epoch { epoch, scalars, .. } => self.epoch(*epoch, scalars),
            Record::Knn(knn) => self.line(&describe(knn)),
            Record::Scores(scores) => self.line(&describe_scores(scores)),
            Record::Changed { step, changes } => {
                self.line(&format!("from step {step} on: {}", Change::list(changes)));
            }
            _ => {}
        }
    }

    /// Prints the result and where everything lies.
    pub(crate) fn finish(&self, summary: &Summary, weights: &Path, report: &Path) {
        if let Some(bars) = &self.bars {
            bars.epoch.finish_and_clear();
            bars.run.finish_and_clear();
        }
        if self.output.json {
            let done = json!({ "event": "done", "steps": summary.steps, "knn": summary.knn,
                "weights": weights, "report": report });
            say!("{done}");
            return;
        }
        for knn in &summary.knn {
            say!("{}", describe(knn));
        }
        for scores in &summary.scores {
            say!("{}", describe_scores(scores));
        }
        say!("weights: {}", weights.display());
        say!("report:  {}", report.display());
    }

    fn started(&mut self, done: u64, total: u64, steps_per_epoch: u64) {
        (self.total, self.steps_per_epoch) = (total, steps_per_epoch);
        let verb = if done == 0 { "new run" } else { "going on" };
        self.line(&format!(
            "{verb} in {}: step {done} of {total}, {steps_per_epoch} an epoch",
            self.run_dir.display()
        ));
        if let Some(bars) = &self.bars {
            bars.run.set_length(total);
            bars.run.set_position(done);
            bars.run.reset_eta();
        }
    }

    fn step(&mut self, step: u64, images_per_second: f64) {
        let (loss, spread) = (self.scalars.get_or_nan(LOSS), self.spread(&self.scalars));
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

    /// The embeddings' std as a share of the healthy 1/√dim.
    fn spread(&self, scalars: &Scalars) -> f64 {
        scalars.get_or_nan(Z_STD) * (self.embedding_dim as f64).sqrt()
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

    fn epoch(&self, epoch: usize, scalars: &Scalars) {
        let [loss, gg] = [LOSS, GLOBAL_GLOBAL].map(|name| scalars.get_or_nan(name));
        let mut line = format!("epoch {epoch}: loss {loss:.4}, L_gg {gg:.4}");
        if let [Some(lg), Some(ll)] = [LOCAL_GLOBAL, LOCAL_LOCAL].map(|name| scalars.get(name)) {
            line.push_str(&format!(", L_lg {lg:.4}, L_ll {ll:.4}"));
        }
        line.push_str(&format!(", std {:.3} of healthy", self.spread(scalars)));
        self.line(&line);
    }

    fn evaluating(&self, evaluation: &'static str, source: Source, [done, total]: [usize; 2]) {
        if let Some(bars) = &self.bars {
            bars.epoch.set_length(total as u64);
            bars.epoch.set_position(done as u64);
            bars.epoch.set_prefix(evaluation);
            bars.epoch.set_message(format!("features of the {}", name(source)));
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

fn name(source: Source) -> &'static str {
    match source {
        Source::Pixels => "raw pixels",
        Source::Untrained => "untrained backbone",
        Source::Trained => "trained backbone",
    }
}

/// One line: `kNN, trained backbone (epoch 8): 61.2 % at k = 1, …`.
pub(crate) fn describe(knn: &Knn) -> String {
    let of = measured(knn.source, knn.epoch);
    let results = knn.results.iter().map(|r| format!("{:.2} % at k = {}", 100.0 * r.top1, r.k));
    format!("kNN, {of}: {}", results.collect::<Vec<_>>().join(", "))
}

/// What an evaluation is called for people; that of another version by its name.
pub(crate) fn title_of(evaluation: &str) -> &str {
    evaluation.parse::<EvaluationName>().map_or(evaluation, |name| name.evaluation().title())
}

/// One line: `probe, trained backbone (epoch 8): top1 0.6120, …`.
fn describe_scores(scores: &Scores) -> String {
    let Scores { evaluation, source, epoch, scores, .. } = scores;
    let title = title_of(evaluation);
    let numbers = scores.iter().map(|(name, score)| format!("{name} {score}"));
    format!("{title}, {}: {}", measured(*source, *epoch), numbers.collect::<Vec<_>>().join(", "))
}

fn measured(source: Source, epoch: usize) -> String {
    match source {
        Source::Trained => format!("{} (epoch {epoch})", name(source)),
        floor => name(floor).to_owned(),
    }
}
