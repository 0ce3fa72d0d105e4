//! A run as TensorBoard's events: its scalars, what they were spread over in each epoch, the picture of the
//! views, the config, and at the end the weights.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use logo_ssl::interop::tensors;
use logo_ssl::presets;
use logo_ssl::record::{Event, Record, RunFiles, Scalars, Sink};
use logo_ssl::{Error, Result};
use logo_ssl_base::files::create_folder;
use logo_ssl_tensorboard::{At, EventWriter, Histogram, Status};

use super::history::{self, Timed, seconds};
use super::{Format, unwritable};
use super::{hparams, scores};

/// What the names of these files begin and end with; TensorBoard asks for the first.
const PREFIX: &str = "events.out.tfevents.";
const SUFFIX: &str = ".logo-ssl";
/// How often events reach the file of a run that trains.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// Writes the events of a run while it trains: a sink for its [`logo_ssl::run::Training`].
///
/// When the run starts or goes on, the file is written anew from the run's own logs, so that no step is there
/// twice, and a run may be given this sink at any time.
#[derive(Debug)]
pub struct TensorBoard {
    files: RunFiles,
    out: PathBuf,
    events: Option<Events>,
    flushed: Instant,
}

impl TensorBoard {
    /// Of the run in `run_dir`, into its folder `tensorboard`. Nothing is written before the run starts.
    pub fn of_run(run_dir: &Path) -> Self {
        Self {
            files: RunFiles::of(run_dir),
            out: run_dir.join(Format::TensorBoard.name()),
            events: None,
            flushed: Instant::now(),
        }
    }

    /// Adds the weights of the run, which has come to its end.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read or written, [`Error::Data`] when the weights are damaged.
    pub fn finish(&mut self) -> Result<()> {
        match self.events.take() {
            Some(events) => events.finish(seconds(SystemTime::now())),
            None => Ok(()),
        }
    }

    fn start(&mut self) -> Result<()> {
        create_folder(&self.out)?;
        let history = history::read(&self.files)?;
        let now = seconds(SystemTime::now());
        self.events = Some(Events::of_history(&self.files, &history, &self.out, now)?);
        Ok(())
    }
}

