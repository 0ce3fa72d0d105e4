//! Whether chance draws here what it draws in torchvision: two-sample tests over many draws of each
//! parameter. `tests/fixtures/make_draws.py` made theirs.

use serde::Deserialize;

use crate::augment::color::{Change, Jitter};
use crate::augment::crop::{CropBox, crop_box};
use crate::augment::uniform;
use crate::config::{CropConfig, JitterConfig};
use logo_ssl_base::rng::{Generator, Stream, generator};

/// What is compared of a draw.
type Measure<T> = (&'static str, fn(&T) -> f64);

/// More than theirs, so that the test errs on the sharp side.
const COUNT: usize = 4000;

#[derive(Deserialize)]
struct Draws {
    crops: Vec<Crops>,
    jitter: Vec<JitterDraw>,
    sigmas: Vec<f64>,
}

#[derive(Deserialize)]
struct Crops {
    image: [usize; 2],
    area: [f32; 2],
    /// x, y, width, height.
    boxes: Vec<[usize; 4]>,
}

#[derive(Deserialize)]
struct JitterDraw {
    /// Brightness, contrast, saturation and hue are 0 to 3.
    order: [usize; 4],
    /// In that order.
    factors: [f64; 4],
}

fn theirs() -> Draws {
    serde_json::from_str(include_str!("../../../tests/fixtures/draws.json")).unwrap()
}

fn rng(draw: usize) -> Generator {
    generator(11, Stream::View, 0, draw as u64, 0)
}

/// The greatest distance of two samples' distribution functions (Kolmogorov and Smirnov).
fn distance(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    a.sort_by(f64::total_cmp);
    b.sort_by(f64::total_cmp);
    let share_up_to = |sample: &[f64], value: f64| {
        sample.partition_point(|&x| x <= value) as f64 / sample.len() as f64
    };
    let points = a.iter().chain(&b);
    points.map(|&x| (share_up_to(&a, x) - share_up_to(&b, x)).abs()).fold(0.0, f64::max)
}

/// Two samples of one distribution are further apart once in a thousand times.
pub(super) fn assert_alike(what: &str, ours: Vec<f64>, theirs: Vec<f64>) {
    const ONCE_IN_A_THOUSAND: f64 = 1.95;
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    let (found, bound) = (distance(ours, theirs), ONCE_IN_A_THOUSAND * ((n + m) / (n * m)).sqrt());
    assert!(found < bound, "{what}: {found:.4} apart, above {bound:.4}");
}

#[test]
fn the_test_tells_distributions_apart() {
    let even =
        |low: f64, high: f64| (0..1000).map(move |i| low + (high - low) * f64::from(i) / 1e3);
    assert_alike("equal", even(0.0, 1.0).collect(), even(0.0, 1.0).collect());
    let shifted = distance(even(0.0, 1.0).collect(), even(0.1, 1.1).collect());
    assert!((shifted - 0.1).abs() < 0.01, "{shifted}");
}

#[test]
fn crop_boxes_are_drawn_as_torchvisions() {
    for Crops { image: [width, height], area, boxes } in theirs().crops {
        let config = CropConfig { size: 32, area, aspect: [0.75, 4.0 / 3.0], count: 2 };
        let ours: Vec<CropBox> =
            (0..COUNT).map(|draw| crop_box(width, height, &config, &mut rng(draw))).collect();
        let theirs: Vec<CropBox> =
            boxes.iter().map(|&[x, y, width, height]| CropBox { x, y, width, height }).collect();
        let measures: [Measure<CropBox>; 4] = [
            ("area", |b| (b.width * b.height) as f64),
            ("aspect", |b| b.width as f64 / b.height as f64),
            ("x", |b| b.x as f64),
            ("y", |b| b.y as f64),
        ];
        for (name, measure) in measures {
            let what = format!("{width} × {height}, {area:?}: {name}");
            let of = |boxes: &[CropBox]| boxes.iter().map(measure).collect();
            assert_alike(&what, of(&ours), of(&theirs));
        }
    }
}

/// Draws under the settings that theirs were made with.
fn jitters() -> Vec<Jitter> {
    let config = JitterConfig {
        probability: 1.0,
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        hue: 0.1,
    };
    (0..COUNT).map(|draw| Jitter::draw(&config, &mut rng(draw))).collect()
}

#[test]
fn colour_jitter_is_drawn_as_torchvisions() {
    let ours = jitters();
    let theirs = theirs().jitter;
    let factors: [Measure<Jitter>; 4] = [
        ("brightness", |j| j.brightness.into()),
        ("contrast", |j| j.contrast.into()),
        ("saturation", |j| j.saturation.into()),
        ("hue", |j| j.hue.into()),
    ];
    for (at, (name, factor)) in factors.into_iter().enumerate() {
        let ours = ours.iter().map(factor).collect();
        assert_alike(name, ours, theirs.iter().map(|jitter| jitter.factors[at]).collect());
    }
}

/// Each change comes at each place in a quarter of the draws, here as there.
#[test]
fn colour_jitter_is_ordered_as_torchvisions() {
    let changes = [Change::Brightness, Change::Contrast, Change::Saturation, Change::Hue];
    let place = |change| changes.iter().position(|&c| c == change).unwrap();
    let ours = shares(jitters().iter().map(|jitter| jitter.order.map(place)).collect());
    let theirs = shares(theirs().jitter.iter().map(|draw| draw.order).collect());
    for (ours, theirs) in ours.iter().flatten().zip(theirs.iter().flatten()) {
        assert!((ours - theirs).abs() < 0.06, "{ours} against {theirs}");
    }
}

/// How often each change comes at each place.
fn shares(orders: Vec<[usize; 4]>) -> [[f64; 4]; 4] {
    let mut shares = [[0.0; 4]; 4];
    for order in &orders {
        for (place, &change) in order.iter().enumerate() {
            shares[change][place] += 1.0 / orders.len() as f64;
        }
    }
    shares
}

#[test]
fn blur_is_drawn_as_torchvisions() {
    let ours = (0..COUNT).map(|draw| f64::from(uniform([0.1, 2.0], &mut rng(draw)))).collect();
    assert_alike("sigma", ours, theirs().sigmas);
}
