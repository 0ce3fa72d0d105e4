//! What the pages are told, as JSON.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use logo_ssl::config::Change;
use logo_ssl::record::scalars::STANDARD;
use logo_ssl::record::{Knn, KnnResult, NamedScores, Scalars, Source};
use serde::Serialize;

use crate::curve::Curve;
use crate::digest::Evaluation;
use crate::folder::Refused;
use crate::health::{Light, lights};
use crate::library::{Library, locked};
use crate::run::{Run, State};

/// The most runs that are compared.
pub(crate) const MOST_COMPARED: usize = 32;

/// `/api/runs`
#[derive(Debug, Serialize)]
pub(crate) struct Runs {
    /// What the folder is called.
    folder: String,
    /// Whether logs are still being read for the first time.
    reading: bool,
    /// What lies in the folder and is not shown.
    refused: Vec<Refused>,
    runs: Vec<Summary>,
}

/// One run in few words.
#[derive(Debug, Serialize)]
struct Summary {
    id: String,
    preset: Option<String>,
    dataset: Option<String>,
    framework: Option<String>,
    /// Whether LoGo is added to the framework.
    logo: Option<bool>,
    seed: Option<u64>,
    /// Images that are trained on.
    images: Option<u64>,
    state: State,
    /// When it last wrote something, in seconds since 1970.
    written: Option<u64>,
    epochs_done: usize,
    epochs_total: Option<usize>,
    step: u64,
    steps_per_epoch: Option<f64>,
    /// The share of its logs that is read, from 0 to 1.
    read: f64,
    /// The means of the last epoch, or before there is one the last step.
    latest: Scalars,
    /// The latest kNN of the trained backbone.
    knn: Option<Measured>,
    speed: Option<Speed>,
    lights: Vec<Light>,
    /// What keeps it from being shown whole.
    problem: Option<String>,
    preview: bool,
    report: bool,
}

#[derive(Debug, Serialize)]
struct Speed {
    images_per_second: f64,
    step_ms: f64,
    /// Seconds of training that are left, evaluations not counted.
    left_seconds: Option<f64>,
}

/// One evaluation.
#[derive(Debug, Serialize)]
struct Measured {
    evaluation: String,
    epoch: usize,
    source: Source,
    train_images: usize,
    test_images: usize,
    /// Of kNN, one for each k.
    results: Vec<Result>,
    /// Of other evaluations, by name.
    scores: Option<NamedScores>,
}

/// The accuracy at one k.
#[derive(Debug, Serialize)]
struct Result {
    k: usize,
    weighted: bool,
    top1: f64,
    /// The 95 % interval of `top1` (Wilson).
    top1_interval: [f64; 2],
    top5: f64,
}

/// `/api/runs/ID`
#[derive(Debug, Serialize)]
pub(crate) struct Details {
    #[serde(flatten)]
    summary: Summary,
    /// The names of its curves, in the order of a log's line, those of the timings last.
    curves: Vec<String>,
    /// All evaluations of the trained backbone.
    evaluations: Vec<Measured>,
    /// The latest evaluations of what needs no training: raw pixels, and the untrained backbone.
    floors: Vec<Measured>,
    /// In what its settings differ from its preset; none where this version has no such preset.
    of_preset: Option<Vec<Change>>,
    /// With which settings it went on, and after how many steps.
    changes: Vec<(u64, Vec<Change>)>,
    /// All settings by dotted key, as TOML.
    settings: Vec<(String, String)>,
}

/// `/api/runs/ID/curves`
#[derive(Debug, Serialize)]
pub(crate) struct Curves {
    /// It changes when a log is read anew, so that nothing that was read before holds.
    generation: u64,
    curves: BTreeMap<String, Thinned>,
}

