//! What a person reads of a run's records, a line each.

use logo_ssl::config::Change;
use logo_ssl::eval::EvaluationName;
use logo_ssl::record::scalars::{GLOBAL_GLOBAL, LOCAL_GLOBAL, LOCAL_LOCAL, LOSS, Z_STD};
use logo_ssl::record::{Knn, Record, Scalars, Scores, Source};

/// The line of a record, of a run whose embeddings are of `dim` numbers; none of steps and of what a clock said,
/// which come too often.
pub(crate) fn of(record: &Record, dim: usize) -> Option<String> {
    match record {
        Record::Epoch { epoch, scalars, .. } => Some(of_epoch(*epoch, scalars, dim)),
        Record::Knn(knn) => Some(of_knn(knn)),
        Record::Scores(scores) => Some(of_scores(scores)),
        Record::Changed { step, changes } => {
            Some(format!("from step {step} on: {}", Change::list(changes)))
        }
        Record::Asked { step, found } => {
            of(found, dim).map(|line| format!("as asked, after step {step}: {line}"))
        }
        _ => None,
    }
}

/// How a run begins or goes on.
pub(crate) fn of_start(run_dir: &std::path::Path, done: u64, total: u64, an_epoch: u64) -> String {
    let verb = if done == 0 { "new run" } else { "going on" };
    format!("{verb} in {}: step {done} of {total}, {an_epoch} an epoch", run_dir.display())
}

/// The embeddings' std as a share of the healthy 1/√dim.
pub(crate) fn spread(scalars: &Scalars, dim: usize) -> f64 {
    scalars.get_or_nan(Z_STD) * (dim as f64).sqrt()
}

/// What was measured, as it stands behind an evaluation's name.
pub(crate) fn source(source: Source) -> &'static str {
    match source {
        Source::Pixels => "raw pixels",
        Source::Untrained => "untrained backbone",
        Source::Trained => "trained backbone",
    }
}

fn of_epoch(epoch: usize, scalars: &Scalars, dim: usize) -> String {
    let [loss, gg] = [LOSS, GLOBAL_GLOBAL].map(|name| scalars.get_or_nan(name));
    let mut line = format!("epoch {epoch}: loss {loss:.4}, L_gg {gg:.4}");
    if let [Some(lg), Some(ll)] = [LOCAL_GLOBAL, LOCAL_LOCAL].map(|name| scalars.get(name)) {
        line.push_str(&format!(", L_lg {lg:.4}, L_ll {ll:.4}"));
    }
    line.push_str(&format!(", std {:.3} of healthy", spread(scalars, dim)));
    line
}

/// One line: `kNN, trained backbone (epoch 8): 61.2 % at k = 1, …`.
pub(crate) fn of_knn(knn: &Knn) -> String {
    let of = measured(knn.source, knn.epoch);
    let results = knn.results.iter().map(|r| format!("{:.2} % at k = {}", 100.0 * r.top1, r.k));
    format!("kNN, {of}: {}", results.collect::<Vec<_>>().join(", "))
}

/// One line: `probe, trained backbone (epoch 8): top1 0.6120, …`.
pub(crate) fn of_scores(scores: &Scores) -> String {
    let Scores { evaluation, source, epoch, scores, .. } = scores;
    let title = title_of(evaluation);
    let numbers = scores.iter().map(|(name, score)| format!("{name} {score}"));
    format!("{title}, {}: {}", measured(*source, *epoch), numbers.collect::<Vec<_>>().join(", "))
}

/// What an evaluation is called for people; that of another version by its name.
pub(crate) fn title_of(evaluation: &str) -> &str {
    evaluation.parse::<EvaluationName>().map_or(evaluation, |name| name.evaluation().title())
}

fn measured(of: Source, epoch: usize) -> String {
    match of {
        Source::Trained => format!("{} (epoch {epoch})", source(of)),
        floor => source(floor).to_owned(),
    }
}
