//! What the dashboard knows of a run, from its events alone. Nothing here reads a clock, a file or a terminal.

use std::collections::VecDeque;
use std::path::Path;

use logo_ssl::config::Config;
use logo_ssl::eval::EvaluationName;
use logo_ssl::record::scalars::{GLOBAL_GLOBAL, LOCAL_GLOBAL, LOCAL_LOCAL, LOSS, PROBE_ACCURACY};
use logo_ssl::record::{Event, Record, Scalars, Source};

use super::curve::Curve;
use super::pace::Pace;
use crate::lines;

/// The loss and its terms, as records and as people call them.
pub(super) const TERMS: [(&str, &str); 4] =
    [(LOSS, "loss"), (GLOBAL_GLOBAL, "L_gg"), (LOCAL_GLOBAL, "L_lg"), (LOCAL_LOCAL, "L_ll")];

/// The terms that LoGo's loss has, as places in [`TERMS`], with the titles of their charts.
const LOGO_TERMS: [(usize, &str); 3] = [
    (1, "L_gg, global with global"),
    (2, "L_lg, local with global"),
    (3, "L_ll, local with local"),
];

/// Lines that are kept to be shown.
const MOST_LINES: usize = 10_000;

/// What a run is, which does not change while it trains.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// Its folder.
    pub(super) folder: String,
    /// Its method, preset, dataset and device, in a few words.
    pub(super) what: String,
    pub(super) epochs: usize,
    /// Epochs between two evaluations; 0 where there is one at the end alone.
    evaluation_every: usize,
    /// How many evaluations there are each time.
    evaluations: usize,
    /// The one that has a chart: kNN where it is among them, else the first.
    charted: Option<EvaluationName>,
    is_logo: bool,
    /// Numbers of an embedding.
    pub(super) dim: usize,
}

impl About {
    pub(super) fn of(run_dir: &Path, config: &Config) -> Self {
        let logo = if config.framework.logo { " with LoGo" } else { "" };
        let during = &config.eval.during;
        let knn = during.iter().find(|name| name.as_str() == "knn");
        Self {
            folder: run_dir.display().to_string(),
            what: format!(
                "{}{logo}, preset {}, {} on {}",
                config.framework.name.as_str(),
                config.preset,
                config.data.dataset,
                config.compute.device
            ),
            epochs: config.optimizer.epochs,
            evaluation_every: config.eval.every,
            evaluations: during.len(),
            charted: knn.or(during.first()).copied(),
            is_logo: config.framework.logo,
            dim: config.model.projector.dim,
        }
    }

    /// The terms of its loss, where there are any beside the loss itself.
    pub(super) fn terms(&self) -> &'static [(usize, &'static str)] {
        if self.is_logo { &LOGO_TERMS } else { &[] }
    }

    /// What the evaluation that has a chart is called.
    pub(super) fn charted(&self) -> &'static str {
        self.charted.map_or("", |name| name.evaluation().title())
    }

    /// Whether an evaluation follows the epoch that is the `epoch`th.
    fn evaluates_after(&self, epoch: usize) -> bool {
        let every = self.evaluation_every;
        epoch == self.epochs || (every > 0 && epoch.is_multiple_of(every))
    }
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Activity {
    /// Nothing was heard of it yet.
    Starting,
    Training,
    /// An evaluation is under way.
    Evaluating {
        evaluation: &'static str,
        source: Source,
        done: usize,
        total: usize,
    },
    /// It was asked to stop, and is saving itself.
    Stopping,
    /// It came to its end.
    Finished,
    /// Its files have not changed for so many seconds, which is longer than an update takes.
    Silent(u64),
}

/// How good the backbone is by one number of one evaluation: kNN's accuracy with the fewest neighbours, the
/// leading score of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Quality {
    /// What the number is called.
    pub(super) name: String,
    /// Whether it is a share, in percent.
    pub(super) is_share: bool,
    /// Epochs and values.
    pub(super) trained: Vec<(f64, f64)>,
    /// Of the raw pixels and the untrained network.
    pub(super) floors: Vec<(Source, f64)>,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    /// Whether it outlives the dashboard; what answers a key does not.
    pub(super) lasting: bool,
}

/// A run as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) about: About,
    pub(super) activity: Activity,
    /// Updates done.
    pub(super) step: u64,
    /// Updates an epoch, once they are known.
    pub(super) steps_per_epoch: Option<u64>,
    /// Epochs that ended.
    pub(super) epochs_closed: usize,
    /// What the last update saw.
    pub(super) scalars: Scalars,
    /// One for each of [`TERMS`].
    pub(super) terms: [Curve; TERMS.len()],
    pub(super) quality: Quality,
    /// What the classifier that learns beside training gets right of its batches, in percent.
    pub(super) probe: Curve,
    pub(super) pace: Pace,
    /// The step at which a number of an update was none.
    pub(super) broken_at: Option<u64>,
    /// The step of the last checkpoint.
    pub(super) saved: Option<u64>,
    /// Bytes that are free where the run is kept.
    pub(super) disk: Option<u64>,
    /// Bytes of a checkpoint, once there is one.
    pub(super) checkpoint_bytes: Option<u64>,
    pub(super) lines: VecDeque<Line>,
}

