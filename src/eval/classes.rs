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

/// The accuracy over all classes, then each class's own.
fn scores(counted: &Confusion, names: &[String], k: usize) -> NamedScores {
    let mut scores = NamedScores::default();
    let images = |class: usize| counted.row(class).iter().sum::<u64>() as usize;
    let hits = |class: usize| counted.count(class, class) as usize;
    let all = |of: &dyn Fn(usize) -> usize| (0..counted.classes()).map(of).sum();
    scores.set(format!("all classes, k={k}"), Score::share(all(&hits), all(&images)));
    for (class, name) in names.iter().enumerate() {
        if images(class) > 0 {
            scores.set(name.clone(), Score::share(hits(class), images(class)));
        }
    }
    scores
}
