//! Nearest neighbours against a plain search.

mod support;

use logo_ssl_cpu_kernels::{Bank, Level, Neighbour};
use proptest::prelude::*;
use support::Random;

fn plain(bank: &[f32], query: &[f32], count: usize) -> Vec<(f64, u32)> {
    let dot = |row: &[f32]| {
        row.iter().zip(query).fold(0.0, |sum, (a, b)| sum + f64::from(*a) * f64::from(*b))
    };
    let mut all: Vec<(f64, u32)> = bank.chunks(query.len()).map(dot).zip(0..).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.truncate(count);
    all
}

fn search(
    level: Level,
    bank: &[f32],
    queries: &[f32],
    dim: usize,
    count: usize,
) -> Vec<Vec<Neighbour>> {
    let bank = Bank::new(level, bank, dim);
    bank.nearest(queries, count, |_, nearest| nearest.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn finds_what_a_plain_search_finds(
        dim in prop_oneof![1..40usize, 250..270usize, 510..516usize],
        len in 1..700usize,
        queries in 1..210usize,
        count in 0..300usize,
        seed: u64,
    ) {
        let mut random = Random(seed);
        // Small whole numbers: inner products are exact, and many are equal.
        let mut numbers = |n: usize| -> Vec<f32> {
            (0..n).map(|_| (random.bits() % 5) as f32 - 2.0).collect()
        };
        let (bank, asked) = (numbers(len * dim), numbers(queries * dim));
        for level in support::levels() {
            let found = search(level, &bank, &asked, dim, count);
            prop_assert_eq!(found.len(), queries);
            for (query, found) in asked.chunks(dim).zip(found) {
                let found: Vec<(f64, u32)> =
                    found.into_iter().map(|(s, row)| (f64::from(s), row)).collect();
                prop_assert_eq!(found, plain(&bank, query, count));
            }
        }
    }
}

#[test]
fn the_same_numbers_whatever_the_threads() {
    let mut random = Random(1);
    let mut numbers = |n: usize| support::narrow(&random.normals(n));
    let (bank, queries) = (numbers(1000 * 300), numbers(333 * 300));
    let level = Level::chosen().unwrap();
    let found = |threads| support::on(threads, || search(level, &bank, &queries, 300, 20));
    let one = found(1);
    assert!([2, 5].into_iter().all(|threads| found(threads) == one));
}
