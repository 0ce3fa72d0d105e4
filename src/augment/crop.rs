//! Which part of an image a view shows.

use rand::{Rng, RngExt};
use serde::Serialize;

use crate::config::CropConfig;

/// How often a box is drawn before [`crop_box`] falls back to the centre.
const ATTEMPTS: usize = 10;

/// A rectangle of whole pixels within an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CropBox {
    /// Columns left of it.
    pub x: usize,
    /// Rows above it.
    pub y: usize,
    /// Its columns, at least 1.
    pub width: usize,
    /// Its rows, at least 1.
    pub height: usize,
}

/// Draws a box, as torchvision's `RandomResizedCrop.get_params`: its share of the area is uniform,
/// its aspect log-uniform, its place uniform. Boxes that do not fit are drawn again; after ten of
/// them the box is central, and as large as the range of aspects allows.
pub(crate) fn crop_box(
    width: usize,
    height: usize,
    crop: &CropConfig,
    rng: &mut impl Rng,
) -> CropBox {
    let image_area = (width * height) as f64;
    let [least, most] = crop.area.map(f64::from);
    let [narrow, wide] = crop.aspect.map(|aspect| f64::from(aspect).ln());
    for _ in 0..ATTEMPTS {
        let area = image_area * rng.random_range(least..=most);
        let aspect = rng.random_range(narrow..=wide).exp();
        let box_width = (area * aspect).sqrt().round_ties_even() as usize;
        let box_height = (area / aspect).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&box_width) && (1..=height).contains(&box_height) {
            return CropBox {
                x: rng.random_range(0..=width - box_width),
                y: rng.random_range(0..=height - box_height),
                width: box_width,
                height: box_height,
            };
        }
    }
    central_box(width, height, crop.aspect.map(f64::from))
}

/// The largest central box whose aspect is within `[narrow, wide]`.
fn central_box(width: usize, height: usize, [narrow, wide]: [f64; 2]) -> CropBox {
    let aspect = (width as f64 / height as f64).clamp(narrow, wide);
    let widest = (height as f64 * aspect).round_ties_even() as usize;
    let highest = (width as f64 / aspect).round_ties_even() as usize;
    let box_width = widest.clamp(1, width);
    let box_height = highest.clamp(1, height);
    CropBox {
        x: (width - box_width) / 2,
        y: (height - box_height) / 2,
        width: box_width,
        height: box_height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl_base::rng::{Stream, generator};

    fn config(area: [f32; 2], aspect: [f32; 2]) -> CropConfig {
        CropConfig { size: 32, area, aspect, count: 2 }
    }

    fn boxes(width: usize, height: usize, config: &CropConfig, count: u64) -> Vec<CropBox> {
        let draw = |index| {
            let mut rng = generator(1, Stream::View, 0, index, 0);
            crop_box(width, height, config, &mut rng)
        };
        (0..count).map(draw).collect()
    }

    #[test]
    fn boxes_stay_inside_with_area_and_aspect_in_range() {
        let (width, height) = (320, 240);
        let config = config([0.15, 0.4], [3.0 / 4.0, 4.0 / 3.0]);
        let boxes = boxes(width, height, &config, 4000);
        let share = |b: &CropBox| (b.width * b.height) as f64 / (width * height) as f64;
        for b in &boxes {
            assert!(b.x + b.width <= width && b.y + b.height <= height, "{b:?}");
            // Sides are rounded to whole pixels, so the ranges are met up to one pixel in ~100.
            assert!((0.148..=0.403).contains(&share(b)), "{b:?}");
            let aspect = b.width as f64 / b.height as f64;
            assert!((0.74..=1.35).contains(&aspect), "{b:?}");
        }
        let count = boxes.len() as f64;
        let mean_area = boxes.iter().map(share).sum::<f64>() / count;
        assert!((mean_area - 0.275).abs() < 0.005, "{mean_area}");
        let log_aspect = |b: &CropBox| (b.width as f64 / b.height as f64).ln();
        let mean_log = boxes.iter().map(log_aspect).sum::<f64>() / count;
        assert!(mean_log.abs() < 0.012, "{mean_log}");
        let free_x = |b: &CropBox| b.x as f64 / (width - b.width) as f64;
        let mean_x = boxes.iter().map(free_x).sum::<f64>() / count;
        assert!((mean_x - 0.5).abs() < 0.02, "{mean_x}");
    }

    #[test]
    fn the_whole_range_of_places_is_reached() {
        let boxes = boxes(32, 32, &config([0.25, 0.25], [1.0, 1.0]), 2000);
        for end in [0, 16] {
            assert!(boxes.iter().any(|b| b.x == end));
            assert!(boxes.iter().any(|b| b.y == end));
        }
    }

    #[test]
    fn an_impossible_box_falls_back_to_the_centre() {
        let aspect = [0.75, 1.25];
        let impossible = config([1.0, 1.0], aspect);
        let expected = |x, y, width, height| CropBox { x, y, width, height };
        assert_eq!(boxes(100, 10, &impossible, 1), [expected(44, 0, 12, 10)]);
        assert_eq!(boxes(9, 100, &impossible, 1), [expected(0, 44, 9, 12)]);
        assert_eq!(central_box(50, 50, [0.75, 1.25]), expected(0, 0, 50, 50));
    }
}
