//! `logo-ssl devices`

use clap::Args;
use logo_ssl::engine::{self, Level, Precision};
use logo_ssl::{Result, bench};
use serde_json::json;

use super::{Output, Threads};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let threads = arguments.threads.install()?;
    let level = engine::level();
    let available: Vec<String> = Level::available().iter().map(Level::to_string).collect();
    let [f32, bf16] = [Precision::F32, Precision::Bf16].map(bench::ceiling);
    if output.json {
        let cpu = json!({ "device": "cpu", "instructions": level.to_string(),
            "available": available, "threads": threads,
            "ceiling_gflops": { "f32": f32, "bf16": bf16 } });
        say!("{cpu}");
        return Ok(());
    }
    say!(
        "cpu  {level} instructions, {threads} threads, {f32:.0} GFLOP/s at most (f32), {bf16:.0} (bf16)"
    );
    say!("     available: {}; choose with {}", available.join(", "), engine::LEVEL_VARIABLE);
    Ok(())
}