impl Sink for TensorBoard {
    fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        match (event, &mut self.events) {
            (Event::Started { .. }, _) => self.start(),
            (Event::Record(record), Some(events)) => {
                events.record(record, seconds(SystemTime::now()))?;
                if self.flushed.elapsed() >= FLUSH_EVERY {
                    self.flushed = Instant::now();
                    events.flush()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Writes what a run logged to a file in `out`, named by when the run began.
pub(super) fn export(files: &RunFiles, history: &[Timed], out: &Path) -> Result<PathBuf> {
    let first = history.first().map_or(0.0, |timed| timed.wall_time);
    let events = Events::of_history(files, history, out, first)?;
    let (path, end) = (events.path.clone(), history.last().map_or(first, |last| last.wall_time));
    match files.weights().exists() {
        true => events.finish(end)?,
        false => events.close()?,
    }
    Ok(path)
}

/// An event file that a run's records go into.
#[derive(Debug)]
struct Events {
    files: RunFiles,
    path: PathBuf,
    writer: EventWriter<BufWriter<File>>,
    /// Whether the picture of the views is yet to come: it is made before the first record.
    awaits_preview: bool,
    /// The last step that was seen.
    step: u64,
    /// What was seen in the steps of the epoch under way.
    epoch: Vec<Scalars>,
}

impl Events {
    /// A file in `out` in place of those that were there, with what was logged before `now`.
    fn of_history(files: &RunFiles, history: &[Timed], out: &Path, now: f64) -> Result<Self> {
        remove_earlier(out)?;
        let began = history.first().map_or(now, |timed| timed.wall_time);
        let path = out.join(format!("{PREFIX}{:010}{SUFFIX}", now as u64));
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let writer = EventWriter::new(BufWriter::new(file), began).map_err(unwritable(&path))?;
        let mut events = Self {
            files: files.clone(),
            writer,
            awaits_preview: true,
            step: 0,
            epoch: Vec::new(),
            path,
        };
        events.begin(began)?;
        history.iter().try_for_each(|timed| events.record(&timed.record, timed.wall_time))?;
        events.flush()?;
        Ok(events)
    }

    /// The config, as a text and as hyper-parameters.
    fn begin(&mut self, wall_time: f64) -> Result<()> {
        let config = presets::read_run_config(&self.files.config_path())?;
        let text = format!("```toml\n{}\n```", presets::to_toml(&config).trim_end());
        self.writer
            .text(At { step: 0, wall_time }, "config", &text)
            .and_then(|()| self.writer.session_start(wall_time, "", hparams::of(&config)))
            .map_err(unwritable(&self.path))
    }

    fn record(&mut self, record: &Record, wall_time: f64) -> Result<()> {
        if std::mem::take(&mut self.awaits_preview) {
            self.preview(wall_time)?;
        }
        match record {
            Record::Step { step, scalars, .. } => {
                self.step = *step;
                self.epoch.push(scalars.clone());
                self.scalars("train", scalars.iter(), wall_time)
            }
            Record::Epoch { step, scalars, .. } => {
                self.step = *step;
                self.scalars("epoch", scalars.iter(), wall_time)?;
                self.distributions(scalars, wall_time)?;
                self.epoch.clear();
                Ok(())
            }
            Record::Timing {
                images_per_second, step_ms, views_wait_ms, bookkeeping_ms, ..
            } => {
                let named = [
                    ("images_per_second", *images_per_second),
                    ("step_ms", *step_ms),
                    ("views_wait_ms", *views_wait_ms),
                    ("bookkeeping_ms", *bookkeeping_ms),
                ];
                self.scalars("timing", named.into_iter(), wall_time)
            }
            found => self.scores(found, wall_time),
        }
    }

    fn scores(&mut self, record: &Record, wall_time: f64) -> Result<()> {
        for score in scores::of(record, self.step) {
            let asked = if score.asked { "asked-" } else { "" };
            let group = format!("{asked}{}", score.evaluation);
            let tag = format!("{}/{}", score.source, score.name);
            self.scalars(&group, [(tag.as_str(), score.score.value)].into_iter(), wall_time)?;
        }
        Ok(())
    }

    /// Scalars at the step under way, each tagged `group/name`.
    fn scalars<'a>(
        &mut self,
        group: &str,
        named: impl Iterator<Item = (&'a str, f64)>,
        wall_time: f64,
    ) -> Result<()> {
        let at = At { step: self.step, wall_time };
        let tagged = named.map(|(name, value)| (format!("{group}/{name}"), value));
        self.writer.scalars(at, tagged).map_err(unwritable(&self.path))
    }

    /// How each number was spread over the steps of the epoch that ended.
    fn distributions(&mut self, means: &Scalars, wall_time: f64) -> Result<()> {
        let at = At { step: self.step, wall_time };
        for (name, _) in means.iter() {
            let seen = self.epoch.iter().filter_map(|scalars| scalars.get(name));
            self.writer
                .histogram(at, format!("steps-of-epoch/{name}"), &Histogram::of(seen))
                .map_err(unwritable(&self.path))?;
        }
        Ok(())
    }

    fn preview(&mut self, wall_time: f64) -> Result<()> {
        let path = self.files.preview();
        let read = fs::read(&path).map_err(Error::io("read", &path));
        let png: Vec<u8> = crate::optional(read)?;
        if png.is_empty() {
            return Ok(());
        }
        let written = self.writer.image(At { step: 0, wall_time }, "views", &png);
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Error::data(
                &path,
                "is no PNG; remove it, and the logs are exported without the picture",
            ),
            _ => unwritable(&self.path)(error),
        })
    }

    /// The weights that the run ended with, and that it ended.
    fn finish(mut self, wall_time: f64) -> Result<()> {
        let at = At { step: self.step, wall_time };
        let (weights, _) = tensors::read(&self.files.weights())?;
        for (name, tensor) in &weights {
            let histogram = Histogram::of(tensor.values.iter().copied().map(f64::from));
            self.writer
                .histogram(at, format!("weights/{name}"), &histogram)
                .map_err(unwritable(&self.path))?;
        }
        self.writer.session_end(wall_time, Status::Success).map_err(unwritable(&self.path))?;
        self.close()
    }

    fn close(mut self) -> Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(unwritable(&self.path))
    }
}

/// Removes the event files that an earlier export left in `out`, and no others.
fn remove_earlier(out: &Path) -> Result<()> {
    for entry in fs::read_dir(out).map_err(Error::io("read", out))? {
        let path = entry.map_err(Error::io("read", out))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::export;
    use logo_ssl::presets::Layers;
    use logo_ssl::record::synthetic;

    /// The folder of a run of two epochs.
    fn run() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let config = Layers::preset("quickstart").unwrap().build().unwrap();
        fs::write(dir.path().join("config.toml"), presets::to_toml(&config)).unwrap();
        let log = |name: &str, records: Vec<Record>| {
            let line = |record: &Record| serde_json::to_string(record).unwrap() + "\n";
            let text: String = records.iter().map(line).collect();
            fs::write(dir.path().join(name), text).unwrap();
        };
        log("metrics.jsonl", synthetic::records(2, true));
        log("timings.jsonl", synthetic::timings(2));
        dir
    }

    /// The one event file in `folder`.
    fn event_file(folder: &Path) -> PathBuf {
        let paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(paths.len(), 1, "{paths:?}");
        paths[0].clone()
    }

    /// How many events a file holds, each framed by its length and two checksums.
    fn count(path: &Path) -> usize {
        let bytes = fs::read(path).unwrap();
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            at += 16 + length as usize;
            count += 1;
        }
        assert_eq!(at, bytes.len(), "the last event is whole");
        count
    }

