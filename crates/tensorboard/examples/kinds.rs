//! Writes one value of each kind, for a look at them in TensorBoard:
//! `cargo run -p logo-ssl-tensorboard --example kinds -- FOLDER && tensorboard --logdir FOLDER`

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use logo_ssl_tensorboard::{At, EventWriter, HParam, Histogram, Status};

/// A grey pixel.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\
\0\0\0\x0aIDAT\x78\xda\x63\x68\0\0\0\x82\0\x81\x77\xcd\x72\xb6\0\0\0\0IEND\xae\x42\x60\x82";

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "events".to_owned());
    std::fs::create_dir_all(&folder)?;
    let began = 1_700_000_000.0;
    let file = File::create(Path::new(&folder).join("events.out.tfevents.1700000000.kinds"))?;
    let mut events = EventWriter::new(BufWriter::new(file), began)?;
    let at = |step: u64| At { step, wall_time: began + step as f64 };
    let lr = [("optimizer.lr".to_owned(), HParam::Number(0.06))];
    events.session_start(began, "", lr)?;
    events.text(at(0), "note", "what a run is *about*")?;
    events.image(at(0), "pixel", PNG)?;
    for step in 1..=100 {
        let loss = 1.0 / step as f64;
        events.scalars(at(step), [("train/loss", loss), ("train/rate", 0.06)])?;
    }
    let values = (0..1000).map(|at| f64::from(at).sin());
    events.histogram(at(100), "weights", &Histogram::of(values))?;
    events.session_end(began + 100.0, Status::Success)?;
    events.flush()
}
