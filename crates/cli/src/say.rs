//! Printing that outlives its reader: `| head`, a closed terminal or a full disk ends no run, as
//! `println!` would.

use std::fmt;
use std::io::{ErrorKind, Write};

/// A result, as a line on stdout.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::say::write_line(&mut std::io::stdout(), format_args!($($text)*))
    };
}

/// What is not a result, as a line on stderr.
macro_rules! remark {
    ($($text:tt)*) => {
        $crate::say::write_line(&mut std::io::stderr(), format_args!($($text)*))
    };
}

pub(crate) fn write_line(out: &mut dyn Write, line: fmt::Arguments<'_>) {
    match writeln!(out, "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            tracing::warn!("cannot print: {error}");
        }
        _ => {}
    }
}
