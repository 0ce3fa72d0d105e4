//! Whether a whole view is the one that torchvision makes, given every random choice.
//! `tests/fixtures/make_pipeline.py` made theirs.

use serde::Deserialize;

use super::distributions::assert_alike;
use crate::augment::color::{Change, Jitter};
use crate::augment::crop::CropBox;
use crate::augment::golden::Pixels;
use crate::augment::views::{Recipe, Steps};
use crate::instructions::Level;

#[derive(Deserialize)]
struct Pipeline {
    side: usize,
    source: Pixels,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    /// x, y, width, height.
    #[serde(rename = "box")]
    crop: [usize; 4],
    flip: bool,
    /// In the order applied; empty for none.
    jitter: Vec<(String, f32)>,
    grayscale: bool,
    sigma: Option<f32>,
    /// In [0, 1]
    tensor: Vec<f32>,
    /// In 0..=255
    pil: Vec<f32>,
}

fn theirs() -> Pipeline {
    serde_json::from_str(include_str!("../../../tests/fixtures/pipeline.json")).unwrap()
}

impl Case {
    fn recipe(&self) -> Recipe {
        let [x, y, width, height] = self.crop;
        Recipe {
            crop: CropBox { x, y, width, height },
            flip: self.flip,
            jitter: (!self.jitter.is_empty()).then(|| self.jitter()),
            grayscale: self.grayscale,
            blur: self.sigma,
        }
    }

    fn jitter(&self) -> Jitter {
        let change = |name: &str| match name {
            "brightness" => Change::Brightness,
            "contrast" => Change::Contrast,
            "saturation" => Change::Saturation,
            "hue" => Change::Hue,
            other => panic!("no change is called {other}"),
        };
        let factor = |name| self.jitter.iter().find(|(is, _)| is == name).unwrap().1;
        let order: Vec<Change> = self.jitter.iter().map(|(name, _)| change(name)).collect();
        Jitter {
            order: order.try_into().unwrap(),
            brightness: factor("brightness"),
            contrast: factor("contrast"),
            saturation: factor("saturation"),
            hue: factor("hue"),
        }
    }

    /// The view in [0, 1], made with the instructions of `level`.
    fn ours(&self, source: &Pixels, side: usize, level: Level) -> Vec<f32> {
        let mut out = vec![0.0; 3 * side * side];
        let [mean, std] = [[0.0; 3], [1.0; 3]];
        let (recipe, image) = (&self.recipe(), source.image());
        level.do_work(Steps { recipe, image, size: side, mean, std, out: &mut out });
        out
    }
}

#[test]
fn whole_views_are_those_of_torchvision_on_tensors() {
    let Pipeline { side, source, cases } = theirs();
    for (number, case) in cases.iter().enumerate() {
        let ours = case.ours(&source, side, Level::available()[0]);
        let furthest = |(a, b): (&f32, &f32)| (a - b).abs();
        let furthest = ours.iter().zip(&case.tensor).map(furthest).fold(0.0, f32::max);
        assert!(furthest < 0.1 / 255.0, "view {number}: {} of 255 apart", 255.0 * furthest);
    }
}

/// torchvision's own two ways differ by 1 to 2 of 255 in the mean.
#[test]
fn pixels_are_distributed_as_torchvisions_on_pil_images() {
    let Pipeline { side, source, cases } = theirs();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for case in &cases {
        let view = case.ours(&source, side, Level::available()[0]);
        let apart = |(a, b): (&f32, &f32)| f64::from((255.0 * a - b).abs());
        let apart = view.iter().zip(&case.pil).map(apart).sum::<f64>() / view.len() as f64;
        assert!(apart < 2.5, "{apart} of 255 apart in the mean");
        ours.extend(view.iter().map(|value| f64::from((255.0 * value).round())));
        theirs.extend(case.pil.iter().map(|&value| f64::from(value)));
    }
    assert_alike("pixels", ours, theirs);
}

#[test]
fn the_instructions_change_no_view() {
    let Pipeline { side, source, cases } = theirs();
    for case in &cases {
        let expected = case.ours(&source, side, Level::Portable);
        for level in Level::available() {
            assert_eq!(case.ours(&source, side, level), expected, "{level}");
        }
    }
}