/// A curve, thinned: a column for each quantity, an entry for each bucket that is not empty.
#[derive(Debug, Serialize)]
struct Thinned {
    /// Steps that share a bucket.
    width: u64,
    /// Values that were no number.
    gaps: u64,
    /// The first step of a bucket.
    steps: Vec<u64>,
    /// The mean; none where no value was a number.
    mean: Vec<Option<f64>>,
    /// The least value.
    low: Vec<Option<f64>>,
    /// The greatest value.
    high: Vec<Option<f64>>,
}

/// `/api/compare`
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    runs: Vec<Details>,
    /// Every setting of any of the runs.
    settings: Vec<Setting>,
}

/// A setting of several runs.
#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    /// One for each run, as TOML; none of a run that has no such setting.
    values: Vec<Option<String>>,
    /// Whether they are not all the same.
    differs: bool,
}

impl Runs {
    /// All runs of `library`.
    pub(crate) fn of(library: &Library) -> Self {
        let now = SystemTime::now();
        Self {
            folder: library.name(),
            reading: library.is_behind(),
            refused: library.refused(),
            runs: library.runs().iter().map(|run| Summary::of(&locked(run), now)).collect(),
        }
    }
}

impl Summary {
    fn of(run: &Run, now: SystemTime) -> Self {
        let config = run.known_settings().map(|settings| &settings.config);
        let state = run.state(now);
        let (done, left) =
            (run.metrics.done() + run.timings.done(), run.metrics.left() + run.timings.left());
        let written = run.written().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let digest = &run.metrics.digest;
        Self {
            id: run.name.clone(),
            preset: config.map(|config| config.preset.clone()),
            dataset: config.map(|config| config.data.dataset.to_string()),
            framework: config.map(|config| config.framework.name.as_str().to_owned()),
            logo: config.map(|config| config.framework.logo),
            seed: config.map(|config| config.seed),
            images: run.images,
            state,
            written: written.map(|written| written.as_secs()),
            epochs_done: run.epochs_done(),
            epochs_total: run.epochs_total(),
            step: digest.step,
            steps_per_epoch: digest.steps_per_epoch(),
            read: if left == 0 { 1.0 } else { done as f64 / (done + left) as f64 },
            latest: digest.latest(),
            knn: digest.knn(Source::Trained).map(Measured::of_knn),
            speed: Speed::of(run, state),
            lights: lights(run, state),
            problem: run.problem(),
            preview: run.has_preview,
            report: run.has_report,
        }
    }
}

impl Speed {
    fn of(run: &Run, state: State) -> Option<Self> {
        let of_last = |name| run.timings.digest.curves.get(name).and_then(|c| c.recent(5));
        let (images_per_second, step_ms) = (of_last("images_per_second")?, of_last("step_ms")?);
        let digest = &run.metrics.digest;
        let total = || Some(digest.steps_per_epoch()? * run.epochs_total()? as f64);
        let left = total().filter(|_| state == State::Running);
        let left_seconds = left.map(|total| (total - digest.step as f64).max(0.0) * step_ms / 1e3);
        Some(Self { images_per_second, step_ms, left_seconds })
    }
}

impl Measured {
    fn of(evaluation: &Evaluation) -> Self {
        match evaluation {
            Evaluation::Knn(knn) => Self::of_knn(knn),
            Evaluation::Scores(scores) => Self {
                evaluation: scores.evaluation.clone(),
                epoch: scores.epoch,
                source: scores.source,
                train_images: scores.train_images,
                test_images: scores.test_images,
                results: Vec::new(),
                scores: Some(scores.scores.clone()),
            },
        }
    }

    fn of_knn(knn: &Knn) -> Self {
        let results = knn.results.iter().map(|result| Result {
            k: result.k,
            weighted: result.weighted,
            top1: result.top1,
            top1_interval: interval(result, knn.test_images),
            top5: result.top5,
        });
        Self {
            evaluation: "knn".to_owned(),
            epoch: knn.epoch,
            source: knn.source,
            train_images: knn.train_images,
            test_images: knn.test_images,
            results: results.collect(),
            scores: None,
        }
    }
}

