//! k nearest neighbours by cosine similarity, exact.
//!
//! k = 1 takes the nearest neighbour's class. Greater k vote with weights exp(s/τ), s the cosine
//! similarity (Wu et al., 2018, as the field and LoGo's official code have it).

use cpu_kernels::{Bank, Neighbour};

use super::features::FeatureSet;
use super::{Effort, Evaluation, Progress, Subject, first_greatest};
use crate::Result;
use crate::config::EvalConfig;
use crate::instructions;
use crate::record::{Found, KnnResult, Outcome};

/// Classes of test images by their nearest neighbours in the bank.
pub struct NearestNeighbours;

impl Evaluation for NearestNeighbours {
    fn name(&self) -> &'static str {
        "knn"
    }

    fn title(&self) -> &'static str {
        "kNN"
    }

    fn effort(&self) -> Effort {
        Effort::Features
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let found = of_subject(subject, progress)?;
        Ok(found.map(|Classified { results, hits }| Outcome {
            found: Found::Knn(results),
            confusion: None,
            hits: Some(hits),
        }))
    }
}

/// What neighbours voted for.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The accuracies, one for each k.
    pub results: Vec<KnnResult>,
    /// For each test image, whether its class won with the first k.
    pub hits: Vec<bool>,
}

/// The kNN of `subject`: its bank is searched for neighbours of its test images. None is returned when
/// `progress` says no.
///
/// # Errors
/// As [`Subject::features`].
pub fn of_subject(
    subject: &mut Subject<'_>,
    progress: &mut Progress<'_>,
) -> Result<Option<Classified>> {
    let config = subject.config();
    let Some([bank, test]) = subject.features(progress)? else { return Ok(None) };
    if config.seed_code.drop_last_bank_batch {
        let (mut bank, mut test) = (bank.clone(), test.clone());
        drop_last_batch(&mut bank, &mut test, config.optimizer.batch_size);
        return Ok(Some(evaluate(&bank, &test, &config.eval)));
    }
    Ok(Some(evaluate(bank, test, &config.eval)))
}

/// The earlier code's error: bank rows of the last partial batch stay zero and keep their labels,
/// test images of theirs are left out.
fn drop_last_batch(bank: &mut FeatureSet, test: &mut FeatureSet, batch: usize) {
    let whole = |set: &FeatureSet| set.len() / batch * batch;
    let filled = whole(bank) * bank.dim;
    bank.rows[filled..].fill(0.0);
    let kept = whole(test);
    test.rows.truncate(kept * test.dim);
    test.norms.truncate(kept);
    test.labels.truncate(kept);
    test.images.truncate(kept);
}

/// How often the class of a `test` vector is the one (top-1), or among the five (top-5), that its
/// neighbours in `bank` vote for most, for every k of `config`.
pub fn evaluate(bank: &FeatureSet, test: &FeatureSet, config: &EvalConfig) -> Classified {
    let most = config.k.iter().copied().max().unwrap_or(1);
    let classes = classes(bank, test);
    let ranks = |query: usize, neighbours: &[Neighbour]| {
        let rank = |&k: &usize| {
            let nearest = &neighbours[..k.min(neighbours.len())];
            let votes = votes(nearest, &bank.labels, classes, config.temperature);
            rank_of(test.labels[query], &votes)
        };
        config.k.iter().map(rank).collect::<Vec<_>>()
    };
    let packed = Bank::new(instructions::level(), &bank.rows, bank.dim);
    let ranks = packed.nearest(&test.rows, most, ranks);
    let share = |column: usize, least: usize| {
        let hits = ranks.iter().filter(|row| row[column].is_some_and(|rank| rank < least)).count();
        hits as f64 / test.len().max(1) as f64
    };
    let result = |(column, &k): (usize, &usize)| KnnResult {
        k,
        weighted: k > 1,
        top1: share(column, 1),
        top5: share(column, 5),
    };
    Classified {
        results: config.k.iter().enumerate().map(result).collect(),
        hits: ranks.iter().map(|row| row.first() == Some(&Some(0))).collect(),
    }
}

/// The class that the `k` neighbours in `bank` of each `test` vector vote for most.
pub fn guesses(bank: &FeatureSet, test: &FeatureSet, k: usize, temperature: f64) -> Vec<usize> {
    let classes = classes(bank, test);
    let packed = Bank::new(instructions::level(), &bank.rows, bank.dim);
    packed.nearest(&test.rows, k, |_, neighbours| {
        first_greatest(&votes(neighbours, &bank.labels, classes, temperature))
    })
}

fn classes(bank: &FeatureSet, test: &FeatureSet) -> usize {
    bank.labels.iter().chain(&test.labels).max().map_or(1, |most| most + 1)
}

