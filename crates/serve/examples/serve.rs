//! Serves the runs of a folder, as `logo-ssl serve` does: `cargo run --example serve -- runs [PORT]`.

use std::sync::atomic::AtomicBool;

use logo_ssl_serve::{Place, Result, Server};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "runs".to_owned());
    let port = arguments.next().and_then(|port| port.parse().ok());
    let place = Place { port: port.unwrap_or(logo_ssl_serve::DEFAULT_PORT), ..Place::default() };
    let server = Server::bind(folder.as_ref(), place)?;
    println!("{}", server.url());
    server.run(&AtomicBool::new(false))
}
