//! `report.html`: one run on one page, in one file that needs neither network nor script.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::figure::{self, signed};
use super::plots;
use logo_ssl::config::Change;
use logo_ssl::record::scalars::{AFFINITY_DIFFERENT, AFFINITY_SAME, LOSS, Z_STD};
use logo_ssl::record::{Knn, KnnResult, Record, Scalars, Scores, Source};
use logo_ssl::{Error, Result};
use logo_ssl_base::files::write_atomic;
use logo_ssl_base::words::{counted, grouped, plural};

const STYLE: &str = include_str!("report.css");

const LOAD_IN_PYTORCH: &str = "\
from safetensors.torch import load_file

# model: the same ResNet, its parameters named as torchvision names them
model.load_state_dict(load_file(\"weights.safetensors\"), strict=False)";

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct ReportInput<'a> {
    /// What the run is called.
    pub name: &'a str,
    /// The preset its config started from.
    pub preset: &'a str,
    /// The source of its randomness.
    pub seed: u64,
    /// Dimensions of the embedding z.
    pub embedding_dim: usize,
    /// The whole `config.toml`.
    pub config_toml: &'a str,
    /// `metrics.jsonl`
    pub records: &'a [Record],
    /// `timings.jsonl`; may be empty.
    pub timings: &'a [Record],
    /// The version of logo-ssl.
    pub version: &'a str,
    /// A PNG that shows images and their views.
    pub preview: Option<&'a [u8]>,
    /// The command lines that make the run again.
    pub commands: &'a [&'a str],
}

/// Writes the report to `path`.
///
/// # Errors
/// [`Error::Io`] when a plot cannot be drawn or the file cannot be written.
pub fn write(report: &ReportInput<'_>, path: &Path) -> Result<()> {
    let facts = Facts::of(report);
    let plots = plots_section(report).map_err(Error::io("draw the plots of", path))?;
    let sections = [
        header(report, &facts),
        accuracy_section(&facts),
        scores_section(report.records),
        health_section(&facts),
        preview_section(report.preview),
        plots,
        speed_section(report.timings),
        again_section(report),
    ];
    let page = page(report.name, &sections.concat());
    Ok(write_atomic(path, page.as_bytes())?)
}

fn page(name: &str, body: &str) -> String {
    let title = escape(name);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} \u{b7} logo-ssl</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// What the records say in the end.
struct Facts<'a> {
    epochs: usize,
    steps: u64,
    last: Option<&'a Scalars>,
    trained: Option<&'a Knn>,
    untrained: Option<&'a Knn>,
    pixels: Option<&'a Knn>,
    embedding_dim: usize,
}

impl<'a> Facts<'a> {
    fn of(report: &ReportInput<'a>) -> Self {
        let records = report.records;
        let epoch = records.iter().rev().find_map(|record| match record {
            Record::Epoch { epoch, scalars, .. } => Some((*epoch, scalars)),
            _ => None,
        });
        let step = records.iter().rev().find_map(|record| match record {
            Record::Step { step, scalars, .. } => Some((*step, scalars)),
            Record::Epoch { step, scalars, .. } => Some((*step, scalars)),
            _ => None,
        });
        Self {
            epochs: epoch.map_or(0, |(epoch, _)| epoch),
            steps: step.map_or(0, |(step, _)| step),
            // An epoch's means say more than a single step.
            last: epoch.map(|(_, scalars)| scalars).or(step.map(|(_, scalars)| scalars)),
            trained: last_evaluation(records, Source::Trained),
            untrained: last_evaluation(records, Source::Untrained),
            pixels: last_evaluation(records, Source::Pixels),
            embedding_dim: report.embedding_dim,
        }
    }

    /// Points of accuracy at the least k above that of `floor`.
    fn gain(&self, floor: Option<&Knn>) -> Option<f64> {
        let own = self.trained?.nearest()?;
        let floor = floor?.at(own.k)?.top1;
        Some(100.0 * (own.top1 - floor))
    }

    /// The spread of z as a share of the healthy 1/√d.
    fn relative_spread(&self) -> Option<f64> {
        let z_std = self.last?.get(Z_STD)?;
        z_std.is_finite().then(|| z_std * (self.embedding_dim as f64).sqrt())
    }

    fn collapsed(&self) -> bool {
        let z_std = self.last.and_then(|last| last.get(Z_STD));
        z_std.is_some_and(|z_std| z_std < plots::collapse_below(self.embedding_dim))
    }

