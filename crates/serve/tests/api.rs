//! What the API says of runs, while they are there, grow, are cut back, and go.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use logo_ssl::record::synthetic;
use serde_json::{Value, json};
use support::{Running, config, lines, run};

/// The mean of a curve's last bucket, and how many buckets it has.
fn last(answer: &Value, name: &str) -> (f64, usize) {
    let mean = answer["curves"][name]["mean"].as_array().unwrap();
    (mean.last().unwrap().as_f64().unwrap(), mean.len())
}

#[test]
fn a_run_is_summed_up() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("sweep/seed 0"), 4, &["seed=7", "optimizer.lr=0.5"]);
    fs::write(folder.path().join("sweep/seed 0/preview.png"), b"\x89PNG").unwrap();
    let kept = json!({ "images": 4000, "files": 0, "names": 1, "sizes": 2 });
    fs::write(folder.path().join("sweep/seed 0/images.json"), kept.to_string()).unwrap();
    let server = Running::of(folder.path());
    let run = &server.runs()["runs"][0];
    assert_eq!(run["id"], "sweep/seed 0");
    assert_eq!(
        (&run["preset"], &run["seed"], &run["images"]),
        (&json!("quickstart"), &json!(7), &json!(4000))
    );
    assert_eq!(
        (&run["epochs_done"], &run["epochs_total"], &run["step"]),
        (&json!(4), &json!(4), &json!(160))
    );
    assert_eq!(
        (&run["state"], &run["preview"], &run["report"]),
        (&json!("finished"), &json!(true), &json!(false))
    );
    let knn = &run["knn"];
    assert_eq!(
        (&knn["train_images"], &knn["test_images"], &knn["epoch"]),
        (&json!(4000), &json!(1000), &json!(4))
    );
    let first = &knn["results"][0];
    let (top1, low) =
        (first["top1"].as_f64().unwrap(), first["top1_interval"][0].as_f64().unwrap());
    assert!(first["k"] == 1 && 0.0 < low && low < top1, "{first}");
    let lights: Vec<_> =
        run["lights"].as_array().unwrap().iter().map(|l| (&l["name"], &l["level"])).collect();
    assert!(lights.contains(&(&json!("collapse"), &json!("good"))), "{lights:?}");

    let details = server.json("/api/runs/sweep%2Fseed%200");
    assert_eq!(details["id"], run["id"]);
    assert_eq!(details["evaluations"].as_array().unwrap().len(), 2);
    let floors: Vec<_> =
        details["floors"].as_array().unwrap().iter().map(|f| &f["source"]).collect();
    assert_eq!(floors, ["pixels", "untrained"]);
    let changes: Vec<_> =
        details["of_preset"].as_array().unwrap().iter().map(|c| &c["key"]).collect();
    assert!(changes.contains(&&json!("optimizer.lr")), "{changes:?}");
    assert!(details["settings"].as_array().unwrap().contains(&json!(["optimizer.lr", "0.5"])));
    assert_eq!(server.get("/runs/sweep%2Fseed%200/preview.png").body, b"\x89PNG");
    assert_eq!(server.get("/runs/sweep%2Fseed%200/report.html").status, 404);
}

#[test]
fn curves_are_given_by_name_and_from_a_step_on() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("one"), 2, &[]);
    let server = Running::of(folder.path());
    server.runs();
    let all = server.json("/api/runs/one/curves");
    assert_eq!(all["curves"].as_object().unwrap().len(), 13 + 5);
    let loss = server.json("/api/runs/one/curves?names=loss,z_std");
    assert_eq!(loss["curves"].as_object().unwrap().keys().collect::<Vec<_>>(), ["loss", "z_std"]);
    let steps = loss["curves"]["loss"]["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0], &steps[79]), (80, &json!(1), &json!(80)));
    assert_eq!(all["curves"]["loss"], loss["curves"]["loss"]);
    let end = server.json("/api/runs/one/curves?names=loss&since=79");
    assert_eq!(end["curves"]["loss"]["steps"], json!([79, 80]));
    for wrong in ["since=-1", "since=x", "names=%ff"] {
        assert_eq!(server.get(&format!("/api/runs/one/curves?{wrong}")).status, 400, "{wrong}");
    }
}

