//! The page as text; `tests/browser` looks at it in a browser.

use std::sync::LazyLock;

use logo_ssl::config::Change;
use logo_ssl::presets::Layers;
use logo_ssl::record::scalars::{LOSS, Z_STD};
use logo_ssl::record::{Scores, Source, synthetic};

use super::*;

static CONFIG: LazyLock<Config> =
    LazyLock::new(|| Layers::preset("quickstart").unwrap().build().unwrap());

fn input<'a>(records: &'a [Record], timings: &'a [Record]) -> ReportInput<'a> {
    ReportInput {
        name: "first <run>",
        config: &CONFIG,
        config_toml: "preset = \"quickstart\"  # a < b & c\n",
        records,
        timings,
        version: "0.1.0",
        findings: None,
        preview: None,
        commands: &[("the same run", "logo-ssl pretrain --config config.toml")],
    }
}

fn written(report: &ReportInput<'_>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    write(report, &path).unwrap();
    std::fs::read_to_string(path).unwrap()
}

/// The page without what is in its scripts, where `<` opens no element.
fn without_scripts(html: &str) -> String {
    let mut parts = html.split("<script");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |page, part| page + part.split_once("</script>").unwrap().1)
}

/// Every element that is opened is closed, in order, and every heading is at most one level below the one before.
fn assert_well_formed(html: &str) {
    let html = without_scripts(html);
    let levels =
        html.match_indices("<h").filter_map(|(at, _)| html[at + 2..].chars().next()?.to_digit(10));
    levels.fold(0, |above, level| {
        assert!(level <= above + 1, "h{level} below h{above}");
        level
    });
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
    assert_eq!(html.matches("<svg ").count(), 10, "a still plot for each block of charts");
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
    for address in ["http:", "https:", "url(", "@import", "src=\"/", "href=\"/"] {
        assert!(!html.contains(address), "{address}");
    }
    assert!(html.contains("first &lt;run&gt;") && !html.contains("<run>"));
    assert!(html.contains("# a &lt; b &amp; c"));
}

#[test]
fn no_name_breaks_out_of_its_place() {
    let evil = "</script><script>alert(1)</script><!--\"'";
    let mut records = synthetic::records(1, true);
    for record in &mut records {
        if let Record::Step { scalars, .. } = record {
            scalars.set(evil, 1.0);
        }
    }
    let report = ReportInput { name: evil, commands: &[(evil, evil)], ..input(&records, &[]) };
    let html = written(&report);
    assert_well_formed(&html);
    assert!(!html.contains("alert(1)</script>") && !html.contains("<!--"));
    assert_eq!(html.matches("<script").count(), 3, "the flag, the data and the drawing");
}

#[test]
fn every_chart_has_its_place_its_data_and_a_still_plot() {
    let (records, timings) = (synthetic::records(4, true), synthetic::timings(4));
    let html = written(&input(&records, &timings));
    let (_, json) = html.split_once("id=\"charts\">").unwrap();
    let charts: Vec<serde_json::Value> =
        serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(charts.len(), 11);
    for number in 0..charts.len() {
        assert_eq!(html.matches(&format!("data-chart=\"{number}\"")).count(), 1);
    }
    // The plot of the loss stands for two charts.
    assert_eq!(html.matches("<div class=\"plot still\"").count(), charts.len() - 1);
    let knn = &charts[0]["series"][0];
    assert_eq!(knn["name"], "k = 1");
    let logged = records.iter().find_map(|record| match record {
        Record::Knn(knn) if knn.source == Source::Trained => Some(100.0 * knn.results[0].top1),
        _ => None,
    });
    assert_eq!(knn["points"][0][1].as_f64(), logged, "the report's numbers are the log's");
    let [low, high] = [1, 2].map(|end| knn["band"][0][end].as_f64().unwrap());
    assert!(low < logged.unwrap() && logged.unwrap() < high);
}

#[test]
fn a_step_without_a_number_is_a_gap_and_told_of() {
    let mut records = synthetic::records(1, true);
    if let Some(Record::Step { scalars, .. }) = records.get_mut(5) {
        scalars.set(LOSS, f64::NAN);
    }
    let html = written(&input(&records, &[]));
    assert!(html.contains(",null]") && html.contains("1 value is no finite number"));
}

#[test]
fn a_long_run_stays_below_five_megabytes() {
    // 1000 epochs of 400 steps.
    let (records, timings) = (synthetic::records(10_000, true), synthetic::timings(10_000));
    let steps = records.iter().filter(|record| matches!(record, Record::Step { .. })).count();
    assert_eq!(steps, 400_000);
    let html = written(&input(&records, &timings));
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
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
        html.contains("3 epochs of training, loss \u{2212}") && html.contains("not evaluated yet")
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
            confusion: None,
        }));
    }
    let html = written(&input(&records, &[]));
    assert_well_formed(&html);
    assert!(html.contains(">probe</h2>") && html.contains("<th scope=\"col\">raw pixels</th>"));
    assert!(html.contains("<th scope=\"row\">top1</th><td>0.750</td><td>0.250</td>"));
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

#[test]
fn an_accuracy_stands_with_its_interval() {
    let html = written(&input(&synthetic::records(8, true), &[]));
    assert!(html.contains("<td>61.7 % <small>58.6 to 64.7</small></td>"));
}

#[test]
fn what_differs_from_the_preset_is_listed_with_both_values() {
    let records = synthetic::records(1, false);
    assert!(written(&input(&records, &[])).contains("every setting is that of quickstart"));
    let layers = Layers::preset("quickstart").unwrap().set("optimizer.lr=0.125").unwrap();
    let config = layers.build().unwrap();
    let html = written(&ReportInput { config: &config, ..input(&records, &[]) });
    assert_well_formed(&html);
    let row = html.split_once("<th scope=\"row\">optimizer.lr</th>").unwrap().1;
    let row = row.split_once("</tr>").unwrap().0;
    let before = CONFIG.optimizer.lr;
    for value in [before, 0.125] {
        assert!(row.contains(&format!("<code>{value}</code>")), "{row}");
    }
    let mut unknown = config.clone();
    unknown.preset = "a<b".to_owned();
    let html = written(&ReportInput { config: &unknown, ..input(&records, &[]) });
    assert!(html.contains("has no preset a&lt;b"));
}
