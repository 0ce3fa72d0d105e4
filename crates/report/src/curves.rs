//! Which curves a run has: every number of its logs over its steps or epochs, grouped by what it is about.

use std::collections::BTreeMap;

use logo_ssl::record::scalars::{
    AFFINITY_DIFFERENT, AFFINITY_SAME, COS_GG, COS_LG, COS_LL, GLOBAL_GLOBAL, GRAD_NORM,
    LOCAL_GLOBAL, LOCAL_LOCAL, LOSS, LR, OMEGA, Z_STD,
};
use logo_ssl::record::{Knn, Record, Source};

use super::chart::{Chart, Curve};
use super::figure::Point;
use super::plots::{STEPS, at_middle, collapse_below};
use super::scores::{self, Score};
use super::timing::Timing;

/// Charts of one subject.
pub(crate) struct Group {
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

/// Charts with one caption.
pub(crate) struct Block {
    /// At least one.
    pub(crate) charts: Vec<Chart>,
    pub(crate) caption: Caption,
}

/// What is said below charts.
pub(crate) enum Caption {
    /// What the plot of this name says, which also stands for the charts where no script runs.
    Plot(&'static str),
    /// This.
    Text(&'static str),
}

/// The groups that there is something to show in, most telling first.
pub(crate) fn groups(records: &[Record], embedding_dim: usize) -> Vec<Group> {
    let numbers = Numbers::of(records);
    let mut groups = vec![group("Accuracy", [block(Caption::Plot("knn"), [knn(records)])])];
    groups.extend(scores::evaluations(records).into_iter().map(|name| evaluation(records, name)));
    groups.extend([
        loss(&numbers),
        embeddings(&numbers, embedding_dim),
        affinity(&numbers),
        optimisation(&numbers),
        others(&numbers),
    ]);
    groups.retain(|group| !group.blocks.is_empty());
    groups
}

/// How fast training went, and what it waited for.
pub(crate) fn throughput(timings: &[Timing]) -> Option<Block> {
    let curve = |name: &str, value: fn(&Timing) -> Option<f64>| {
        let point = |timing: &Timing| Some((timing.step as f64, value(timing)?));
        Curve::of(name, &timings.iter().filter_map(point).collect::<Vec<_>>())
    };
    let speed = curve("images", |timing| Some(timing.images_per_second));
    let parts = [
        curve("whole update", |timing| Some(timing.step_ms)),
        curve("waiting for views", |timing| Some(timing.views_wait_ms)),
        curve("logs and checkpoints", |timing| Some(timing.bookkeeping_ms)),
        curve("making views, all threads", |timing| timing.views_cpu_ms),
    ];
    let charts = [
        Chart::of("Images per second", STEPS, "images per second", [speed]),
        Chart::of("Time of an update", STEPS, "time (ms)", parts),
    ];
    block(
        Caption::Text(
            "What a clock said, each point since the one before. Views are made beside training, so \
             the time of making them is no part of the update's.",
        ),
        charts,
    )
}

fn group(title: impl Into<String>, blocks: impl IntoIterator<Item = Option<Block>>) -> Group {
    Group { title: title.into(), blocks: blocks.into_iter().flatten().collect() }
}

fn block(caption: Caption, charts: impl IntoIterator<Item = Option<Chart>>) -> Option<Block> {
    let charts: Vec<Chart> = charts.into_iter().flatten().collect();
    (!charts.is_empty()).then_some(Block { charts, caption })
}

/// kNN accuracy over epochs, with what the floors reach at the least k.
fn knn(records: &[Record]) -> Option<Chart> {
    let of = |source| {
        records.iter().filter_map(move |record| match record {
            Record::Knn(knn) if knn.source == source => Some(knn),
            _ => None,
        })
    };
    let last = of(Source::Trained).map(|knn| knn.epoch).max()?;
    let mut neighbours: Vec<usize> =
        of(Source::Trained).flat_map(|knn| knn.results.iter().map(|result| result.k)).collect();
    neighbours.sort_unstable();
    neighbours.dedup();
    let score = |knn: &Knn, k| Some(scores::of_knn(knn.at(k)?, knn.test_images)[0].percent());
    let curve = |&k: &usize| {
        let points: Vec<(f64, Score)> = of(Source::Trained)
            .filter_map(|knn| Some((knn.epoch as f64, score(knn, k)?)))
            .collect();
        Curve::of_scores(format!("k = {k}"), &points)
    };
    let floor = |(source, name)| {
        let k = *neighbours.first()?;
        let floor = score(of(source).next()?, k)?;
        Curve::level(format!("{name}, k = {k}"), [0.0, last as f64], floor.value)
    };
    let floors = [(Source::Untrained, "untrained"), (Source::Pixels, "raw pixels")];
    let curves = neighbours.iter().map(curve).chain(floors.into_iter().map(floor));
    Chart::of("kNN accuracy on the test set", "epochs", "top-1 accuracy (%)", curves)
}

/// What another evaluation found over epochs, one chart a number; none before the second time.
fn evaluation(records: &[Record], name: &str) -> Group {
    let mut found = BTreeMap::<&str, Vec<(f64, Score)>>::new();
    for scores in scores::of(records, name, Source::Trained) {
        for (score_name, score) in scores::named(scores) {
            found.entry(score_name).or_default().push((scores.epoch as f64, score));
        }
    }
    found.retain(|_, scores| scores.len() > 1);
    let charts = found.into_iter().map(|(score_name, scores)| {
        let title = format!("{}: {score_name}", scores::title_of(name));
        Chart::of(title, "epochs", score_name, [Curve::of_scores("this run", &scores)])
    });
    let caption = Caption::Text(
        "After each evaluation during training, in 95 % intervals where it has them.",
    );
    group(scores::title_of(name), [block(caption, charts)])
}

fn loss(numbers: &Numbers<'_>) -> Group {
    // Without LoGo the loss is L_gg, and a second curve would hide the first.
    let has_parts = numbers.has(LOCAL_GLOBAL);
    let parts = [
        numbers.curve("loss", LOSS),
        numbers.curve("L_gg", GLOBAL_GLOBAL).filter(|_| has_parts),
        numbers.curve("L_lg", LOCAL_GLOBAL),
    ];
    let affinity = numbers.curve("L_ll", LOCAL_LOCAL);
    let charts = [
        Chart::of("Loss and its parts", STEPS, "loss", parts),
        Chart::of("L_ll, before its \u{3bb}", STEPS, "L_ll", [affinity]),
    ];
    group("Loss", [block(Caption::Plot("loss"), charts)])
}

fn embeddings(numbers: &Numbers<'_>, embedding_dim: usize) -> Group {
    let curve = numbers.curve("z", Z_STD);
    let level = |name: &str, value| Curve::level(name, numbers.span()?, value);
    let spread = curve.map(|curve| {
        let even = 1.0 / (embedding_dim as f64).sqrt();
        let levels = [level("1/\u{221a}d", even), level("collapse", collapse_below(embedding_dim))];
        [Some(curve)].into_iter().chain(levels)
    });
    let spread = spread.and_then(|curves| {
        Chart::of(
            "Spread of the embeddings",
            STEPS,
            "standard deviation of z at unit length",
            curves,
        )
    });
    let cosines = [
        numbers.curve("global\u{2013}global", COS_GG),
        numbers.curve("local\u{2013}global", COS_LG),
        numbers.curve("local\u{2013}local", COS_LL),
    ];
    let cosines = Chart::of("Agreement between views of one image", STEPS, "mean cosine", cosines);
    let blocks =
        [block(Caption::Plot("std"), [spread]), block(Caption::Plot("cosines"), [cosines])];
    group("Embeddings", blocks)
}

fn affinity(numbers: &Numbers<'_>) -> Group {
    let sides = [
        numbers.curve("views of one image", AFFINITY_SAME),
        numbers.curve("views of two images", AFFINITY_DIFFERENT),
    ];
    let charts = [
        Chart::of("Learned affinity of two local views", STEPS, "mean of f_d", sides),
        Chart::of(
            "\u{3a9}, what f_d maximises",
            STEPS,
            "\u{3a9}",
            [numbers.curve("\u{3a9}", OMEGA)],
        ),
    ];
    let caption = Caption::Text(
        "f_d learns to rate two local views of one image above those of two images; the further apart the two \
         curves, the better it tells images apart.",
    );
    group("Affinity", [block(caption, charts)])
}

fn optimisation(numbers: &Numbers<'_>) -> Group {
    let named = |is: fn(&str) -> bool| {
        numbers.names().filter(move |name| is(name)).map(|name| numbers.curve(name, name))
    };
    let rates = Chart::of("Learning rates", STEPS, "learning rate", named(is_rate));
    let norms = Chart::of("Norms of gradients", STEPS, "norm", named(is_gradient));
    let charts = [rates, norms.map(Chart::logarithmic)];
    let caption = Caption::Text(
        "lr is the encoder's learning rate, grad_norm the norm of the encoder's gradient before any clipping. A \
         norm that rises without end announces a divergence.",
    );
    group("Optimisation", [block(caption, charts)])
}

/// What a framework reports beside the standard numbers, one chart each, for their units may differ.
fn others(numbers: &Numbers<'_>) -> Group {
    let is_other = |name: &&str| !SHOWN.contains(name) && !is_rate(name) && !is_gradient(name);
    let chart = |name: &str| Chart::of(name, STEPS, name, [numbers.curve(name, name)]);
    let charts = numbers.names().filter(is_other).map(chart);
    let caption = Caption::Text("What this run's framework reports beside the numbers above.");
    group("Other numbers", [block(caption, charts)])
}

/// The numbers that have a chart by their name.
const SHOWN: [&str; 11] = [
    LOSS,
    GLOBAL_GLOBAL,
    LOCAL_GLOBAL,
    LOCAL_LOCAL,
    Z_STD,
    COS_GG,
    COS_LG,
    COS_LL,
    AFFINITY_SAME,
    AFFINITY_DIFFERENT,
    OMEGA,
];

/// Whether a number is the learning rate of a part.
fn is_rate(name: &str) -> bool {
    name.split('_').any(|word| word == LR)
}

/// Whether a number is the norm of a gradient.
fn is_gradient(name: &str) -> bool {
    name == GRAD_NORM || name.split('_').any(|word| word == "grad")
}

/// The named numbers of a run's steps; of its epochs, in a log that has no steps.
struct Numbers<'a> {
    /// In the order in which they came.
    names: Vec<&'a str>,
    points: BTreeMap<&'a str, Vec<Point>>,
}

impl<'a> Numbers<'a> {
    fn of(records: &'a [Record]) -> Self {
        let has_steps = records.iter().any(|record| matches!(record, Record::Step { .. }));
        let mut numbers = Self { names: Vec::new(), points: BTreeMap::new() };
        for record in records {
            let (step, scalars) = match record {
                Record::Step { step, scalars, .. } if has_steps => (*step, scalars),
                Record::Epoch { step, scalars, .. } if !has_steps => (*step, scalars),
                _ => continue,
            };
            for (name, value) in scalars.iter() {
                numbers.add(name, (step as f64, value));
            }
        }
        if !has_steps {
            numbers.points.values_mut().for_each(|points| *points = at_middle(points));
        }
        numbers
    }

