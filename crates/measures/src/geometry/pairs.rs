use cpu_kernels::{Level, Matrix, Workspace, matmul};
use rand::RngExt;
use rayon::prelude::*;

use crate::random::{Purpose, generator};
use crate::vectors::{square, squared_distance};
use crate::{Error, Features, Labels, Result};

/// Images whose similarities to all others are taken at once.
const BLOCK: usize = 256;
/// Pairs that are drawn from one generator.
const DRAWN: usize = 4096;

/// Which pairs of different images a mean is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// All of them: as many operations as images squared times dimensions.
    All,
    /// This many, drawn with replacement.
    Drawn {
        /// How many.
        count: usize,
        /// Which.
        seed: u64,
    },
}

/// Alignment (Wang and Isola 2020, with α = 2): the mean squared distance of `pairs` of images that
/// should be alike, their features brought to unit length; 0 at best, at most 4. [`class_pairs`] draws
/// pairs of the same class.
///
/// # Errors
/// [`Error::NoImages`] without pairs, [`Error::NoSuchImage`].
pub fn alignment(features: Features<'_>, pairs: &[(usize, usize)]) -> Result<f64> {
    let images = features.len();
    if pairs.is_empty() {
        return Err(Error::NoImages);
    }
    if let Some(&(a, b)) = pairs.iter().find(|&&(a, b)| a.max(b) >= images) {
        return Err(Error::NoSuchImage { image: a.max(b), images });
    }
    Ok(distances(features, pairs).into_iter().sum::<f64>() / pairs.len() as f64)
}

/// `count` pairs of different images of the same class: an image is drawn, and another of its class.
/// Images that are alone in their class are passed over.
///
/// # Errors
/// [`Error::TooFew`] if no class has two images.
pub fn class_pairs(labels: Labels<'_>, count: usize, seed: u64) -> Result<Vec<(usize, usize)>> {
    let classes: Vec<Vec<usize>> =
        labels.images().into_iter().filter(|images| images.len() > 1).collect();
    let places: Vec<(usize, usize)> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, images)| (0..images.len()).map(move |at| (class, at)))
        .collect();
    if places.is_empty() {
        let what = "a class to draw pairs of".to_owned();
        return Err(Error::TooFew { what, needed: 2, found: 1 });
    }
    Ok(drawn(count, seed, |rng| {
        let (class, at) = places[rng.random_range(0..places.len())];
        let images = &classes[class];
        (images[at], images[other_than(at, images.len(), rng)])
    }))
}

/// Uniformity (Wang and Isola 2020, with t = 2): the logarithm of the mean of exp(-2 d²) over pairs
/// of different images, d the distance of their features brought to unit length; 0 if all are one
/// point, and the lower the more evenly they cover the sphere.
///
/// # Errors
/// [`Error::TooFew`] if there are no two images, [`Error::Option`] if no pairs are to be drawn,
/// [`Error::Level`].
pub fn uniformity(features: Features<'_>, pairs: Pairs) -> Result<f64> {
    let images = features.len();
    if images < 2 {
        let what = "uniformity".to_owned();
        return Err(Error::TooFew { what, needed: 2, found: images });
    }
    match pairs {
        Pairs::All => of_all_pairs(features),
        Pairs::Drawn { count: 0, .. } => {
            let needed = "at least 1";
            Err(Error::Option { name: "the number of pairs", value: 0.0, needed })
        }
        Pairs::Drawn { count, seed } => {
            let pairs = drawn(count, seed, |rng| {
                let image = rng.random_range(0..images);
                (image, other_than(image, images, rng))
            });
            let sum = distances(features, &pairs).into_iter().map(potential).sum::<f64>();
            Ok((sum / count as f64).ln())
        }
    }
}

fn of_all_pairs(features: Features<'_>) -> Result<f64> {
    let (images, dim, level) = (features.len(), features.dim(), Level::chosen()?);
    let rows = features.unit_rows();
    let squares: Vec<f64> = rows.par_chunks_exact(dim).map(square).collect();
    let workspace = Workspace::default();
    let mut products = vec![0.0; BLOCK.min(images) * images];
    let mut sum = 0.0;
    for first in (0..images).step_by(BLOCK) {
        // Only pairs with later images: every pair is met once.
        let (count, others) = (BLOCK.min(images - first), images - first);
        let a = Matrix::plain(&rows[first * dim..(first + count) * dim]);
        let b = Matrix::transposed(&rows[first * dim..]);
        let products = &mut products[..count * others];
        matmul(level, [count, others, dim], a, b, products, false, &workspace);
        let of_row = |(at, products): (usize, &[f32])| {
            let later = products.iter().zip(&squares[first..]).skip(at + 1);
            let distance = |(&product, square): (&f32, &f64)| {
                (squares[first + at] + square - 2.0 * f64::from(product)).max(0.0)
            };
            later.map(|other| potential(distance(other))).sum::<f64>()
        };
        let sums: Vec<f64> = products.par_chunks_exact(others).enumerate().map(of_row).collect();
        sum += sums.iter().sum::<f64>();
    }
    let pairs = images as f64 * (images as f64 - 1.0) / 2.0;
    Ok((sum / pairs).ln())
}