    fn summary(&self) -> String {
        let Some((evaluation, own)) = self.trained.and_then(|e| Some((e, e.nearest()?))) else {
            return self.summary_without_knn();
        };
        let images = grouped(evaluation.test_images as u64);
        let mut text = format!("kNN (k = {}) {} on {images} test images", own.k, percent(own.top1));
        let gains = [(self.pixels, "raw pixels"), (self.untrained, "the untrained backbone")];
        let gains = gains.into_iter().filter_map(|(floor, name)| {
            let points = self.gain(floor)?;
            let side = if points < 0.0 { "below" } else { "above" };
            Some((format!("{:.1}", points.abs()), side, name))
        });
        let gains: Vec<_> = gains.collect();
        for (i, (points, side, name)) in gains.iter().enumerate() {
            let lead = if i == 0 { ": " } else { ", " };
            let unit = if i == 0 { "points " } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(text, "{lead}{points} {unit}{side} {name}");
        }
        text + "."
    }

    fn loss(&self) -> Option<f64> {
        self.last?.get(LOSS)
    }

    fn summary_without_knn(&self) -> String {
        match self.loss() {
            Some(loss) => format!(
                "{} of training, loss {}; not evaluated yet.",
                counted(self.epochs, "epoch"),
                signed(loss, 3)
            ),
            None => "Nothing has been logged yet.".to_owned(),
        }
    }
}

fn last_evaluation(records: &[Record], wanted: Source) -> Option<&Knn> {
    records.iter().rev().find_map(|record| match record {
        Record::Knn(knn) if knn.source == wanted => Some(knn),
        _ => None,
    })
}

fn header(report: &ReportInput<'_>, facts: &Facts<'_>) -> String {
    let tiles: String =
        tiles(report, facts).iter().map(|(value, label)| tile(value, label)).collect();
    format!(
        "<header>\n<p class=\"eyebrow\">logo-ssl \u{b7} preset {} \u{b7} seed {}</p>\n<h1>{}</h1>\n\
         <p class=\"summary\">{}</p>\n</header>\n<div class=\"tiles\">\n{tiles}</div>\n",
        escape(report.preset),
        report.seed,
        escape(report.name),
        escape(&facts.summary()),
    )
}

/// The key figures there are values for.
fn tiles(report: &ReportInput<'_>, facts: &Facts<'_>) -> Vec<(String, String)> {
    let nearest = facts.trained.and_then(Knn::nearest);
    let gain = |floor| facts.gain(floor).map(points);
    let tiles = [
        nearest.map(|own| (percent(own.top1), format!("kNN top-1, k = {}", own.k))),
        gain(facts.pixels).map(|gain| (gain, "points over raw pixels".to_owned())),
        gain(facts.untrained).map(|gain| (gain, "points over untrained".to_owned())),
        facts.loss().map(|loss| (signed(loss, 3), "loss, last epoch".to_owned())),
        median(report.timings, |timing| timing.images_per_second)
            .map(|speed| (grouped(speed.round() as u64), "images / second".to_owned())),
        facts.last.map(|_| {
            let steps = counted(facts.steps as usize, "step");
            (grouped(facts.epochs as u64), format!("{}, {steps}", plural(facts.epochs, "epoch")))
        }),
    ];
    tiles.into_iter().flatten().collect()
}

fn tile(value: &str, label: &str) -> String {
    format!("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", escape(value), escape(label))
}

fn accuracy_section(facts: &Facts<'_>) -> String {
    let Some(trained) = facts.trained else {
        return String::new();
    };
    let heads: String = trained.results.iter().map(accuracy_heads).collect();
    let rows = [
        ("own", format!("this run, {}", counted(trained.epoch, "epoch")), Some(trained)),
        ("floor", "untrained backbone".to_owned(), facts.untrained),
        ("floor", "raw pixels".to_owned(), facts.pixels),
    ];
    let rows = rows.into_iter().filter_map(|(class, name, evaluation)| {
        let cells = accuracy_cells(evaluation?, &trained.results);
        Some(format!("<tr class=\"{class}\"><td>{name}</td>{cells}</tr>\n"))
    });
    format!(
        "<h2>kNN accuracy</h2>\n<div class=\"card\"><table>\n\
         <tr><th>features</th>{heads}</tr>\n{}</table></div>\n\
         <p class=\"note\">{} test images against a bank of {}. No label was used in training. The \
         two floors are the same evaluation without any learning.</p>\n",
        rows.collect::<String>(),
        grouped(trained.test_images as u64),
        grouped(trained.train_images as u64),
    )
}

