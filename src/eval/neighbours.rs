//! Test images with their nearest neighbours in the bank, to be looked at.

use measures::neighbours::{Neighbour, nearest};
use serde::Serialize;

use super::features::FeatureSet;
use super::{Progress, Subject, knn, shown};
use crate::{Error, Result};

/// Which images are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many test images.
    pub queries: usize,
    /// How many neighbours of each, which also vote for its class.
    pub neighbours: usize,
    /// The draw.
    pub seed: u64,
    /// Whether they are drawn from the misclassified alone.
    pub only_wrong: bool,
}

/// A test image and what is nearest to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Query {
    /// Its number among the test images.
    pub image: usize,
    /// Its class.
    pub class: usize,
    /// The class that its neighbours vote for.
    pub guess: usize,
    /// The nearest first.
    pub nearest: Vec<Near>,
}

/// An image of the bank near to a query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Near {
    /// Its number in the bank.
    pub image: usize,
    /// Its class.
    pub class: usize,
    /// The cosine of both images' features.
    pub similarity: f32,
}

/// What [`of_subject`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// Those of the same class together; of the misclassified perhaps fewer than were asked for.
    pub queries: Vec<Query>,
    /// How many test images there were to choose from.
    pub eligible: usize,
}

/// Draws test images, spread over the classes, and finds their neighbours by the cosine of their features.
/// The vote is kNN's, of the neighbours that are looked at. None is returned when `progress` says no.
///
/// # Errors
/// [`Error::Images`] where there are not as many test images, or as many images in the bank, or where none is
/// misclassified; else as [`Subject::features`].
pub fn of_subject(
    subject: &mut Subject<'_>,
    asked: Asked,
    progress: &mut Progress<'_>,
) -> Result<Option<Queries>> {
    let labelled = subject.labelled();
    enough("neighbours", asked.neighbours, "images in the bank", labelled.bank.len())?;
    enough("queries", asked.queries, "test images", labelled.test.len())?;
    let temperature = subject.config().eval.temperature;
    let Some([bank, test]) = subject.features(progress)? else { return Ok(None) };
    of_features(bank, test, asked, temperature).map(Some)
}

fn enough(what: &str, asked: usize, of: &str, there: usize) -> Result<()> {
    match asked <= there {
        true => Ok(()),
        false => Err(Error::Images(format!(
            "{asked} {what} are asked for, and there are {there} {of}; ask for fewer"
        ))),
    }
}

fn of_features(
    bank: &FeatureSet,
    test: &FeatureSet,
    asked: Asked,
    temperature: f64,
) -> Result<Queries> {
    let guesses = |of: &FeatureSet| knn::guesses(bank, of, asked.neighbours, temperature);
    let eligible: Vec<usize> = match asked.only_wrong {
        false => (0..test.len()).collect(),
        true => {
            let guesses = guesses(test);
            (0..test.len()).filter(|&row| guesses[row] != test.labels[row]).collect()
        }
    };
    if eligible.is_empty() {
        return Err(Error::Images(format!(
            "none of the {} test images is misclassified by its {} neighbours; look at all of them instead",
            test.len(),
            asked.neighbours
        )));
    }
    let classes: Vec<Option<usize>> = eligible.iter().map(|&row| Some(test.labels[row])).collect();
    let chosen = shown::spread(&classes, asked.queries, asked.seed);
    let chosen = test.select(&chosen.iter().map(|&at| eligible[at]).collect::<Vec<_>>());
    let found = nearest(bank.features()?, chosen.features()?, asked.neighbours)?;
    let near = |&Neighbour { similarity, image }: &Neighbour| Near {
        image: bank.images[image],
        class: bank.labels[image],
        similarity,
    };
    let guesses = guesses(&chosen);
    let query = |(row, found): (usize, &Vec<Neighbour>)| Query {
        image: chosen.images[row],
        class: chosen.labels[row],
        guess: guesses[row],
        nearest: found.iter().map(near).collect(),
    };
    Ok(Queries { queries: found.iter().enumerate().map(query).collect(), eligible: eligible.len() })
}

#[cfg(test)]
mod tests {
    use logo_ssl_base::rng::{Stream, generator};
    use rand::RngExt;

    use super::*;

    const DIM: usize = 5;

    fn random(count: usize, stream: u64) -> FeatureSet {
        let mut rng = generator(stream, Stream::Init, 0, 0, 0);
        let rows = (0..count * DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
        let labels = (0..count).map(|_| rng.random_range(0..4)).collect();
        // As if images in between could not be read.
        let images = (0..count).map(|row| 3 * row + 1).collect();
        FeatureSet { images, ..FeatureSet::new(DIM, rows, labels) }
    }

    fn asked(queries: usize, only_wrong: bool) -> Asked {
        Asked { queries, neighbours: 7, seed: 2, only_wrong }
    }

    /// The seven bank rows with the greatest cosine, by a search of all.
    fn brute_force(bank: &FeatureSet, test: &FeatureSet, query: usize) -> Vec<(f64, usize)> {
        let cosine = |row: usize| {
            let pairs = bank.row(row).iter().zip(test.row(query));
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        let mut all: Vec<_> = (0..bank.len()).map(|row| (cosine(row), row)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(7);
        all
    }

    #[test]
    fn neighbours_are_those_of_a_search_of_all_pairs() {
        let (bank, test) = (random(211, 1), random(97, 2));
        let found = of_features(&bank, &test, asked(13, false), 0.07).unwrap();
        assert_eq!((found.queries.len(), found.eligible), (13, 97));
        for query in &found.queries {
            let row = (query.image - 1) / 3;
            assert_eq!(query.class, test.labels[row]);
            let expected = brute_force(&bank, &test, row);
            let mut votes = [0.0; 4];
            for (near, (cosine, row)) in query.nearest.iter().zip(expected) {
                assert_eq!((near.image, near.class), (3 * row + 1, bank.labels[row]));
                assert!((f64::from(near.similarity) - cosine).abs() < 1e-5);
                votes[near.class] += (cosine / 0.07).exp();
            }
            assert!(votes.iter().all(|vote| *vote <= votes[query.guess]), "{query:?}");
        }
    }

    #[test]
    fn the_misclassified_alone_are_all_that_there_are() {
        let (bank, test) = (random(211, 1), random(97, 2));
        let found = of_features(&bank, &test, asked(97, true), 0.07).unwrap();
        let hits = knn::guesses(&bank, &test, 7, 0.07);
        let wrong = hits.iter().zip(&test.labels).filter(|(guess, label)| guess != label).count();
        assert_eq!((found.queries.len(), found.eligible), (wrong, wrong));
        assert!(found.queries.iter().all(|query| query.guess != query.class));
    }

    #[test]
    fn where_nothing_is_wrong_that_is_said() {
        let bank = random(60, 1);
        let own = Asked { neighbours: 1, ..asked(4, true) };
        let error = of_features(&bank, &bank, own, 0.07).unwrap_err();
        assert!(error.to_string().contains("none of the 60 test images is mis"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn more_than_there_are_is_refused() {
        assert!(enough("queries", 5, "test images", 5).is_ok());
        let error = enough("queries", 6, "test images", 5).unwrap_err();
        assert_eq!(
            error.to_string(),
            "6 queries are asked for, and there are 5 test images; ask for fewer"
        );
    }
}
