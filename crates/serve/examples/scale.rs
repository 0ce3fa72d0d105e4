//! How the server fares with many long runs: `cargo run --release -p logo-ssl-serve --example scale -- [RUNS] [STEPS] [DIR]`.
//!
//! It makes one log of so many steps in DIR (the system's folder for temporary files where none is named), has all
//! runs share it by hard links, serves them, and prints how long it takes to list them, to read them all, and to
//! answer one poll, and how much memory that needs.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use logo_ssl::presets::{self, Layers};
use logo_ssl::record::{Record, synthetic};
use logo_ssl_serve::{Place, Server};
use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (runs, steps) = (number(100)?, number(1_000_000)?);
    let folder =
        arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join("logo-ssl-scale");
    let bytes = make(&folder, runs, steps)?;
    println!("{runs} runs of {steps} steps, {:.1} GB of logs", runs as f64 * bytes as f64 / 1e9);

    let begun = Instant::now();
    let server = Server::bind(&folder, Place { port: 0, ..Place::default() })?;
    let address = server.address();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| server.run(&stop));
        let measured = measure(address, begun, runs as usize);
        stop.store(true, Ordering::Relaxed);
        measured
    })?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Makes the runs; returns the bytes of one's logs.
fn make(folder: &Path, runs: u64, steps: u64) -> Outcome<u64> {
    fs::create_dir_all(folder)?;
    let shared = folder.join("metrics.jsonl");
    let pattern: Vec<_> = synthetic::records(10, true);
    let mut log = BufWriter::new(File::create(&shared)?);
    let numbers = pattern.iter().filter_map(|record| match record {
        Record::Step { scalars, .. } => Some(scalars),
        _ => None,
    });
    for (step, scalars) in (1..=steps).zip(numbers.cycle()) {
        let record = Record::Step { step, epoch: (step / 1000) as usize, scalars: scalars.clone() };
        writeln!(log, "{}", serde_json::to_string(&record)?)?;
    }
    log.into_inner()?.sync_all()?;
    let config = presets::to_toml(&Layers::preset("quickstart")?.build()?);
    for number in 0..runs {
        let path = folder.join(format!("run-{number}"));
        fs::create_dir_all(&path)?;
        fs::write(path.join("config.toml"), &config)?;
        fs::hard_link(&shared, path.join("metrics.jsonl"))?;
    }
    Ok(shared.metadata()?.len())
}

fn measure(address: SocketAddr, begun: Instant, runs: usize) -> Outcome {
    let say =
        |what: &str, since: Instant| println!("{what}: {:.3} s", since.elapsed().as_secs_f64());
    while get(address, "/api/runs")?["runs"].as_array().map_or(0, Vec::len) < runs {
        std::thread::sleep(Duration::from_millis(10));
    }
    say("all runs are listed after", begun);
    while get(address, "/api/runs")?["reading"] != false {
        std::thread::sleep(Duration::from_millis(200));
    }
    say("all logs are read after", begun);
    for target in [
        "/api/runs",
        "/api/runs/run-0",
        "/api/runs/run-0/curves",
        "/api/runs/run-0/curves?names=loss&since=999999",
    ] {
        // The first one waits until what is older than a second was looked at again.
        std::thread::sleep(Duration::from_millis(1100));
        let first = Instant::now();
        get(address, target)?;
        let first = first.elapsed();
        let again = Instant::now();
        let length = get(address, target)?.to_string().len();
        println!(
            "{target}: {:.1} ms with a look at all runs, {:.1} ms without, {length} bytes",
            first.as_secs_f64() * 1e3,
            again.elapsed().as_secs_f64() * 1e3
        );
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"))
    {
        println!("{line}");
    }
    Ok(())
}

/// The JSON at `target`.
fn get(address: SocketAddr, target: &str) -> Outcome<Value> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_, body) = reply.split_once("\r\n\r\n").ok_or("the server said nothing")?;
    Ok(serde_json::from_str(body)?)
}