    #[test]
    fn every_record_is_an_event_and_every_epoch_a_histogram_of_each_number() {
        let run = run();
        let out = run.path().join("events");
        let written = export(run.path(), Format::TensorBoard, &out).unwrap();
        assert_eq!(written, [event_file(&out)]);
        let records = synthetic::records(2, true);
        let scores = |record: &&Record| matches!(record, Record::Knn(_));
        // An evaluation is an event a score: three k, the first and the first five.
        let knn = records.iter().filter(scores).count();
        let timings = 2;
        let expected = (records.len() - knn) + 6 * knn + timings + 2 * 13;
        assert_eq!(count(&written[0]), 4 + expected, "two to begin with, config, hyper-parameters");
    }

    #[test]
    fn a_run_that_goes_on_is_written_anew_and_no_step_is_there_twice() {
        let run = run();
        let out = run.path().join("tensorboard");
        let started = Event::Started { done: 80, total: 960, steps_per_epoch: 40 };
        let more = synthetic::records(3, true).into_iter().skip(synthetic::records(2, true).len());
        let more: Vec<Record> = more.take(5).collect();
        let follow = |records: &[Record]| {
            let mut events = TensorBoard::of_run(run.path());
            // A change of settings is told before the start, and is in the log as well.
            events.tell(&Event::Record(&records[0])).unwrap();
            events.tell(&started).unwrap();
            records.iter().for_each(|record| events.tell(&Event::Record(record)).unwrap());
            drop(events);
            count(&event_file(&out))
        };
        let first = follow(&more);
        assert_eq!(follow(&more), first);
        assert_eq!(follow(&more[..2]), first - 3);
    }

    #[test]
    fn a_picture_that_is_none_is_named() {
        let run = run();
        fs::write(run.path().join("preview.png"), "no picture").unwrap();
        let error = export(run.path(), Format::TensorBoard, &run.path().join("events"));
        let message = error.unwrap_err().to_string();
        assert!(message.contains("preview.png: is no PNG"), "{message}");
    }
}
