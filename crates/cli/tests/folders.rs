//! What users' folders hold and lack, through the binary: nothing is measured that says nothing, nothing is
//! left out without a word, and a run knows its images again.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use support::pictures::{log, picture, pictures, train, two_classes};
use support::{SMALL, command, resume, set, tiny_run};
use tempfile::TempDir;

/// Makes something of a folder.
type Make<'a> = &'a dyn Fn(&Path);

/// A folder for data and runs, and where the data lie in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

/// What a run on `data` says and logs.
fn told(data: &Path, run: &Path) -> String {
    let done = train(data, run).assert().success();
    said(&done) + &log(run)
}

fn said(done: &Assert) -> String {
    let output = done.get_output();
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

/// What `data info` says of `data`.
fn seen(data: &Path) -> String {
    said(&command().args(["data", "info"]).arg(data).assert().success())
}

#[test]
fn the_dataset_that_is_named_is_measured() {
    let (folder, data) = place();
    let run = folder.path().join("run");
    tiny_run(&run).args(["--epochs", "1"]).assert().success();
    two_classes(&data, 20);
    let pack = folder.path().join("pictures.pack");
    command()
        .args(["data", "pack", "--quiet", "--size", "24"])
        .arg(&data)
        .arg(&pack)
        .assert()
        .success();
    let weights = run.join("weights.safetensors");
    for (name, place) in [("folder", &data), ("pack", &pack)] {
        let mut knn = command();
        knn.args(["knn", "--k", "1", "--dataset", name, "--data-dir"]).arg(place);
        let line = format!("kNN on {name}: 4 test images against 36");
        knn.arg("--weights").arg(&weights).assert().success().stdout(contains(line));
    }
}

#[test]
fn images_without_a_label_leave_the_bank_and_the_test() {
    let (folder, data) = place();
    two_classes(&data, 20);
    let shards = folder.path().join("shards");
    fs::create_dir(&shards).unwrap();
    for part in ["train", "test"] {
        let file = fs::File::create(shards.join(format!("{part}.tar"))).unwrap();
        let mut tar = tar::Builder::new(file);
        for number in 0..16 {
            let class = ["cat", "dog"][number % 2];
            let extension = ["jpg", "png"][number % 2];
            let name = format!("{class}/{number:03}.{extension}");
            tar.append_path_with_name(data.join(&name), format!("{number:03}.{extension}"))
                .unwrap();
            // Every fourth has none.
            if number % 4 != 3 {
                let label = (number % 2).to_string();
                let mut header = tar::Header::new_gnu();
                header.set_size(label.len() as u64);
                tar.append_data(&mut header, format!("{number:03}.cls"), label.as_bytes()).unwrap();
            }
        }
        tar.finish().unwrap();
    }
    let run = folder.path().join("run");
    let mut command = train(&shards, &run);
    let told = said(&command.args(["--dataset", "webdataset"]).assert().success()) + &log(&run);
    assert!(told.contains(r#""train_images":12,"test_images":12"#), "{told}");
    assert!(seen(&shards).contains("4 of them without a label"), "{}", seen(&shards));
}

#[test]
fn where_a_knn_would_say_nothing_there_is_none_and_the_reason() {
    let cases: [(Make<'_>, &str); 4] = [
        (
            &|data| {
                two_classes(&data.join("train"), 10);
                pictures(&data.join("val"), 10);
            },
            "val/ holds 10 images without labels",
        ),
        (&|data| pictures(&data.join("cat"), 20), "all images are of one class, cat"),
        (&|data| two_classes(&data.join("images"), 10), "in images/ there are cat/, dog/"),
        (
            &|data| pictures(data, 20),
            "a folder for each class, named after it, would be the labels",
        ),
    ];
    for (make, reason) in cases {
        let (folder, data) = place();
        make(&data);
        let run = folder.path().join("run");
        let told = told(&data, &run);
        assert!(told.contains(reason) && !told.contains("kNN, trained"), "{told}");
        assert!(!log(&run).contains(r#""kind":"knn""#), "{reason}");
        let report = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(!report.contains("0.00 %"), "{reason}");
    }
}

#[test]
fn a_run_goes_on_with_other_images_only_when_told_to() {
    let changes: [(Make<'_>, &str); 4] = [
        (
            &|data| picture(20, 99).save(data.join("cat/new.png")).unwrap(),
            "there were 36 images and are 37",
        ),
        (
            &|data| {
                for name in ["000.jpg", "001.png", "002.jpg"] {
                    fs::remove_file(data.join("dog").join(name)).unwrap();
                }
            },
            "there were 36 images and are 34",
        ),
        (
            &|data| fs::rename(data.join("dog/000.jpg"), data.join("dog/0000.jpg")).unwrap(),
            "under other names",
        ),
        (&|data| picture(44, 9).save(data.join("dog/000.jpg")).unwrap(), "files have other sizes"),
    ];
    for (change, difference) in changes {
        let (folder, data) = place();
        two_classes(&data, 20);
        let run = folder.path().join("run");
        train(&data, &run).assert().success();
        // The same images in another place are the same.
        let moved = folder.path().join("moved");
        fs::rename(&data, &moved).unwrap();
        resume(&run).arg("--data-dir").arg(&moved).args(["--epochs", "2"]).assert().success();
        fs::rename(&moved, &data).unwrap();
        change(&data);
        let before = log(&run);
        let refused = resume(&run).args(["--epochs", "3"]).assert().code(1);
        refused.stderr(contains(difference).and(contains("--accept-changed-data")));
        assert_eq!(log(&run), before, "a refusal changes nothing");
        resume(&run).args(["--epochs", "3", "--accept-changed-data"]).assert().success();
        resume(&run).args(["--epochs", "4"]).assert().success();
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_the_tensors_name() {
    let (folder, _) = place();
    let run = folder.path().join("run");
    tiny_run(&run).args(["--epochs", "1"]).assert().success();
    let path = run.join("weights.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let broken = folder.path().join("nan.safetensors");
    fs::write(&broken, bytes).unwrap();
    let mut knn = command();
    knn.args(["knn", "--k", "1", "--dataset", "shapes", "--weights"]).arg(&broken);
    knn.assert().code(1).stderr(contains("layer").and(contains("holds NaN")));
    let torch = folder.path().join("model.pth");
    fs::write(&torch, b"PK\x03\x04archive/data.pkl").unwrap();
    let mut knn = command();
    knn.args(["knn", "--k", "1", "--dataset", "shapes", "--weights"]).arg(&torch);
    knn.assert().code(1).stderr(contains("no usable PyTorch checkpoint"));
}

#[test]
fn a_run_in_the_data_and_what_systems_leave_are_no_pictures() {
    let (_folder, data) = place();
    two_classes(&data, 20);
    train(&data, &data.join("runs/folder")).assert().success();
    for leftover in
        ["cat/._000.jpg", ".ipynb_checkpoints/a.png", "__MACOSX/cat/._1.png", "cat/Thumbs.db"]
    {
        fs::create_dir_all(data.join(leftover).parent().unwrap()).unwrap();
        fs::write(data.join(leftover), b"no picture").unwrap();
    }
    let seen = seen(&data);
    assert!(seen.contains("36 images in 2 classes, 4 held out"), "{seen}");
    assert!(!seen.contains("cannot be read"), "{seen}");
}

#[cfg(unix)]
#[test]
fn class_folders_that_are_links_are_followed() {
    let (folder, data) = place();
    let store = folder.path().join("store");
    two_classes(&store, 20);
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink("../store/cat", data.join("cat")).unwrap();
    std::os::unix::fs::symlink(store.join("dog"), data.join("dog")).unwrap();
    std::os::unix::fs::symlink(&data, data.join("cat/round")).unwrap();
    std::os::unix::fs::symlink("nowhere", data.join("broken.png")).unwrap();
    let seen = seen(&data);
    assert!(seen.contains("36 images in 2 classes, 4 held out"), "{seen}");
    assert!(seen.contains("1 broken link"), "{seen}");
}

#[test]
fn parts_by_any_usual_name_are_parts() {
    for [train_part, test_part] in [
        ["Training", "Testing"],
        ["Train", "Test"],
        ["training_set", "test_set"],
        ["train", "valid"],
    ] {
        let (_folder, data) = place();
        two_classes(&data.join(train_part), 10);
        two_classes(&data.join(test_part), 5);
        let seen = seen(&data);
        assert!(seen.contains("20 images in 2 classes, 10 held out"), "{train_part}: {seen}");
    }
}

#[test]
fn a_stray_picture_takes_no_labels_and_every_extension_of_a_picture_is_read() {
    let (_folder, data) = place();
    two_classes(&data, 20);
    picture(20, 1).save(data.join("cover.png")).unwrap();
    for name in ["cat/a.JPG", "cat/b.jfif", "cat/c.jpe", "dog/unnamed"] {
        fs::copy(data.join("cat/000.jpg"), data.join(name)).unwrap();
    }
    fs::write(data.join("cat/notes.txt"), "no picture").unwrap();
    let seen = seen(&data);
    assert!(seen.contains("in 2 classes, 1 of them without a label"), "{seen}");
    assert!(seen.contains("ignored: 1 .txt"), "{seen}");
    let total: usize = 40 + 1 + 4;
    assert!(seen.contains(&format!("{} images", total - 4)), "{seen}");
}

#[test]
fn a_folder_without_flags_is_trained_on_by_what_lies_in_it() {
    let (folder, data) = place();
    two_classes(&data, 20);
    let run = |arguments: &[&str]| {
        let mut command = command();
        command.current_dir(folder.path()).arg("pretrain").args(arguments);
        command.args(set(SMALL)).args(set(["model.stem=cifar"]));
        command.args(["--epochs", "1"]);
        said(&command.assert().success())
    };
    for arguments in [&["data"][..], &["--data-dir", "data"]] {
        let told = run(arguments);
        assert!(
            told.contains("read as --dataset folder") && told.contains("--preset folder"),
            "{told}"
        );
        // Few images: the batch, the warm-up and the k's suit them.
        assert!(told.contains("optimizer.batch_size = 32 instead of 128"), "{told}");
        assert!(told.contains("eval.k = [1, 20] instead of [1, 20, 200]"), "{told}");
        assert!(told.contains("images: 36 images in 2 classes, 4 held out"), "{told}");
    }
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    fs::write(nothing.join("a.txt"), "no picture").unwrap();
    let refused = command().arg("pretrain").arg(&nothing).assert().failure();
    refused.stderr(contains("nothing"));
}

#[test]
fn a_run_is_found_again_whatever_began_it_and_goes_on_with_more_epochs_and_another_rate() {
    let (folder, data) = place();
    two_classes(&data, 20);
    let run = folder.path().join("runs/folder");
    train(&data, &run).assert().success();
    let go_on = |arguments: &[&str]| {
        let mut command = command();
        command
            .current_dir(folder.path())
            .args(["pretrain", "--quiet", "--no-pictures", "--resume"])
            .args(arguments);
        command.assert()
    };
    let told = said(&go_on(&["--epochs", "3", "--set", "optimizer.lr=0.01"]).success());
    assert!(told.contains("the schedule of the learning rate is that of 3 epochs"), "{told}");
    let changed = log(&run);
    assert!(
        changed.contains(r#""kind":"changed""#) && changed.contains(r#""key":"optimizer.lr""#),
        "{changed}"
    );
    assert_eq!(changed.matches(r#""kind":"epoch""#).count(), 3, "{changed}");
    go_on(&["--set", "model.width=4"]).code(2).stderr(contains("model.width = 4 instead of 2"));
    // The command that began it, repeated.
    train(&data, &run)
        .args(["--resume", "--epochs", "3", "--set", "optimizer.lr=0.01"])
        .assert()
        .success();
}

#[test]
fn a_flag_given_twice_counts_as_it_was_given_last() {
    let (folder, _) = place();
    let run = folder.path().join("run");
    tiny_run(&run)
        .args(["--epochs", "5", "--epochs", "1", "--seed", "3", "--seed", "4"])
        .assert()
        .success();
    assert!(fs::read_to_string(run.join("config.toml")).unwrap().contains("seed = 4"));
    assert_eq!(log(&run).matches(r#""kind":"epoch""#).count(), 1);
}

#[test]
fn the_presets_are_listed_with_what_they_are_for() {
    let listed = said(&command().args(["config", "list"]).assert().success());
    for line in listed.lines() {
        let (name, about) = line.split_at(26);
        assert!(!name.trim().is_empty() && name.ends_with(' ') && about.len() > 30, "{line}");
    }
    assert!(listed.contains("SimSiam, without LoGo, on CIFAR-10"), "{listed}");
}

/// Parquet files that `make_tables.py` writes.
fn tables(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn labels_of_tables_may_be_null_or_names_and_images_may_be_paths() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut command = train(&tables("nulls"), &run);
    let told = said(&command.args(["--dataset", "parquet"]).assert().success()) + &log(&run);
    assert!(told.contains(r#""train_images":16,"test_images":4"#), "{told}");

    let seen_of_names = seen(&tables("names"));
    assert!(
        seen_of_names.contains("parquet: 8 images in 2 classes, 4 held out"),
        "{seen_of_names}"
    );
    assert!(seen_of_names.contains("4 cat") && seen_of_names.contains("4 dog"), "{seen_of_names}");

    let data = folder.path().join("paths");
    fs::create_dir(&data).unwrap();
    fs::copy(tables("paths/train.parquet"), data.join("train.parquet")).unwrap();
    for number in 0..4 {
        fs::create_dir_all(data.join("pictures")).unwrap();
        picture(20, number).save(data.join(format!("pictures/{number}.png"))).unwrap();
    }
    let info = |data: &Path| {
        let mut info = self::command();
        said(
            &info
                .args(["data", "info", "--dataset", "parquet", "--data-dir"])
                .arg(data)
                .assert()
                .success(),
        )
    };
    let whole = info(&data);
    assert!(
        whole.contains("train: 4 images of 20 × 24") && !whole.contains("cannot be read"),
        "{whole}"
    );
    fs::remove_file(data.join("pictures/2.png")).unwrap();
    let lacking = info(&data);
    assert!(
        lacking.contains("1 cannot be read") && lacking.contains("pictures/2.png"),
        "{lacking}"
    );
    assert!(!lacking.contains("Remove that row"), "{lacking}");
}

#[test]
fn labels_of_shards_may_be_names_and_keys_end_at_the_first_dot() {
    let (folder, data) = place();
    two_classes(&data, 8);
    let shards = folder.path().join("shards");
    fs::create_dir(&shards).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(shards.join("train.tar")).unwrap());
    for number in (0..8).step_by(2) {
        for class in ["cat", "dog"] {
            let key = format!("{class}{number}");
            let file = data.join(format!("{class}/{number:03}.jpg"));
            tar.append_path_with_name(file, format!("{key}.view.jpg")).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(class.len() as u64);
            tar.append_data(&mut header, format!("{key}.cls"), class.as_bytes()).unwrap();
        }
    }
    tar.finish().unwrap();
    let seen = seen(&shards);
    assert!(seen.contains("8 images in 2 classes"), "{seen}");
    assert!(seen.contains("4 cat") && seen.contains("4 dog"), "{seen}");
}

#[test]
fn files_that_are_no_pictures_are_named_as_what_they_are() {
    let (_folder, data) = place();
    pictures(&data, 8);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let gzip: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03";
    for (name, bytes, said) in [
        ("lfs.jpg", pointer.as_bytes(), "git lfs pull"),
        ("page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        ("zip.png", gzip, "gzip"),
        ("nothing.png", b"", "empty"),
        ("photo.jpg", b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "save"),
    ] {
        fs::write(data.join(name), bytes).unwrap();
        let seen = seen(&data);
        let line = seen.lines().find(|line| line.contains(name)).unwrap_or_default();
        assert!(line.to_lowercase().contains(said), "{name}: {line}\n{seen}");
        assert!(!seen.contains(|c: char| c.is_control() && c != '\n'), "{seen:?}");
        fs::remove_file(data.join(name)).unwrap();
    }
}

#[test]
fn every_kind_of_picture_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tests/fixtures/pictures");
    let (_folder, data) = place();
    fs::create_dir(&data).unwrap();
    let mut copied = 0;
    for entry in fs::read_dir(&fixtures).unwrap() {
        let name = entry.unwrap().file_name();
        // A list of pixels, and a compression that is refused.
        if name != "pictures.txt" && name != "bits_fax.tiff" {
            fs::copy(fixtures.join(&name), data.join(&name)).unwrap();
            copied += 1;
        }
    }
    assert!(copied > 90, "{copied} fixtures");
    let seen = seen(&data);
    assert!(seen.contains(&format!("train: {copied} images")), "{seen}");
    assert!(!seen.contains("cannot be read"), "{seen}");
}

#[cfg(unix)]
#[test]
fn hugging_faces_cache_is_read_through_its_links() {
    let (_folder, data) = place();
    fs::create_dir_all(data.join("blobs")).unwrap();
    fs::create_dir_all(data.join("refs")).unwrap();
    fs::write(data.join("refs/main"), "abc").unwrap();
    for number in 0..20 {
        let class = ["cat", "dog"][number % 2];
        let blob = format!("{number:064x}");
        let made = data.join("blobs").join(&blob);
        picture(20, number as u32).save_with_format(&made, image::ImageFormat::Png).unwrap();
        let folder = data.join("snapshots/abc/train").join(class);
        fs::create_dir_all(&folder).unwrap();
        let link = folder.join(format!("{number}.png"));
        std::os::unix::fs::symlink(format!("../../../../blobs/{blob}"), link).unwrap();
    }
    let seen = seen(&data);
    assert!(seen.contains("20 images in 2 classes"), "{seen}");
}

#[test]
fn mnist_is_read_as_kaggle_has_it() {
    let (_folder, data) = place();
    fs::create_dir(&data).unwrap();
    for part in ["train", "test"] {
        let row = |number: usize| {
            let pixels: Vec<String> =
                (0..16).map(|at| ((number * 31 + at * 7) % 256).to_string()).collect();
            format!("{},{}\n", number % 10, pixels.join(","))
        };
        let heads: Vec<String> =
            (0..16).map(|at| format!("{}x{}", at / 4 + 1, at % 4 + 1)).collect();
        let rows: String = (0..20).map(row).collect();
        let text = format!("label,{}\n{rows}", heads.join(","));
        fs::write(data.join(format!("mnist_{part}.csv")), text).unwrap();
    }
    let seen = seen(&data);
    assert!(seen.contains("mnist: 20 images in 10 classes, 20 held out"), "{seen}");
}

/// An IDX file of bytes in so many dimensions, compressed.
fn idx(path: &Path, sizes: &[u32], values: &[u8]) {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    let mut file =
        flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), Default::default());
    file.write_all(&bytes).unwrap();
    file.finish().unwrap();
}

#[test]
fn emnist_is_read_with_its_letters_from_its_own_files() {
    let (_folder, data) = place();
    let raw = data.join("gzip");
    fs::create_dir_all(&raw).unwrap();
    for part in ["train", "test"] {
        let pixels: Vec<u8> = (0..26 * 16).map(|at| (at * 37 % 251) as u8).collect();
        // Letters are counted from 1.
        let labels: Vec<u8> = (1..=26).collect();
        let path = |kind: &str| raw.join(format!("emnist-letters-{part}-{kind}-ubyte.gz"));
        idx(&path("images-idx3"), &[26, 4, 4], &pixels);
        idx(&path("labels-idx1"), &[26], &labels);
    }
    let seen = seen(&data);
    assert!(seen.contains("mnist: 26 images in 26 classes, 26 held out"), "{seen}");
    let mut info = command();
    info.args(["data", "info", "--json"]).arg(&data);
    let json = said(&info.assert().success());
    assert!(json.to_lowercase().contains(r#""classes":["a","b","c""#), "{json}");
}

#[cfg(unix)]
#[test]
fn imagenet100_is_found_among_imagenets_folders_and_links_to_them() {
    let (folder, data) = place();
    let store = folder.path().join("store");
    // The last is none of the hundred.
    for class in ["n02869837", "n01749939", "n00000001"] {
        pictures(&store.join(class), 10);
    }
    fs::create_dir_all(data.join("train")).unwrap();
    for class in ["n02869837", "n01749939", "n00000001"] {
        std::os::unix::fs::symlink(store.join(class), data.join("train").join(class)).unwrap();
    }
    std::os::unix::fs::symlink("../store", data.join("val")).unwrap();
    let mut info = command();
    info.args(["data", "info", "--dataset", "imagenet100", "--data-dir"]).arg(&data);
    let seen = said(&info.assert().success());
    assert!(seen.contains("imagenet100: 20 images in 100 classes, 20 held out"), "{seen}");
    assert!(seen.contains("pictures of 2 of ImageNet-100's 100 classes alone"), "{seen}");
}
