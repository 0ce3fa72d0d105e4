//! The folders of Python's packages, found without running Python.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Surroundings;
use crate::find::subfolders;
use crate::version::Version;

/// The folders of the active virtual environment, of Conda's, and of the first `python3` on the path
/// with what its user installed; those that exist, once each.
pub(crate) fn packages_folders(surroundings: &Surroundings) -> Vec<PathBuf> {
    let active = ["VIRTUAL_ENV", "CONDA_PREFIX"].map(|name| surroundings.path(name));
    let mut prefixes: Vec<PathBuf> = active.into_iter().flatten().collect();
    prefixes.extend(prefixes_of_python(surroundings));
    let mut found = Vec::new();
    for folder in prefixes.iter().flat_map(|prefix| in_prefix(prefix)) {
        if !found.contains(&folder) {
            found.push(folder);
        }
    }
    found
}

/// A virtual environment has a link to its `python3`; the packages are where the link is. Elsewhere
/// a link leads to the installation, whose packages are there.
fn prefixes_of_python(surroundings: &Surroundings) -> Vec<PathBuf> {
    let path = surroundings.variable("PATH").unwrap_or_default();
    let mut programs = env::split_paths(path).map(|folder| folder.join("python3"));
    let Some(program) = programs.find(|program| program.is_file()) else { return Vec::new() };
    let prefix = |program: &Path| program.ancestors().nth(2).map(Path::to_path_buf);
    let mut prefixes: Vec<PathBuf> = prefix(&program).into_iter().collect();
    if prefixes.first().is_some_and(|prefix| prefix.join("pyvenv.cfg").is_file()) {
        return prefixes;
    }
    prefixes.extend(surroundings.path("HOME").map(|home| home.join(".local")));
    prefixes.extend(fs::canonicalize(&program).ok().and_then(|program| prefix(&program)));
    // Debian's own Python looks there too.
    prefixes.push(surroundings.system("usr/local"));
    prefixes
}

/// `lib/python3*/site-packages` and Debian's `dist-packages`, of the newest Python first.
fn in_prefix(prefix: &Path) -> Vec<PathBuf> {
    let mut pythons: Vec<_> =
        ["lib", "lib64"].iter().flat_map(|lib| subfolders(&prefix.join(lib))).collect();
    pythons.retain(|folder| minor(folder).is_some());
    pythons.sort_by_key(|folder| std::cmp::Reverse(minor(folder)));
    let packages = pythons
        .iter()
        .flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)));
    packages.filter(|folder| folder.is_dir()).collect()
}

/// 12 of `python3.12`; Debian's `python3` serves all.
fn minor(folder: &Path) -> Option<u32> {
    let rest = folder.file_name()?.to_str()?.strip_prefix("python3")?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix('.')?.parse().ok() }
}

/// The version of `package`, a normalised name, by its dist-info folder; the newest, should a failed
/// upgrade have left two.
pub(crate) fn version_of(packages: &Path, package: &str) -> Option<String> {
    let versions = subfolders(packages).into_iter().filter_map(|folder| {
        let name = folder.file_name()?.to_str()?.strip_suffix(".dist-info")?;
        let (name, version) = name.rsplit_once('-')?;
        (normalised(name) == package).then(|| version.to_owned())
    });
    versions.max_by_key(|version| Version::parse(version))
}

/// A package's name as indices and requirements compare it (PEP 503).
pub(crate) fn normalised(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}
