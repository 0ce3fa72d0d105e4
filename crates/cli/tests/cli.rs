//! The command as a person meets it: what it prints, refuses, and leaves behind.

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use predicates::prelude::*;
use support::{command, files, resume, shapes_run, tiny_arguments, tiny_run};

#[test]
fn a_run_leaves_everything_a_person_needs() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    shapes_run(&run)
        .assert()
        .success()
        .stdout(predicate::str::contains("kNN, trained backbone (epoch 2)"))
        .stdout(predicate::str::contains("kNN, raw pixels"))
        .stdout(predicate::str::contains("kNN, untrained backbone"))
        .stdout(predicate::str::contains("report.html"));
    for file in [
        "config.toml",
        "metrics.jsonl",
        "timings.jsonl",
        "preview.png",
        "weights.safetensors",
        "report.html",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "plots/loss.svg",
        "plots/loss.png",
        "plots/knn.svg",
        "plots/knn.png",
        "plots/std.svg",
        "plots/std.png",
    ] {
        let size = run.join(file).metadata().map(|m| m.len()).unwrap_or(0);
        assert!(size > 100, "{file} has {size} bytes");
    }
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let kinds = |kind: &str| log.matches(&format!(r#""kind":"{kind}""#)).count();
    assert_eq!((kinds("step"), kinds("epoch"), kinds("knn")), (8, 2, 4));

    let knn = ["knn", "--dataset", "shapes", "--k", "1", "--json"];
    let of_run = command().args(knn).arg("--run").arg(&run).assert().success();
    let of_weights = command()
        .args(knn)
        .arg("--weights")
        .arg(run.join("weights.safetensors"))
        .assert()
        .success();
    let result = |assert: &assert_cmd::assert::Assert| {
        let printed: serde_json::Value =
            serde_json::from_slice(&assert.get_output().stdout).unwrap();
        printed["results"][0]["top1"].as_f64().unwrap()
    };
    assert_eq!(result(&of_run), result(&of_weights), "both are the last weights");
    let logged = log.lines().rfind(|line| line.contains(r#""source":"trained""#)).unwrap();
    assert!(logged.contains(&format!(r#""top1":{}"#, result(&of_run))), "{logged}");

    fs::remove_file(run.join("report.html")).unwrap();
    command().arg("report").arg(&run).assert().success();
    assert!(run.join("report.html").exists());
}

#[test]
fn plain_simsiam_runs_without_logo() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run)
        .args(["--set", "framework.logo=false", "--set", "framework.name=simsiam"])
        .args(["--set", "model.predictor.hidden=8", "--epochs", "1"])
        .assert()
        .success();
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(log.contains("global_global") && !log.contains("local_global"));
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let of = |threads: &str| {
        let run = folder.path().join(threads);
        tiny_run(&run).args(["--threads", threads]).assert().success();
        files(&run)
    };
    assert_eq!(of("1"), of("2"));
}

#[test]
fn another_seed_gives_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let of = |seed: &str| {
        let run = folder.path().join(seed);
        tiny_run(&run).args(["--seed", seed, "--epochs", "1"]).assert().success();
        fs::read(run.join("weights.safetensors")).unwrap()
    };
    assert_ne!(of("1"), of("2"));
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    command()
        .args(["pretrain", "--preset", "cifar-10"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("no preset `cifar-10`: did you mean `cifar10`?"));
    command()
        .args(["pretrain", "--set", "optimizer.learning=1"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("unknown key `optimizer.learning`"));
    command()
        .args(["pretrain", "--set", "optimiser.lr=1"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("did you mean `optimizer`?"));
    command()
        .args(["pretrain", "--set", "model.backbone=resnet19"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("resnet18"));
    command()
        .args(["knn", "--weights", "x", "--dataset", "cifar1"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("did you mean `cifar10`?"));
}

#[test]
fn values_out_of_range_and_contradictions_are_refused() {
    for (settings, reason) in [
        (vec!["optimizer.momentum=1.5"], "optimizer.momentum = 1.5 is out of range"),
        (vec!["views.global.area=[0.9, 0.1]"], "views.global.area"),
        (vec!["optimizer.lr=fast"], "lr"),
        (vec!["optimizer.warmup_epochs=5.0", "optimizer.epochs=2"], "warm-up must end"),
        (vec!["data.limit=8", "optimizer.batch_size=64"], "no whole batch"),
        (vec!["data.limit=100", "optimizer.accumulate=2"], "no whole update"),
        (vec!["optimizer.accumulate=0"], "an update takes at least one batch"),
        (vec!["optimizer.betas=[0.9, 1.0]"], "optimizer.betas = [0.9, 1] must be two numbers"),
        (vec!["optimizer.betas=[-0.1, 0.9]"], "optimizer.betas"),
        (vec!["optimizer.clip=-1.0"], "optimizer.clip = -1 is out of range"),
        (vec!["optimizer.name=adam"], "adamw"),
        (vec!["optimizer.name=lars", "affinity.step=separate"], "would not bound it"),
        (vec!["optimizer.predictor_fixed_lr=true"], "no predictor whose rate could stay"),
        (vec!["framework.name=simsiam", "model.predictor.hidden=0"], "needs a predictor"),
        (vec!["model.stem=imagenet"], "views.local.size = 16 contradicts model.stem"),
        (vec!["seed_code.self_negatives=true"], "cifar10-seed alone"),
        (vec!["eval.k=[]"], "eval.k is empty"),
        (vec!["optimizer"], "is no assignment"),
        (vec!["optimizer=3"], "is a section"),
    ] {
        let mut command = command();
        command.arg("pretrain");
        for setting in &settings {
            command.args(["--set", setting]);
        }
        command.assert().code(2).stderr(predicate::str::contains(reason));
    }
    command().args(["pretrain", "--threads", "0"]).assert().code(2);
    command().args(["knn"]).assert().code(2);
}

#[test]
fn a_config_file_lies_between_preset_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    fs::write(&file, "seed = 7\n[optimizer]\nlr = 0.5\nmomentum = 0.8\n").unwrap();
    let run = folder.path().join("run");
    tiny_run(&run)
        .arg("--config")
        .arg(&file)
        .args(["--set", "optimizer.lr=0.25", "--epochs", "1"])
        .assert()
        .success();
    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["seed"].as_integer(), Some(7));
    assert_eq!(config["optimizer"]["lr"].as_float(), Some(0.25));
    assert_eq!(config["optimizer"]["momentum"].as_float(), Some(0.8));

    fs::write(&file, "[optimizer]\nlrr = 0.5\n").unwrap();
    tiny_run(&folder.path().join("other"))
        .arg("--config")
        .arg(&file)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("unknown key `optimizer.lrr`"))
        .stderr(predicate::str::contains("did you mean `lr`?"));
    fs::write(&file, "[optimizer\n").unwrap();
    tiny_run(&folder.path().join("other"))
        .arg("--config")
        .arg(&file)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("no valid TOML"));
}

#[test]
fn a_taken_run_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).args(["--epochs", "1"]).assert().success();
    let before = files(&run);
    tiny_run(&run)
        .args(["--epochs", "1"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("already holds a run; go on with it by --resume"));
    tiny_run(&run)
        .args(["--resume", "--epochs", "1", "--set", "model.width=4"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("model.width = 4 instead of 2"));
    assert_eq!(files(&run), before, "a refusal changes nothing");

    let config = run.join("config.toml");
    let edited =
        fs::read_to_string(&config).unwrap().replace("temperature = 0.2", "temperature = 0.3");
    fs::write(&config, edited).unwrap();
    command()
        .args(["pretrain", "--resume", "--run-dir"])
        .arg(&run)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("framework.temperature = 0.3 instead of 0.2"));
    command()
        .args(["pretrain", "--resume", "--run-dir"])
        .arg(folder.path().join("nothing"))
        .assert()
        .code(1)
        .stderr(predicate::str::contains("holds no run to resume"));
}

#[test]
fn a_run_directory_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    let lock = fs::File::create(run.join(".lock")).unwrap();
    lock.lock().unwrap();
    tiny_run(&run).assert().code(1).stderr(predicate::str::contains("in use by another logo-ssl"));
}

#[test]
fn missing_and_damaged_cifar_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let run = folder.path().join("run");
    let cifar = || {
        let mut command = command();
        command.args(["pretrain", "--preset", "cifar10-cpu", "--data-dir"]).arg(&data);
        command.arg("--run-dir").arg(&run);
        command
    };
    cifar()
        .assert()
        .code(1)
        .stderr(predicate::str::contains("no CIFAR-10 under"))
        .stderr(predicate::str::contains("logo-ssl data fetch cifar10"));

    let batches = data.join("cifar-10-batches-bin");
    fs::create_dir(&batches).unwrap();
    for batch in 1..=5 {
        fs::write(batches.join(format!("data_batch_{batch}.bin")), [0_u8; 3073]).unwrap();
    }
    fs::write(batches.join("test_batch.bin"), [0_u8; 3073]).unwrap();
    cifar()
        .assert()
        .code(1)
        .stderr(predicate::str::contains("data_batch_1.bin"))
        .stderr(predicate::str::contains("30730000").or(predicate::str::contains("30,730,000")));

    fs::remove_dir_all(&batches).unwrap();
    fs::write(data.join("cifar-10-binary.tar.gz"), b"not an archive").unwrap();
    cifar().assert().code(1).stderr(predicate::str::contains("cifar-10-binary.tar.gz"));
    assert!(!run.exists(), "a run that never began leaves no folder");
}

#[test]
fn an_archive_that_reaches_outside_its_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let archive = fs::File::create(data.join("cifar-10-binary.tar.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(archive, flate2::Compression::fast());
    let mut header = tar::Header::new_gnu();
    // The tar crate refuses to write such a name by itself.
    let name = b"cifar-10-batches-bin/../../outside.bin";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(4);
    header.set_mode(0o644);
    header.set_cksum();
    gz.write_all(header.as_bytes()).unwrap();
    gz.write_all(&[0; 512]).unwrap();
    gz.write_all(&[0; 1024]).unwrap();
    gz.finish().unwrap().sync_all().unwrap();
    command()
        .args(["pretrain", "--preset", "cifar10-cpu", "--data-dir"])
        .arg(&data)
        .arg("--run-dir")
        .arg(folder.path().join("run"))
        .assert()
        .code(1)
        .stderr(predicate::str::contains("outside.bin"));
    assert!(!folder.path().join("outside.bin").exists());
    assert!(!data.join("outside.bin").exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    tiny_run(&file.join("run"))
        .assert()
        .code(1)
        .stderr(predicate::str::contains("cannot create"))
        .stderr(predicate::str::contains("file/run"));
}

#[test]
#[cfg(unix)]
fn a_full_disk_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    // A limit on the size of files stands in for a full disk: small logs fit, a checkpoint does not.
    let program = assert_cmd::cargo::cargo_bin!("logo-ssl");
    let arguments = support::tiny_arguments(&run).join(" ");
    let script = format!("trap '' XFSZ; ulimit -f 16; exec '{}' {arguments}", program.display());
    assert_cmd::Command::new("bash")
        .args(["-c", &script])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("cannot write"))
        .stderr(predicate::str::contains("last.safetensors"));
    assert!(!run.join("checkpoints/last.safetensors").exists());
    assert!(!run.join("checkpoints/last.safetensors.tmp").exists(), "no half-written file stays");
    resume(&run).assert().success();
}

#[test]
fn damaged_weights_and_run_directories_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    for (bytes, problem) in [
        (&b"\xff\xff\xff\xff\xff\xff\xff\xff{}"[..], "no usable safetensors file"),
        (b"nothing of the kind", "is text"),
    ] {
        fs::write(&file, bytes).unwrap();
        command()
            .args(["knn", "--dataset", "shapes", "--weights"])
            .arg(&file)
            .assert()
            .code(1)
            .stderr(predicate::str::contains(format!("w.safetensors: {problem}")));
    }
    command().arg("report").arg(folder.path()).assert().code(1);
    command()
        .args(["knn", "--run"])
        .arg(folder.path())
        .assert()
        .code(1)
        .stderr(predicate::str::contains("is this a run directory?"));
}

