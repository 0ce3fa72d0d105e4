//! The commands that draw what an encoder learned, through the binary: what they show, the same bytes for any
//! number of threads, and what they refuse.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use support::{command, resume, set, shapes_run};
use tempfile::TempDir;

/// A run of two epochs with LoGo.
static RUN: LazyLock<TempDir> = LazyLock::new(|| trained(&[]));
/// The same without.
static PLAIN: LazyLock<TempDir> = LazyLock::new(|| trained(&["framework.logo=false"]));

fn trained(settings: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut run = shapes_run(&folder.path().join("run"));
    run.args(set(settings.iter().copied())).assert().success();
    folder
}

fn run_of(folder: &TempDir) -> PathBuf {
    folder.path().join("run")
}

/// `logo-ssl NAME`, of the run as the command has it, to `out`.
fn drawing(name: &str, run: &Path, out: &Path) -> Command {
    let mut command = command();
    command.arg(name);
    if matches!(name, "neighbours" | "map") {
        command.arg("--run");
    }
    command.arg(run).arg("--out").arg(out);
    command
}

/// What a command says of its picture with `--json`.
fn shown(command: &mut Command) -> Value {
    let printed = command.arg("--json").assert().success().get_output().stdout.clone();
    let value: Value = serde_json::from_slice(&printed).unwrap();
    assert!(value["picture"].is_string(), "{value}");
    value["shown"].clone()
}

/// The numbers in an array.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_the_same_bytes(name: &str, extension: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let drawn = ["1", "1", "3"].map(|threads| {
        let out = folder.path().join("picture").with_extension(extension);
        let mut command = drawing(name, &run_of(&RUN), &out);
        command.args(arguments).args(["--threads", threads, "--quiet"]).assert().success();
        fs::read(&out).unwrap()
    });
    assert!(drawn[0] == drawn[1], "{name}: twice with one thread");
    assert!(drawn[0] == drawn[2], "{name}: with three threads");
}

#[test]
fn neighbours_are_the_nearest_first_of_queries_from_every_class() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("neighbours.png");
    let mut command = drawing("neighbours", &run_of(&RUN), &out);
    let shown = shown(command.args(["--queries", "10", "--k", "5"]));
    let queries = shown["queries"].as_array().unwrap();
    assert_eq!((queries.len(), shown["drawn_from"].as_u64()), (10, Some(1000)));
    let mut classes: Vec<u64> =
        queries.iter().map(|query| query["class"].as_u64().unwrap()).collect();
    classes.dedup();
    let distinct = classes.len();
    assert!(classes.is_sorted() && distinct > 4, "{classes:?}");
    for query in queries {
        let nearest = query["nearest"].as_array().unwrap();
        let similarities: Vec<f64> =
            nearest.iter().map(|near| near["similarity"].as_f64().unwrap()).collect();
        assert_eq!(similarities.len(), 5);
        assert!(similarities.is_sorted_by(|a, b| a >= b), "{similarities:?}");
        assert!(similarities.iter().all(|s| (-1.001..=1.001).contains(s)), "{similarities:?}");
    }
    let picture = image::open(&out).unwrap();
    assert!(picture.width() > 1000 && picture.height() > 2000);
}

#[test]
fn only_the_misclassified_where_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("wrong.svg");
    let mut command = drawing("neighbours", &run_of(&RUN), &out);
    let shown = shown(command.args(["--queries", "4", "--k", "3", "--wrong", "--seed", "5"]));
    let queries = shown["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 4);
    assert!(queries.iter().all(|query| query["guess"] != query["class"]), "{shown}");
    let svg = fs::read_to_string(&out).unwrap();
    assert_eq!(svg.matches(">vote: ").count(), 4);
    assert!(svg.contains("0 of 4 are right"), "{svg}");
}

