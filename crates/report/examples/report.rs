//! Writes the plots and report.html of a run.
//!
//! `cargo run -p logo-ssl-report --example report -- RUN`

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let run = std::env::args().nth(1).ok_or("name the folder of a run")?;
    println!("{}", logo_ssl_report::generate(run.as_ref())?.display());
    Ok(())
}
