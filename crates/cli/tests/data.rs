//! Any folder of pictures: trained on as it is, looked through, packed, and survived when it is broken.

mod support;

use std::fs;
use std::path::Path;

use predicates::prelude::*;
use support::pictures::{log, pictures, train, two_classes};
use support::{command, files, resume};

#[test]
fn folders_for_classes_train_and_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    two_classes(&data, 21);
    train(&data, &run).assert().success().stdout(predicate::str::contains("kNN, trained backbone"));
    // Every tenth of each class is tested on.
    let measured = log(&run);
    assert!(measured.contains(r#""train_images":38,"test_images":4"#), "{measured}");
    let knn = ["knn", "--dataset", "folder", "--k", "1"];
    let again = command().args(knn).arg("--run").arg(&run).arg("--data-dir").arg(&data).assert();
    again.success().stdout(predicate::str::contains("kNN on folder: 4 test images against 38"));
}

#[test]
fn a_run_knows_where_its_pictures_lie() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    pictures(&data, 16);
    train(&data, &run).assert().success();
    // Beginning anew from the config alone is going on from step 0.
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    fs::remove_file(run.join("metrics.jsonl")).unwrap();
    resume(&run).assert().success();
    assert_eq!(log(&run).matches(r#""kind":"step""#).count(), 2);
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    let moved = folder.path().join("moved");
    fs::rename(&data, &moved).unwrap();
    resume(&run).assert().code(1).stderr(predicate::str::contains("data"));
    resume(&run).arg("--data-dir").arg(&moved).assert().success();
}

#[test]
fn pictures_without_labels_train_and_that_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    pictures(&data, 16);
    let done = train(&data, &run).args(["--set", "optimizer.epochs=3"]).assert().success();
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert_eq!(said.matches("there will be no kNN").count(), 1, "{said}");
    assert!(!log(&run).contains(r#""kind":"knn""#));
    assert!(run.join("report.html").is_file() && run.join("weights.safetensors").is_file());
    let knn = ["knn", "--dataset", "folder"];
    let refused = command().args(knn).arg("--run").arg(&run).arg("--data-dir").arg(&data).assert();
    refused.code(2).stderr(predicate::str::contains("the pictures have no labels"));
}

#[test]
fn another_dataset_can_measure_what_has_no_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    pictures(&data, 16);
    train(&data, &run).args(["--eval-dataset", "shapes"]).assert().success();
    assert!(log(&run).contains(r#""train_images":4000,"test_images":1000"#));
    let none =
        train(&data, &folder.path().join("none")).args(["--eval-dataset", "folder"]).assert();
    none.code(2).stderr(predicate::str::contains("eval.dataset = \"folder\""));
}

#[test]
fn broken_images_are_named_and_passed_over_up_to_a_point() {
    let folder = tempfile::tempdir().unwrap();
    let (data, run) = (folder.path().join("data"), folder.path().join("run"));
    pictures(&data, 24);
    fs::write(data.join("nothing.jpg"), b"").unwrap();
    let whole = fs::read(data.join("000.jpg")).unwrap();
    fs::write(data.join("half.jpg"), &whole[..whole.len() / 2]).unwrap();
    fs::write(data.join("letter.png"), b"dear reader").unwrap();
    let none = ["--set", "data.max_bad_fraction=0"];
    let too_many = train(&data, &run).args(none).assert().code(1);
    too_many.stderr(predicate::str::contains("of the 27 images cannot be read, at most 0"));
    let patient = ["--set", "data.max_bad_fraction=0.2"];
    let run = folder.path().join("patient");
    let done =
        train(&data, &run).args(patient).args(["--set", "optimizer.epochs=2"]).assert().success();
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    for name in ["nothing.jpg", "half.jpg", "letter.png"] {
        assert_eq!(said.matches(name).count(), 1, "{name} in {said}");
    }
    let other = folder.path().join("other");
    let threads = ["--threads", "1", "--loader-threads", "3"];
    train(&data, &other)
        .args(patient)
        .args(["--set", "optimizer.epochs=2"])
        .args(threads)
        .assert()
        .success();
    assert!(files(&run) == files(&other), "threads change nothing, broken images or not");
}

#[test]
fn info_counts_classes_sizes_and_broken_files() {
    let folder = tempfile::tempdir().unwrap();
    two_classes(folder.path(), 12);
    let info = ["data", "info", "--dataset", "folder", "--data-dir"];
    command()
        .args(info)
        .arg(folder.path())
        .assert()
        .success()
        .stdout(predicate::str::contains("train: 22 images, 20 to 24 pixels wide, 24 to 28 high"))
        .stdout(predicate::str::contains("11 cat"))
        .stdout(predicate::str::contains("test: 2 images"));
    let cut = folder.path().join("dog/003.png");
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() - 40]).unwrap();
    let found = command().args(info).arg(folder.path()).arg("--json").assert().success();
    let printed = String::from_utf8_lossy(&found.get_output().stdout).into_owned();
    let train: serde_json::Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    let broken = train["found"]["broken"].as_array().unwrap();
    assert_eq!(broken.len(), 1, "{printed}");
    assert!(broken[0]["name"].as_str().unwrap().ends_with("003.png"));
}

#[test]
fn a_pack_trains_to_the_same_numbers_as_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("pictures.pack"));
    two_classes(&data, 12);
    let pack = |size: &str, format: &str, out: &Path| {
        let mut command = command();
        command.args(["data", "pack", "--size", size, "--format", format]).arg(&data).arg(out);
        command
    };
    pack("0", "raw", &out).assert().success().stdout(predicate::str::contains("24 images in"));
    pack("0", "raw", &out).assert().code(1).stderr(predicate::str::contains("exists already"));
    let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
    train(&data, &plain).assert().success();
    train(&out, &packed).args(["--dataset", "pack"]).assert().success();
    // Losses, gradients and kNN; the weights' file names the dataset besides.
    assert_eq!(log(&plain), log(&packed));

    let small = folder.path().join("small.pack");
    pack("16", "jpeg", &small).assert().success();
    train(&small, &folder.path().join("small")).args(["--dataset", "pack"]).assert().success();
    command()
        .args(["data", "info", "--dataset", "pack", "--data-dir"])
        .arg(&small)
        .assert()
        .success()
        .stdout(
            predicate::str::contains("train: 22 images of 16 × 19")
                .or(predicate::str::contains("train: 22 images, 16 to 16 pixels wide")),
        );
}

