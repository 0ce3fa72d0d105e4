//! Which of the processor's instructions this process uses, for views, networks and searches.

use std::path::PathBuf;
use std::sync::OnceLock;

use cpu_kernels::bf16;
pub use cpu_kernels::{Chosen, LEVEL_VARIABLE, Level, LevelError};

use crate::config::Precision;
use logo_ssl_base::files;

/// The instructions for single precision and for views.
///
/// # Panics
/// If the environment asks for a level that this processor lacks; the command line asks [`check`] first
/// and says so.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| found(Level::chosen()))
}

/// The instructions for bfloat16, and why these. Where there is a choice, the first process on a machine
/// finds the fastest by a trial of some tenths of a second and keeps it in the user's cache folder.
///
/// # Panics
/// As [`level`].
pub fn bf16_level() -> &'static Chosen {
    static CHOSEN: OnceLock<Chosen> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let path = kept_path();
        let kept = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let chosen = found(Level::for_element::<bf16>(kept.as_deref()));
        if let (Chosen::Measured(choice), Some(path)) = (&chosen, path) {
            keep(&path, &choice.to_string());
        }
        chosen
    })
}

/// The instructions for activations of this precision.
///
/// # Panics
/// As [`level`].
pub fn level_for(precision: Precision) -> Level {
    match precision {
        Precision::F32 => level(),
        Precision::Bf16 => bf16_level().level(),
    }
}

/// Whether the environment asks for instructions that are there.
///
/// # Errors
/// If it does not.
pub fn check() -> Result<(), LevelError> {
    Level::chosen().map(|_| ())
}

fn found<T>(chosen: Result<T, LevelError>) -> T {
    chosen.unwrap_or_else(|error| panic!("{LEVEL_VARIABLE}: {error}"))
}

fn kept_path() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("logo-ssl").join("bf16-instructions.txt"))
}

/// Where it cannot be kept, the next process tries again; that is no reason to stop this one.
fn keep(path: &std::path::Path, text: &str) {
    let folder = path.parent().map_or(Ok(()), files::create_folder);
    if let Err(error) = folder.and_then(|()| files::write_atomic(path, text.as_bytes())) {
        tracing::debug!("the choice of instructions for bf16 is not kept: {error}");
    }
}