/// One table for each evaluation other than kNN, with the last scores of every source.
fn scores_section(records: &[Record]) -> String {
    let mut latest: Vec<&Scores> = Vec::new();
    for record in records {
        if let Record::Scores(scores) = record {
            let of = |scores: &Scores| (scores.evaluation.clone(), scores.source);
            latest.retain(|other| of(other) != of(scores));
            latest.push(scores);
        }
    }
    let mut names: Vec<&str> = latest.iter().map(|scores| scores.evaluation.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| scores_table(name, &latest)).collect()
}

fn scores_table(name: &str, latest: &[&Scores]) -> String {
    let sources = [
        (Source::Trained, "own", "this run"),
        (Source::Untrained, "floor", "untrained backbone"),
        (Source::Pixels, "floor", "raw pixels"),
    ];
    let of_source =
        |source| latest.iter().find(|scores| scores.evaluation == name && scores.source == source);
    let columns: Vec<&str> = sources
        .iter()
        .find_map(|&(source, ..)| of_source(source))
        .map_or_else(Vec::new, |scores| scores.scores.iter().map(|(name, _)| name).collect());
    let heads: String =
        columns.iter().map(|column| format!("<th>{}</th>", escape(column))).collect();
    let rows = sources.into_iter().filter_map(|(source, class, label)| {
        let scores = &of_source(source)?.scores;
        let cell = |column: &&str| match scores.get(column) {
            Some(score) => format!("<td>{}</td>", signed(score, 3)),
            None => "<td>\u{2013}</td>".to_owned(),
        };
        let cells: String = columns.iter().map(cell).collect();
        Some(format!("<tr class=\"{class}\"><td>{label}</td>{cells}</tr>\n"))
    });
    format!(
        "<h2>{}</h2>\n<div class=\"card\"><table>\n<tr><th>features</th>{heads}</tr>\n{}</table></div>\n",
        escape(name),
        rows.collect::<String>(),
    )
}

fn accuracy_heads(result: &KnnResult) -> String {
    let vote = if result.weighted { ", weighted" } else { "" };
    let top5 = if result.k > 1 { "<th>top-5</th>" } else { "" };
    format!("<th>k = {}{vote}</th>{top5}", result.k)
}

/// The cells of `evaluation` under the heads of `columns`. One neighbour names one class, so there
/// is no top-5 at k = 1.
fn accuracy_cells(evaluation: &Knn, columns: &[KnnResult]) -> String {
    let cell = |value: Option<f64>| match value {
        Some(value) => format!("<td>{}</td>", percent(value)),
        None => "<td>\u{2013}</td>".to_owned(),
    };
    let cells = columns.iter().map(|column| {
        let result = evaluation.at(column.k);
        let top5 = if column.k > 1 { cell(result.map(|r| r.top5)) } else { String::new() };
        cell(result.map(|r| r.top1)) + &top5
    });
    cells.collect()
}