#[test]
fn presets_are_shown_with_their_comments() {
    for preset in ["quickstart", "cifar10", "cifar10-seed", "cifar10-cpu"] {
        command()
            .args(["config", "show", "--preset", preset])
            .assert()
            .success()
            .stdout(predicate::str::starts_with("#").and(predicate::str::contains(preset)));
    }
}

#[test]
fn a_preview_is_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("preview.png");
    command()
        .args(["data", "preview", "--dataset", "shapes", "--out"])
        .arg(&picture)
        .assert()
        .success();
    let bytes = fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000);
}

#[test]
fn info_counts_images_and_classes() {
    command()
        .args(["data", "info", "--dataset", "shapes"])
        .assert()
        .success()
        .stdout(predicate::str::contains("train: 4000 images of 32 × 32"))
        .stdout(predicate::str::contains("100 crescent"));
}

#[test]
fn fetch_unpacks_an_archive_that_lies_there() {
    let folder = tempfile::tempdir().unwrap();
    let archive = fs::File::create(folder.path().join("cifar-10-binary.tar.gz")).unwrap();
    let gz = flate2::write::GzEncoder::new(archive, flate2::Compression::fast());
    let mut tar = tar::Builder::new(gz);
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    tar.append_data(&mut header, "cifar-10-batches-bin/readme.html", &b"abc"[..]).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    command()
        .args(["data", "fetch", "cifar10", "--data-dir"])
        .arg(folder.path())
        .assert()
        .success()
        .stdout(predicate::str::contains("cifar-10-batches-bin"));
    let unpacked = folder.path().join("cifar-10-batches-bin/readme.html");
    assert_eq!(fs::read(unpacked).unwrap(), b"abc");
    command().args(["data", "fetch", "shapes"]).assert().code(2);
}

#[test]
fn a_reader_that_goes_away_ends_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    for arguments in [vec!["config".to_owned(), "list".to_owned()], tiny_arguments(&run)] {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
        command.args(arguments.iter().filter(|argument| *argument != "--quiet"));
        command.args((arguments[0] == "pretrain").then_some("--epochs=1"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
    assert!(run.join("report.html").is_file());
}

#[test]
fn a_run_of_a_later_format_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    tiny_run(&run).assert().success();
    let config = run.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.starts_with("# a run of logo-ssl, format 1\n"), "{text}");
    fs::write(&config, text.replacen("format 1", "format 9", 1)).unwrap();
    for arguments in [["pretrain", "--resume", "--run-dir"].as_slice(), &["report"]] {
        let refused = command().args(arguments).arg(&run).assert().code(1);
        refused.stderr(
            predicate::str::contains("of format 9").and(predicate::str::contains("reads up to 1")),
        );
    }
}