#[test]
fn a_map_says_how_far_it_can_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    for (method, extension) in [("pca", "svg"), ("tsne", "png")] {
        let out = folder.path().join("map").with_extension(extension);
        let mut command = drawing("map", &run_of(&RUN), &out);
        let shown = shown(command.args(["--images", "60", "--method", method]));
        assert_eq!(shown["images"], 60);
        let trust = shown["trustworthiness"].as_f64().unwrap();
        assert!((0.4..=1.0).contains(&trust), "{shown}");
        assert_eq!(shown["explained_variance"].is_number(), method == "pca");
        if extension == "svg" {
            let svg = fs::read_to_string(&out).unwrap();
            assert!(svg.contains(&format!("trustworthiness {trust:.3} of 1")), "{svg}");
        }
    }
}

#[test]
fn a_map_as_a_page_needs_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("map.html");
    drawing("map", &run_of(&RUN), &out)
        .args(["--images", "30", "--method", "pca"])
        .assert()
        .success()
        .stdout(contains("PCA of 30 test images"));
    let page = fs::read_to_string(&out).unwrap();
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let (_, data) = page.split_once(r#"type="application/json">"#).unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let points = data["points"].as_array().unwrap();
    assert_eq!(points.len(), 30);
    let classes = data["classes"].as_array().unwrap().len() as u64;
    for point in points {
        let inside = |at: &Value| (0.0..=1.0).contains(&at.as_f64().unwrap());
        assert!(inside(&point[0]) && inside(&point[1]), "{point}");
        assert!(point[2].as_u64().unwrap() < classes && point[3].is_string(), "{point}");
    }
    assert!(page.contains("trustworthiness "));
}

#[test]
fn affinities_are_of_all_pairs_of_the_grid_and_across_images() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("affinity.png");
    let mut command = drawing("affinity", &run_of(&RUN), &out);
    let shown = shown(command.args(["--images", "2", "--grid", "3"]));
    let images = shown["images"].as_array().unwrap();
    assert_eq!((images.len(), numbers(&shown["between"]).len()), (2, 4));
    for image in images {
        let affinities = numbers(&image["affinities"]);
        assert_eq!((affinities.len(), image["crops"].as_array().unwrap().len()), (81, 9));
        for at in 0..81 {
            assert!(affinities[at] > 0.0, "softplus is above 0");
            assert_eq!(affinities[at], affinities[at % 9 * 9 + at / 9], "both orders are one");
        }
        let to_global = numbers(&image["to_global"]);
        assert!(to_global.len() == 9 && to_global.iter().all(|s| s.abs() < 1.001));
    }
    assert!(image::open(&out).unwrap().width() > 2000);
}

#[test]
fn similarities_are_of_every_kind_of_pair() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("similarities.svg");
    let mut command = drawing("similarities", &run_of(&RUN), &out);
    let shown = shown(command.args(["--images", "20"]));
    assert_eq!(shown["images"], 20);
    for kind in ["global_global", "local_global", "local_local", "different"] {
        let mean = shown["means"][kind].as_f64().unwrap();
        assert!(mean.abs() <= 1.001, "{kind}: {mean}");
    }
    let svg = fs::read_to_string(&out).unwrap();
    assert_eq!(svg.matches("<polygon").count(), 4, "a histogram of each");
    assert!(svg.contains("optimiser steps") && svg.contains("other images"));
}

#[test]
fn the_same_bytes_twice_and_for_any_number_of_threads() {
    assert_the_same_bytes("neighbours", "png", &["--queries", "3", "--k", "2"]);
    assert_the_same_bytes("map", "html", &["--images", "40"]);
    assert_the_same_bytes("map", "png", &["--images", "40", "--thumbnails"]);
    assert_the_same_bytes("affinity", "png", &["--images", "2", "--grid", "2"]);
    assert_the_same_bytes("similarities", "svg", &["--images", "10"]);
}

#[test]
fn a_plain_run_has_similarities_and_no_affinity() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("picture.svg");
    drawing("affinity", &run_of(&PLAIN), &out)
        .assert()
        .code(2)
        .stderr(contains("a plain run has no learned affinity"))
        .stderr(contains("show its similarities instead"));
    assert!(!out.exists());
    let mut command = drawing("similarities", &run_of(&PLAIN), &out);
    let shown = shown(command.args(["--images", "8"]));
    assert!(shown["means"]["global_global"].is_number(), "{shown}");
    assert!(shown["means"]["local_local"].is_null(), "{shown}");
}