fn health_section(facts: &Facts<'_>) -> String {
    let verdicts = [spread_verdict(facts), floor_verdict(facts), affinity_verdict(facts)];
    let items: String = verdicts.into_iter().flatten().map(|verdict| verdict.item()).collect();
    if items.is_empty() {
        return String::new();
    }
    format!("<h2>Health</h2>\n<div class=\"card\"><ul class=\"verdicts\">\n{items}</ul></div>\n")
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

fn preview_section(preview: Option<&[u8]>) -> String {
    preview.map_or_else(String::new, |png| {
        format!(
            "<h2>What the network sees</h2>\n<figure><div class=\"preview\">\
             <img alt=\"Training images and their views\" src=\"data:image/png;base64,{}\"></div>\
             <figcaption>Training images, each with its global and local views as they enter the \
             network. A person should still recognise the image in its global views.\
             </figcaption></figure>\n",
            STANDARD.encode(png)
        )
    })
}

fn plots_section(report: &ReportInput<'_>) -> std::io::Result<String> {
    let mut html = String::new();
    for plot in plots::all(report.records, report.embedding_dim) {
        let lead = if html.is_empty() { "<h2>Plots</h2>\n" } else { "" };
        html += &format!(
            "{lead}<figure><div class=\"plot\" role=\"img\" aria-label=\"{}\">\n{}</div>\
             <figcaption>{}</figcaption></figure>\n",
            escape(plot.figure.title),
            figure::svg(&plot.figure)?,
            escape(plot.caption),
        );
    }
    Ok(html)
}

/// The fields of a [`Record::Timing`] that a report sums up.
#[derive(Clone, Copy)]
struct Timing {
    images_per_second: f64,
    step_ms: f64,
    views_wait_ms: f64,
    bookkeeping_ms: f64,
}

/// The median over all timings: the first ones, slow for being first, do not weigh in.
fn median(timings: &[Record], value: impl Fn(Timing) -> f64) -> Option<f64> {
    let timing = |record: &Record| match *record {
        Record::Timing { images_per_second, step_ms, views_wait_ms, bookkeeping_ms, .. } => {
            Some(Timing { images_per_second, step_ms, views_wait_ms, bookkeeping_ms })
        }
        _ => None,
    };
    let mut values: Vec<f64> = timings.iter().filter_map(timing).map(value).collect();
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn speed_section(timings: &[Record]) -> String {
    let of_step = |value: fn(Timing) -> f64| {
        let (part, whole) = (median(timings, value)?, median(timings, |t| t.step_ms)?);
        Some(format!("{part:.1} ms, {:.1} %", 100.0 * part / whole))
    };
    let evaluations = timings.iter().filter_map(|record| match record {
        Record::Evaluation { seconds, .. } => Some(*seconds),
        _ => None,
    });
    let evaluations: f64 = evaluations.sum();
    let rows = [
        (
            "images / second",
            median(timings, |t| t.images_per_second).map(|v| grouped(v.round() as u64)),
        ),
        ("optimiser step", median(timings, |t| t.step_ms).map(|v| format!("{v:.1} ms"))),
        ("of it, waiting for views", of_step(|t| t.views_wait_ms)),
        ("of it, logs and checkpoints", of_step(|t| t.bookkeeping_ms)),
        ("all evaluations", (evaluations > 0.0).then(|| format!("{evaluations:.1} s"))),
    ];
    let rows = rows
        .into_iter()
        .filter_map(|(name, value)| Some(format!("<tr><td>{name}</td><td>{}</td></tr>\n", value?)));
    let rows: String = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Throughput</h2>\n<div class=\"card\"><table>\n{rows}</table></div>\n\
         <p class=\"note\">Medians over the run. The wait for views is near 0 when preparing \
         images keeps up with training.</p>\n"
    )
}

fn again_section(report: &ReportInput<'_>) -> String {
    format!(
        "<h2>Do it again</h2>\n<p>From this run's folder, with logo-ssl {version}:</p>\n\
         <pre>{commands}</pre>\n{changes}\
         <p>The trained backbone in PyTorch:</p>\n<pre>{}</pre>\n\
         <details><summary>The whole config.toml</summary>\n<pre>{}</pre></details>\n\
         <footer>Written by logo-ssl {version}. Metrics and plots follow from the config and the \
         seed; timings are the machine's.</footer>\n",
        escape(LOAD_IN_PYTORCH),
        escape(report.config_toml.trim_end()),
        version = escape(report.version),
        commands = escape(&report.commands.join("\n")),
        changes = changes(report.records),
    )
}

/// What a run went on with that it had not begun with: its config alone does not make it again.
fn changes(records: &[Record]) -> String {
    let line = |record: &Record| match record {
        Record::Changed { step, changes } => {
            Some(format!("<li>from step {step} on, {}</li>\n", escape(&Change::list(changes))))
        }
        _ => None,
    };
    let lines: String = records.iter().filter_map(line).collect();
    match lines.is_empty() {
        true => lines,
        false => format!(
            "<p>That trains with the last settings throughout; this run went on with others on its way:</p>\n\
             <ul>\n{lines}</ul>\n"
        ),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn points(gain: f64) -> String {
    let plus = if gain > 0.0 { "+" } else { "" };
    format!("{plus}{}", signed(gain, 1))
}

/// Text as HTML, safe in elements and in quoted attributes.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use logo_ssl::record::synthetic;

    fn input<'a>(records: &'a [Record], timings: &'a [Record]) -> ReportInput<'a> {
        ReportInput {
            name: "first <run>",
            preset: "quickstart",
            seed: 0,
            embedding_dim: 128,
            config_toml: "preset = \"quickstart\"  # a < b & c\n",
            records,
            timings,
            version: "0.1.0",
            preview: None,
            commands: &["logo-ssl pretrain --config config.toml"],
        }
    }

    fn written(report: &ReportInput<'_>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.html");
        write(report, &path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    /// Every element that is opened is closed, in order.
    fn assert_well_formed(html: &str) {
        let void = ["meta", "img", "!doctype", "circle", "rect", "line", "polyline", "polygon"];
        let mut open = Vec::new();
        for tag in html.split('<').skip(1) {
            let end = tag.find(|c: char| c.is_whitespace() || c == '>').unwrap();
            let name = &tag[..end];
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if void.contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }

    #[test]
    fn a_whole_run_is_told_in_figures() {
        let (records, timings) = (synthetic::records(8, true), synthetic::timings(8));
        let html = written(&input(&records, &timings));
        assert_well_formed(&html);
        assert_eq!(html.matches("<svg ").count(), 4);
        for text in [
            "kNN (k = 1) 61.7 % on 1,000 test images: 38.5 points above raw pixels, 29.6 above the \
             untrained backbone.",
            "No collapse.",
            "Training helped.",
            "The affinity tells images apart.",
            "images / second",
            "strict=False",
        ] {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn nothing_is_fetched_and_nothing_unescaped() {
        let (records, timings) = (synthetic::records(1, true), synthetic::timings(1));
        let html = written(&input(&records, &timings));
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains("http") && !html.contains("<script") && !html.contains("url("));
        assert!(html.contains("first &lt;run&gt;") && !html.contains("<run>"));
        assert!(html.contains("# a &lt; b &amp; c"));
    }

    #[test]
    fn a_plain_run_has_no_affinity_and_an_empty_one_no_figures() {
        let records = synthetic::records(1, false);
        let html = written(&input(&records, &[]));
        assert_well_formed(&html);
        assert!(!html.contains("affinity tells") && !html.contains("Throughput"));
        let html = written(&input(&[], &[]));
        assert_well_formed(&html);
        assert!(html.contains("Nothing has been logged yet.") && !html.contains("<svg"));
    }

    #[test]
    fn a_run_without_evaluation_says_so() {
        let mut records = synthetic::records(3, true);
        records.retain(|record| !matches!(record, Record::Knn(_)));
        let html = written(&input(&records, &[]));
        assert!(
            html.contains("3 epochs of training, loss \u{2212}")
                && html.contains("not evaluated yet")
        );
    }

    #[test]
    fn another_evaluation_has_a_table_of_its_own() {
        let mut records = synthetic::records(1, false);
        for (source, top1) in [(Source::Pixels, 0.25), (Source::Trained, 0.75)] {
            records.push(Record::Scores(Scores {
                evaluation: "probe".to_owned(),
                epoch: 1,
                source,
                train_images: 4_000,
                test_images: 1_000,
                scores: [("top1", top1)].into_iter().collect(),
            }));
        }
        let html = written(&input(&records, &[]));
        assert_well_formed(&html);
        assert!(html.contains("<h2>probe</h2>") && html.contains("<th>top1</th>"));
        assert!(html.contains("<td>this run</td><td>0.750</td>"));
        assert!(html.contains("<td>raw pixels</td><td>0.250</td>"));
    }

    #[test]
    fn settings_that_changed_on_the_way_are_listed() {
        let mut records = synthetic::records(1, false);
        let [key, before, now] = ["optimizer.lr", "0.3", "0.1"].map(str::to_owned);
        assert!(!written(&input(&records, &[])).contains("on its way"));
        records.push(Record::Changed { step: 7, changes: vec![Change { key, before, now }] });
        let html = written(&input(&records, &[]));
        assert_well_formed(&html);
        assert!(html.contains("<li>from step 7 on, optimizer.lr = 0.1 instead of 0.3</li>"));
    }

    #[test]
    fn a_collapsed_run_is_warned_of() {
        let mut records = synthetic::records(2, true);
        for record in &mut records {
            match record {
                Record::Epoch { scalars, .. } => scalars.set(Z_STD, 0.002),
                Record::Knn(knn) if knn.source == Source::Trained => knn.results[0].top1 = 0.1,
                _ => {}
            }
        }
        let html = written(&input(&records, &[]));
        assert!(html.contains("Collapsed.") && html.contains("Training has not helped."));
        assert!(html.contains("13.2 points below raw pixels"));
    }
}
