//! Pixels to views: crop, colour, blur; [`views`] states the global/local policy.
//!
//! From the crop on, a view is planar RGB: `[3, side, side]` as `f32` in [0, 1], the layout in
//! which the compiler vectorises every step. Each step is that of torchvision on float tensors.
//! Every step is `#[inline(always)]`: it becomes part of [`views`]' one function, which is compiled for
//! each level of instructions.

mod blur;
mod color;
pub(crate) mod crop;
mod middle;
mod resize;
#[cfg(test)]
mod tests;
pub mod views;

use rand::{Rng, RngExt};

/// The red, green and blue planes of a view `[3, n]`.
///
/// # Panics
/// If the length of `view` is not a multiple of 3.
#[inline(always)]
fn planes(view: &mut [f32]) -> [&mut [f32]; 3] {
    assert!(view.len().is_multiple_of(3), "a view has three planes");
    let area = view.len() / 3;
    let (red, rest) = view.split_at_mut(area);
    let (green, blue) = rest.split_at_mut(area);
    [red, green, blue]
}

/// A number drawn uniformly between the two ends of `range`, which may be equal.
fn uniform([low, high]: [f32; 2], rng: &mut impl Rng) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

#[cfg(test)]
pub(crate) mod golden {
    //! What torchvision makes of two small images; `tests/fixtures/make_augment.py` wrote it.

    use serde::Deserialize;

    use crate::data::Image;

    #[derive(Deserialize)]
    pub(crate) struct Golden {
        pub source: Pixels,
        pub crops: Vec<Crop>,
        pub middles: Vec<Middle>,
        pub view: Pixels,
        pub colors: Vec<Color>,
        pub blurs: Vec<Blur>,
    }

    #[derive(Deserialize)]
    pub(crate) struct Pixels {
        pub width: usize,
        pub height: usize,
        pub pixels: Vec<u8>,
    }

    #[derive(Deserialize)]
    pub(crate) struct Crop {
        /// x, y, width, height.
        #[serde(rename = "box")]
        pub crop: [usize; 4],
        pub size: usize,
        pub flip: bool,
        pub result: Vec<f32>,
    }

    #[derive(Deserialize)]
    pub(crate) struct Middle {
        pub shorter: usize,
        pub size: usize,
        pub result: Vec<f32>,
    }

    #[derive(Deserialize)]
    pub(crate) struct Color {
        pub name: String,
        pub factor: f32,
        pub result: Vec<f32>,
    }

    #[derive(Deserialize)]
    pub(crate) struct Blur {
        pub kernel: usize,
        pub sigma: f32,
        pub result: Vec<f32>,
    }

    pub(crate) fn load() -> Golden {
        serde_json::from_str(include_str!("../../tests/fixtures/augment.json")).unwrap()
    }

    impl Pixels {
        pub(crate) fn image(&self) -> Image<'_> {
            Image { width: self.width, height: self.height, pixels: &self.pixels }
        }

        /// `[3, height, width]` in [0, 1].
        pub(crate) fn planar(&self) -> Vec<f32> {
            let channel = |c| self.pixels.iter().skip(c).step_by(3);
            (0..3).flat_map(channel).map(|&byte| f32::from(byte) / 255.0).collect()
        }
    }

    pub(crate) fn assert_close(case: &str, actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len(), "{case}");
        for (at, (a, e)) in actual.iter().zip(expected).enumerate() {
            assert!((a - e).abs() < 5e-6, "{case} at {at}: {a} is not {e}");
        }
    }
}
