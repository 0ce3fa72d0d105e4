//! The training loop: views in, updates, evidence and checkpoints out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PREFETCH;
use super::checkpoint::{self, Last, Position, Which};
use super::control::Control;
use super::learner::{Learner, Pending};
use super::schedule::{Rates, Schedule};
use super::views::Views;
use super::workers::Workers;
use crate::augment::views::ViewMaker;
use crate::config::{Change, Config, OptimizerConfig};
use crate::data::{Dataset, Labelled, Splits};
use crate::eval::{Evaluation, Subject};
use crate::executor::Device;
use crate::framework::{self, Framework};
use crate::interop::{Init, weights};
use crate::loader::{Loader, LoaderPlan, ViewBatch, epoch_order};
use crate::presets;
use crate::preview::{self, preview_grid};
use crate::record::scalars::{COLLAPSED, GRAD_NORM, LOSS, Z_STD};
use crate::record::{
    self, Event, JsonLines, Knn, Measured, Outcome, Record, RunDir, Scalars, Scores, Sink, Source,
};
use crate::{Error, Result, RunProblem};

/// Images in the picture of the views.
const PREVIEW_IMAGES: usize = 4;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Updates done.
    pub steps: u64,
    /// The last kNN of the trained network, and the two floors.
    pub knn: Vec<Knn>,
    /// The same of every other evaluation.
    pub scores: Vec<Scores>,
}

/// A run under way.
struct Pretraining<'a> {
    config: &'a Config,
    dir: &'a RunDir,
    splits: Splits,
    workers: Workers,
    checkpoint_every: u64,
    control: Control,
    sinks: Sinks<'a>,
    learner: Learner,
    /// The update that was begun last, whose numbers are not in the log yet.
    begun: Option<Begun>,
    checkpoints: checkpoint::Writer,
    schedule: Schedule,
    views: Arc<ViewMaker>,
    position: Position,
    steps_per_epoch: u64,
    warned_of_collapse: bool,
}

/// An update whose numbers are still to come.
struct Begun {
    step: u64,
    epoch: usize,
    pending: Pending,
    /// How long it waited for its views.
    waited: Duration,
    /// How long the processor took to begin it: all of it, where the processor computes.
    beginning: Duration,
}

/// What a run needs from outside.
pub struct Setup<'a> {
    /// The experiment.
    pub config: &'a Config,
    /// Where its results go.
    pub dir: &'a RunDir,
    /// Its images.
    pub splits: Splits,
    /// Where it computes.
    pub device: Device,
    /// Threads that make views; they change nothing but the speed.
    pub workers: Workers,
    /// Steps between two checkpoints within an epoch; the result does not depend on it.
    pub checkpoint_every: u64,
    /// Asks the run to stop, to save or to measure itself.
    pub control: Control,
    /// Told of everything that happens, beside the run's own logs.
    pub sinks: Vec<&'a mut dyn Sink>,
    /// A framework of one's own in place of the config's.
    pub framework: Option<Box<dyn Framework>>,
    /// The weights that it begins from, where it has no checkpoint yet.
    pub init: Option<Init>,
}

/// All that are told of a run: first its own logs, which a checkpoint is tied to.
struct Sinks<'a> {
    logs: JsonLines,
    others: Vec<&'a mut dyn Sink>,
    /// The step behind which somebody asked for the evaluation under way. What it finds is then
    /// [`Record::Asked`].
    asked_at: Option<u64>,
}

impl Sinks<'_> {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        self.logs.tell(event)?;
        self.others.iter_mut().try_for_each(|sink| sink.tell(event))
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        match self.asked_at {
            Some(step) if !record.is_of_clock() => {
                let found = Box::new(record.clone());
                self.tell(&Event::Record(&Record::Asked { step, found }))
            }
            _ => self.tell(&Event::Record(record)),
        }
    }

    /// Writes down that a run goes on with other settings from here on.
    fn changed(&mut self, step: u64, changes: Vec<Change>) -> Result<()> {
        match changes.is_empty() {
            true => Ok(()),
            false => self.record(&Record::Changed { step, changes }),
        }
    }
}

/// Trains from the last checkpoint of `setup.dir`, or from the beginning, to the end.
///
/// # Errors
/// [`Error::NonFinite`] when the loss or a gradient stops being a number, [`Error::Interrupted`]
/// when `control` asked for it, [`Error::Images`] when there are fewer images than a batch, [`Error::Io`]
/// when the run directory cannot be written. The last checkpoint is whole in every case.
pub fn pretrain(setup: Setup<'_>) -> Result<Summary> {
    Pretraining::open(setup)?.run()
}

