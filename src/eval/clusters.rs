//! How far clusters, found without labels, are the classes.

use measures::Labels;
use measures::clusters::{Agreement, Options, agreement, k_means};

use super::{Effort, Evaluation, Progress, Subject, measured};
use crate::Result;
use crate::record::{NamedScores, Outcome, Score};

/// k-means of the test images' features in unit length, as many clusters as classes: the accuracy of the best
/// assignment of clusters to classes, normalised mutual information, and the adjusted Rand index.
pub struct Clusters;

impl Evaluation for Clusters {
    fn name(&self) -> &'static str {
        "clusters"
    }

    fn title(&self) -> &'static str {
        "Clusters, k-means"
    }

    fn effort(&self) -> Effort {
        Effort::Fit
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let options = Options::new(subject.labelled().bank.classes().len(), subject.config().seed);
        let Some([_, test]) = subject.features(progress)? else { return Ok(None) };
        let features = test.features()?;
        let found = measured(progress, |progress| k_means(features, &options, progress))?;
        let Some(found) = found else { return Ok(None) };
        let clusters = Labels::of_classes(&found.clusters, options.clusters)?;
        let classes = test.labels_of(options.clusters)?;
        let Agreement { accuracy, nmi, adjusted_rand, .. } = agreement(clusters, classes)?;
        let hits = (accuracy * test.len() as f64).round() as usize;
        let mut scores = NamedScores::default();
        scores.set("accuracy", Score::share(hits, test.len()));
        scores.set("NMI", nmi);
        scores.set("adjusted Rand", adjusted_rand);
        Ok(Some(Outcome::of_scores(scores)))
    }
}