    fn add(&mut self, name: &'a str, point: Point) {
        let points = self.points.entry(name).or_insert_with(|| {
            self.names.push(name);
            Vec::new()
        });
        points.push(point);
    }

    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.names.iter().copied()
    }

    /// Whether the number called `name` is ever one.
    fn has(&self, name: &str) -> bool {
        self.points.get(name).is_some_and(|points| points.iter().any(|point| point.1.is_finite()))
    }

    /// The curve of the number called `name`; none where it is never one.
    fn curve(&self, label: &str, name: &str) -> Option<Curve> {
        self.has(name).then(|| Curve::of(label, &self.points[name])).flatten()
    }

    /// The first and the last step.
    fn span(&self) -> Option<[f64; 2]> {
        let points = self.points.values().next()?;
        Some([points.first()?.0, points.last()?.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing;
    use logo_ssl::record::scalars::STANDARD;
    use logo_ssl::record::{Scores, synthetic};

    fn titles(groups: &[Group]) -> Vec<(&str, Vec<&str>)> {
        groups
            .iter()
            .map(|group| {
                let charts = group.blocks.iter().flat_map(|block| &block.charts);
                (group.title.as_str(), charts.map(|chart| chart.title.as_str()).collect())
            })
            .collect()
    }

    #[test]
    fn a_whole_run_has_all_its_curves() {
        let groups = groups(&synthetic::records(4, true), 128);
        let expected = [
            ("Accuracy", vec!["kNN accuracy on the test set"]),
            ("Loss", vec!["Loss and its parts", "L_ll, before its \u{3bb}"]),
            (
                "Embeddings",
                vec!["Spread of the embeddings", "Agreement between views of one image"],
            ),
            (
                "Affinity",
                vec!["Learned affinity of two local views", "\u{3a9}, what f_d maximises"],
            ),
            ("Optimisation", vec!["Learning rates", "Norms of gradients"]),
        ];
        assert_eq!(titles(&groups), expected);
        assert_eq!(groups[0].blocks[0].charts[0].series.len(), 5, "three k and two floors");
        let block = throughput(&timing::all(&synthetic::timings(3))).unwrap();
        assert_eq!(block.charts.iter().map(|chart| chart.series.len()).sum::<usize>(), 5);
        assert!(throughput(&[]).is_none());
    }

    #[test]
    fn every_number_has_a_curve_whatever_it_is_called() {
        for name in STANDARD {
            let shown = SHOWN.contains(&name) as u8;
            assert_eq!(shown + u8::from(is_rate(name)) + u8::from(is_gradient(name)), 1, "{name}");
        }
        let mut records = synthetic::records(1, false);
        for record in &mut records {
            if let Record::Step { scalars, .. } = record {
                for name in ["affinity_lr", "grad_norm_predictor", "tau", "never"] {
                    scalars.set(name, if name == "never" { f64::NAN } else { 0.5 });
                }
            }
        }
        let groups = groups(&records, 128);
        let optimisation = &groups[groups.len() - 2].blocks[0].charts;
        assert_eq!(optimisation.iter().map(|chart| chart.series.len()).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(titles(&groups).last().unwrap(), &("Other numbers", vec!["tau"]));
    }

    #[test]
    fn a_log_without_steps_shows_its_epochs() {
        let mut records = synthetic::records(4, false);
        records.retain(|record| !matches!(record, Record::Step { .. }));
        let numbers = Numbers::of(&records);
        let steps: Vec<f64> = numbers.points[LOSS].iter().map(|point| point.0).collect();
        assert_eq!(steps, [20.0, 60.0, 100.0, 140.0]);
    }

    #[test]
    fn another_evaluation_is_drawn_from_its_second_time_on() {
        let mut records = synthetic::records(1, false);
        for epoch in 1..=2 {
            assert_eq!(titles(&groups(&records, 128))[1].0, "Loss");
            records.push(Record::Scores(Scores {
                evaluation: "probe".to_owned(),
                epoch,
                source: Source::Trained,
                train_images: 4_000,
                test_images: 1_000,
                scores: [("top-1", 0.5)].into_iter().collect(),
                confusion: None,
            }));
        }
        assert_eq!(titles(&groups(&records, 128))[1], ("probe", vec!["probe: top-1"]));
    }
}