#[test]
fn more_than_there_is_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("picture.png");
    for (name, arguments, told) in [
        ("neighbours", ["--queries", "201"], "--queries 201: 1 to 200"),
        ("neighbours", ["--k", "0"], "--k 0: 1 to 40"),
        ("map", ["--images", "3"], "--images 3: a map has 4"),
        ("affinity", ["--grid", "1"], "--grid 1: 2 to 8"),
        ("similarities", ["--images", "1"], "1 images are asked for"),
        ("similarities", ["--images", "4001"], "4001 images are asked for, and there are 4000"),
    ] {
        let mut command = drawing(name, &run_of(&RUN), &out);
        command.args(arguments).assert().code(2).stderr(contains(told));
    }
    assert!(!out.exists());
}

#[test]
fn more_queries_than_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [data, run] = ["data", "run"].map(|name| folder.path().join(name));
    support::pictures::two_classes(&data, 12);
    support::pictures::train(&data, &run).assert().success();
    let out = folder.path().join("picture.png");
    let mut command = drawing("neighbours", &run, &out);
    command.args(["--queries", "100", "--k", "1"]).assert().code(2);
    command.assert().stderr(contains("100 queries are asked for, and there are "));
}

#[test]
fn a_place_where_nothing_can_be_written_is_named_first() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none").join("picture.png");
    let unknown = folder.path().join("picture.gif");
    let no_page = folder.path().join("picture.html");
    for name in ["neighbours", "map", "affinity", "similarities"] {
        // Nothing is read before that: there is no such run.
        let run = folder.path().join("no-run");
        let refused = |out: &Path| drawing(name, &run, out).assert().failure();
        refused(&none).code(1).stderr(contains(none.parent().unwrap().to_str().unwrap()));
        refused(&unknown).code(2).stderr(contains("no kind of picture `gif`"));
        if name != "map" {
            refused(&no_page).code(2).stderr(contains("ends in .png or .svg"));
        }
    }
    let taken = folder.path().join("folder.svg");
    fs::create_dir(&taken).unwrap();
    drawing("similarities", &run_of(&RUN), &taken)
        .args(["--images", "2"])
        .assert()
        .code(1)
        .stderr(contains("cannot write").and(contains("folder.svg")));
}

/// The report of a run, and whether it shows the three pictures.
fn report_of(run: &Path) -> (String, [bool; 3]) {
    let html = fs::read_to_string(run.join("report.html")).unwrap();
    let titles = ["nearest neighbours</h3>", "in the plane</h3>", "which repel</h3>"];
    let shown = titles.map(|title| html.contains(title));
    (html, shown)
}

#[test]
fn a_report_shows_what_was_learned() {
    let folder = trained(&[]);
    let run = run_of(&folder);
    assert_eq!(report_of(&run).1, [false; 3], "drawn although --no-pictures was given");
    let draw = |threads: &str| {
        let mut command = command();
        command.args(["report", "--pictures", "--threads", threads]).arg(&run).assert().success();
        report_of(&run)
    };
    let (html, shown) = draw("1");
    assert_eq!(shown, [true; 3]);
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    assert!(draw("3").0 == html, "another report by other threads");
}

#[test]
fn training_ends_with_pictures_and_removes_those_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let arguments = support::shapes_arguments(&run);
    let with_pictures = arguments.iter().filter(|argument| *argument != "--no-pictures");
    command().args(with_pictures).args(["--epochs", "1"]).assert().success();
    assert_eq!(report_of(&run).1, [true; 3]);
    // A run that is trained on is another one: what it had learned before is not shown as its own.
    resume(&run).args(["--epochs", "2"]).assert().success();
    assert_eq!(report_of(&run).1, [false; 3]);
}

#[test]
fn a_plain_run_has_no_affinity_to_show() {
    let folder = trained(&["framework.logo=false"]);
    let run = run_of(&folder);
    command().args(["report", "--pictures"]).arg(&run).assert().success();
    assert_eq!(report_of(&run).1, [true, true, false]);
}
