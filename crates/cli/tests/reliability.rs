//! A run cannot be lost: whatever ends it, the last whole checkpoint is gone on from, the message says what happened,
//! and the end has the bytes of a run that nothing disturbed.
//!
//! Each fault is tried a few times here, and often by
//!
//! ```sh
//! cargo test --release -p logo-ssl-cli --test reliability -- --ignored --nocapture
//! ```

#![cfg(unix)]

#[path = "../../xla/tests/common/build.rs"]
mod build;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use support::pictures::eighty;
use support::{SMALL, files, plugin, set, skipped};
use tempfile::TempDir;

/// Where the results of a run lie, and their bytes.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A run of two epochs of nine steps with a checkpoint after every step, so that one is being written at most
/// moments.
fn arguments(run: &Path) -> Vec<String> {
    arguments_on(eighty(), run)
}

/// The same on other pictures.
fn arguments_on(pictures: &Path, run: &Path) -> Vec<String> {
    let flags = ["pretrain", "--quiet", "--no-pictures", "--preset", "folder", "--epochs", "2"];
    let sizes = ["--batch-size", "8", "--checkpoint-every", "1"];
    let settings =
        ["model.stem=cifar", "optimizer.warmup_epochs=0.0", "eval.resize=18", "eval.crop=16"];
    let settings = set(SMALL).chain(set(settings));
    let arguments = flags.into_iter().chain(sizes).chain(settings).map(str::to_owned);
    let places = [("--data-dir", pictures), ("--run-dir", run)];
    let places =
        places.into_iter().flat_map(|(flag, path)| [flag.to_owned(), path.display().to_string()]);
    arguments.chain(places).collect()
}

fn binary() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command.env_remove("LOGO_SSL_DATA").stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The run of [`arguments`], or what is left of it: begun where there is none, else gone on with.
fn training(run: &Path, more: &[String]) -> Command {
    training_on(eighty(), run, more)
}