#[test]
fn asking_again_costs_nothing_where_nothing_is_new() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("one"), 1, &[]);
    let server = Running::of(folder.path());
    server.runs();
    for target in
        ["/", "/assets/app.js", "/api/runs", "/api/runs/one/curves", "/api/compare?runs=one"]
    {
        let tag = server.get(target).header("etag").unwrap().to_owned();
        let again = server.request("GET", target, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0), "{target}");
    }
}

#[test]
fn a_log_that_grows_is_read_on_and_one_that_is_cut_back_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one");
    run(&path, 4, &[]);
    let log = path.join("metrics.jsonl");
    let whole = fs::read_to_string(&log).unwrap();
    let texts: Vec<&str> = whole.split_inclusive('\n').collect();
    fs::write(&log, texts[..52].concat() + &texts[52][..30]).unwrap();
    let server = Running::of(folder.path());
    let answer = server.runs();
    assert_eq!(
        (&answer["runs"][0]["step"], &answer["runs"][0]["state"]),
        (&json!(49), &json!("running"))
    );
    assert_eq!(answer["runs"][0]["problem"], Value::Null, "a half line is no damage");

    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all((texts[52][30..].to_owned() + &texts[53..].concat()).as_bytes()).unwrap();
    let grown = server.json_when("/api/runs/one", |run| run["step"] == 160);
    assert_eq!((&grown["epochs_done"], &grown["state"]), (&json!(4), &json!("finished")));
    let before = server.json("/api/runs/one/curves?names=loss");
    assert_eq!(last(&before, "loss").1, 160);

    fs::write(&log, texts[..52].concat()).unwrap();
    server.json_when("/api/runs/one", |run| run["step"] == 49);
    let after = server.json_when("/api/runs/one/curves?names=loss", |answer| {
        answer["curves"]["loss"]["steps"].as_array().is_some_and(|steps| steps.len() == 49)
    });
    assert_ne!(before["generation"], after["generation"]);
}

#[test]
fn runs_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::of(folder.path());
    assert_eq!(
        server.json_when("/api/runs", |answer| answer["reading"] == false)["runs"],
        json!([])
    );
    run(&folder.path().join("late"), 1, &[]);
    server.json_when("/api/runs", |answer| answer["runs"][0]["step"] == 40);
    fs::remove_dir_all(folder.path().join("late")).unwrap();
    server.json_when("/api/runs", |answer| answer["runs"] == json!([]));
    assert_eq!(server.get("/api/runs/late").status, 404);
}

#[test]
fn a_run_that_has_not_written_for_long_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("one"), 1, &[]);
    fs::write(folder.path().join("one/config.toml"), config(&["optimizer.epochs=9"])).unwrap();
    for name in ["config.toml", "metrics.jsonl", "timings.jsonl"] {
        let file =
            fs::File::options().append(true).open(folder.path().join("one").join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    }
    let server = Running::of(folder.path());
    assert_eq!(server.runs()["runs"][0]["state"], "stale");
    fs::write(folder.path().join("one/weights.safetensors"), "").unwrap();
    server.json_when("/api/runs", |answer| answer["runs"][0]["state"] == "finished");
}

#[test]
fn what_is_damaged_is_said_and_the_rest_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("config"), 1, &[]);
    fs::write(folder.path().join("config/config.toml"), "seed = \"<img src=x onerror=alert(1)>\"")
        .unwrap();
    run(&folder.path().join("log"), 1, &[]);
    let log = folder.path().join("log/metrics.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, "no record\n".to_owned() + &text.replace("\"z_std\":0.", "\"z_std\":0.000"))
        .unwrap();
    let server = Running::of(folder.path());
    let runs = server.runs();
    let (config, log) = (&runs["runs"][0], &runs["runs"][1]);
    assert!(config["problem"].as_str().unwrap().starts_with("config.toml is not read"), "{config}");
    assert_eq!((&config["step"], &config["preset"]), (&json!(40), &Value::Null));
    assert_eq!(log["problem"], "line 1 of metrics.jsonl is no record");
    let collapse =
        log["lights"].as_array().unwrap().iter().find(|light| light["name"] == "collapse").unwrap();
    assert_eq!(collapse["level"], "bad");
}

