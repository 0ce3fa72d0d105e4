//! Connections: how many there are, and how long one may take.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::answer::{Names, answer};
use crate::library::Library;

/// How many ports after the wanted one are tried.
const PORTS: u16 = 100;

/// Connections at a time. Further ones wait until one is closed.
const MOST_CONNECTIONS: usize = 512;

/// The longest head of a request: the line and all headers.
const LONGEST_HEAD: usize = 16 << 10;

/// How long a connection may lie idle, or take to send the head of a request.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// How long a connection lives, so that one whose client never reads its answer ends too. A page opens another
/// one without a word.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);

/// How often it is looked whether the server should stop.
const STOP_EVERY: Duration = Duration::from_millis(200);

/// Threads that make answers.
const ANSWERERS: usize = 4;

/// A listener on `port` of `host`, or on the next one that is free.
///
/// # Errors
/// That of the last port that was tried; that of the first one where it was no matter of the port.
pub(crate) fn bind(host: IpAddr, port: u16) -> io::Result<TcpListener> {
    let mut tried = TcpListener::bind(SocketAddr::new(host, port));
    for next in 1..=PORTS {
        let taken = matches!(&tried, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
        let Some(port) = port.checked_add(next).filter(|_| taken) else { break };
        tried = TcpListener::bind(SocketAddr::new(host, port));
    }
    tried
}

/// Answers requests until `stop` is set.
///
/// # Errors
/// That of the system, when it gives no runtime for this.
pub(crate) fn listen(
    listener: TcpListener,
    library: &Arc<Library>,
    names: Names,
    idle: Duration,
    stop: &AtomicBool,
) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(ANSWERERS).build()?;
    listener.set_nonblocking(true)?;
    let served = runtime.block_on(accept(listener, library, names, idle, stop));
    // An answer that hangs on a disk must not keep the program from ending.
    runtime.shutdown_background();
    served
}

async fn accept(
    listener: TcpListener,
    library: &Arc<Library>,
    names: Names,
    idle: Duration,
    stop: &AtomicBool,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let next = || async {
        let place = Arc::clone(&places).acquire_owned().await;
        (place, listener.accept().await)
    };
    while !stop.load(Ordering::Relaxed) {
        match timeout(STOP_EVERY, next()).await {
            Ok((place, Ok((stream, _)))) => {
                let library = Arc::clone(library);
                tokio::spawn(async move {
                    serve(stream, library, names, idle).await;
                    drop(place);
                });
            }
            // There are too many open files, or the client is gone already.
            Ok((_, Err(error))) => {
                tracing::debug!("a connection was not accepted: {error}");
                sleep(Duration::from_millis(50)).await;
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, library: Arc<Library>, names: Names, idle: Duration) {
    let service = service_fn(|request| respond(Arc::clone(&library), names, request));
    let mut connections = http1::Builder::new();
    connections
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(2 * LONGEST_HEAD);
    let connection = connections.serve_connection(TokioIo::new(stream), service);
    match timeout(LONGEST_CONNECTION, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection ended early: {error}"),
        Err(_) => tracing::debug!("a connection was closed for its age"),
    }
}

/// Answers one request, on a thread where waiting for a disk holds up nobody else.
async fn respond(
    library: Arc<Library>,
    names: Names,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (request, body) = request.into_parts();
    drop(body);
    let answering = tokio::task::spawn_blocking(move || answer(&library, names, &request));
    Ok(answering.await.unwrap_or_else(|_| failure()))
}

/// The answer where making one failed.
fn failure() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"this server failed\n")));
    *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let first = bind(host, 42_321).unwrap().local_addr().unwrap().port();
        let held = bind(host, first).unwrap();
        let second = bind(host, held.local_addr().unwrap().port()).unwrap();
        assert!(second.local_addr().unwrap().port() > held.local_addr().unwrap().port());
        let nobodys = IpAddr::from([192, 0, 2, 1]);
        assert_ne!(bind(nobodys, 8321).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
