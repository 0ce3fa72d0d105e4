use cpu_kernels::{Level, Matrix, Workspace, matmul};
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, generator};
use crate::vectors::{square, squared_distance};
use crate::{Error, Features, Progress, Result};

/// Images whose distances to all centres are taken at once.
const BLOCK: usize = 4096;

/// How clusters are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How many clusters.
    pub clusters: usize,
    /// How many times it is started anew; the clusters with the least inertia are taken.
    pub starts: usize,
    /// Most iterations of a start.
    pub max_iterations: usize,
    /// A start ends when the squares of the centres' moves sum up to no more than this times the mean
    /// variance of a dimension, scikit-learn's `tol`.
    pub tolerance: f64,
    /// Where the centres start.
    pub seed: u64,
}

impl Options {
    /// scikit-learn's: 10 starts, at most 300 iterations of each, tolerance 1e-4.
    pub fn new(clusters: usize, seed: u64) -> Self {
        Self { clusters, starts: 10, max_iterations: 300, tolerance: 1e-4, seed }
    }
}

/// Clusters of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    /// `[clusters, dim]`: the mean of each cluster's images.
    pub centres: Vec<f32>,
    /// The cluster of each image, whose centre is nearest.
    pub clusters: Vec<usize>,
    /// The sum of the images' squared distances to their centres.
    pub inertia: f64,
    /// Iterations of the start that was taken.
    pub iterations: usize,
    /// Whether that start ended by itself.
    pub converged: bool,
}

/// Clusters by Lloyd's algorithm from centres that are drawn far apart (k-means++, Arthur and
/// Vassilvitskii 2007). None is returned when `progress`, told starts, says no.
///
/// The result is the same for any number of threads.
///
/// # Errors
/// [`Error::Option`] if there is to be no cluster or no start, [`Error::TooFew`] if there are fewer
/// images than clusters, [`Error::Level`].
pub fn k_means(
    features: Features<'_>,
    options: &Options,
    progress: &mut Progress<'_>,
) -> Result<Option<KMeans>> {
    if options.starts == 0 {
        let needed = "at least 1";
        return Err(Error::Option { name: "the number of starts", value: 0.0, needed });
    }
    check_clusters(features, options.clusters)?;
    let mut best: Option<KMeans> = None;
    for start in 0..options.starts {
        let centres = drawn_centres(features, options.clusters, options.seed, start as u64);
        let found = k_means_from(features, &centres, options)?;
        if best.as_ref().is_none_or(|best| found.inertia < best.inertia) {
            best = Some(found);
        }
        if !progress(start + 1, options.starts) {
            return Ok(None);
        }
    }
    Ok(best)
}

/// Clusters by Lloyd's algorithm from `centres` on, `[clusters, dim]`. A centre that no image is
/// nearest to moves to the image that is farthest from its own. Of the options, only the
/// iterations and the tolerance count.
///
/// # Errors
/// [`Error::NotWholeRows`] if the centres are no rows of the features' length, [`Error::Option`] if there
/// is none, [`Error::TooFew`] if there are fewer images than centres, [`Error::Level`].
pub fn k_means_from(features: Features<'_>, centres: &[f32], options: &Options) -> Result<KMeans> {
    let dim = features.dim();
    if !centres.len().is_multiple_of(dim) {
        return Err(Error::NotWholeRows { numbers: centres.len(), dim });
    }
    check_clusters(features, centres.len() / dim)?;
    let tolerance = options.tolerance * mean_variance(features);
    let mut lloyd = Lloyd::new(features, centres.to_vec())?;
    let (mut iterations, mut converged) = (0, false);
    while iterations < options.max_iterations && !converged {
        let before = lloyd.clusters.clone();
        let moved = lloyd.update();
        lloyd.assign();
        iterations += 1;
        converged = moved <= tolerance || lloyd.clusters == before;
    }
    let inertia = lloyd.distances.iter().sum();
    let Lloyd { centres, clusters, .. } = lloyd;
    Ok(KMeans { centres, clusters, inertia, iterations, converged })
}

fn check_clusters(features: Features<'_>, clusters: usize) -> Result<()> {
    if clusters == 0 {
        let needed = "at least 1";
        return Err(Error::Option { name: "the number of clusters", value: 0.0, needed });
    }
    match clusters <= features.len() {
        true => Ok(()),
        false => {
            let what = format!("k-means with {clusters} clusters");
            Err(Error::TooFew { what, needed: clusters, found: features.len() })
        }
    }
}

