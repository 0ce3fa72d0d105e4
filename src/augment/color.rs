//! Colour jitter, greyness and normalisation, as torchvision's on float tensors.
//!
//! Every function works in place on a planar view `[3, n]` in [0, 1], and stays in [0, 1] but for
//! [`normalise`].

use rand::Rng;
use rand::seq::SliceRandom;

use super::{planes, uniform};
use crate::config::JitterConfig;

/// The share of red, green and blue in grey (ITU-R 601-2, as torchvision's `rgb_to_grayscale`).
const LUMA: [f32; 3] = [0.2989, 0.587, 0.114];

/// The changes that colour jitter puts in random order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

/// One draw of colour jitter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Jitter {
    pub(super) order: [Change; 4],
    pub(super) brightness: f32,
    pub(super) contrast: f32,
    pub(super) saturation: f32,
    pub(super) hue: f32,
}

impl Jitter {
    /// Draws the factors and their order, as torchvision's `ColorJitter.get_params`.
    pub(super) fn draw(config: &JitterConfig, rng: &mut impl Rng) -> Self {
        let mut order = [Change::Brightness, Change::Contrast, Change::Saturation, Change::Hue];
        order.shuffle(rng);
        let mut factor = |strength: f32| uniform([(1.0 - strength).max(0.0), 1.0 + strength], rng);
        Jitter {
            order,
            brightness: factor(config.brightness),
            contrast: factor(config.contrast),
            saturation: factor(config.saturation),
            hue: uniform([-config.hue, config.hue], rng),
        }
    }

    /// Makes the four changes, in the order drawn.
    #[inline(always)]
    pub(super) fn apply(&self, view: &mut [f32]) {
        for change in self.order {
            match change {
                Change::Brightness => brightness(view, self.brightness),
                Change::Contrast => contrast(view, self.contrast),
                Change::Saturation => saturation(view, self.saturation),
                Change::Hue => hue(view, self.hue),
            }
        }
    }
}

/// Scales every value: 0 is black, 1 changes nothing.
#[inline(always)]
pub(super) fn brightness(view: &mut [f32], factor: f32) {
    for value in view {
        *value = (*value * factor).clamp(0.0, 1.0);
    }
}

/// Blends with the mean grey of the view: 0 is flat grey, 1 changes nothing.
#[inline(always)]
pub(super) fn contrast(view: &mut [f32], factor: f32) {
    let means = planes(view).map(|plane| mean(plane));
    let offset = (1.0 - factor) * luma(means[0], means[1], means[2]);
    for value in view {
        *value = (*value * factor + offset).clamp(0.0, 1.0);
    }
}

/// Blends every pixel with its own grey: 0 is grey, 1 changes nothing.
#[inline(always)]
pub(super) fn saturation(view: &mut [f32], factor: f32) {
    map_pixels(view, |[r, g, b]| {
        let grey = (1.0 - factor) * luma(r, g, b);
        [r, g, b].map(|value| (value * factor + grey).clamp(0.0, 1.0))
    });
}

/// Turns the hue by `turn` of a full circle: red to green is 1/3.
///
/// The same function as torchvision's way through HSV and back, without a branch or a sextant: a
/// channel is the pixel's maximum, less the chroma times how far the hue is from that channel.
#[inline(always)]
pub(super) fn hue(view: &mut [f32], turn: f32) {
    let turn = (6.0 * turn).rem_euclid(6.0);
    map_pixels(view, |[r, g, b]| {
        let max = r.max(g).max(b);
        let chroma = max - r.min(g).min(b);
        let hue = wrap(hue_of([r, g, b], max, chroma) + turn);
        [5.0, 3.0, 1.0].map(|offset| {
            let k = wrap(hue + offset);
            max - chroma * k.min(4.0 - k).clamp(0.0, 1.0)
        })
    });
}

/// The hue in sixths of a circle, in [0, 6); 0 for a grey.
#[inline(always)]
fn hue_of([r, g, b]: [f32; 3], max: f32, chroma: f32) -> f32 {
    // A grey has chroma 0 and differences 0: any divisor will do.
    let scale = 1.0 / if chroma > 0.0 { chroma } else { 1.0 };
    let hue = if max == r {
        (g - b) * scale
    } else if max == g {
        2.0 + (b - r) * scale
    } else {
        4.0 + (r - g) * scale
    };
    if hue < 0.0 { hue + 6.0 } else { hue }
}

/// Brings an angle in [0, 12) sixths into [0, 6). Cheaper than `%`, which does not vectorise.
#[inline(always)]
fn wrap(angle: f32) -> f32 {
    if angle >= 6.0 { angle - 6.0 } else { angle }
}

/// Puts the grey of each pixel in all three channels.
#[inline(always)]
pub(super) fn grayscale(view: &mut [f32]) {
    map_pixels(view, |[r, g, b]| [luma(r, g, b); 3]);
}

