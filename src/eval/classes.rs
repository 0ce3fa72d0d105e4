//! Class by class: which classes are told apart, and which are taken for which.

use measures::Confusion;

use super::{Effort, Evaluation, Progress, Subject, knn};
use crate::Result;
use crate::record::{self, NamedScores, Outcome, Score};

/// Neighbours that vote, where the settings name so many.
const K: usize = 20;

/// kNN's accuracy in every class and its confusion matrix.
pub struct Classes;

impl Evaluation for Classes {
    fn name(&self) -> &'static str {
        "classes"
    }

    fn title(&self) -> &'static str {
        "kNN by class"
    }

    fn effort(&self) -> Effort {
        Effort::Features
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let config = subject.config();
        let names = subject.labelled().bank.classes().to_vec();
        let Some([bank, test]) = subject.features(progress)? else { return Ok(None) };
        let ks = &config.eval.k;
        let k = if ks.contains(&K) { K } else { ks.first().copied().unwrap_or(1) };
        let guesses = knn::guesses(bank, test, k, config.eval.temperature);
        let counted = Confusion::new(test.labels_of(names.len())?, &guesses)?;
        Ok(Some(Outcome {
            found: record::Found::Scores(scores(&counted, &names, k)),
            confusion: Some(record::Confusion::named(&counted, &names)),
            hits: None,
        }))
    }
}

/// The mean of the classes' accuracies, then each class's own.
fn scores(counted: &Confusion, names: &[String], k: usize) -> NamedScores {
    let mut scores = NamedScores::default();
    scores.set(format!("mean over classes, k={k}"), counted.balanced_accuracy());
    for (class, name) in names.iter().enumerate() {
        let images = counted.row(class).iter().sum::<u64>() as usize;
        if images > 0 {
            let hits = counted.count(class, class) as usize;
            scores.set(name.clone(), Score::share(hits, images));
        }
    }
    scores
}