/// A state of Lloyd's algorithm: centres, and the images' nearest ones.
struct Lloyd<'a> {
    features: Features<'a>,
    level: Level,
    workspace: Workspace,
    centres: Vec<f32>,
    clusters: Vec<usize>,
    /// The squared distance of each image to its centre.
    distances: Vec<f64>,
}

impl<'a> Lloyd<'a> {
    fn new(features: Features<'a>, centres: Vec<f32>) -> Result<Self> {
        let (clusters, distances) = (vec![0; features.len()], vec![0.0; features.len()]);
        let (level, workspace) = (Level::chosen()?, Workspace::default());
        let mut lloyd = Self { features, level, workspace, centres, clusters, distances };
        lloyd.assign();
        Ok(lloyd)
    }

    /// Puts every image in the cluster whose centre is nearest, the lower of equals.
    fn assign(&mut self) {
        let Self { features, level, workspace, centres, clusters, distances } = self;
        let dim = features.dim();
        let count = centres.len() / dim;
        let squares: Vec<f64> = centres.chunks_exact(dim).map(square).collect();
        let mut products = vec![0.0; BLOCK.min(features.len()) * count];
        let blocks = features.rows().chunks(BLOCK * dim);
        let state = clusters.chunks_mut(BLOCK).zip(distances.chunks_mut(BLOCK));
        for (rows, (clusters, distances)) in blocks.zip(state) {
            let size = [clusters.len(), count, dim];
            let products = &mut products[..clusters.len() * count];
            let (a, b) = (Matrix::plain(rows), Matrix::transposed(centres));
            matmul(*level, size, a, b, products, false, workspace);
            let images = rows.par_chunks_exact(dim).zip(products.par_chunks_exact(count));
            let images = images.zip(clusters.par_iter_mut().zip(distances));
            images.for_each(|((row, products), (cluster, distance))| {
                *cluster = nearest(products, &squares);
                *distance = squared_distance(row, &centres[*cluster * dim..][..dim]);
            });
        }
    }

