//! What the dashboard knows of a run, from its events alone. Nothing here reads a clock, a file or a terminal.

use std::collections::VecDeque;
use std::path::Path;

use logo_ssl::config::Config;
use logo_ssl::record::scalars::{GLOBAL_GLOBAL, LOCAL_GLOBAL, LOCAL_LOCAL, LOSS};
use logo_ssl::record::{Event, Knn, Record, Scalars, Source};

use super::curve::Curve;
use super::pace::Pace;
use crate::lines;

/// The loss and its terms, as records and as people call them.
pub(super) const TERMS: [(&str, &str); 4] =
    [(LOSS, "loss"), (GLOBAL_GLOBAL, "L_gg"), (LOCAL_GLOBAL, "L_lg"), (LOCAL_LOCAL, "L_ll")];

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
    /// Numbers of an embedding.
    pub(super) dim: usize,
}

impl About {
    pub(super) fn of(run_dir: &Path, config: &Config) -> Self {
        let logo = if config.framework.logo { " with LoGo" } else { "" };
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
            dim: config.model.projector.dim,
        }
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

/// How well the backbone's features tell classes apart, by the kNN with the fewest neighbours.
#[derive(Clone, Debug, Default)]
pub(super) struct Accuracies {
    /// Neighbours.
    pub(super) k: usize,
    /// Epochs and shares of images.
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
    pub(super) accuracies: Accuracies,
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
            about,
            activity: Activity::Starting,
            step: 0,
            steps_per_epoch: None,
            epochs_closed: 0,
            scalars: Scalars::default(),
            terms: Default::default(),
            accuracies: Accuracies::default(),
            pace: Pace::default(),
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
            Record::Knn(knn) => self.knn(knn, knn.epoch as f64),
            Record::Asked { step, found } => {
                if let (Record::Knn(knn), Some(steps)) = (&**found, self.steps_per_epoch) {
                    self.knn(knn, *step as f64 / steps as f64);
                }
            }
            Record::Timing { .. } | Record::Evaluation { .. } => self.pace.record(record),
            _ => {}
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
        if scalars.iter().any(|(_, value)| !value.is_finite()) {
            self.broken_at.get_or_insert(step);
        }
        self.scalars = scalars.clone();
    }

    /// Takes in what was measured after so many epochs.
    fn knn(&mut self, knn: &Knn, epochs: f64) {
        let Some(nearest) = knn.nearest() else { return };
        self.accuracies.k = nearest.k;
        match knn.source {
            Source::Trained => {
                // What was asked for is in another log, and may be read after what came later.
                let trained = &mut self.accuracies.trained;
                let at = trained.partition_point(|(before, _)| *before <= epochs);
                trained.insert(at, (epochs, nearest.top1));
            }
            floor => self.accuracies.floors.push((floor, nearest.top1)),
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
        let evaluations = if self.accuracies.floors.is_empty() { 0 } else { evaluations };
        self.pace.seconds(updates, evaluations)
    }

    /// The embeddings' std as a share of the healthy 1/√dim.
    pub(super) fn spread(&self) -> f64 {
        lines::spread(&self.scalars, self.about.dim)
    }
}
