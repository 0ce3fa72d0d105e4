//! Which classes are taken for which.

use serde::{Deserialize, Serialize};

use crate::features::{check_classes, same_count};
use crate::{Labels, Result};

/// How many images of each class were taken for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    classes: usize,
    /// `[classes, classes]`: of the row's class, taken for the column's.
    counts: Vec<u64>,
}

/// Images of one class that were taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confused {
    /// The class they are of.
    pub class: usize,
    /// The class they were taken for.
    pub taken_for: usize,
    /// How many there are.
    pub images: u64,
}

impl Confusion {
    /// Counts `predictions` of images whose classes are `labels`.
    ///
    /// # Errors
    /// [`crate::Error::Count`] if there is not one for each image, [`crate::Error::Class`] if one is no class.
    pub fn new(labels: Labels<'_>, predictions: &[usize]) -> Result<Self> {
        same_count("predictions", predictions.len(), labels.len())?;
        let classes = labels.classes();
        check_classes(predictions, classes)?;
        let mut counts = vec![0; classes * classes];
        for (class, taken_for) in labels.of().iter().zip(predictions) {
            counts[class * classes + taken_for] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many images of `class` were taken for `taken_for`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn count(&self, class: usize, taken_for: usize) -> u64 {
        self.row(class)[taken_for]
    }

    /// How many images of `class` were taken for each class.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn row(&self, class: usize) -> &[u64] {
        &self.counts[class * self.classes..][..self.classes]
    }

    /// The share of all images that were taken for what they are.
    pub fn accuracy(&self) -> f64 {
        let hits: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        hits as f64 / self.counts.iter().sum::<u64>() as f64
    }

    /// The mean of the classes' recalls, of those that have images: what accuracy would be if every
    /// class had as many.
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls: Vec<f64> = (0..self.classes).filter_map(|class| self.recall(class)).collect();
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }

    /// The share of the images of `class` that were taken for it, which is the class's accuracy; none
    /// if it has no image.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), self.row(class).iter().sum())
    }

    /// The share of `class` among the images that were taken for it; none if no image was.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let taken = (0..self.classes).map(|of| self.count(of, class)).sum();
        share(self.count(class, class), taken)
    }

    /// The `most` pairs of classes that were confused most often, the most frequent first and of
    /// equals the lower classes first; fewer if there are no more.
    pub fn most_confused(&self, most: usize) -> Vec<Confused> {
        let pair = |at: usize| Confused {
            class: at / self.classes,
            taken_for: at % self.classes,
            images: self.counts[at],
        };
        let mut pairs: Vec<Confused> = (0..self.counts.len())
            .map(pair)
            .filter(|pair| pair.class != pair.taken_for && pair.images > 0)
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.images));
        pairs.truncate(most);
        pairs
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn counts_shares_and_the_most_confused() {
        let labels = [0, 0, 0, 1, 1, 2, 2, 2, 2];
        let predictions = [0, 1, 1, 1, 0, 2, 0, 0, 2];
        let labels = Labels::of_classes(&labels, 4).unwrap();
        let confusion = Confusion::new(labels, &predictions).unwrap();
        assert_eq!(confusion.row(0), [1, 2, 0, 0]);
        assert_eq!(confusion.row(2), [2, 0, 2, 0]);
        assert_eq!(confusion.accuracy(), 4.0 / 9.0);
        assert_eq!(
            [0, 1, 2, 3].map(|class| confusion.recall(class)),
            [Some(1.0 / 3.0), Some(0.5), Some(0.5), None]
        );
        assert_eq!(
            [0, 1, 2, 3].map(|class| confusion.precision(class)),
            [Some(0.25), Some(1.0 / 3.0), Some(1.0), None]
        );
        assert!((confusion.balanced_accuracy() - (1.0 / 3.0 + 1.0) / 3.0).abs() < 1e-15);
        let pair = |class, taken_for, images| Confused { class, taken_for, images };
        assert_eq!(confusion.most_confused(2), [pair(0, 1, 2), pair(2, 0, 2)]);
        assert_eq!(confusion.most_confused(9).len(), 3);
    }

    #[test]
    fn predictions_must_be_classes_of_the_same_images() {
        let labels = Labels::new(&[0, 1]).unwrap();
        let refusal = |predictions: &[usize]| Confusion::new(labels, predictions).unwrap_err();
        assert_eq!(refusal(&[0]), Error::Count { what: "predictions", found: 1, images: 2 });
        assert_eq!(refusal(&[0, 2]), Error::Class { image: 1, class: 2, classes: 2 });
    }
}