/// The same on other pictures.
fn training_on(pictures: &Path, run: &Path, more: &[String]) -> Command {
    let mut command = binary();
    command.args(arguments_on(pictures, run)).args(more);
    if run.join("config.toml").exists() {
        command.arg("--resume");
    }
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What an undisturbed run leaves, and how long it takes.
struct Whole {
    files: Files,
    took: Duration,
}

impl Whole {
    fn of(more: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let start = Instant::now();
        let output = training(&run, more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        Self { took: start.elapsed(), files: files(&run) }
    }
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| Whole::of(&[]));

/// Goes on with a run to its end, and has it be as if nothing had happened. Returns what was said.
fn assert_nothing_lost(run: &Path, more: &[String], whole: &Whole, what: &str) -> String {
    assert_ends_whole(training(run, more), run, whole, what)
}

/// The same by the command that goes on with it.
fn assert_ends_whole(mut command: Command, run: &Path, whole: &Whole, what: &str) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{what}: {}", said(&output));
    assert_whole(run, whole, &format!("{what}: {}", said(&output)));
    said(&output)
}

/// Has what a run left be as if nothing had happened.
fn assert_whole(run: &Path, whole: &Whole, what: &str) {
    let left = files(run);
    for (name, bytes) in &whole.files {
        assert!(&left[name] == bytes, "{} is another: {what}", name.display());
    }
}

/// Kills runs at moments spread over the time that one takes, each until it was killed `often` times, and
/// has every one of them end as if it had not been.
fn kills(runs: usize, often: usize, more: &[String], whole: &Whole) {
    let (mut killed, mut tried) = (0, 0);
    for number in 0..runs {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        for attempt in 0..often {
            // Moments that no two attempts share: multiples of the golden ratio fill an interval evenly.
            let moment = ((number * often + attempt) as f64 * 0.618_034).fract();
            let mut child = training(&run, more).spawn().unwrap();
            std::thread::sleep(whole.took.mul_f64(moment));
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
            tried += 1;
        }
        assert_nothing_lost(&run, more, whole, &format!("run {number}, killed {often} times"));
    }
    eprintln!("killed at {killed} of {tried} moments, {runs} runs: lost 0");
    assert!(2 * killed >= tried, "only {killed} of {tried} runs were killed before their end");
}

#[test]
fn killed_at_random_moments_it_loses_nothing() {
    kills(4, 2, &[], &WHOLE);
}

#[test]
#[ignore = "takes minutes; the shortened one runs always"]
fn killed_at_two_hundred_and_forty_moments_it_loses_nothing() {
    kills(80, 3, &[], &WHOLE);
}

#[test]
#[ignore = "takes minutes, and needs a plugin in LOGO_SSL_PJRT_PLUGIN"]
fn killed_on_a_plugin_it_loses_nothing() {
    let Some(plugin) = plugin() else { return skipped("LOGO_SSL_PJRT_PLUGIN is unset") };
    let more = ["--device".to_owned(), plugin.display().to_string()];
    // What the plugin compiles is kept, so that the second run takes as long as those that are killed.
    Whole::of(&more);
    kills(80, 3, &more, &Whole::of(&more));
}

/// Functions of a plugin's table by which a run computes, and how often each is to have worked before it fails.
const CALLS: [(&str, usize, &[usize]); 3] = [
    ("PJRT_LoadedExecutable_Execute", 55, &[1, 6, 11, 20]),
    ("PJRT_Client_BufferFromHostBuffer", 22, &[30, 75]),
    ("PJRT_Buffer_ToHostBuffer", 70, &[10, 60]),
];

/// A plugin whose every function works until one fails: the run ends with what the plugin said, or dies with it, and
/// goes on once the plugin works again.
#[test]
fn a_plugin_that_fails_in_mid_run_loses_nothing() {
    let Some(beneath) = plugin() else { return skipped("LOGO_SSL_PJRT_PLUGIN is unset") };
    let folder = tempfile::tempdir().unwrap();
    let failing =
        build::library(folder.path(), "failing", include_str!("support/failing_plugin.rs"));
    let more = ["--device".to_owned(), failing.display().to_string()];
    let on_it = |run: &Path| {
        let mut command = training(run, &more);
        command.env("BENEATH", &beneath);
        command
    };
    let whole = folder.path().join("whole");
    assert!(on_it(&whole).status().unwrap().success());
    let whole = Whole { files: files(&whole), took: Duration::ZERO };
    let mut tried = 0;
    for (name, place, counts) in CALLS {
        for (count, how) in counts.iter().flat_map(|count| [(count, "error"), (count, "abort")]) {
            let run = folder.path().join(format!("{place}-{count}-{how}"));
            let failure = format!("{place} {count} {how}");
            let output = on_it(&run).env("FAILURE", &failure).output().unwrap();
            let told = said(&output);
            if how == "error" {
                assert_eq!(output.status.code(), Some(1), "{failure}: {told}");
                assert!(told.contains(name), "{failure}: {told}");
            } else {
                assert_eq!(output.status.code(), None, "{failure}: a signal ends it: {told}");
            }
            assert_ends_whole(on_it(&run), &run, &whole, &format!("{name} {failure}: {told}"));
            tried += 1;
        }
    }
    eprintln!("a plugin failed in mid-run {tried} times: lost 0");
}

/// Whether a run has logged this step.
fn has_logged(step: usize, run: &Path) -> bool {
    let log = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    log.contains(&format!("\"step\":{step},"))
}

/// Waits until a run has logged this step, or has ended.
fn wait_for_step(step: usize, run: &Path, child: &mut Child) {
    while !has_logged(step, run) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A run that was killed in its second epoch, so that it has two checkpoints.
fn killed_midway() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut child = training(&run, &[]).spawn().unwrap();
    let second = run.join("checkpoints/previous.safetensors");
    while !(second.exists() && has_logged(12, &run)) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    (folder, run)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Changes a byte in each of so many regions of the last checkpoint in turn, and cuts it there.
fn damages(regions: usize) {
    let (_folder, begun) = killed_midway();
    let length = fs::read(begun.join("checkpoints/last.safetensors")).unwrap().len();
    let mut went_back = 0;
    for region in 0..regions {
        let at = region * length / regions + (region * 37) % (length / regions);
        for cut in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let run = folder.path().join("run");
            copy(&begun, &run);
            let last = run.join("checkpoints/last.safetensors");
            let mut bytes = fs::read(&last).unwrap();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= 1 << (region % 8),
            }
            fs::write(&last, bytes).unwrap();
            let verified = binary().arg("verify").arg(&run).output().unwrap();
            let what = format!("byte {at} of {length}, cut: {cut}");
            assert_eq!(verified.status.code(), Some(1), "{what}: {}", said(&verified));
            let told = assert_nothing_lost(&run, &[], &WHOLE, &what);
            assert!(told.contains("last.safetensors"), "{what}: {told}");
            assert!(told.contains("goes on from the checkpoint before"), "{what}: {told}");
            assert!(run.join("checkpoints/damaged.safetensors").exists(), "{what}");
            went_back += 1;
        }
    }
    eprintln!("{went_back} damaged checkpoints: each was found, lost 0");
}

