//! Folders for the tests of sources.

use std::fs;

use tempfile::TempDir;

/// A folder with `files`: their paths in it, and their contents.
pub(crate) fn folder_of(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

/// A folder with files at `paths`, each of which holds its path.
pub(crate) fn tree(paths: &[&str]) -> TempDir {
    let files: Vec<_> = paths.iter().map(|path| (*path, path.as_bytes().to_vec())).collect();
    folder_of(&files)
}
