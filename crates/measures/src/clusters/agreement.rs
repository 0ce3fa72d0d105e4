use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use serde::{Deserialize, Serialize};

use crate::features::same_count;
use crate::{Labels, Result};

/// How far clusters and classes are the same partition of the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The share of images whose cluster is assigned to their class, by the assignment of clusters to
    /// classes, one to one, that makes it greatest (Kuhn 1955).
    pub accuracy: f64,
    /// The class that each cluster is assigned to; none where there are more clusters than classes.
    pub class_of: Vec<Option<usize>>,
    /// Normalised mutual information: 2 I(cluster, class) / (H(cluster) + H(class)), as
    /// scikit-learn's `normalized_mutual_info_score`; 1 if both partitions are one part.
    pub nmi: f64,
    /// The Rand index adjusted for chance (Hubert and Arabie 1985), at most 1, about 0 for partitions
    /// that have nothing to do with each other.
    pub adjusted_rand: f64,
}

/// How far the clusters that images are in, counted from zero, agree with their classes.
///
/// # Errors
/// [`crate::Error::Count`] if there is not one cluster for each image.
pub fn agreement(clusters: Labels<'_>, classes: Labels<'_>) -> Result<Agreement> {
    same_count("clusters", clusters.len(), classes.len())?;
    let table = Table::new(clusters, classes);
    let class_of = table.assignment();
    let hits: u64 = class_of
        .iter()
        .enumerate()
        .filter_map(|(cluster, class)| class.map(|class| table.count(cluster, class)))
        .sum();
    Ok(Agreement {
        accuracy: hits as f64 / table.images() as f64,
        class_of,
        nmi: table.nmi(),
        adjusted_rand: table.adjusted_rand(),
    })
}

/// How many images each cluster has of each class.
struct Table {
    /// `[clusters, classes]`.
    counts: Vec<u64>,
    of_cluster: Vec<u64>,
    of_class: Vec<u64>,
}

impl Table {
    fn new(clusters: Labels<'_>, classes: Labels<'_>) -> Self {
        let (rows, columns) = (clusters.classes(), classes.classes());
        let (mut of_cluster, mut of_class) = (vec![0; rows], vec![0; columns]);
        let mut counts = vec![0; rows * columns];
        for (&cluster, &class) in clusters.of().iter().zip(classes.of()) {
            counts[cluster * columns + class] += 1;
            of_cluster[cluster] += 1;
            of_class[class] += 1;
        }
        Self { counts, of_cluster, of_class }
    }

    fn count(&self, cluster: usize, class: usize) -> u64 {
        self.counts[cluster * self.of_class.len() + class]
    }

    fn images(&self) -> u64 {
        self.of_class.iter().sum()
    }

    fn assignment(&self) -> Vec<Option<usize>> {
        let (clusters, classes) = (self.of_cluster.len(), self.of_class.len());
        // The algorithm wants no more rows than columns: columns without images stand for no class.
        let columns = clusters.max(classes);
        let weight = |(cluster, class): (usize, usize)| match class < classes {
            true => self.count(cluster, class) as i64,
            false => 0,
        };
        let (_, columns) = kuhn_munkres(&Matrix::from_fn(clusters, columns, weight));
        columns.into_iter().map(|class| (class < classes).then_some(class)).collect()
    }

    fn nmi(&self) -> f64 {
        let images = self.images() as f64;
        let parts = |counts: &[u64]| counts.iter().filter(|&&count| count > 0).count();
        if parts(&self.of_cluster) == 1 && parts(&self.of_class) == 1 {
            return 1.0;
        }
        let entropy = |counts: &[u64]| {
            let present = counts.iter().filter(|&&count| count > 0);
            -present.map(|&count| count as f64 / images * (count as f64 / images).ln()).sum::<f64>()
        };
        let pairs = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        let information: f64 = pairs
            .map(|(at, &count)| {
                let (cluster, class) = (at / self.of_class.len(), at % self.of_class.len());
                let chance = self.of_cluster[cluster] as f64 * self.of_class[class] as f64;
                count as f64 / images * (count as f64 * images / chance).ln()
            })
            .sum();
        let mean = (entropy(&self.of_cluster) + entropy(&self.of_class)) / 2.0;
        (information / mean).clamp(0.0, 1.0)
    }

    fn adjusted_rand(&self) -> f64 {
        let pairs = |counts: &[u64]| counts.iter().map(|&n| pairs_of(n)).sum::<f64>();
        let (both, all) = (pairs(&self.counts), pairs_of(self.images()));
        let (in_cluster, in_class) = (pairs(&self.of_cluster), pairs(&self.of_class));
        let expected = if all > 0.0 { in_cluster * in_class / all } else { 0.0 };
        let greatest = (in_cluster + in_class) / 2.0;
        // Both are one part, or every image is a part of its own.
        if greatest == expected { 1.0 } else { (both - expected) / (greatest - expected) }
    }
}

/// Pairs among `n`.
fn pairs_of(n: u64) -> f64 {
    let n = n as f64;
    n * (n - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn of(clusters: &[usize], classes: &[usize]) -> Agreement {
        agreement(Labels::new(clusters).unwrap(), Labels::new(classes).unwrap()).unwrap()
    }

    #[test]
    fn renamed_classes_agree_wholly() {
        let found = of(&[2, 2, 0, 0, 1], &[0, 0, 1, 1, 2]);
        assert_eq!(found.accuracy, 1.0);
        assert_eq!(found.class_of, [Some(1), Some(2), Some(0)]);
        assert!((found.nmi - 1.0).abs() < 1e-12);
        assert_eq!(found.adjusted_rand, 1.0);
    }

    #[test]
    fn more_clusters_than_classes_leave_some_without() {
        let found = of(&[0, 0, 1, 1, 2, 3], &[0, 0, 1, 1, 1, 0]);
        assert_eq!(found.class_of, [Some(0), Some(1), None, None]);
        assert!((found.accuracy - 4.0 / 6.0).abs() < 1e-12);
        // And fewer leave classes without.
        assert_eq!(of(&[0, 0, 0], &[0, 1, 1]).class_of, [Some(1)]);
    }

    #[test]
    fn the_best_assignment_is_not_always_the_greedy_one() {
        // Cluster 0 has 5 of class 0 and 4 of class 1, cluster 1 has 4 of class 0 and none of class 1.
        let clusters = [[0; 9].as_slice(), &[1; 4]].concat();
        let classes = [[0; 5].as_slice(), &[1; 4], &[0; 4]].concat();
        let found = of(&clusters, &classes);
        assert_eq!(found.class_of, [Some(1), Some(0)]);
        assert!((found.accuracy - 8.0 / 13.0).abs() < 1e-12);
    }

    #[test]
    fn partitions_of_one_part_and_of_single_images() {
        let same = of(&[0; 4], &[0; 4]);
        assert_eq!((same.nmi, same.adjusted_rand), (1.0, 1.0));
        let nothing = of(&[0; 4], &[0, 1, 0, 1]);
        assert_eq!((nothing.nmi, nothing.adjusted_rand), (0.0, 0.0));
        let single = of(&[0, 1, 2], &[2, 1, 0]);
        assert!((single.nmi - 1.0).abs() < 1e-12 && single.adjusted_rand == 1.0);
        let one = of(&[0], &[0]);
        assert_eq!((one.accuracy, one.nmi, one.adjusted_rand), (1.0, 1.0, 1.0));
        let error = agreement(Labels::new(&[0]).unwrap(), Labels::new(&[0, 0]).unwrap());
        assert_eq!(error, Err(Error::Count { what: "clusters", found: 1, images: 2 }));
    }
}
