//! Nothing is lost: a run that was killed, or told to stop, ends as if it had not been.

#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logo_ssl::train::checkpoint;
use support::{command, files, tiny_arguments, tiny_run};

fn spawn(run: &Path, more: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"))
        .args(tiny_arguments(run))
        .args(["--epochs", "2", "--checkpoint-every", "3"])
        .args(more)
        .env_remove("LOGO_SSL_DATA")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn resume(run: &Path) {
    command()
        .args(["pretrain", "--quiet", "--resume", "--checkpoint-every", "3", "--run-dir"])
        .arg(run)
        .assert()
        .success();
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let began = Instant::now();
    assert!(spawn(&whole, &[]).wait().unwrap().success());
    let took = began.elapsed();
    let expected = files(&whole);

    let mut cut_short = 0;
    for (attempt, share) in [0.08, 0.3, 0.5, 0.62, 0.74, 0.86, 0.95].into_iter().enumerate() {
        let run = folder.path().join(format!("killed-{attempt}"));
        let mut child = spawn(&run, &[]);
        std::thread::sleep(took.mul_f64(share));
        child.kill().unwrap();
        cut_short += usize::from(!child.wait().unwrap().success());
        if run.join("config.toml").exists() {
            resume(&run);
        } else {
            tiny_run(&run).assert().success();
        }
        assert_eq!(files(&run), expected, "killed after {share} of {took:?}");
    }
    assert!(cut_short >= 4, "only {cut_short} runs were killed before their end");
}

/// Waits until the log holds `steps` steps.
fn wait_for_steps(run: &Path, steps: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
        if log.matches(r#""kind":"step""#).count() >= steps {
            return;
        }
        assert!(Instant::now() < deadline, "no step {steps} in two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A run under `settings` is killed as soon as its log holds so many steps, goes on, is killed again …
/// and ends with the bytes of one that was not.
fn assert_survives(settings: &[&str], killed_after: &[usize]) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    assert!(spawn(&whole, &settings).wait().unwrap().success());
    let run = folder.path().join("run");
    for (attempt, &steps) in killed_after.iter().enumerate() {
        let resume: &[&str] = if attempt == 0 { &[] } else { &["--resume"] };
        let mut child = spawn(&run, &[&settings, resume].concat());
        wait_for_steps(&run, steps);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume(&run);
    assert_eq!(files(&run), files(&whole));
}

#[test]
fn killed_within_an_epoch_and_again_it_ends_with_the_same_bytes() {
    assert_survives(&[], &[2, 5, 7]);
}

#[test]
fn killed_within_an_accumulation_it_ends_with_the_same_bytes() {
    let adamw = ["optimizer.name=adamw", "optimizer.lr=0.001", "optimizer.accumulate=2"];
    assert_survives(&adamw, &[1, 3]);
}

#[test]
fn killed_with_a_queue_and_a_separate_step_it_ends_with_the_same_bytes() {
    let settings = [
        "framework.name=moco",
        "framework.momentum.queue=64",
        "framework.momentum.norm_groups=2",
        "affinity.step=separate",
        "optimizer.accumulate=2",
    ];
    assert_survives(&settings, &[1, 3]);
}

/// A config without the keys that came with the choice of optimisers.
fn of_before(config: &str) -> String {
    let new = [
        "name = \"sgd\"",
        "accumulate",
        "lr_scaling",
        "predictor_fixed_lr",
        "betas",
        "decay_norm_and_bias",
        "clip = 0.0\n",
    ];
    let lines = config.split_inclusive('\n');
    lines.filter(|line| !new.iter().any(|key| line.starts_with(key))).collect()
}

#[test]
fn a_run_of_before_the_choice_of_optimisers_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert!(spawn(&whole, &[]).wait().unwrap().success());
    let run = folder.path().join("run");
    let mut child = spawn(&run, &[]);
    wait_for_steps(&run, 4);
    child.kill().unwrap();
    child.wait().unwrap();

    let (config, last) = (run.join("config.toml"), run.join("checkpoints/last.safetensors"));
    fs::write(&config, of_before(&fs::read_to_string(&config).unwrap())).unwrap();
    let (mut position, state) = checkpoint::read(&last).unwrap();
    assert!(state.contains_key("velocity.backbone.conv1.weight"));
    position.config = of_before(&position.config);
    assert!(!position.config.contains("betas"), "{}", position.config);
    checkpoint::write(&last, &position, &state).unwrap();

    resume(&run);
    for file in ["metrics.jsonl", "weights.safetensors"] {
        assert!(fs::read(run.join(file)).unwrap() == fs::read(whole.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn told_to_stop_it_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert!(spawn(&whole, &[]).wait().unwrap().success());
    for signal in ["-INT", "-TERM"] {
        let run = folder.path().join(signal);
        let child = spawn(&run, &[]);
        wait_for_steps(&run, 1);
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("nothing is lost") && said.contains("--resume --run-dir"), "{said}");
        resume(&run);
        assert_eq!(files(&run), files(&whole), "{signal}");
    }
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let assert = tiny_run(&run).args(["--set", "optimizer.lr=1e6"]).assert().code(1);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("at step") && said.contains("last.safetensors"), "{said}");
    let (_, state) = checkpoint::read(&run.join("checkpoints/last.safetensors")).unwrap();
    let finite = state.values().all(|data| data.values.iter().all(|value| value.is_finite()));
    assert!(finite, "the kept checkpoint is good");
}

/// MoCo in the authors' form of LoGo has the most to remember: queue, momentum encoder, two velocities
/// of the encoder, the norm of its last gradient.
#[test]
fn a_momentum_encoder_and_its_queue_come_back() {
    let settings = [
        "framework.name=moco",
        "framework.momentum.queue=64",
        "framework.momentum.norm_groups=4",
        "affinity.step=separate",
        "affinity.pairs=both-orders",
        "affinity.noise=0.3",
    ];
    let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let folder = tempfile::tempdir().unwrap();
    let (whole, run) = (folder.path().join("whole"), folder.path().join("run"));
    assert!(spawn(&whole, &more).wait().unwrap().success());
    let mut child = spawn(&run, &more);
    wait_for_steps(&run, 5);
    child.kill().unwrap();
    child.wait().unwrap();
    resume(&run);
    assert_eq!(files(&run), files(&whole));
}
