//! Numbers as colours.

use image::{Rgb, RgbImage};
use logo_ssl::eval::affinity::CropBox;

use crate::figure::signed;
use crate::scene::{Anchor, Color, MUTED, Paint, Point, Scene, Text};

/// Viridis, dark to light; it rises evenly in lightness, for the colour-blind and in print too.
const STOPS: [Color; 9] = [
    [68, 1, 84],
    [71, 44, 122],
    [59, 81, 139],
    [44, 113, 142],
    [33, 144, 141],
    [39, 173, 129],
    [92, 200, 99],
    [170, 220, 50],
    [253, 231, 37],
];

/// What the darkest and the lightest colour stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Span {
    /// From the least to the greatest of the numbers.
    pub(super) fn of(values: impl Iterator<Item = f32>) -> Self {
        let [low, high] = values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| {
            [low.min(value), high.max(value)]
        });
        if low <= high { Self { low, high } } else { Self { low: 0.0, high: 0.0 } }
    }

    pub(super) fn color(self, value: f32) -> Color {
        let range = self.high - self.low;
        // Where all are the same, they are in the middle.
        let share = if range > 0.0 { (value - self.low) / range } else { 0.5 };
        let place = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
        let at = (place as usize).min(STOPS.len() - 2);
        let between = place - at as f32;
        std::array::from_fn(|channel| {
            let [from, to] = [STOPS[at][channel], STOPS[at + 1][channel]].map(f32::from);
            (from + (to - from) * between).round() as u8
        })
    }

    /// A bar of the colours with the numbers at its ends and what they are.
    pub(super) fn bar(self, scene: &mut Scene, [x, y]: Point, width: f32, label: &str) {
        const PARTS: usize = 64;
        const HEIGHT: f32 = 9.0;
        let part = width / PARTS as f32;
        for at in 0..PARTS {
            let value = self.low + (self.high - self.low) * (at as f32 + 0.5) / PARTS as f32;
            let corner = [x + at as f32 * part, y];
            scene.rectangle(corner, [part + 0.5, HEIGHT], Paint::fill(self.color(value)));
        }
        let line = y + HEIGHT + 14.0;
        let number = |value: f32| signed(f64::from(value), 2);
        let text = |x, text: String| Text::new([x, line], text, 12.0).color(MUTED);
        scene.text(text(x, number(self.low)));
        scene.text(text(x + width, number(self.high)).anchor(Anchor::End));
        scene.text(text(x + 0.5 * width, label.to_owned()).anchor(Anchor::Middle));
    }
}

/// How much of the colours lies over the picture.
const OPACITY: f32 = 0.7;

/// A grey picture under colours: each pixel's is that of the mean over the crops that show it. Where no crop
/// does, the picture is bare. Crops are of a picture of width and height `size`.
pub(super) fn over(
    picture: &RgbImage,
    size: [usize; 2],
    crops: &[CropBox],
    values: &[f32],
    span: Span,
) -> RgbImage {
    let mut heat = picture.clone();
    let [across, down] = [picture.width() as usize, picture.height() as usize];
    for (x, y, pixel) in heat.enumerate_pixels_mut() {
        let [x, y] = [
            (2 * x as usize + 1) * size[0] / (2 * across),
            (2 * y as usize + 1) * size[1] / (2 * down),
        ];
        if let Some(mean) = mean_at([x, y], crops, values) {
            let color = span.color(mean);
            *pixel = Rgb(std::array::from_fn(|channel| {
                let [under, over] = [pixel[channel], color[channel]].map(f32::from);
                (under + (over - under) * OPACITY).round() as u8
            }));
        }
    }
    heat
}

/// The mean of the values of the crops that show a pixel; none where none does.
fn mean_at([x, y]: [usize; 2], crops: &[CropBox], values: &[f32]) -> Option<f32> {
    let shows = |crop: &CropBox| {
        (crop.x..crop.x + crop.width).contains(&x) && (crop.y..crop.y + crop.height).contains(&y)
    };
    let there = crops.iter().zip(values).filter(|(crop, _)| shows(crop));
    let (sum, count) = there.fold((0.0, 0), |(sum, count), (_, value)| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_run_from_the_darkest_to_the_lightest() {
        let span = Span::of([3.0, -1.0, 1.0].into_iter());
        assert_eq!(span, Span { low: -1.0, high: 3.0 });
        assert_eq!([span.color(-1.0), span.color(9.0)], [STOPS[0], STOPS[8]]);
        assert_eq!(span.color(1.0), STOPS[4]);
        assert_eq!(Span::of([2.0].into_iter()).color(2.0), STOPS[4]);
        assert_eq!(Span::of(std::iter::empty()), Span { low: 0.0, high: 0.0 });
    }

    #[test]
    fn a_pixel_has_the_mean_of_the_crops_that_show_it() {
        let crop = |x, y, side| CropBox { x, y, width: side, height: side };
        let crops = [crop(0, 0, 4), crop(2, 2, 4)];
        let values = [1.0, 5.0];
        assert_eq!(mean_at([0, 0], &crops, &values), Some(1.0));
        assert_eq!(mean_at([3, 2], &crops, &values), Some(3.0));
        assert_eq!(mean_at([5, 5], &crops, &values), Some(5.0));
        assert_eq!(mean_at([5, 0], &crops, &values), None);
        let picture = RgbImage::from_pixel(12, 12, Rgb([100; 3]));
        let drawn = over(&picture, [6, 6], &crops, &values, Span { low: 1.0, high: 5.0 });
        assert_eq!(drawn.get_pixel(11, 0), &Rgb([100; 3]), "no crop is there");
        assert_eq!(drawn.get_pixel(0, 0), &Rgb([78, 31, 89]), "0.7 of the darkest");
    }
}
