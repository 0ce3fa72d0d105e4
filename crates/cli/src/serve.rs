//! `logo-ssl serve`

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use logo_ssl_serve::{DEFAULT_PORT, Place, Server};
use serde_json::json;

use super::Output;
use crate::error::{Error, Result};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder that the runs lie in
    #[arg(value_name = "RUNS_DIR", default_value = "runs")]
    folder: PathBuf,
    /// Address to listen on; any but the loopback's shows the runs to whoever reaches it
    #[arg(long, value_name = "ADDRESS", default_value_t = Place::default().host)]
    host: IpAddr,
    /// Port to listen on, or the next one that is free
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,
}

pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<()> {
    let place = Place { host: arguments.host, port: arguments.port, ..Place::default() };
    let server = Server::bind(&arguments.folder, place).map_err(of_server)?;
    let stop = stop_on_signal();
    let folder = arguments.folder.display();
    match output.json {
        true => say!("{}", json!({ "url": server.url() })),
        false => say!("{folder}: {} (Ctrl-C ends it)", server.url()),
    }
    if !server.is_local() && !output.quiet && !output.json {
        remark!("whoever reaches {} sees these runs, without a password", server.address());
    }
    server.run(&stop).map_err(of_server)
}

/// The server's error as the program's: a wrong place or folder is the caller's to mend.
fn of_server(error: logo_ssl_serve::Error) -> Error {
    match error {
        logo_ssl_serve::Error::System(_) => Error::Failed(error.to_string()),
        _ => Error::Usage(error.to_string()),
    }
}

/// A flag that SIGINT and SIGTERM set.
fn stop_on_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    if let Err(error) = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)) {
        // Without the handler a signal ends the process by itself, and nothing is lost by that.
        tracing::debug!("signals are not caught: {error}");
    }
    stop
}
