//! Nothing is lost: a run that was killed, or told to stop, ends as if it had not been.

#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

#[test]
fn killed_within_an_epoch_and_again_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    assert!(spawn(&whole, &[]).wait().unwrap().success());
    let run = folder.path().join("run");
    for steps in [2, 5, 7] {
        let more: &[&str] = if steps == 2 { &[] } else { &["--resume"] };
        let mut child = spawn(&run, more);
        wait_for_steps(&run, steps);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    resume(&run);
    assert_eq!(files(&run), files(&whole));
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
    let (_, state) =
        logo_ssl::train::checkpoint::read(&run.join("checkpoints/last.safetensors")).unwrap();
    let finite = state.values().all(|data| data.iter::<f32>().all(f32::is_finite));
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