fn votes(nearest: &[Neighbour], labels: &[usize], classes: usize, temperature: f64) -> Vec<f64> {
    let mut votes = vec![0.0; classes];
    for &(similarity, row) in nearest {
        votes[labels[row as usize]] += (f64::from(similarity) / temperature).exp();
    }
    votes
}

/// How many classes have more votes than `label`, of equals the lower class first; none when
/// nobody voted for it.
fn rank_of(label: usize, votes: &[f64]) -> Option<usize> {
    let own = votes[label];
    let ahead = |(class, &vote): (usize, &f64)| vote > own || (vote == own && class < label);
    (own > 0.0).then(|| votes.iter().enumerate().filter(|&entry| ahead(entry)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EvalDataset, Features};
    use rand::RngExt;

    fn config(k: &[usize]) -> EvalConfig {
        EvalConfig {
            dataset: EvalDataset::Same,
            during: vec!["knn".parse().unwrap()],
            floors: true,
            online: false,
            resize: 0,
            crop: 0,
            every: 0,
            k: k.to_vec(),
            temperature: 0.07,
            features: Features::Backbone,
        }
    }

    fn set(dim: usize, rows: &[f32], labels: &[usize]) -> FeatureSet {
        FeatureSet {
            dim,
            rows: rows.to_vec(),
            norms: vec![1.0; labels.len()],
            labels: labels.to_vec(),
            images: (0..labels.len()).collect(),
        }
    }

    #[test]
    fn the_vote_weighs_by_similarity() {
        // One close neighbour of class 1 against two distant ones of class 0.
        let bank = set(2, &[1.0, 0.0, 0.6, 0.8, 0.6, -0.8], &[1, 0, 0]);
        let test = set(2, &[1.0, 0.0, 1.0, 0.0], &[1, 0]);
        let Classified { results, hits } = evaluate(&bank, &test, &config(&[1, 3]));
        assert_eq!(hits, [true, false]);
        assert_eq!(guesses(&bank, &test, 3, 0.07), [1, 1]);
        assert_eq!(results[0].top1, 0.5);
        assert_eq!(results[0].top5, 0.5, "with k = 1 a class nobody voted for is no guess");
        assert_eq!(results[1].top1, 0.5);
        assert_eq!(results[1].top5, 1.0);
        assert!(!results[0].weighted && results[1].weighted);
    }

    #[test]
    fn agrees_with_a_plain_search_of_all_pairs() {
        let mut rng = logo_ssl_base::rng::generator(1, logo_ssl_base::rng::Stream::Init, 0, 0, 0);
        let (dim, bank_len, test_len) = (7, 333, 519);
        let mut random = |count: usize| {
            let rows: Vec<f32> = (0..count * dim).map(|_| rng.random_range(-1.0..1.0)).collect();
            let labels = (0..count).map(|_| rng.random_range(0..10)).collect();
            FeatureSet::new(dim, rows, labels)
        };
        let (bank, test) = (random(bank_len), random(test_len));
        let plain = |k: usize| {
            let hit = |query: usize| {
                let of = |set: &FeatureSet, i: usize| set.rows[i * dim..][..dim].to_vec();
                let q = of(&test, query);
                let mut all: Vec<(f64, usize)> = (0..bank_len)
                    .map(|row| {
                        let dot = of(&bank, row).into_iter().zip(&q).map(|(a, b)| f64::from(a * b));
                        (dot.sum::<f64>(), bank.labels[row])
                    })
                    .collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0));
                let mut votes = [0.0; 10];
                for (s, label) in &all[..k] {
                    votes[*label] += (s / 0.07).exp();
                }
                let best = (0..10).max_by(|&a, &b| votes[a].total_cmp(&votes[b]));
                best == Some(test.labels[query])
            };
            (0..test_len).filter(|&query| hit(query)).count() as f64 / test_len as f64
        };
        let Classified { results, hits } = evaluate(&bank, &test, &config(&[1, 20, 200]));
        for result in results {
            assert_eq!(result.top1, plain(result.k), "k = {}", result.k);
            let guesses = guesses(&bank, &test, result.k, 0.07);
            let right = guesses.iter().zip(&test.labels).filter(|(guess, label)| guess == label);
            assert_eq!(right.count() as f64 / test_len as f64, result.top1);
        }
        assert_eq!(hits.iter().filter(|hit| **hit).count() as f64 / test_len as f64, plain(1));
    }

    #[test]
    fn the_earlier_codes_bank_keeps_the_labels_of_rows_it_lost() {
        let set = |images: usize| {
            let rows: Vec<f32> = (0..2 * images).map(|value| value as f32 + 1.0).collect();
            set(2, &rows, &(0..images).collect::<Vec<_>>())
        };
        let (mut bank, mut test) = (set(5), set(7));
        drop_last_batch(&mut bank, &mut test, 3);
        assert_eq!(bank.rows, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(bank.labels, [0, 1, 2, 3, 4]);
        assert_eq!((test.labels.len(), test.rows.len()), (6, 12));
    }
}