impl State {
    pub(super) fn new(about: About) -> Self {
        Self {
            pace: Pace::new(about.evaluations),
            about,
            activity: Activity::Starting,
            step: 0,
            steps_per_epoch: None,
            epochs_closed: 0,
            scalars: Scalars::default(),
            terms: Default::default(),
            quality: Quality::default(),
            probe: Curve::default(),
            broken_at: None,
            saved: None,
            disk: None,
            checkpoint_bytes: None,
            lines: VecDeque::new(),
        }
    }

    /// Takes in an event of the run that this process trains.
    pub(super) fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { done, total, steps_per_epoch } => {
                self.step = *done;
                self.steps_per_epoch = Some(*steps_per_epoch);
                let folder = Path::new(&self.about.folder);
                self.say(lines::of_start(folder, *done, *total, *steps_per_epoch));
            }
            Event::Record(record) => self.record(record),
            Event::Evaluating { evaluation, source, done, total } => {
                let (done, total) = (*done, *total);
                self.is(Activity::Evaluating { evaluation, source: *source, done, total });
            }
            Event::Saving { step } => self.saved = Some(*step),
            _ => {}
        }
    }

    /// Takes in a record, as it comes or as it was logged before.
    pub(super) fn record(&mut self, record: &Record) {
        match record {
            Record::Step { step, scalars, .. } => self.update(*step, scalars),
            Record::Epoch { epoch, step, .. } => {
                self.epochs_closed = *epoch;
                self.steps_per_epoch = Some((step / *epoch as u64).max(1));
            }
            Record::Asked { step, found } => {
                if let Some(steps) = self.steps_per_epoch {
                    self.found(found, Some(*step as f64 / steps as f64));
                }
            }
            Record::Timing { .. } | Record::Evaluation { .. } => self.pace.record(record),
            Record::Knn(_) | Record::Scores(_) => self.found(record, None),
            Record::Changed { .. } => {}
        }
        if let Some(line) = lines::of(record, self.about.dim) {
            self.say(line);
        }
    }

    /// Has the run do something else, unless it is stopping.
    pub(super) fn is(&mut self, activity: Activity) {
        if self.activity != Activity::Stopping {
            self.activity = activity;
        }
    }

    /// Adds a line to the log.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.push(Line { text: text.into(), lasting: true });
    }

    /// Adds a line that answers a key.
    pub(super) fn answer(&mut self, text: impl Into<String>) {
        self.push(Line { text: text.into(), lasting: false });
    }

    fn push(&mut self, line: Line) {
        if self.lines.len() == MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn update(&mut self, step: u64, scalars: &Scalars) {
        self.step = step;
        self.is(Activity::Training);
        for ((name, _), curve) in TERMS.iter().zip(&mut self.terms) {
            if let Some(value) = scalars.get(name) {
                curve.push(step, value);
            }
        }
        if let Some(share) = scalars.get(PROBE_ACCURACY) {
            self.probe.push(step, 100.0 * share);
        }
        if scalars.iter().any(|(_, value)| !value.is_finite()) {
            self.broken_at.get_or_insert(step);
        }
        self.scalars = scalars.clone();
    }

    /// Takes in what an evaluation found: after so many epochs, or after those that it names.
    fn found(&mut self, record: &Record, asked_after: Option<f64>) {
        let (source, epoch, name, score) = match record {
            Record::Knn(knn) => {
                let Some(nearest) = knn.nearest() else { return };
                let [top1, _] = nearest.shares(knn.test_images);
                (knn.source, knn.epoch, format!("accuracy, k = {}", nearest.k), top1)
            }
            Record::Scores(scores) => {
                let is_charted =
                    self.about.charted.is_some_and(|c| c.as_str() == scores.evaluation);
                let leading = scores.scores.iter().next().filter(|_| is_charted);
                let Some((name, score)) = leading else { return };
                (scores.source, scores.epoch, name.to_owned(), score)
            }
            _ => return,
        };
        let quality = &mut self.quality;
        (quality.name, quality.is_share) = (name, score.interval.is_some());
        let value = if quality.is_share { 100.0 * score.value } else { score.value };
        match source {
            Source::Trained => {
                // What was asked for is in another log, and may be read after what came later.
                let epochs = asked_after.unwrap_or(epoch as f64);
                let at = quality.trained.partition_point(|(before, _)| *before <= epochs);
                quality.trained.insert(at, (epochs, value));
            }
            floor => quality.floors.push((floor, value)),
        }
    }

    /// Updates in all.
    pub(super) fn total(&self) -> Option<u64> {
        self.steps_per_epoch.map(|steps| steps * self.about.epochs as u64)
    }

    /// Epochs done, the one under way by its part.
    pub(super) fn epochs(&self) -> f64 {
        self.steps_per_epoch.map_or(0.0, |steps| self.step as f64 / steps as f64)
    }

    /// Seconds that the rest will take.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        let updates = self.total()?.saturating_sub(self.step);
        let epochs = self.epochs_closed + 1..=self.about.epochs;
        let evaluations = epochs.filter(|epoch| self.about.evaluates_after(*epoch)).count() as u64;
        let evaluations = if self.pace.has_evaluated() { evaluations } else { 0 };
        self.pace.seconds(updates, evaluations)
    }

    /// The embeddings' std as a share of the healthy 1/√dim.
    pub(super) fn spread(&self) -> f64 {
        lines::spread(&self.scalars, self.about.dim)
    }
}