#[test]
fn shards_train_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (data, shards) = (folder.path().join("data"), folder.path().join("shards"));
    pictures(&data, 20);
    fs::create_dir(&shards).unwrap();
    for (part, numbers) in [("train-0", 0..8), ("train-1", 8..16), ("val-0", 16..20)] {
        let mut tar =
            tar::Builder::new(fs::File::create(shards.join(format!("{part}.tar"))).unwrap());
        for number in numbers {
            let extension = if number % 2 == 0 { "jpg" } else { "png" };
            let name = format!("{number:03}.{extension}");
            tar.append_path_with_name(data.join(&name), &name).unwrap();
            let label = format!("{}", number % 2);
            let mut header = tar::Header::new_gnu();
            header.set_size(label.len() as u64);
            tar.append_data(&mut header, format!("{number:03}.cls"), label.as_bytes()).unwrap();
        }
        tar.finish().unwrap();
    }
    let run = folder.path().join("run");
    train(&shards, &run).args(["--dataset", "webdataset"]).assert().success();
    assert!(log(&run).contains(r#""train_images":16,"test_images":4"#));
    let cut = shards.join("train-1.tar");
    let whole = fs::read(&cut).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let other = folder.path().join("other");
    let refused = train(&shards, &other).args(["--dataset", "webdataset"]).assert().code(1);
    refused.stderr(predicate::str::contains("train-1.tar"));
}

#[test]
fn a_preview_shows_one_image_or_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 5);
    let preview = |further: &[&str]| {
        let out = folder.path().join("preview.png");
        let mut command = command();
        command.args(["data", "preview", "--dataset", "folder", "--data-dir"]).arg(&data);
        command.args(further).arg("--out").arg(&out).assert().success();
        image::open(&out).unwrap().into_rgb8()
    };
    let (one, page) = (preview(&["--image", "3"]), preview(&["--images", "4"]));
    assert_eq!(one.width(), page.width());
    assert!(page.height() > 3 * one.height());
    assert_ne!(page, preview(&["--images", "4", "--page", "1"]));
    let beyond = ["data", "preview", "--dataset", "folder", "--image", "5", "--data-dir"];
    let refused = command().args(beyond).arg(&data).assert().code(2);
    refused.stderr(predicate::str::contains("there are images 0 to 4"));
}

