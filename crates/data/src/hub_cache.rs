//! Hugging Face's cache: <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.
//!
//! A repository has its files in `blobs/`, called after their contents. `snapshots/REVISION/` shows them
//! under their own names, by links; `refs/main` holds the revision fetched last.

use std::fs;
use std::path::{Path, PathBuf};

/// The snapshot of `dir` if that is a repository in the cache, else `dir`.
pub(crate) fn snapshot(dir: &Path) -> PathBuf {
    let snapshots = dir.join("snapshots");
    if !dir.join("blobs").is_dir() || !snapshots.is_dir() {
        return dir.to_path_buf();
    }
    let main = fs::read_to_string(dir.join("refs").join("main")).ok();
    let named = main.map(|revision| snapshots.join(revision.trim()));
    let listed = || {
        let entries = fs::read_dir(&snapshots).ok()?;
        entries.filter_map(|entry| Some(entry.ok()?.path())).max()
    };
    named.filter(|snapshot| snapshot.is_dir()).or_else(listed).unwrap_or_else(|| dir.to_path_buf())
}
