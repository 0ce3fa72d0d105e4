//! Shared libraries that tests build for themselves.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds a shared library from a source text.
pub(crate) fn library(folder: &Path, name: &str, source: &str) -> PathBuf {
    let text = folder.join(format!("{name}.rs"));
    std::fs::write(&text, source).unwrap();
    let path = folder.join(format!("lib{name}.so"));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-L"])
        .args([folder.as_os_str(), "-o".as_ref(), path.as_os_str(), text.as_os_str()])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    path
}
