//! What a run may be asked for while it trains changes nothing of what it comes to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl::record::{self, Event, Record, RunFiles, Source};
use logo_ssl::train::Control;
use logo_ssl::{Error, Pretraining};

/// Two epochs of four updates; `react` sees every event and may ask for things.
fn pretraining(run_dir: &Path, react: impl FnMut(&Event<'_>, &Control) + 'static) -> Pretraining {
    let settings = [
        "model.width=2",
        "model.projector.hidden=16",
        "model.projector.dim=16",
        "affinity.depth=2",
        "affinity.width=8",
        "views.global.size=16",
        "views.local.size=8",
        "data.limit=64",
        "eval.every=1",
    ];
    let (control, mut react) = (Control::default(), react);
    let asked = control.clone();
    let run = settings.into_iter().fold(Pretraining::of_preset("quickstart"), Pretraining::set);
    run.batch_size(16)
        .epochs(2)
        .run_dir(run_dir)
        .control(control)
        .follow(move |event| react(event, &asked))
}

/// The files that follow from config and seed, with their bytes.
fn files(run_dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let run = RunFiles::of(run_dir);
    let paths = [
        run.config_path(),
        run.metrics_path(),
        run.weights(),
        run.last_checkpoint(),
        run.best_checkpoint(),
    ];
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path.strip_prefix(run_dir).unwrap().to_path_buf(), bytes)
    };
    paths.into_iter().map(read).collect()
}

/// The step of an update whose record this is.
fn step_of(event: &Event<'_>) -> Option<u64> {
    match event {
        Event::Record(Record::Step { step, .. }) => Some(*step),
        _ => None,
    }
}

/// The steps behind which evaluations were asked for, as `timings.jsonl` has them.
fn asked(run_dir: &Path) -> Vec<u64> {
    let timings = record::read(&RunFiles::of(run_dir).timings_path()).unwrap();
    let step = |record| match record {
        Record::Asked { step, found } => {
            assert!(matches!(*found, Record::Knn(knn) if knn.source == Source::Trained));
            Some(step)
        }
        _ => None,
    };
    timings.into_iter().filter_map(step).collect()
}

#[test]
fn saving_and_measuring_in_mid_epoch_leave_the_run_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [alone, disturbed] = ["alone", "disturbed"].map(|name| folder.path().join(name));
    pretraining(&alone, |_, _| {}).run().unwrap();
    assert!(asked(&alone).is_empty());

    let disturb = |event: &Event<'_>, control: &Control| match step_of(event) {
        Some(1 | 5) => control.evaluate(),
        Some(2 | 6) => control.save(),
        _ => {}
    };
    pretraining(&disturbed, disturb).run().unwrap();
    assert_eq!(files(&disturbed), files(&alone));
    assert_eq!(asked(&disturbed).len(), 2, "both were answered");
}

#[test]
fn an_epochs_own_evaluation_answers_who_asked_shortly_before() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // The numbers of the epoch's last update are read as the epoch ends.
    let ask = |event: &Event<'_>, control: &Control| {
        if step_of(event) == Some(4) {
            control.evaluate();
        }
    };
    pretraining(&run, ask).run().unwrap();
    assert!(asked(&run).is_empty());
}

#[test]
fn a_run_that_is_stopped_while_it_is_measured_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [alone, stopped] = ["alone", "stopped"].map(|name| folder.path().join(name));
    pretraining(&alone, |_, _| {}).run().unwrap();

    let mut step = 0;
    let stop_while_measuring = move |event: &Event<'_>, control: &Control| {
        step = step_of(event).unwrap_or(step);
        match event {
            Event::Record(Record::Step { step: 5, .. }) => control.evaluate(),
            // That of the first epoch's end goes by.
            Event::Evaluating { source: Source::Trained, .. } if step > 4 => {
                control.stop();
            }
            _ => {}
        }
    };
    let outcome = pretraining(&stopped, stop_while_measuring).run();
    let Err(Error::Interrupted { step, .. }) = outcome else { panic!("{outcome:?}") };
    assert!((5..8).contains(&step), "{step}");
    pretraining(&stopped, |_, _| {}).run().unwrap();
    assert_eq!(files(&stopped), files(&alone));
}
