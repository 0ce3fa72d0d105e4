//! Warnings and traces on stderr.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Shows warnings and, unless `quiet`, how far the listing of a large folder is; or what `$LOGO_SSL_LOG` asks
/// for, with time and place: `debug`, `logo_ssl::data=info`.
pub(crate) fn to_stderr(quiet: bool) {
    let log = tracing_subscriber::fmt()
        .with_writer(|| Stderr)
        .with_ansi(io::stderr().is_terminal())
        // It would say so on stderr, and panic where that is what fails.
        .log_internal_errors(false);
    match EnvFilter::try_from_env("LOGO_SSL_LOG") {
        Ok(filter) => log.with_env_filter(filter).init(),
        Err(_) => {
            let shown = if quiet { "warn" } else { "warn,logo_ssl_data::listing=info" };
            log.with_env_filter(EnvFilter::new(shown)).event_format(Plain).init();
        }
    }
}

/// Shows a line of text.
pub(crate) type Show = Box<dyn Fn(&str) + Send>;

/// Where lines go while the terminal is drawn on.
static DIVERTED: Mutex<Option<Show>> = Mutex::new(None);

/// Has warnings go to `show`, as they would tear what is drawn on the terminal; with none, they are plain lines
/// on stderr again.
pub(crate) fn divert(show: Option<Show>) {
    *DIVERTED.lock().unwrap_or_else(PoisonError::into_inner) = show;
}

/// Shows a line that comes unawares, and may find another half printed.
pub(crate) fn interject(text: &str) {
    match &*DIVERTED.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(show) => show(text),
        None => remark!("\n{text}"),
    }
}

/// Takes in whole lines.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match &*DIVERTED.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(show) => show(String::from_utf8_lossy(line).trim_end()),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// As the other lines on stderr: `warning: …`, and what is no warning as it is.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        })?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
