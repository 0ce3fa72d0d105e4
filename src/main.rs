//! The `logo-ssl` command: a thin layer over the library.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cpu_kernels::keep_freed_memory();
    cli::run()
}
