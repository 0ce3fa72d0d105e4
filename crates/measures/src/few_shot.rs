//! Few labelled images of each class, drawn many times, and how a score spreads over the draws.

use rand::seq::index;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, RESAMPLES, bootstrap_mean};
use crate::random::{Purpose, generator};
use crate::{Error, Labels, Result};

/// How many draws the field takes the mean of.
pub const DRAWS: usize = 20;

/// `count` draws of `per_class` images of each class without replacement, each in ascending order.
///
/// Draw i is the same however many are asked for. Classes without images are passed over.
///
/// # Errors
/// [`Error::Option`] if no image is asked for, [`Error::TooFew`] if a class has fewer than `per_class`.
pub fn draws(
    labels: Labels<'_>,
    per_class: usize,
    count: usize,
    seed: u64,
) -> Result<Vec<Vec<usize>>> {
    if per_class == 0 {
        let needed = "at least 1";
        return Err(Error::Option { name: "the number of images a class", value: 0.0, needed });
    }
    let classes = labels.images();
    let small = |images: &Vec<usize>| !images.is_empty() && images.len() < per_class;
    if let Some(class) = classes.iter().position(small) {
        let what = format!("class {class}");
        return Err(Error::TooFew { what, needed: per_class, found: classes[class].len() });
    }
    let drawn = |draw: usize| {
        let present = classes.iter().enumerate().filter(|(_, images)| !images.is_empty());
        let mut chosen: Vec<usize> = present
            .flat_map(|(class, images)| {
                let mut rng = generator(seed, Purpose::FewShot, draw as u64, class as u64);
                let of_class = index::sample(&mut rng, images.len(), per_class);
                of_class.into_iter().map(|at| images[at])
            })
            .collect();
        chosen.sort_unstable();
        chosen
    };
    Ok((0..count).into_par_iter().map(drawn).collect())
}

/// How a score spreads over draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many draws there were.
    pub draws: usize,
    /// The mean of their scores.
    pub mean: f64,
    /// The standard deviation of the scores, from n - 1; zero for one draw.
    pub std: f64,
    /// The interval of the mean, by the percentile bootstrap over draws.
    pub interval: Interval,
}

impl Spread {
    /// The spread of `scores`, one for each draw.
    ///
    /// # Errors
    /// [`Error::NoImages`] without scores.
    pub fn of(scores: &[f64], seed: u64) -> Result<Self> {
        let interval = bootstrap_mean(scores, RESAMPLES, seed)?;
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let square = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
        let std = (square / (scores.len() - 1).max(1) as f64).sqrt();
        Ok(Self { draws: scores.len(), mean, std, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_stratified_without_replacement_and_by_seed() {
        // Classes of 7, none, 5 and 11 images, mixed.
        let labels: Vec<usize> = (0..23).map(|i| [0, 2, 3, 3, 0, 3, 2, 3][i % 8]).collect();
        let labels = Labels::of_classes(&labels, 5).unwrap();
        let few = draws(labels, 3, 20, 7).unwrap();
        for draw in &few {
            assert_eq!(draw.len(), 9);
            assert!(draw.is_sorted_by(|a, b| a < b), "an image is drawn twice: {draw:?}");
            let of = |class| draw.iter().filter(|&&image| labels.of()[image] == class).count();
            assert_eq!([0, 1, 2, 3, 4].map(of), [3, 0, 3, 3, 0]);
        }
        assert_eq!(draws(labels, 3, 2, 7).unwrap(), few[..2]);
        assert_ne!(draws(labels, 3, 2, 8).unwrap(), few[..2]);
        assert_ne!(few[0], few[1]);
    }

    #[test]
    fn every_image_is_drawn_about_as_often() {
        let labels = [0; 10];
        let few = draws(Labels::new(&labels).unwrap(), 3, 2000, 1).unwrap();
        for image in 0..10 {
            let times = few.iter().filter(|draw| draw.contains(&image)).count();
            assert!((500..700).contains(&times), "image {image}: {times} of 600");
        }
    }

    #[test]
    fn a_class_that_is_too_small_is_named() {
        let labels = Labels::new(&[0, 0, 1]).unwrap();
        let error = draws(labels, 2, 1, 0).unwrap_err();
        assert_eq!(error.to_string(), "class 1 needs at least 2 images, there are 1");
        assert!(matches!(draws(labels, 0, 1, 0), Err(Error::Option { .. })));
    }

    #[test]
    fn spread_over_draws() {
        let spread = Spread::of(&[0.5, 0.7, 0.6], 1).unwrap();
        assert!((spread.mean - 0.6).abs() < 1e-15 && (spread.std - 0.1).abs() < 1e-15);
        assert!(spread.interval.low >= 0.5 && spread.interval.high <= 0.7);
        let one = Spread::of(&[0.4], 1).unwrap();
        assert_eq!((one.std, one.interval), (0.0, Interval { low: 0.4, high: 0.4 }));
    }
}