/// The squared distances of pairs, features brought to unit length.
fn distances(features: Features<'_>, pairs: &[(usize, usize)]) -> Vec<f64> {
    let (rows, dim) = (features.unit_rows(), features.dim());
    let row = |image: usize| &rows[image * dim..][..dim];
    pairs.par_iter().map(|&(a, b)| squared_distance(row(a), row(b))).collect()
}

/// exp(-t d²) with t = 2.
fn potential(squared_distance: f64) -> f64 {
    (-2.0 * squared_distance).exp()
}

/// Any of 0 to `count`, the last left out, but `this`.
fn other_than(this: usize, count: usize, rng: &mut impl RngExt) -> usize {
    let other = rng.random_range(0..count - 1);
    if other < this { other } else { other + 1 }
}

fn drawn(
    count: usize,
    seed: u64,
    draw: impl Fn(&mut logo_ssl_base::rng::Generator) -> (usize, usize) + Sync,
) -> Vec<(usize, usize)> {
    let blocks = (0..count).into_par_iter().step_by(DRAWN);
    blocks
        .flat_map_iter(|first| {
            let mut rng = generator(seed, Purpose::Pairs, (first / DRAWN) as u64, 0);
            let of_block = DRAWN.min(count - first);
            (0..of_block).map(|_| draw(&mut rng)).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opposite_and_equal_directions() {
        let rows = [2.0, 0.0, -5.0, 0.0, 7.0, 0.0];
        let features = Features::new(&rows, 2).unwrap();
        assert_eq!(alignment(features, &[(0, 2)]).unwrap(), 0.0);
        assert_eq!(alignment(features, &[(0, 1), (0, 2)]).unwrap(), 2.0);
        // Two of three pairs are 2 apart, one is none.
        let expected = ((1.0 + 2.0 * (-8.0_f64).exp()) / 3.0).ln();
        let found = uniformity(features, Pairs::All).unwrap();
        assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        let one_point = Features::new(&[1.0; 8], 2).unwrap();
        assert!(uniformity(one_point, Pairs::All).unwrap().abs() < 1e-6);
    }

    #[test]
    fn drawn_pairs_are_of_one_class_and_never_an_image_with_itself() {
        let labels: Vec<usize> = (0..60).map(|image| [0, 1, 1, 3][image % 4]).collect();
        let labels = [&labels[..], &[2]].concat();
        let pairs = class_pairs(Labels::new(&labels).unwrap(), 9000, 4).unwrap();
        assert_eq!(pairs.len(), 9000);
        assert!(pairs.iter().all(|&(a, b)| a != b && labels[a] == labels[b] && labels[a] != 2));
        let of = |class| pairs.iter().filter(|&&(a, _)| labels[a] == class).count();
        assert!((4000..5000).contains(&of(1)), "half of the images are of class 1: {}", of(1));
        let fewer = class_pairs(Labels::new(&labels).unwrap(), 5000, 4).unwrap();
        assert_eq!(fewer, pairs[..5000]);
    }

    #[test]
    fn what_has_no_pairs_is_refused() {
        let features = Features::new(&[1.0, 2.0], 1).unwrap();
        assert_eq!(alignment(features, &[]), Err(Error::NoImages));
        let beyond = alignment(features, &[(0, 1), (2, 0)]);
        assert_eq!(beyond, Err(Error::NoSuchImage { image: 2, images: 2 }));
        let none = uniformity(features, Pairs::Drawn { count: 0, seed: 0 });
        assert!(matches!(none, Err(Error::Option { .. })));
        let one = Features::new(&[1.0], 1).unwrap();
        assert!(matches!(uniformity(one, Pairs::All), Err(Error::TooFew { .. })));
        let single = class_pairs(Labels::new(&[0, 1]).unwrap(), 3, 0);
        assert!(matches!(single, Err(Error::TooFew { .. })));
    }
}
