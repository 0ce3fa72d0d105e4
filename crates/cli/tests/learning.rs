//! Whether training learns: the quickstart against its floors, which are the kNN accuracy of raw pixels and
//! of the untrained network.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::command;

/// Trains the quickstart for so many epochs, and gives the top-1 accuracy of kNN with k = 1, in points, of
/// each source that the run names: `pixels`, `untrained` and `trained`.
fn top1_after(epochs: u32) -> BTreeMap<String, f64> {
    let folder = tempfile::tempdir().unwrap();
    let epochs = epochs.to_string();
    let run = command()
        .args(["pretrain", "--json", "--preset", "quickstart", "--epochs", &epochs])
        .args(["--set", &format!("eval.every={epochs}"), "--run-dir"])
        .arg(folder.path().join("run"))
        .assert()
        .success();
    let printed = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let done: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let top1 = |knn: &Value| {
        let nearest = &knn["results"][0];
        assert_eq!(nearest["k"], 1, "{knn}");
        (knn["source"].as_str().unwrap().to_owned(), 100.0 * nearest["top1"].as_f64().unwrap())
    };
    done["knn"].as_array().unwrap().iter().map(top1).collect()
}

fn assert_beats_its_floors(epochs: u32, points: f64) {
    let top1 = top1_after(epochs);
    eprintln!("quickstart, {epochs} epochs: {top1:.1?}");
    for floor in ["pixels", "untrained"] {
        let above = top1["trained"] - top1[floor];
        assert!(above >= points, "{above:.1} points above {floor}, expected {points}: {top1:?}");
    }
}

/// 8 of the 24 epochs, half a minute on two cores. Measured with AVX-512 and seeds 0, 1 and 2: 76.6, 73.0
/// and 75.9 %, which is 41.7, 38.1 and 41.0 points above raw pixels (34.9 %), and further above the untrained
/// network (21.7, 14.8 and 15.9 %). Other instructions round otherwise, which moves the result as another
/// seed does; 30 points leave room for that.
#[test]
fn a_third_of_the_quickstart_is_30_points_above_its_floors() {
    assert_beats_its_floors(8, 30.0);
}

/// The whole claim of the quickstart, a minute and a half on two cores. Measured with seeds 0, 1 and 2:
/// 93.3, 94.9 and 93.1 %, which is at least 58 points above raw pixels.
///
/// ```sh
/// cargo test --release --test learning -- --ignored --nocapture
/// ```
#[test]
#[ignore = "takes minutes; the shortened one runs always"]
fn the_quickstart_is_40_points_above_its_floors() {
    assert_beats_its_floors(24, 40.0);
}