#[test]
fn a_damaged_checkpoint_is_found_and_the_one_before_is_used() {
    damages(3);
}

#[test]
#[ignore = "takes minutes; the shortened one runs always"]
fn every_region_of_a_checkpoint_is_checked() {
    damages(100);
}

#[test]
fn verify_names_what_is_damaged_and_where_a_run_goes_on() {
    let (_folder, run) = killed_midway();
    let verify = || {
        let output = binary().args(["verify"]).arg(&run).stdout(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
    };
    let (code, table, _) = verify();
    assert_eq!(code, Some(0), "{table}");
    assert!(table.contains("it goes on from step") && !table.contains("DAMAGED"), "{table}");
    for name in ["last", "previous"] {
        fs::write(run.join(format!("checkpoints/{name}.safetensors")), "no tensors").unwrap();
    }
    let (code, table, error) = verify();
    assert_eq!(code, Some(1));
    assert_eq!(table.matches("DAMAGED").count(), 2, "{table}");
    assert!(error.contains("no checkpoint is whole"), "{error}");
    // Where nothing can be gone on from, nothing is trained over it either.
    let output = training(&run, &[]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("last.safetensors"));
    let nothing = binary().arg("verify").arg(run.join("checkpoints")).output().unwrap();
    assert!(said(&nothing).contains("no config.toml"), "{}", said(&nothing));
}

/// Runs the script with the binary's arguments behind it: `"$@"`.
fn through_shell(script: &str, run: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(assert_cmd::cargo::cargo_bin!("logo-ssl"));
    command.args(arguments(run)).args(run.join("config.toml").exists().then_some("--resume"));
    command.env_remove("LOGO_SSL_DATA").stdout(Stdio::null()).stderr(Stdio::piped());
    command.output().unwrap()
}

#[test]
fn where_files_can_grow_no_more_the_file_is_named_and_nothing_is_lost() {
    // So many blocks of 512 bytes: for the first checkpoint, for the first lines of the log, for more of them.
    for blocks in [1, 64, 400] {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let output = through_shell(&script, &run);
        let what = format!("files of at most {blocks} blocks");
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
            assert!(said(&output).contains(run.to_str().unwrap()), "{what}: {}", said(&output));
        }
        assert_nothing_lost(&run, &[], &WHOLE, &what);
    }
}

