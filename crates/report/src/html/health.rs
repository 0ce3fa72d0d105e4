//! Whether the run is sound: no collapse, better than its floors, an affinity that tells images apart.

use logo_ssl::record::scalars::{AFFINITY_DIFFERENT, AFFINITY_SAME};

use super::Section;
use super::summary::Facts;
use super::text::escape;
use crate::figure::signed;

/// The verdicts that there are numbers for.
pub(super) fn section(facts: &Facts<'_>) -> Section {
    let verdicts = [spread_verdict(facts), floor_verdict(facts), affinity_verdict(facts)];
    let items: String = verdicts.into_iter().flatten().map(|verdict| verdict.item()).collect();
    let body = match items.is_empty() {
        true => items,
        false => format!("<div class=\"card\"><ul class=\"verdicts\">\n{items}</ul></div>\n"),
    };
    Section::new("health", "Health", body)
}

struct Verdict {
    healthy: bool,
    word: &'static str,
    reason: String,
}

impl Verdict {
    fn item(&self) -> String {
        let class = if self.healthy { "good" } else { "warning" };
        let mark = if self.healthy { "\u{2713}" } else { "\u{26a0}\u{fe0e}" };
        let reason = escape(&self.reason);
        format!("<li><span class=\"{class}\">{mark} {}</span>{reason}</li>\n", self.word)
    }
}

fn spread_verdict(facts: &Facts<'_>) -> Option<Verdict> {
    let share = facts.relative_spread()?;
    let reach = format!("The embeddings spread to {share:.2} of the even 1/\u{221a}d");
    Some(match facts.collapsed() {
        false => Verdict {
            healthy: true,
            word: "No collapse.",
            reason: format!("{reach}; below 0.10 would be a collapse."),
        },
        true => Verdict {
            healthy: false,
            word: "Collapsed.",
            reason: format!(
                "{reach}, under 0.10: all images get nearly the same embedding. Lower \
                 optimizer.lr, or check that the predictor and the stop-gradient are in place."
            ),
        },
    })
}

fn floor_verdict(facts: &Facts<'_>) -> Option<Verdict> {
    let gain = facts.gain(facts.untrained)?;
    Some(match gain > 0.0 {
        true => Verdict {
            healthy: true,
            word: "Training helped.",
            reason: format!("kNN is {gain:.1} points above the same network before training."),
        },
        false => Verdict {
            healthy: false,
            word: "Training has not helped.",
            reason: format!(
                "kNN is {:.1} points below the same network before training. Train longer, or \
                 lower optimizer.lr.",
                gain.abs()
            ),
        },
    })
}

fn affinity_verdict(facts: &Facts<'_>) -> Option<Verdict> {
    let number = |name| facts.last?.get(name).filter(|value| value.is_finite());
    let (same, different) = (number(AFFINITY_SAME)?, number(AFFINITY_DIFFERENT)?);
    let values = format!("{} against {}", signed(same, 3), signed(different, 3));
    Some(match same > different {
        true => Verdict {
            healthy: true,
            word: "The affinity tells images apart.",
            reason: format!("f_d rates local views of one image above those of two: {values}."),
        },
        false => Verdict {
            healthy: false,
            word: "The affinity does not tell images apart.",
            reason: format!(
                "f_d rates local views of one image no higher than those of two: {values}. L_ll \
                 says little until it does; raise affinity.lr or train longer."
            ),
        },
    })
}
