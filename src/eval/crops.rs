//! A grid of local crops of one image, and their embeddings.

use crate::Result;
use crate::augment::crop::CropBox;
use crate::augment::views::part;
use crate::config::Features;
use crate::data::Image;
use crate::eval::Encoder;
use crate::model::params::TensorData;

/// `side` × `side` squares, row by row, each with the share `area` of a picture of width and height `size`,
/// spread evenly from edge to edge; of one, the middle.
pub(super) fn grid([width, height]: [usize; 2], area: f64, side: usize) -> Vec<CropBox> {
    let square = ((width * height) as f64 * area).sqrt().round() as usize;
    let square = square.clamp(1, width.min(height));
    let place = |at: usize, length: usize| match side {
        1 => (length - square) / 2,
        _ => ((length - square) as f64 * at as f64 / (side - 1) as f64).round() as usize,
    };
    let crop = |at: usize| CropBox {
        x: place(at % side, width),
        y: place(at / side, height),
        width: square,
        height: square,
    };
    (0..side * side).map(crop).collect()
}

/// The share of the smaller of two crops that both show.
pub(super) fn overlap(a: &CropBox, b: &CropBox) -> f64 {
    let shared = |from: [usize; 2], length: [usize; 2]| {
        let end = (from[0] + length[0]).min(from[1] + length[1]);
        end.saturating_sub(from[0].max(from[1]))
    };
    let both = shared([a.x, b.x], [a.width, b.width]) * shared([a.y, b.y], [a.height, b.height]);
    both as f64 / (a.width * a.height).min(b.width * b.height) as f64
}

/// The embeddings of parts of an image, `[parts, dim]`: each brought to `size` × `size` pixels, not augmented,
/// normalised by a mean and a standard deviation.
///
/// # Errors
/// [`crate::Error::Device`] where the device fails.
pub(super) fn embed(
    encoder: &Encoder,
    image: Image<'_>,
    parts: &[CropBox],
    size: usize,
    statistics: [[f32; 3]; 2],
) -> Result<Vec<f32>> {
    let mut pixels = vec![0.0; parts.len() * 3 * size * size];
    for (crop, out) in parts.iter().zip(pixels.chunks_exact_mut(3 * size * size)) {
        part(image, *crop, size, statistics, out);
    }
    encoder.features(TensorData::new(pixels, [parts.len(), 3, size, size]), Features::Projector)
}

/// The cosine of two embeddings; 0 where one is zero.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    (dot(a, b) / lengths.max(1e-12)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_reaches_from_edge_to_edge() {
        // A quarter of 20 × 16 pixels is a square of 9.
        let boxes = grid([20, 16], 0.25, 3);
        let places: Vec<_> = boxes.iter().map(|crop| [crop.x, crop.y]).collect();
        assert_eq!(places[..4], [[0, 0], [6, 0], [11, 0], [0, 4]]);
        assert_eq!(places[8], [11, 7]);
        assert!(boxes.iter().all(|crop| (crop.width, crop.height) == (9, 9)));
    }

    #[test]
    fn crops_stay_inside_of_pictures_of_any_shape() {
        for size in [[1, 1], [2, 99], [99, 2], [7, 5]] {
            for side in 1..6 {
                for crop in grid(size, 0.6, side) {
                    assert!(crop.x + crop.width <= size[0], "{crop:?} of {size:?}");
                    assert!(crop.y + crop.height <= size[1], "{crop:?} of {size:?}");
                }
            }
        }
        let [only] = grid([10, 10], 0.16, 1)[..] else { panic!("one crop") };
        assert_eq!(only, CropBox { x: 3, y: 3, width: 4, height: 4 });
    }

    #[test]
    fn overlap_is_the_share_of_the_smaller() {
        let crop = |x, y, side| CropBox { x, y, width: side, height: side };
        assert_eq!(overlap(&crop(0, 0, 4), &crop(2, 2, 4)), 0.25);
        assert_eq!(overlap(&crop(0, 0, 4), &crop(1, 1, 2)), 1.0);
        assert_eq!(overlap(&crop(0, 0, 4), &crop(4, 0, 4)), 0.0);
        assert_eq!(overlap(&crop(9, 9, 1), &crop(0, 0, 3)), 0.0);
    }

    #[test]
    fn cosines_of_what_is_known() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 0.0]), 0.0);
    }
}