/// A file system of its own for a run, of so many kilobytes, which is then made larger, or read-only and
/// writable again; afterwards the run lies at `kept`.
fn on_a_small_disk(folder: &Path, kept: &Path, first: &str, then: &str) -> Output {
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    let script = format!(
        "mount -t tmpfs -o {first} tmpfs {disk} || exit 99\n\
         \"$@\"\necho \"exit status $?\" >&2\n\
         mount -o remount,{then} {disk} || exit 98\n\
         \"$@\" --resume\necho \"exit status $?\" >&2\n\
         mount -o remount,rw,size=64m {disk} || exit 97\n\
         \"$@\" --resume && cp -r {disk}/run {kept}",
        disk = disk.display(),
        kept = kept.display(),
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    command.arg(assert_cmd::cargo::cargo_bin!("logo-ssl")).args(arguments(&disk.join("run")));
    command.env_remove("LOGO_SSL_DATA").stdout(Stdio::null()).stderr(Stdio::piped());
    command.output().unwrap_or_else(|_| Output {
        status: ExitStatus::default(),
        stdout: vec![],
        stderr: b"cannot mount: there is no unshare here".to_vec(),
    })
}

#[test]
fn a_full_disk_and_one_that_cannot_be_written_lose_nothing() {
    for (first, then) in [("size=200k", "size=600k"), ("size=900k", "ro"), ("size=64m", "ro")] {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        let output = on_a_small_disk(folder.path(), &kept, first, then);
        let told = said(&output);
        if output.status.code() == Some(99) || told.contains("cannot mount") {
            return skipped("no file system can be mounted here");
        }
        let what = format!("{first}, then {then}: {told}");
        assert!(output.status.success(), "{what}");
        for word in ["panicked", "corrupt"] {
            assert!(!told.contains(word), "{what}");
        }
        assert_whole(&kept, &WHOLE, &what);
    }
}

#[test]
fn without_memory_it_ends_and_goes_on_with_some() {
    for kilobytes in [60_000, 120_000, 240_000] {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        through_shell(&format!("ulimit -v {kilobytes}; exec \"$@\""), &run);
        assert_nothing_lost(&run, &[], &WHOLE, &format!("{kilobytes} kB of memory"));
    }
}

#[test]
fn two_processes_do_not_share_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut first = training(&run, &[]).spawn().unwrap();
    while !run.join("metrics.jsonl").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the run ended before a second could begin");
        std::thread::sleep(Duration::from_millis(2));
    }
    let second = training(&run, &[]).output().unwrap();
    assert!(!second.status.success());
    assert!(said(&second).contains(run.to_str().unwrap()), "{}", said(&second));
    assert!(first.wait().unwrap().success());
    assert_nothing_lost(&run, &[], &WHOLE, "two processes");
}

#[test]
fn signals_in_bursts_lose_nothing() {
    for (number, burst) in
        [["-INT"; 1].as_slice(), &["-INT"; 2], &["-TERM", "-INT", "-TERM", "-INT"]]
            .into_iter()
            .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let mut child = training(&run, &[]).spawn().unwrap();
        std::thread::sleep(WHOLE.took.mul_f64(0.3 + 0.2 * number as f64));
        for signal in burst {
            // One that has ended gets none.
            let _ = Command::new("kill").arg(signal).arg(child.id().to_string()).output();
        }
        child.wait().unwrap();
        assert_nothing_lost(&run, &[], &WHOLE, &format!("{burst:?}"));
    }
}

/// Files below a folder, in order.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(below(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn pictures_that_change_under_a_run_are_named_and_nothing_is_lost() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("overwritten", |path| fs::write(path, "no picture").unwrap()),
        ("cut off", |path| {
            fs::write(path, &fs::read(path).unwrap()[..40]).unwrap();
        }),
        ("removed", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, harm) in harms {
        let folder = tempfile::tempdir().unwrap();
        let [pictures, run] = ["pictures", "run"].map(|name| folder.path().join(name));
        copy(eighty(), &pictures);
        let mut child = training_on(&pictures, &run, &[]).spawn().unwrap();
        wait_for_step(2, &run, &mut child);
        below(&pictures).iter().for_each(|path| harm(path));
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(said(&output).contains("pictures"), "{what}: {}", said(&output));

        let again = training_on(&pictures, &run, &[]).output().unwrap();
        assert_eq!(again.status.code(), Some(1), "{what}, resumed: {}", said(&again));
        assert_ne!(said(&again), "", "{what}");
        fs::remove_dir_all(&pictures).unwrap();
        copy(eighty(), &pictures);
        assert_ends_whole(training_on(&pictures, &run, &[]), &run, &WHOLE, what);
    }
}

/// The library that has a process see another time, where it is installed.
fn false_clock() -> Option<String> {
    let script = ["-f", "+0", "sh", "-c", "printf %s \"$LD_PRELOAD\""];
    let output = Command::new("faketime").args(script).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn clocks_that_jump_change_nothing() {
    let Some(library) = false_clock() else { return skipped("there is no faketime here") };
    let folder = tempfile::tempdir().unwrap();
    let [run, clock] = ["run", "clock"].map(|name| folder.path().join(name));
    fs::write(&clock, "+0").unwrap();
    let mut command = training(&run, &[]);
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &clock);
    command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1");
    let mut child = command.spawn().unwrap();
    for (step, offset) in [(2, "-20y"), (8, "+30y"), (13, "-1d")] {
        wait_for_step(step, &run, &mut child);
        fs::write(&clock, offset).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_nothing_lost(&run, &[], &WHOLE, "a clock that jumped");
}