impl<'a> Pretraining<'a> {
    fn open(setup: Setup<'a>) -> Result<Self> {
        let Setup {
            config,
            dir,
            splits,
            device,
            workers,
            checkpoint_every,
            control,
            sinks,
            framework,
            init,
        } = setup;
        let images = images_to_train_on(config, &*splits.train);
        warn_of_missing_classes(&*splits.train, images);
        let OptimizerConfig { batch_size, accumulate, .. } = config.optimizer;
        let steps_per_epoch = (images / config.optimizer.images_per_update()) as u64;
        if steps_per_epoch == 0 {
            return Err(Error::Images(format!(
                "optimizer.batch_size × optimizer.accumulate = {batch_size} × {accumulate} is more than the \
                 {images} images there are; lower one of them"
            )));
        }
        let framework = framework.unwrap_or_else(|| framework::from_config(config));
        let classes = classes_of_probe(config, &*splits.train)?;
        let mut learner = Learner::with_probe(config, framework, classes, &device)?;
        let (position, changes) = match checkpoint::read_last(dir, config)? {
            Some(Last { position, state, changes }) => {
                let path = dir.last_checkpoint();
                learner.load(&state).map_err(|error| error.in_file(&path))?;
                (position, changes)
            }
            None => {
                begin(&mut learner, init.as_ref(), dir)?;
                (Position::default(), vec![])
            }
        };
        // The settings may be others than at the last checkpoint, and so may the machine's part of them.
        let position = Position { config: presets::to_toml(config), ..position };
        let logs = dir.logs(position.log_bytes)?;
        let mut sinks = Sinks { logs, others: sinks, asked_at: None };
        sinks.changed(position.step, changes)?;
        Ok(Self {
            sinks,
            schedule: Schedule::new(&config.optimizer, steps_per_epoch),
            views: Arc::new(match config.framework.logo {
                true => ViewMaker::of_config(config),
                false => ViewMaker::of_config(config).without_local(),
            }),
            warned_of_collapse: false,
            config,
            dir,
            splits,
            workers,
            checkpoint_every,
            control,
            learner,
            begun: None,
            checkpoints: checkpoint::Writer::default(),
            position,
            steps_per_epoch,
        })
    }

    fn run(mut self) -> Result<Summary> {
        let outcome = self.train();
        let saved = self.checkpoints.finish();
        match outcome {
            // That nothing is lost is said when it is so; of two failures of a disk, the first.
            Ok(_) | Err(Error::Interrupted { .. } | Error::Io(_)) => saved.and(outcome),
            Err(_) => outcome,
        }
    }

    fn train(&mut self) -> Result<Summary> {
        let total = self.steps_per_epoch * self.config.optimizer.epochs as u64;
        self.sinks.tell(&Event::Started {
            done: self.position.step,
            total,
            steps_per_epoch: self.steps_per_epoch,
        })?;
        if !self.position.floors_done {
            self.save()?;
            self.preview()?;
            self.evaluate_floors()?;
        }
        while self.position.closed_epochs < self.config.optimizer.epochs {
            // A run killed between an epoch's last step and its evaluation has only to close it.
            if self.epochs_stepped() == self.position.closed_epochs {
                self.train_epoch()?;
            }
            self.close_epoch()?;
        }
        weights::write(&self.dir.weights(), &self.learner.state()?, self.config)?;
        self.summary()
    }

    /// A picture of what the encoder is about to see.
    fn preview(&self) -> Result<()> {
        let train = &self.splits.train;
        let images: Vec<usize> = (0..train.len().min(PREVIEW_IMAGES)).collect();
        let grid = preview_grid(train, &self.views, &images, 0)?;
        preview::save(&grid, &self.dir.preview())
    }

    fn epochs_stepped(&self) -> usize {
        (self.position.step / self.steps_per_epoch) as usize
    }

