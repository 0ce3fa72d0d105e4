//! A dataset of one's own: stripes of eight directions, drawn as they are asked for.
//! `cargo run --release --example own_dataset`

use std::sync::Arc;

use logo_ssl::data::{Dataset, Parts, Picture, Pixels};
use logo_ssl::{Pretraining, Result};

const SIDE: usize = 32;
const DIRECTIONS: usize = 8;

struct Stripes {
    count: usize,
    classes: Vec<String>,
}

impl Stripes {
    fn new(count: usize) -> Arc<Self> {
        let classes =
            (0..DIRECTIONS).map(|at| format!("{:.0}°", 180.0 * at as f32 / 8.0)).collect();
        Arc::new(Self { count, classes })
    }
}

impl Dataset for Stripes {
    fn len(&self) -> usize {
        self.count
    }

    fn picture(&self, index: usize) -> logo_ssl::data::Result<Picture<'_>> {
        let angle = std::f32::consts::PI * (index % DIRECTIONS) as f32 / DIRECTIONS as f32;
        let (sin, cos) = angle.sin_cos();
        let (wave, phase) = (3.0 + (index % 5) as f32, index as f32);
        let pixel = |at: usize| {
            let [x, y] = [at % SIDE, at / SIDE].map(|place| place as f32);
            let light = 127.0 * (1.0 + (phase + (x * cos + y * sin) * 6.3 / wave).sin());
            [light as u8, (light / 2.0) as u8, 255 - light as u8]
        };
        let bytes: Vec<u8> = (0..SIDE * SIDE).flat_map(pixel).collect();
        Ok(Picture::Pixels(Pixels { width: SIDE, height: SIDE, bytes: bytes.into() }))
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(index % DIRECTIONS)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        format!("stripes {index}")
    }
}

fn main() -> Result<()> {
    let (train, test) = (Stripes::new(2048), Stripes::new(512));
    let parts = Parts { train: Some(train), test: Some(test), ..Parts::default() };
    let finished = Pretraining::of_parts(parts).preset("quickstart").epochs(2).run()?;
    println!("{} updates; {}", finished.summary.steps, finished.weights.display());
    Ok(())
}
