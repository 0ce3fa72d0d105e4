//! Plugins and how they are found wanting.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use crate::error::Error;
use crate::interface::{LEAST_MINOR, MAJOR};
use crate::lock;
use crate::options::OptionValue;
use crate::pjrt::{self, Table};

/// The plugins that this process has loaded, since each may be set up only once.
static LOADED: Mutex<Vec<Arc<Plugin>>> = Mutex::new(Vec::new());

/// A PJRT plugin. Once loaded it stays until the process ends, since its threads run on.
pub struct Plugin {
    pub(crate) table: Table,
    path: PathBuf,
    attributes: Vec<(String, OptionValue)>,
    build: String,
}

impl Plugin {
    /// Loads the plugin at `path`. A plugin that is loaded already is given again.
    ///
    /// XLA reads the environment variable `XLA_FLAGS` when a plugin is loaded or first used, and
    /// ends the process over a flag that it does not know.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`] where there is no file, [`Error::NotAPlugin`] where it is no shared
    /// library for this system or one without the entry of the interface, [`Error::MissingLibrary`]
    /// where it needs a library that is not found, [`Error::Version`] where it speaks another
    /// version of the interface, and whatever the plugin reports while it sets itself up.
    pub fn load(path: &Path) -> Result<Arc<Self>, Error> {
        if !path.is_file() {
            return Err(Error::Missing { path: path.into() });
        }
        let table = pjrt::open(path).map_err(|reason| not_opened(path, reason))?;
        let found = table.version();
        if found.0 != MAJOR || found.1 < LEAST_MINOR {
            return Err(Error::Version { path: path.into(), found, needed: (MAJOR, LEAST_MINOR) });
        }
        let mut loaded = lock(&LOADED);
        if let Some(plugin) = loaded.iter().find(|plugin| plugin.table == table) {
            return Ok(Arc::clone(plugin));
        }
        table.initialize()?;
        let attributes = table.attributes()?;
        let plugin = Arc::new(Self { table, path: path.into(), attributes, build: build(path) });
        loaded.push(Arc::clone(&plugin));
        Ok(plugin)
    }

    /// The major and the minor version of the interface that the plugin speaks.
    pub fn version(&self) -> (i32, i32) {
        self.table.version()
    }

    /// What the plugin says of itself, such as `xla_version` and `stablehlo_current_version`.
    pub fn attributes(&self) -> &[(String, OptionValue)] {
        &self.attributes
    }

    /// Something that differs between two builds of a plugin, since the version of the interface
    /// and the attributes often do not.
    pub(crate) fn build(&self) -> &str {
        &self.build
    }

    /// The file that the plugin was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version();
        formatter
            .debug_struct("Plugin")
            .field("path", &self.path)
            .field("version", &version)
            .finish()
    }
}

/// The size and the date of a file, as far as the system tells them.
fn build(path: &Path) -> String {
    let metadata = path.metadata();
    let size = metadata.as_ref().map_or(0, fs::Metadata::len);
    let date = metadata.and_then(|metadata| metadata.modified()).ok();
    let since = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{size} bytes of {}", since.as_nanos())
}

/// The error for a library that cannot be opened, by what the system says of it.
fn not_opened(path: &Path, reason: String) -> Error {
    match missing_library(&reason) {
        Some(library) => Error::MissingLibrary { path: path.into(), library: library.into() },
        None => Error::NotAPlugin { path: path.into(), reason },
    }
}

/// The library that the system's loader looked for in vain, if that is what it says. The plugin
/// itself is there, so it must be one that the plugin needs.
fn missing_library(reason: &str) -> Option<&str> {
    let gnu = ": cannot open shared object file: No such file";
    let musl = "Error loading shared library ";
    let apple = "Library not loaded: ";
    if let Some(at) = reason.find(gnu) {
        return Some(&reason[..at]);
    }
    if let Some(at) = reason.find(musl) {
        return reason[at + musl.len()..].split(':').next();
    }
    let at = reason.find(apple)?;
    reason[at + apple.len()..].lines().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_library_is_named() {
        let name = |reason| missing_library(reason);
        let gnu = "libcudnn.so.9: cannot open shared object file: No such file or directory";
        assert_eq!(name(gnu), Some("libcudnn.so.9"));
        let musl =
            "Error loading shared library libm.so.6: No such file or directory (needed by x)";
        assert_eq!(name(musl), Some("libm.so.6"));
        let apple = "dlopen(x, 0x5): Library not loaded: @rpath/libx.dylib\n  Referenced from: y";
        assert_eq!(name(apple), Some("@rpath/libx.dylib"));
        assert_eq!(name("x.so: invalid ELF header"), None);
    }
}