    /// The rest of the epoch under way.
    fn train_epoch(&mut self) -> Result<()> {
        let epoch = self.position.closed_epochs;
        let accumulate = self.config.optimizer.accumulate;
        let first_batch = |step: u64, per_epoch: u64| (step % per_epoch) as usize * accumulate;
        let mut loader = self.batches(epoch, first_batch(self.position.step, self.steps_per_epoch));
        loop {
            let waiting = Instant::now();
            let batches: Vec<ViewBatch> =
                loader.by_ref().take(accumulate).collect::<Result<_>>()?;
            if batches.is_empty() {
                return Ok(());
            }
            let (waited, computing) = (waiting.elapsed(), Instant::now());
            self.step(epoch, batches, waited)?;
            if self.workers.note(waited, computing.elapsed()) && loader.len() > 0 {
                drop(loader);
                loader = self.batches(epoch, first_batch(self.position.step, self.steps_per_epoch));
            }
            if self.control.take_evaluate() {
                self.evaluate_as_asked()?;
            }
        }
    }

    /// The batches of an epoch from number `first_batch` on. Those that do not make a whole update at
    /// its end are left out, as are images that do not make a whole batch.
    fn batches(&self, epoch: usize, first_batch: usize) -> Loader {
        let OptimizerConfig { batch_size, accumulate, .. } = self.config.optimizer;
        let images = images_to_train_on(self.config, &*self.splits.train);
        let mut order = epoch_order(self.config.seed, epoch as u64, images);
        order.truncate(self.steps_per_epoch as usize * accumulate * batch_size);
        let plan = LoaderPlan {
            order,
            batch_size,
            epoch: epoch as u64,
            first_batch,
            workers: self.workers.count(),
            // An update asks for all of its batches at once.
            prefetch: PREFETCH * accumulate,
        };
        Loader::start(self.splits.train.clone(), Arc::clone(&self.views), plan)
    }

    /// One update by `batches`: an accumulation is never cut by a checkpoint.
    ///
    /// Its numbers are read after the next one was begun, so that a device beside the processor never
    /// waits for the log.
    fn step(&mut self, epoch: usize, batches: Vec<ViewBatch>, waited: Duration) -> Result<()> {
        let started = Instant::now();
        let rates = Rates::at(self.position.step, &self.schedule, self.config);
        let views = self.views_of(batches);
        let pending = self.learner.submit(views, rates)?;
        self.position.step += 1;
        let (step, beginning) = (self.position.step, started.elapsed());
        let before = self.begun.replace(Begun { step, epoch, pending, waited, beginning });
        before.map_or(Ok(()), |before| self.record(before))?;
        self.save_if_due()
    }

    /// Waits for an update, and writes down what it reports.
    fn record(&mut self, begun: Begun) -> Result<()> {
        let Begun { step, epoch, pending, waited, beginning } = begun;
        let reading = Instant::now();
        let scalars = pending.scalars()?;
        let updated = beginning + reading.elapsed();
        self.check_finite(step, epoch, &scalars)?;

        let bookkeeping = Instant::now();
        self.position.means.add(&scalars);
        self.sinks.record(&Record::Step { step, epoch, scalars: scalars.clone() })?;
        let images_per_second =
            self.config.optimizer.images_per_update() as f64 / (waited + updated).as_secs_f64();
        self.sinks.record(&Record::Timing {
            epoch,
            step,
            images_per_second,
            step_ms: milliseconds(updated),
            views_wait_ms: milliseconds(waited),
            bookkeeping_ms: milliseconds(bookkeeping.elapsed()),
            views_cpu_ms: None,
        })?;
        self.watch_for_collapse(step, &scalars);
        Ok(())
    }

    /// Writes down the update that was begun last. What is saved or evaluated is what is in the log.
    fn settle(&mut self) -> Result<()> {
        self.begun.take().map_or(Ok(()), |begun| self.record(begun))
    }

    /// The batches of the next update, numbered through the run.
    fn views_of(&self, batches: Vec<ViewBatch>) -> Vec<Views> {
        let first = self.position.step * batches.len() as u64;
        let views = |(number, batch): (u64, ViewBatch)| {
            let labels = self.config.eval.online.then(|| {
                let train = &self.splits.train;
                batch.indices.iter().map(|&image| train.label(image)).collect()
            });
            Views { labels, ..Views::of_batch(batch, self.config, number) }
        };
        (first..).zip(batches).map(views).collect()
    }

