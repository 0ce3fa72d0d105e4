use bhtsne::{Neighbor, tSNE};
use cpu_kernels::{Bank, Level};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::Pca;
use crate::geometry::means;
use crate::vectors::squared_distance;
use crate::{Error, Features, Result};

/// Images that a point's bandwidth is set by, over the perplexity (van der Maaten 2014, section 4.1).
const NEIGHBOURS: usize = 3;
/// The standard deviation of the first coordinate at the start, as scikit-learn has it.
const START: f64 = 1e-4;

/// How a map is made by t-SNE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tsne {
    /// How many neighbours a point is kept near to, in effect. Fewer where there are not three times
    /// as many others.
    pub perplexity: f32,
    /// How many steps; in the first quarter of them similarities are exaggerated twelvefold.
    pub iterations: usize,
    /// How coarsely far points are summed up, more than 0: greater is faster and less exact.
    pub theta: f32,
}

impl Default for Tsne {
    /// scikit-learn's: perplexity 30, 1000 steps, θ 0.5.
    fn default() -> Self {
        Self { perplexity: 30.0, iterations: 1000, theta: 0.5 }
    }
}

/// A map of features in the plane, `[images, 2]`, by Barnes-Hut t-SNE (van der Maaten 2014) of
/// Euclidean distances. It starts from the first two principal components and draws nothing, and
/// every sum is taken on one thread in one order, so the same features give the same map. Images that
/// are all the same are one point.
///
/// `progress` is told the steps done, and of how many.
///
/// # Errors
/// [`Error::TooFew`] for less than four images, [`Error::Option`] if an option makes no sense,
/// [`Error::Level`], [`Error::Thread`].
pub fn tsne(
    features: Features<'_>,
    options: &Tsne,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Vec<f32>> {
    let images = features.len();
    if images <= NEIGHBOURS {
        let what = "t-SNE".to_owned();
        return Err(Error::TooFew { what, needed: NEIGHBOURS + 1, found: images });
    }
    options.check()?;
    let perplexity = options.perplexity.min((images - 1) as f32 / NEIGHBOURS as f32);
    let count = ((NEIGHBOURS as f32 * perplexity) as usize).clamp(1, images - 1);
    let neighbours = nearest(features, count)?;
    let Some(start) = start(features)? else { return Ok(vec![0.0; 2 * images]) };
    let run = || {
        let points = vec![(); images];
        let mut map = tSNE::<f32, (), 2>::new(&points);
        map.perplexity(perplexity)
            .epochs(options.iterations)
            .stop_lying_epoch(options.iterations / 4)
            .momentum_switch_epoch(options.iterations / 4)
            .initial_embedding(start)
            .epoch_callback(|epoch, _| progress(epoch + 1, options.iterations))
            .barnes_hut_with_neighbors(options.theta, &neighbours);
        map.embedding()
    };
    // The crate sums over rayon's threads in an order that depends on them.
    let alone = ThreadPoolBuilder::new().num_threads(1).build();
    let alone = alone.map_err(|error| Error::Thread(error.to_string()))?;
    Ok(alone.install(run))
}

impl Tsne {
    fn check(&self) -> Result<()> {
        let refuse =
            |name, value: f32, needed| Err(Error::Option { name, value: f64::from(value), needed });
        match self {
            Self { perplexity, .. } if !(perplexity.is_finite() && *perplexity >= 1.0) => {
                refuse("the perplexity", *perplexity, "at least 1; 5 to 50 is usual")
            }
            Self { theta, .. } if !(*theta > 0.0 && *theta <= 1.0) => {
                refuse("theta", *theta, "more than 0 and at most 1")
            }
            _ => Ok(()),
        }
    }
}

/// The first two principal components, or the one there is and zeros, scaled down, `[images, 2]`;
/// none if all images are the same.
fn start(features: Features<'_>) -> Result<Option<Vec<f32>>> {
    let components = features.dim().min(2);
    let pca = Pca::fit(features, components)?;
    let variance = pca.explained_variance()[0];
    if variance == 0.0 {
        return Ok(None);
    }
    let scaled = |x: f32| (f64::from(x) * START / variance.sqrt()) as f32;
    let places = pca.transform(features)?;
    let place = |row: &[f32]| [scaled(row[0]), row.get(1).copied().map_or(0.0, scaled)];
    Ok(Some(places.chunks_exact(components).flat_map(place).collect()))
}

/// The `count` others nearest to each image and their distances, the nearest first.
///
/// The nearest by distance have the greatest x·y - |y|² / 2, an inner product with one more number.
fn nearest(features: Features<'_>, count: usize) -> Result<Vec<Vec<Neighbor<f32>>>> {
    let (dim, mean) = (features.dim(), means(features));
    let centred = |row: &[f32]| -> Vec<f32> {
        row.iter().zip(&mean).map(|(&x, mean)| (f64::from(x) - mean) as f32).collect()
    };
    let rows = features.rows().par_chunks_exact(dim);
    let with_last = |row: &[f32], last: fn(&[f32]) -> f32| {
        let mut row = centred(row);
        let last = last(&row);
        row.push(last);
        row
    };
    let half_square = |row: &[f32]| -0.5 * row.iter().map(|x| x * x).sum::<f32>();
    let bank: Vec<f32> = rows.clone().flat_map_iter(|row| with_last(row, half_square)).collect();
    let queries: Vec<f32> = rows.flat_map_iter(|row| with_last(row, |_| 1.0)).collect();
    let bank = Bank::new(Level::chosen()?, &bank, dim + 1);
    let distance = |a, b| squared_distance(features.row(a), features.row(b)).sqrt() as f32;
    Ok(bank.nearest(&queries, count + 1, |query, found| {
        let others = found.iter().map(|&(_, row)| row as usize).filter(|&row| row != query);
        let mut others: Vec<Neighbor<f32>> = others
            .take(count)
            .map(|index| Neighbor { index, distance: distance(query, index) })
            .collect();
        others.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
        others
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_the_nearest_by_distance_not_by_inner_product() {
        // The last is longest, and so the greatest inner product of all.
        let features = Features::new(&[1.0, 0.0, 1.5, 0.0, 1.0, 0.25, 9.0, 1.0], 2).unwrap();
        let found = nearest(features, 2).unwrap();
        let of = |row: &Vec<Neighbor<f32>>| row.iter().map(|near| near.index).collect::<Vec<_>>();
        assert_eq!(found.iter().map(of).collect::<Vec<_>>(), [[2, 1], [0, 2], [0, 1], [1, 2]]);
        assert_eq!(found[0][0].distance, 0.25);
    }

    #[test]
    fn four_images_of_one_dimension_have_a_map_and_three_have_none() {
        let features = Features::new(&[0.0, 1.0, 5.0, 6.0], 1).unwrap();
        let map = tsne(features, &Tsne::default(), &mut |_, _| {}).unwrap();
        assert!(map.len() == 8 && map.iter().all(|x| x.is_finite()), "{map:?}");
        let doubles = Features::new(&[3.0; 20], 2).unwrap();
        let map = tsne(doubles, &Tsne::default(), &mut |_, _| {}).unwrap();
        assert_eq!(map, [0.0; 20]);
        let few = Features::new(&[0.0, 1.0, 5.0], 1).unwrap();
        let refusal = tsne(few, &Tsne::default(), &mut |_, _| {});
        assert!(matches!(refusal, Err(Error::TooFew { needed: 4, found: 3, .. })));
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let features = Features::new(&[0.0, 1.0, 5.0, 6.0], 1).unwrap();
        for (perplexity, theta) in [(0.5, 0.5), (f32::NAN, 0.5), (5.0, 0.0), (5.0, f32::NAN)] {
            let options = Tsne { perplexity, theta, ..Tsne::default() };
            let found = tsne(features, &options, &mut |_, _| {});
            assert!(matches!(found, Err(Error::Option { .. })), "{options:?}");
        }
    }
}