/// Of no image it says nothing, 0 to 1.
fn interval(result: &KnnResult, images: usize) -> [f64; 2] {
    let [top1, _] = result.shares(images);
    top1.interval.map_or([0.0, 1.0], |interval| [interval.low, interval.high])
}

impl Details {
    /// Of one run.
    pub(crate) fn of(run: &Run) -> Self {
        let digest = &run.metrics.digest;
        let settings = run.known_settings();
        let mut metrics: Vec<&String> = digest.curves.keys().collect();
        metrics.sort_by_key(|name| {
            STANDARD.iter().position(|known| known == name).unwrap_or(STANDARD.len())
        });
        let names = metrics.into_iter().chain(run.timings.digest.curves.keys());
        let trained = digest.evaluations.iter().filter(|e| e.source() == Source::Trained);
        Self {
            summary: Summary::of(run, SystemTime::now()),
            curves: names.cloned().collect(),
            evaluations: trained.map(Measured::of).collect(),
            floors: floors(&digest.evaluations),
            of_preset: settings.and_then(|settings| settings.of_preset.clone()),
            changes: digest.changes.clone(),
            settings: settings.map_or_else(Vec::new, |settings| settings.flat.clone()),
        }
    }
}

/// The latest of each evaluation of each source that is not trained.
fn floors(evaluations: &[Evaluation]) -> Vec<Measured> {
    let mut latest: Vec<&Evaluation> = Vec::new();
    for evaluation in evaluations.iter().filter(|e| e.source() != Source::Trained) {
        let of = |e: &Evaluation| (e.name().to_owned(), e.source());
        latest.retain(|other| of(other) != of(evaluation));
        latest.push(evaluation);
    }
    latest.into_iter().map(Measured::of).collect()
}

impl Curves {
    /// The curves of `run` that are called `names`, all where there are no names, from the bucket on that the
    /// step `since` lies in.
    pub(crate) fn of(run: &Run, names: Option<&[String]>, since: u64) -> Self {
        let logs = [&run.timings, &run.metrics];
        let all = logs.into_iter().flat_map(|log| &log.digest.curves);
        let wanted = all.filter(|(name, _)| names.is_none_or(|names| names.contains(name)));
        Self {
            generation: run.metrics.generation + run.timings.generation,
            curves: wanted.map(|(name, curve)| (name.clone(), Thinned::of(curve, since))).collect(),
        }
    }
}

impl Thinned {
    fn of(curve: &Curve, since: u64) -> Self {
        let width = curve.width();
        let mut thinned = Self {
            width,
            gaps: curve.gaps(),
            steps: Vec::new(),
            mean: Vec::new(),
            low: Vec::new(),
            high: Vec::new(),
        };
        for (step, bucket) in curve.buckets().filter(|(step, _)| step.saturating_add(width) > since)
        {
            let mean = bucket.mean();
            thinned.steps.push(step);
            thinned.mean.push(mean);
            thinned.low.push(mean.map(|_| bucket.low));
            thinned.high.push(mean.map(|_| bucket.high));
        }
        thinned
    }
}

impl Comparison {
    /// The runs called `names`, in that order; none where one of them is not there.
    pub(crate) fn of(library: &Library, names: &[String]) -> Option<Self> {
        let runs = names.iter().map(|name| Some(Details::of(&locked(&*library.run(name)?))));
        let runs = runs.collect::<Option<Vec<_>>>()?;
        let mut keys: Vec<&String> = Vec::new();
        for (key, _) in runs.iter().flat_map(|run| &run.settings) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let settings = keys.into_iter().map(|key| Setting::of(key, &runs)).collect();
        Some(Self { runs, settings })
    }
}

impl Setting {
    fn of(key: &str, runs: &[Details]) -> Self {
        let value = |run: &Details| {
            run.settings.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        let values: Vec<_> = runs.iter().map(value).collect();
        let differs = values.iter().any(|value| *value != values[0]);
        Self { key: key.to_owned(), values, differs }
    }
}
