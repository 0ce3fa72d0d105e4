//! Trains on a folder of pictures: `cargo run --release --example pretrain_folder -- ~/pictures`.

use logo_ssl::record::scalars::LOSS;
use logo_ssl::record::{Event, Record};
use logo_ssl::{Pretraining, Result};

fn main() -> Result<()> {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("which folder of pictures?");
        std::process::exit(2);
    };
    let finished = Pretraining::on(folder)
        .epochs(50)
        .configure(|config| config.eval.every = 10)
        .follow(show)
        .run()?;
    println!("weights: {}", finished.weights.display());
    Ok(())
}

fn show(event: &Event<'_>) {
    if let Event::Record(Record::Epoch { epoch, scalars, .. }) = event {
        println!("epoch {epoch}: loss {:.4}", scalars.get(LOSS).unwrap_or(f64::NAN));
    }
}
