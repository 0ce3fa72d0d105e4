//! kNN with few labelled images of each class.

use cpu_kernels::Bank;
use measures::few_shot::{self, DRAWS, Spread};

use super::features::FeatureSet;
use super::{Effort, Evaluation, Progress, Subject};
use crate::record::{NamedScores, Outcome, Score};
use crate::{Result, instructions};

/// Images of each class that are drawn.
const SHOTS: [usize; 3] = [1, 5, 10];

/// The class of the nearest of few labelled images, drawn from the bank: how soon labels are of use. The
/// mean over twenty draws, with its interval by the bootstrap over them.
pub struct FewShot;

impl Evaluation for FewShot {
    fn name(&self) -> &'static str {
        "few-shot"
    }

    fn title(&self) -> &'static str {
        "Few-shot kNN"
    }

    fn effort(&self) -> Effort {
        Effort::Features
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let seed = subject.config().seed;
        let Some([bank, test]) = subject.features(progress)? else { return Ok(None) };
        let smallest = bank.labels()?.images().iter().map(Vec::len).filter(|&n| n > 0).min();
        let mut scores = NamedScores::default();
        // A class with fewer images than are to be drawn leaves nothing to draw.
        for shots in SHOTS.into_iter().filter(|shots| smallest.is_some_and(|least| *shots <= least))
        {
            let draws = few_shot::draws(bank.labels()?, shots, DRAWS, seed)?;
            let shares: Vec<f64> =
                draws.iter().map(|drawn| nearest_class(bank, drawn, test)).collect();
            let Spread { mean, interval, .. } = Spread::of(&shares, seed)?;
            scores.set(format!("{shots} a class"), Score::within(mean, interval));
        }
        Ok(Some(Outcome::of_scores(scores)))
    }
}

/// The share of `test` whose nearest among the `drawn` images of `bank` is of their class.
fn nearest_class(bank: &FeatureSet, drawn: &[usize], test: &FeatureSet) -> f64 {
    let rows: Vec<f32> = drawn.iter().flat_map(|&image| bank.row(image)).copied().collect();
    let packed = Bank::new(instructions::level(), &rows, bank.dim);
    let hits = packed.nearest(&test.rows, 1, |query, neighbours| {
        let class = neighbours.first().map(|&(_, row)| bank.labels[drawn[row as usize]]);
        class == Some(test.labels[query])
    });
    hits.iter().filter(|hit| **hit).count() as f64 / test.len().max(1) as f64
}