    fn check_finite(&self, step: u64, epoch: usize, scalars: &Scalars) -> Result<()> {
        let suspects = [LOSS, GRAD_NORM].map(|name| scalars.get(name));
        match suspects.into_iter().flatten().find(|value| !value.is_finite()) {
            None => Ok(()),
            Some(value) => Err(Error::NonFinite {
                step: step - 1,
                epoch,
                value: value as f32,
                checkpoint: self.dir.last_checkpoint().display().to_string(),
            }),
        }
    }

    fn watch_for_collapse(&mut self, step: u64, scalars: &Scalars) {
        let healthy = 1.0 / (self.config.model.projector.dim as f64).sqrt();
        let Some(z_std) = scalars.get(Z_STD) else { return };
        if z_std < COLLAPSED * healthy && !self.warned_of_collapse {
            self.warned_of_collapse = true;
            tracing::warn!(
                "the embeddings are collapsing at step {step}: their std is {z_std:.5}, healthy is about {healthy:.5}. \
                 Lower optimizer.lr, or use a predictor (SimSiam) or a larger batch (SimCLR)"
            );
        }
    }

    fn save_if_due(&mut self) -> Result<()> {
        let asked = self.control.take_save() || self.control.is_stopping();
        if asked || self.position.step.is_multiple_of(self.checkpoint_every) {
            self.save()?;
        }
        self.check_stop()
    }

    fn check_stop(&self) -> Result<()> {
        match self.control.is_stopping() {
            false => Ok(()),
            true => Err(Error::Interrupted {
                step: self.position.step,
                run_dir: self.dir.root().to_path_buf(),
            }),
        }
    }

    fn save(&mut self) -> Result<()> {
        self.settle()?;
        self.position.log_bytes = self.sinks.logs.sync()?;
        self.write_checkpoint(Which::Last)?;
        self.sinks.tell(&Event::Saving { step: self.position.step })
    }

    fn write_checkpoint(&mut self, which: Which) -> Result<()> {
        let snapshot = self.learner.snapshot()?;
        self.checkpoints.begin(self.dir, which, self.position.clone(), snapshot)
    }

    /// The epoch's summary, its kNN where one is due, and a checkpoint after both.
    fn close_epoch(&mut self) -> Result<()> {
        let epoch = self.position.closed_epochs + 1;
        let last = epoch == self.config.optimizer.epochs;
        let every = self.config.eval.every;
        let evaluates = last || (every > 0 && epoch.is_multiple_of(every));
        if evaluates {
            // Saved before the evaluation, so that a kill during it costs no training.
            self.save()?;
            // Who asked for one meanwhile is answered by this.
            self.control.take_evaluate();
        }
        self.settle()?;
        let (step, scalars) = (self.position.step, self.position.means.mean());
        self.sinks.record(&Record::Epoch { epoch, step, scalars })?;
        if evaluates {
            self.evaluate(epoch)?;
        }
        self.position.closed_epochs = epoch;
        self.position.means = Default::default();
        self.save()
    }

    fn evaluate(&mut self, epoch: usize) -> Result<()> {
        let Some(labelled) = self.splits.evaluation.clone() else { return Ok(()) };
        let score = self.measure(&labelled, epoch, Source::Trained)?.unwrap_or(0.0);
        if self.position.best.is_none_or(|best| score > best) {
            self.position.best = Some(score);
            self.write_checkpoint(Which::Best)?;
        }
        Ok(())
    }

    /// Measures the encoder between two updates of an epoch. That somebody asked for it is of no moment to the
    /// run: it is neither in `metrics.jsonl` nor does it choose the best checkpoint.
    fn evaluate_as_asked(&mut self) -> Result<()> {
        let Some(labelled) = self.splits.evaluation.clone() else {
            tracing::warn!("there is nothing to measure by: no labelled images");
            return Ok(());
        };
        self.save()?;
        self.sinks.asked_at = Some(self.position.step);
        let measured = self.measure(&labelled, self.position.closed_epochs, Source::Trained);
        self.sinks.asked_at = None;
        measured.map(drop)
    }

    /// What the trained network must beat, on the same data, unless `eval.floors` leaves it out.
    fn evaluate_floors(&mut self) -> Result<()> {
        match self.splits.evaluation.clone() {
            Some(_) if !self.config.eval.floors => {}
            Some(labelled) => {
                self.measure(&labelled, 0, Source::Pixels)?;
                self.measure(&labelled, 0, Source::Untrained)?;
            }
            None => {
                let reason = self.splits.unmeasured.as_ref().map(ToString::to_string);
                tracing::warn!(
                    "there will be no kNN: {}; a labelled dataset can be named as eval.dataset",
                    reason.unwrap_or_default()
                );
            }
        }
        self.position.floors_done = true;
        self.save()
    }