/// `(x - mean) / std`, channel by channel.
#[inline(always)]
pub(super) fn normalise(view: &mut [f32], mean: [f32; 3], std: [f32; 3]) {
    for (plane, (mean, std)) in planes(view).into_iter().zip(mean.into_iter().zip(std)) {
        let scale = 1.0 / std;
        for value in plane {
            *value = (*value - mean) * scale;
        }
    }
}

#[inline(always)]
fn luma(r: f32, g: f32, b: f32) -> f32 {
    LUMA[0] * r + LUMA[1] * g + LUMA[2] * b
}

/// Replaces each pixel `[r, g, b]` by `change` of it.
#[inline(always)]
fn map_pixels(view: &mut [f32], change: impl Fn([f32; 3]) -> [f32; 3]) {
    let [red, green, blue] = planes(view);
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = change([*r, *g, *b]);
    }
}

/// The mean of a plane. Eight sums side by side: faster than one, and more exact.
#[inline(always)]
fn mean(plane: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    let chunks = plane.chunks_exact(sums.len());
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    (sums.iter().sum::<f32>() + rest) / plane.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::golden;
    use logo_ssl_base::rng::{Stream, generator};

    const STRENGTHS: JitterConfig = JitterConfig {
        probability: 0.8,
        brightness: 0.4,
        contrast: 0.4,
        saturation: 1.2,
        hue: 0.1,
    };

    fn draws(count: u64) -> impl Iterator<Item = Jitter> {
        (0..count).map(|index| {
            let mut rng = generator(1, Stream::View, 0, index, 0);
            Jitter::draw(&STRENGTHS, &mut rng)
        })
    }

    #[test]
    fn changes_are_those_of_torchvision() {
        let golden = golden::load();
        for case in &golden.colors {
            let mut view = golden.view.planar();
            match case.name.as_str() {
                "brightness" => brightness(&mut view, case.factor),
                "contrast" => contrast(&mut view, case.factor),
                "saturation" => saturation(&mut view, case.factor),
                "hue" => hue(&mut view, case.factor),
                "grayscale" => grayscale(&mut view),
                other => panic!("no test for {other}"),
            }
            let name = format!("{} {}", case.name, case.factor);
            golden::assert_close(&name, &view, &case.result);
        }
    }

    #[test]
    fn a_third_of_a_turn_makes_red_green() {
        let mut red = [1.0, 0.0, 0.0];
        hue(&mut red, 1.0 / 3.0);
        golden::assert_close("green", &red, &[0.0, 1.0, 0.0]);
    }

    #[test]
    fn normalise_centres_and_scales_each_channel() {
        let mut view = [0.5, 1.0, 0.5, 1.0, 0.5, 1.0];
        normalise(&mut view, [0.5, 0.0, 1.0], [0.5, 0.25, 1.0]);
        golden::assert_close("normalise", &view, &[0.0, 1.0, 2.0, 4.0, -0.5, 0.0]);
    }

    #[test]
    fn factors_fill_their_ranges() {
        let range = |factor: fn(&Jitter) -> f32| {
            let ends = (f32::INFINITY, f32::NEG_INFINITY);
            draws(1000)
                .map(|jitter| factor(&jitter))
                .fold(ends, |(low, high), f| (low.min(f), high.max(f)))
        };
        let assert_range = |(low, high): (f32, f32), [least, most]: [f32; 2]| {
            let slack = 0.02 * (most - least);
            assert!((least..least + slack).contains(&low), "{low}");
            assert!((most - slack..=most).contains(&high), "{high}");
        };
        assert_range(range(|j| j.brightness), [0.6, 1.4]);
        assert_range(range(|j| j.contrast), [0.6, 1.4]);
        assert_range(range(|j| j.saturation), [0.0, 2.2]);
        assert_range(range(|j| j.hue), [-0.1, 0.1]);
    }

    #[test]
    fn every_order_comes_up() {
        let mut orders: Vec<_> = draws(1000).map(|jitter| jitter.order).collect();
        orders.sort_by_key(|order| order.map(|change| change as u8));
        orders.dedup();
        assert_eq!(orders.len(), 24);
    }

    #[test]
    fn the_order_drawn_is_the_order_applied() {
        let jitter = Jitter {
            order: [Change::Saturation, Change::Brightness, Change::Hue, Change::Contrast],
            brightness: 1.4,
            contrast: 0.6,
            saturation: 0.3,
            hue: 0.1,
        };
        let mut expected = golden::load().view.planar();
        let mut actual = expected.clone();
        saturation(&mut expected, 0.3);
        brightness(&mut expected, 1.4);
        hue(&mut expected, 0.1);
        contrast(&mut expected, 0.6);
        jitter.apply(&mut actual);
        assert_eq!(actual, expected);
    }
}
