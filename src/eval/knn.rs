//! k nearest neighbours by cosine similarity, exact.
//!
//! k = 1 takes the nearest neighbour's class. Greater k vote with weights exp(s/τ), s the cosine
//! similarity (Wu et al., 2018, as the field and LoGo's official code have it).

use cpu_kernels::{Bank, Neighbour};

use super::features::FeatureSet;
use crate::config::EvalConfig;
use crate::engine;
use crate::record::KnnResult;

/// How often the class of a `test` vector is the one (top-1), or among the five (top-5), that its
/// neighbours in `bank` vote for most, for every k of `config`.
pub fn evaluate(bank: &FeatureSet, test: &FeatureSet, config: &EvalConfig) -> Vec<KnnResult> {
    let most = config.k.iter().copied().max().unwrap_or(1);
    let classes = bank.labels.iter().chain(&test.labels).max().map_or(1, |most| most + 1);
    let ranks = |query: usize, neighbours: &[Neighbour]| {
        let rank = |&k: &usize| {
            let nearest = &neighbours[..k.min(neighbours.len())];
            let votes = votes(nearest, &bank.labels, classes, config.temperature);
            rank_of(test.labels[query], &votes)
        };
        config.k.iter().map(rank).collect::<Vec<_>>()
    };
    let packed = Bank::new(engine::level(), &bank.rows, bank.dim);
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
    config.k.iter().enumerate().map(result).collect()
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
            resize: 0,
            crop: 0,
            every: 0,
            k: k.to_vec(),
            temperature: 0.07,
            features: Features::Backbone,
        }
    }

    fn set(dim: usize, rows: &[f32], labels: &[usize]) -> FeatureSet {
        FeatureSet { dim, rows: rows.to_vec(), labels: labels.to_vec() }
    }

    #[test]
    fn the_vote_weighs_by_similarity() {
        // One close neighbour of class 1 against two distant ones of class 0.
        let bank = set(2, &[1.0, 0.0, 0.6, 0.8, 0.6, -0.8], &[1, 0, 0]);
        let test = set(2, &[1.0, 0.0, 1.0, 0.0], &[1, 0]);
        let results = evaluate(&bank, &test, &config(&[1, 3]));
        assert_eq!(results[0].top1, 0.5);
        assert_eq!(results[0].top5, 0.5, "with k = 1 a class nobody voted for is no guess");
        assert_eq!(results[1].top1, 0.5);
        assert_eq!(results[1].top5, 1.0);
        assert!(!results[0].weighted && results[1].weighted);
    }

    #[test]
    fn agrees_with_a_plain_search_of_all_pairs() {
        let mut rng = crate::rng::generator(1, crate::rng::Stream::Init, 0, 0, 0);
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
        let results = evaluate(&bank, &test, &config(&[1, 20, 200]));
        for result in results {
            assert_eq!(result.top1, plain(result.k), "k = {}", result.k);
        }
    }
}