    /// Every evaluation of `source`; the first one's leading score.
    fn measure(
        &mut self,
        labelled: &Labelled,
        epoch: usize,
        source: Source,
    ) -> Result<Option<f64>> {
        let (train_images, test_images) = (labelled.bank.len(), labelled.test.len());
        let measured = Measured { epoch, source, train_images, test_images };
        let encoder = match source {
            Source::Pixels => None,
            // It may have begun from weights that were trained.
            Source::Untrained => Some(self.learner.encoder().untrained(self.config.seed)?),
            Source::Trained => Some(self.learner.encoder()),
        };
        let mut subject = Subject::new(encoder.as_ref(), labelled, self.config);
        let mut leading = None;
        let during = self.config.eval.during.iter().map(|name| name.evaluation());
        for evaluation in during.filter(|evaluation| evaluation.measures(source)) {
            let started = Instant::now();
            let outcome = self.run_evaluation(evaluation, &mut subject, source)?;
            leading = leading.or(outcome.leading());
            self.sinks.record(&measured.record(evaluation.name(), outcome))?;
            let seconds = started.elapsed().as_secs_f64();
            self.sinks.record(&Record::Evaluation { epoch, seconds })?;
        }
        Ok(leading)
    }

    fn run_evaluation(
        &mut self,
        evaluation: &dyn Evaluation,
        subject: &mut Subject<'_>,
        source: Source,
    ) -> Result<Outcome> {
        let (control, sinks, name) = (&self.control, &mut self.sinks, evaluation.title());
        let mut progress = |done: usize, total: usize| {
            sinks.tell(&Event::Evaluating { evaluation: name, source, done, total })?;
            Ok(!control.is_stopping())
        };
        match evaluation.run(subject, &mut progress)? {
            Some(outcome) => Ok(outcome),
            None => {
                self.check_stop()?;
                unreachable!("an evaluation ends early only when it is told to stop")
            }
        }
    }

    fn summary(&self) -> Result<Summary> {
        let mut summary = Summary { steps: self.position.step, knn: vec![], scores: vec![] };
        for record in record::read(&self.dir.metrics_path())? {
            match record {
                Record::Knn(knn) => {
                    summary.knn.retain(|other| other.source != knn.source);
                    summary.knn.push(knn);
                }
                Record::Scores(scores) => {
                    let of = |scores: &Scores| (scores.evaluation.clone(), scores.source);
                    summary.scores.retain(|other| of(other) != of(&scores));
                    summary.scores.push(scores);
                }
                _ => {}
            }
        }
        Ok(summary)
    }
}

/// Gives the learner of a new run in `dir` the weights that it is to begin from.
fn begin(learner: &mut Learner, init: Option<&Init>, dir: &RunDir) -> Result<()> {
    match (init, dir.origin()?) {
        (Some(init), _) => learner.begin_from(init.state()),
        (None, Some(origin)) => Err(Error::run(dir.root(), RunProblem::Unbegun(origin.file))),
        (None, None) => Ok(()),
    }
}

pub(crate) fn images_to_train_on(config: &Config, train: &dyn Dataset) -> usize {
    match config.data.limit {
        0 => train.len(),
        limit => limit.min(train.len()),
    }
}

/// What an online probe tells apart, where there is to be one.
fn classes_of_probe(config: &Config, train: &dyn Dataset) -> Result<Option<usize>> {
    match (config.eval.online, train.classes().len()) {
        (false, _) => Ok(None),
        (true, 0) => Err(Error::Images(
            "eval.online = true, but the images have no labels for a probe to learn from: leave it out, or name \
             images with a folder for each class"
                .to_owned(),
        )),
        (true, classes) => Ok(Some(classes)),
    }
}

/// Of a dataset that comes in the order of its classes, the first images are of the first classes.
fn warn_of_missing_classes(train: &dyn Dataset, images: usize) {
    let classes = |count| (0..count).filter_map(|at| train.label(at)).collect::<HashSet<_>>().len();
    let (there, left) = (classes(train.len()), classes(images));
    if left < there {
        tracing::warn!(
            "data.limit: the first {images} images are of {left} of the {there} classes alone, for the \
             dataset comes in their order"
        );
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
