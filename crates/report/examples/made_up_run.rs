//! Writes a made-up run, and the report of it, into a folder: every section that a report can have, without training.
//!
//! `cargo run -p logo-ssl-report --example made_up_run -- FOLDER [EPOCHS]`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl::config::Change;
use logo_ssl::presets::{self, Layers};
use logo_ssl::record::scalars::LOSS;
use logo_ssl::record::{Record, RunFiles, Scores, Source, synthetic};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name the folder to write into")?);
    let epochs = arguments.next().map_or(Ok(30), |epochs| epochs.parse())?;
    fs::create_dir_all(&folder)?;
    let files = RunFiles::of(&folder);

    let layers = Layers::preset("quickstart")?.set("optimizer.lr=0.125")?.set("seed=7")?;
    fs::write(files.config_path(), presets::to_toml(&layers.build()?))?;
    write_log(&files.metrics_path(), &metrics(epochs))?;
    write_log(&files.timings_path(), &synthetic::timings(epochs))?;
    println!("{}", logo_ssl_report::generate(&folder)?.display());
    Ok(())
}

/// A healthy run with a loss that is once no number, another evaluation, a number of its own, and other settings from
/// somewhere on.
fn metrics(epochs: usize) -> Vec<Record> {
    let mut records = synthetic::records(epochs, true);
    for record in &mut records {
        if let Record::Step { step, scalars, .. } = record {
            scalars.set("momentum_base", 1.0 - 0.01 / *step as f64);
            if (400..420).contains(step) {
                scalars.set(LOSS, f64::NAN);
            }
        }
    }
    for epoch in 0..=epochs {
        let source = if epoch == 0 { Source::Untrained } else { Source::Trained };
        let top1 = 0.7 - 0.3 * (-3.0 * epoch as f64 / epochs as f64).exp();
        records.push(Record::Scores(Scores {
            evaluation: "linear probe".to_owned(),
            epoch,
            source,
            train_images: 4_000,
            test_images: 1_000,
            scores: [("top-1", top1), ("top-5", 0.5 + 0.5 * top1)].into_iter().collect(),
            confusion: None,
        }));
    }
    let [key, before, now] = ["optimizer.lr", "0.3", "0.125"].map(str::to_owned);
    records.push(Record::Changed { step: 400, changes: vec![Change { key, before, now }] });
    records
}

fn write_log(path: &Path, records: &[Record]) -> Result<(), Box<dyn Error>> {
    let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
    Ok(fs::write(path, lines?.join("\n") + "\n")?)
}
