//! The record of an installation, which lies beside the plugin.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::find::Kind;

/// The record of an installation, in its folder. A folder without it is none.
pub(crate) const RECORD: &str = "installed.json";

/// A plugin that was fetched, as the record beside it tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The folder of this version.
    #[serde(skip)]
    pub folder: PathBuf,
    /// For which device.
    pub kind: Kind,
    /// The plugin's version.
    pub version: String,
    /// The plugin, seen from the folder.
    pub plugin: PathBuf,
    /// What was unpacked.
    pub packages: Vec<Package>,
}

/// A package that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name, normalised.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The wheel.
    pub file: String,
    /// The wheel's SHA-256.
    pub sha256: String,
}

impl Installed {
    /// What lies whole in `folder`, if anything does.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = fs::read(folder.join(RECORD)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        let there = folder.join(&record.plugin).is_file();
        there.then(|| Self { folder: folder.to_path_buf(), ..record })
    }

    /// The plugin itself.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.plugin)
    }
}