    /// Moves every centre to the mean of its images; returns the sum of the squares of the moves.
    fn update(&mut self) -> f64 {
        self.fill_empty();
        let dim = self.features.dim();
        let mut images = vec![vec![]; self.centres.len() / dim];
        for (image, &cluster) in self.clusters.iter().enumerate() {
            images[cluster].push(image);
        }
        let features = self.features;
        let moves = self.centres.par_chunks_exact_mut(dim).zip(&images).map(|(centre, images)| {
            let mut sums = vec![0.0; dim];
            for &image in images {
                let row = features.row(image);
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            let mean: Vec<f32> = sums.iter().map(|x| (x / images.len() as f64) as f32).collect();
            let moved = squared_distance(centre, &mean);
            centre.copy_from_slice(&mean);
            moved
        });
        moves.collect::<Vec<f64>>().into_iter().sum()
    }

    /// Gives every cluster without images the image farthest from its centre, of those that are not
    /// alone.
    fn fill_empty(&mut self) {
        let mut sizes = vec![0_usize; self.centres.len() / self.features.dim()];
        self.clusters.iter().for_each(|&cluster| sizes[cluster] += 1);
        let empty: Vec<usize> = (0..sizes.len()).filter(|&cluster| sizes[cluster] == 0).collect();
        if empty.is_empty() {
            return;
        }
        let mut farthest: Vec<usize> = (0..self.clusters.len()).collect();
        farthest.sort_by(|&a, &b| self.distances[b].total_cmp(&self.distances[a]));
        let mut farthest = farthest.into_iter();
        for cluster in empty {
            let image = farthest.find(|&image| sizes[self.clusters[image]] > 1);
            // There are no fewer images than clusters, so one of them has two while another has none.
            let Some(image) = image else { return };
            sizes[self.clusters[image]] -= 1;
            sizes[cluster] = 1;
            self.clusters[image] = cluster;
        }
    }
}

/// The centre with the least |c|² - 2 x·c.
fn nearest(products: &[f32], squares: &[f64]) -> usize {
    let mut best = (0, f64::INFINITY);
    for (centre, (&product, square)) in products.iter().zip(squares).enumerate() {
        let distance = square - 2.0 * f64::from(product);
        if distance < best.1 {
            best = (centre, distance);
        }
    }
    best.0
}

/// Centres by k-means++: each is an image, drawn by its squared distance to the nearest of those
/// before.
fn drawn_centres(features: Features<'_>, clusters: usize, seed: u64, start: u64) -> Vec<f32> {
    let mut rng = generator(seed, Purpose::Centres, start, 0);
    let mut distances = vec![f64::INFINITY; features.len()];
    let mut centres = Vec::with_capacity(clusters * features.dim());
    let mut chosen = rng.random_range(0..features.len());
    loop {
        let centre = features.row(chosen);
        centres.extend_from_slice(centre);
        if centres.len() == clusters * features.dim() {
            return centres;
        }
        distances
            .par_iter_mut()
            .zip(features.rows().par_chunks_exact(features.dim()))
            .for_each(|(distance, row)| *distance = distance.min(squared_distance(row, centre)));
        let all: f64 = distances.iter().sum();
        let mut left = rng.random::<f64>() * all;
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Where all images are centres already, or rounding leaves a rest, any will do.
        chosen = drawn.unwrap_or_else(|| rng.random_range(0..features.len()));
    }
}

fn mean_variance(features: Features<'_>) -> f64 {
    let moments = crate::geometry::deviations(features);
    moments.iter().map(|std| std * std).sum::<f64>() / features.dim() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_groups_are_found_from_any_seed() {
        let rows: Vec<f32> = (0..30).map(|i| (i % 3) as f32 * 100.0 + (i / 3) as f32).collect();
        let features = Features::new(&rows, 1).unwrap();
        for seed in 0..5 {
            let options = Options { starts: 3, ..Options::new(3, seed) };
            let found = k_means(features, &options, &mut |_, _| true).unwrap().unwrap();
            assert!((found.inertia - 3.0 * 82.5).abs() < 1e-6, "{}", found.inertia);
            assert!((0..27).all(|i| found.clusters[i] == found.clusters[i + 3]));
            assert!(found.converged);
        }
    }

    #[test]
    fn a_centre_that_nobody_is_near_moves_to_the_farthest_image() {
        let features = Features::new(&[0.0, 1.0, 10.0], 1).unwrap();
        let found = k_means_from(features, &[0.5, 1e6], &Options::new(2, 0)).unwrap();
        assert_eq!(found.clusters, [0, 0, 1]);
        assert_eq!((found.centres, found.inertia), (vec![0.5, 10.0], 0.5));
    }

    #[test]
    fn doubles_do_not_keep_it_from_ending() {
        let features = Features::new(&[2.0; 10], 2).unwrap();
        let found = k_means(features, &Options::new(4, 0), &mut |_, _| true).unwrap().unwrap();
        assert_eq!(found.inertia, 0.0);
        assert!(found.centres.iter().all(|&x| x == 2.0));
    }

    #[test]
    fn every_image_may_be_a_cluster_but_no_more() {
        let features = Features::new(&[0.0, 5.0, 9.0], 1).unwrap();
        let options = Options::new(3, 0);
        let found = k_means(features, &options, &mut |_, _| true).unwrap().unwrap();
        assert_eq!(found.inertia, 0.0);
        let refusal = |options: &Options| k_means(features, options, &mut |_, _| true).unwrap_err();
        assert!(matches!(refusal(&Options::new(4, 0)), Error::TooFew { needed: 4, found: 3, .. }));
        assert!(matches!(refusal(&Options::new(0, 0)), Error::Option { .. }));
        assert!(matches!(refusal(&Options { starts: 0, ..options }), Error::Option { .. }));
        let error = k_means_from(Features::new(&[0.0; 4], 2).unwrap(), &[0.0; 3], &options);
        assert_eq!(error, Err(Error::NotWholeRows { numbers: 3, dim: 2 }));
    }

    #[test]
    fn it_stops_when_told() {
        let features = Features::new(&[0.0, 5.0, 9.0], 1).unwrap();
        let stopped = k_means(features, &Options::new(2, 0), &mut |done, _| done < 2).unwrap();
        assert!(stopped.is_none());
    }
}
