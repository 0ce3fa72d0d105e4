//! What a plugin says of itself, asked in a process of its own.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use logo_ssl::executor::{Device, DeviceName, OpenOptions};
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How long a plugin may take to open.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long its last words may take to arrive once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(10);

/// What a plugin that opens has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Opened {
    /// The version of the PJRT interface that it speaks.
    pub interface: String,
    /// The platform and its version.
    pub platform: String,
    /// Its devices, in the order of their indices.
    pub devices: Vec<Described>,
}

/// One device.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Described {
    /// What is built in.
    pub model: String,
    /// What may be used of its memory, where the plugin says so.
    pub memory_bytes: Option<u64>,
}

/// The part of the process that asks the plugin at `path`: prints what it says.
pub(super) fn answer(path: &Path) -> Result<()> {
    let name = DeviceName::Path { path: path.to_path_buf(), devices: vec![] };
    let Device::Xla(device) = Device::open(&name, &OpenOptions::default())? else {
        unreachable!("a path names a plugin");
    };
    let client = device.client();
    let (major, minor) = client.plugin().version();
    // Some versions have many lines, of which the first tells most.
    let (platform, version) = client.platform();
    let version = version.lines().next().unwrap_or_default();
    let describe = |device: xla::DeviceInfo| Described {
        model: device.kind,
        memory_bytes: device.memory.and_then(|memory| memory.limit),
    };
    let opened = Opened {
        interface: format!("{major}.{minor}"),
        platform: match version == platform {
            true => platform.to_owned(),
            false => format!("{platform} {version}").trim_end().to_owned(),
        },
        devices: client.devices().into_iter().map(describe).collect(),
    };
    say!("{}", serde_json::json!(opened));
    Ok(())
}

/// A process that opens a plugin.
pub(super) struct Probe(io::Result<Running>);

struct Running {
    child: Child,
    since: Instant,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Probe {
    /// Starts it with `environment` besides this process's own.
    pub(super) fn start(path: &Path, environment: Vec<(String, OsString)>) -> Self {
        let spawn = || {
            let mut command = Command::new(env::current_exe()?);
            command.args(["devices", "--probe"]).arg(path).envs(environment);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
            Ok(Running { child, since: Instant::now(), out, err })
        };
        Self(spawn())
    }

    /// What the plugin says, or what is wrong with it.
    pub(super) fn result(self) -> Result<Opened, String> {
        let mut running = self.0.map_err(|error| format!("it cannot be asked: {error}"))?;
        match running.wait() {
            Ok(Some(status)) => running.told(status),
            Ok(None) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
            Err(error) => Err(format!("it cannot be asked: {error}")),
        }
    }
}

impl Running {
    /// Waits for the end; a process that takes too long is ended and none is returned.
    fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if self.since.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    fn told(&self, status: ExitStatus) -> Result<Opened, String> {
        let out = self.out.recv_timeout(LAST_WORDS).unwrap_or_default();
        if status.success()
            && let Some(opened) = opened(&out)
        {
            return Ok(opened);
        }
        let err = self.err.recv_timeout(LAST_WORDS).unwrap_or_default();
        Err(problem(&err).unwrap_or_else(|| {
            let last = err.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let last = if last.is_empty() { String::new() } else { format!(" after `{last}`") };
            format!("it ended the process that opened it ({status}){last}")
        }))
    }
}

/// Reads a pipe to its end in a thread of its own, so that neither side waits for the other.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = vec![];
        // What arrived before a failure is what there is.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        // Nobody listens any more where it took too long.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// A plugin may print lines of its own.
fn opened(out: &str) -> Option<Opened> {
    out.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

/// What this program says before it ends with an error, behind whatever the plugin logged.
fn problem(err: &str) -> Option<String> {
    let at = err.rfind("error: ").filter(|&at| at == 0 || err[..at].ends_with('\n'))?;
    Some(err[at..].trim_start_matches("error: ").trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_among_what_plugins_print() {
        let opened =
            opened("hello\n{\"interface\":\"0.1\",\"platform\":\"x\",\"devices\":[]}\nbye\n");
        assert_eq!(opened.unwrap().interface, "0.1");
        assert_eq!(problem("W0000 noise\nerror: no plugin\n").as_deref(), Some("no plugin"));
        assert_eq!(problem("F0000 an error: crash\n"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_crash_is_told_with_its_last_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo last words >&2; kill -ABRT $$"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
        let probe = Probe(Ok(Running { child, since: Instant::now(), out, err }));
        let problem = probe.result().unwrap_err();
        assert!(problem.contains("signal: 6") && problem.contains("last words"), "{problem}");
    }
}
