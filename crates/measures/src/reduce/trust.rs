use rayon::prelude::*;

use crate::features::same_count;
use crate::vectors::squared_distance;
use crate::{Error, Features, Result};

/// How far the neighbours in a map are neighbours in truth (Venna and Kaski 2001), as
/// scikit-learn's `trustworthiness`: of the `k` images nearest to each in `low`, those that are not
/// among the k nearest in `high` cost by how far beyond they are there. 1 at best; distances are
/// Euclidean.
///
/// # Errors
/// [`Error::Count`] if both are not of as many images, [`Error::Option`] if k is 0 or not less than half
/// of them.
pub fn trustworthiness(high: Features<'_>, low: Features<'_>, k: usize) -> Result<f64> {
    let images = high.len();
    same_count("places in the map", low.len(), images)?;
    if k == 0 || 2 * k >= images {
        let needed = "at least 1 and less than half of the number of images";
        return Err(Error::Option { name: "k", value: k as f64, needed });
    }
    let cost = |image: usize| {
        let near = nearest(&squared_distances(low, image), image, k);
        let distances = squared_distances(high, image);
        let beyond = |&other: &usize| rank(&distances, image, other).saturating_sub(k);
        near.iter().map(beyond).sum::<usize>()
    };
    let cost: usize = (0..images).into_par_iter().map(cost).sum();
    let (n, k) = (images as f64, k as f64);
    Ok(1.0 - cost as f64 * 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)))
}

/// The squared distances of one image to all.
fn squared_distances(features: Features<'_>, image: usize) -> Vec<f64> {
    let this = features.row(image);
    let others = features.rows().chunks_exact(features.dim());
    others.map(|other| squared_distance(this, other)).collect()
}

/// The `k` others with the least distance, of equals the lower.
fn nearest(distances: &[f64], image: usize, k: usize) -> Vec<usize> {
    let mut others: Vec<usize> = (0..distances.len()).filter(|&other| other != image).collect();
    let order = |a: &usize, b: &usize| distances[*a].total_cmp(&distances[*b]).then(a.cmp(b));
    others.select_nth_unstable_by(k - 1, order);
    others.truncate(k);
    others
}

/// Which neighbour of `image` the other is, counted from 1, of equals the lower image first.
fn rank(distances: &[f64], image: usize, other: usize) -> usize {
    let own = distances[other];
    let nearer = |&(at, &distance): &(usize, &f64)| {
        at != image && (distance < own || (distance == own && at < other))
    };
    1 + distances.iter().enumerate().filter(nearer).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_places_can_be_trusted_wholly() {
        let rows: Vec<f32> = (0..20).map(|i| ((i * i) % 17) as f32).collect();
        let features = Features::new(&rows, 2).unwrap();
        assert_eq!(trustworthiness(features, features, 3).unwrap(), 1.0);
    }

    #[test]
    fn k_is_less_than_half_of_the_images() {
        let features = Features::new(&[0.0, 1.0, 2.0, 3.0], 1).unwrap();
        for k in [0, 2, 9] {
            let found = trustworthiness(features, features, k);
            assert!(matches!(found, Err(Error::Option { name: "k", .. })), "{k}");
        }
        let other = Features::new(&[0.0, 1.0], 1).unwrap();
        assert!(matches!(trustworthiness(features, other, 1), Err(Error::Count { .. })));
    }
}
