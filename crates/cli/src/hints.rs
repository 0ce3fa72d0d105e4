//! The library's errors in the words of the command line: its flags and commands.

use logo_ssl::Error;

/// What a person sees of `error`, with the flag or the command that is the next step.
pub fn line(error: &Error) -> String {
    error.to_string()
}