#[test]
fn runs_are_compared_setting_by_setting() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("a"), 1, &["optimizer.lr=0.5"]);
    run(&folder.path().join("b,c"), 2, &[]);
    let server = Running::of(folder.path());
    server.runs();
    let answer = server.json("/api/compare?runs=b%2Cc,a");
    let names: Vec<_> = answer["runs"].as_array().unwrap().iter().map(|run| &run["id"]).collect();
    assert_eq!(names, ["b,c", "a"]);
    let settings = answer["settings"].as_array().unwrap();
    let differing: Vec<_> =
        settings.iter().filter(|s| s["differs"] == true).map(|s| &s["key"]).collect();
    assert!(
        differing.contains(&&json!("optimizer.lr"))
            && differing.contains(&&json!("optimizer.epochs"))
    );
    assert!(!differing.contains(&&json!("model.width")));
    let lr = settings.iter().find(|setting| setting["key"] == "optimizer.lr").unwrap();
    assert_eq!(lr["values"][1], "0.5");
    assert_eq!(server.get("/api/compare").status, 400);
    assert_eq!(server.get("/api/compare?runs=a,none").status, 404);
    assert_eq!(server.get(&format!("/api/compare?runs={}", "a,".repeat(33))).status, 400);
}

/// Every file below `path`: its bytes, and when it was written.
fn files(path: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let modified = path.metadata().unwrap().modified().unwrap();
        match path.is_dir() {
            true => {
                all.extend(files(&path));
                all.insert(path.display().to_string(), (Vec::new(), modified));
            }
            false => {
                all.insert(path.display().to_string(), (fs::read(&path).unwrap(), modified));
            }
        }
    }
    all
}

#[test]
fn nothing_in_the_folder_is_changed_by_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("one"), 3, &[]);
    fs::create_dir(folder.path().join("one/checkpoints")).unwrap();
    fs::write(folder.path().join("one/.lock"), "").unwrap();
    fs::write(folder.path().join("one/report.html"), "<p>").unwrap();
    let before = files(folder.path());
    let server = Running::of(folder.path());
    server.runs();
    for target in [
        "/",
        "/api/runs/one",
        "/api/runs/one/curves",
        "/api/compare?runs=one",
        "/runs/one/report.html",
        "/runs/one/preview.png",
    ] {
        server.get(target);
    }
    drop(server);
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_run_that_others_hold_is_read_without_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("one"), 1, &[]);
    let lock = fs::File::create(folder.path().join("one/.lock")).unwrap();
    lock.try_lock().unwrap();
    let server = Running::of(folder.path());
    assert_eq!(server.runs()["runs"][0]["step"], 40);
    drop(lock);
    let again = fs::File::create(folder.path().join("one/.lock")).unwrap();
    assert!(again.try_lock().is_ok(), "the server holds no lock");
}

#[test]
fn a_hundred_runs_are_listed_in_one_answer() {
    let folder = tempfile::tempdir().unwrap();
    let text = lines(&synthetic::records(1, false));
    for number in 0..100 {
        let path = folder.path().join(format!("run-{number}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("config.toml"), config(&["optimizer.epochs=1"])).unwrap();
        fs::write(path.join("metrics.jsonl"), &text).unwrap();
    }
    let server = Running::of(folder.path());
    let answer = server.json_when("/api/runs", |answer| {
        let runs = answer["runs"].as_array().unwrap();
        runs.len() == 100 && runs.iter().all(|run| run["step"] == 40)
    });
    assert_eq!(answer["refused"], json!([]));
}