#[test]
fn what_cannot_be_fetched_is_told_in_two_steps() {
    for name in ["imagenet100", "stl10", "mnist", "fashion-mnist"] {
        command().args(["data", "fetch", name]).assert().code(2).stderr(
            predicate::str::contains("1. ").and(predicate::str::contains("2. name the folder")),
        );
    }
}

#[test]
fn a_folder_that_is_missing_or_empty_is_named_and_leaves_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let missing = train(&folder.path().join("nowhere"), &run).assert().code(1);
    missing.stderr(predicate::str::contains("nowhere"));
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let none = train(&empty, &run).assert().code(1);
    none.stderr(predicate::str::contains("there is no picture in it"));
    assert!(!run.exists());
}

#[test]
fn stl10_is_packed_without_labels_and_measured_by_the_folder_it_is_from() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("stl10.pack"));
    let files = data.join("stl10_binary");
    fs::create_dir_all(&files).unwrap();
    for (name, images) in [("train", 4_u8), ("test", 2), ("unlabeled", 8)] {
        let pixels: Vec<u8> = (0..images).flat_map(|image| [image * 30; 3 * 96 * 96]).collect();
        fs::write(files.join(format!("{name}_X.bin")), pixels).unwrap();
        let labels: Vec<u8> = (1..=images).collect();
        fs::write(files.join(format!("{name}_y.bin")), labels).unwrap();
    }
    let advice = format!("--eval-dataset stl10 --eval-data-dir {}", data.display());
    let mut pack = command();
    pack.args(["data", "pack", "--dataset", "stl10"]).arg(&data).arg(&out);
    pack.assert()
        .success()
        .stdout(predicate::str::contains("8 images in"))
        .stderr(predicate::str::contains(advice));
    train(&out, &folder.path().join("run"))
        .args(["--dataset", "pack", "--eval-dataset", "stl10", "--eval-data-dir"])
        .arg(&data)
        .assert()
        .success()
        .stdout(predicate::str::contains("kNN, trained backbone"));
}

#[test]
fn a_limit_that_leaves_classes_out_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    two_classes(&data, 21);
    let train = |limit: &str| {
        let mut command = train(&data, &folder.path().join(limit));
        command.args(["--limit", limit]);
        command
    };
    let warning = "data.limit: the first 16 images are of 1 of the 2 classes alone";
    train("16").assert().success().stderr(predicate::str::contains(warning));
    train("32").assert().success().stderr(predicate::str::contains("data.limit").not());
}

#[test]
fn broken_pictures_are_left_out_of_packs_and_previews() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    pictures(&data, 6);
    for name in ["zz0.jpg", "zz1.jpg"] {
        fs::write(data.join(name), "nonsense").unwrap();
    }
    let pack = |further: &[&str]| {
        let mut command = command();
        command.args(["data", "pack"]).arg(&data).arg(folder.path().join("a.pack")).args(further);
        command.assert()
    };
    let too_many = pack(&["--max-bad-fraction", "0"]).code(1);
    too_many.stderr(predicate::str::contains("of the 8 images cannot be read, at most 0"));
    pack(&[])
        .success()
        .stdout(predicate::str::contains("6 images in"))
        .stderr(predicate::str::is_match("(?m)^warning: .*zz0.jpg: is text").unwrap());
    let preview = |further: &[&str]| {
        let mut command = command();
        command.args(["data", "preview", "--dataset", "folder", "--data-dir"]).arg(&data);
        command.arg("--out").arg(folder.path().join("preview.png")).args(further).assert()
    };
    preview(&["--image", "7"]).code(1).stderr(predicate::str::contains("zz1.jpg: cannot be read"));
    preview(&["--image", "6", "--images", "3"]).code(1);
    assert!(!folder.path().join("preview.png").exists());
    preview(&["--images", "8"]).success();
}
