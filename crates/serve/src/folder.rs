//! Where runs lie in a folder, and what in it is not shown.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use cap_std::{AmbientAuthority, ambient_authority};
use logo_ssl::record::RunFiles;
use serde::Serialize;

/// How deep below the folder runs are looked for: `sweeps/name/variant/run` is 4.
const DEEPEST: usize = 4;

/// The most entries that are looked at, so that a home folder is not searched for minutes.
const MOST_ENTRIES: usize = 20_000;

/// The most runs that are shown.
const MOST_RUNS: usize = 1_000;

/// The folder of all runs, of which nothing outside is ever opened.
///
/// Files are opened through [`Dir`], which has the operating system resolve every path beneath the folder: a
/// link that leads out of it is an error, also one that is put there in the very moment of opening.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: Dir,
    /// The folder without links, to say where one leads.
    resolved: PathBuf,
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The folders of runs, relative to the folder and in order. One that is empty is the folder itself.
    pub(crate) runs: Vec<PathBuf>,
    /// What is not shown, although it may be meant to be.
    pub(crate) refused: Vec<Refused>,
    /// Entries looked at.
    entries: usize,
}

/// Something in the folder that is not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    /// Relative to the folder.
    pub(crate) path: String,
    /// Why not, and what to do.
    pub(crate) why: String,
}

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// That of the system, of a file as of what is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let authority: AmbientAuthority = ambient_authority();
        Ok(Self { dir: Dir::open_ambient_dir(path, authority)?, resolved: path.canonicalize()? })
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// What the folder is called.
    pub(crate) fn name(&self) -> String {
        self.resolved
            .file_name()
            .unwrap_or(self.resolved.as_os_str())
            .to_string_lossy()
            .into_owned()
    }

    /// Looks for runs.
    pub(crate) fn search(&self) -> Found {
        let mut found = Found::default();
        self.search_in(Path::new(""), 0, &mut found);
        if found.entries >= MOST_ENTRIES || found.runs.len() >= MOST_RUNS {
            let why = format!(
                "not all of it was searched: it holds more than {MOST_RUNS} runs or {MOST_ENTRIES} entries; serve a \
                 folder within it"
            );
            found.refused.push(Refused { path: self.name(), why });
        }
        found
    }

    fn search_in(&self, path: &Path, depth: usize, found: &mut Found) {
        if self.is_run(path) {
            found.runs.push(path.to_path_buf());
            return;
        }
        for name in self.names(path, found) {
            if found.entries >= MOST_ENTRIES || found.runs.len() >= MOST_RUNS {
                return;
            }
            found.entries += 1;
            let path = path.join(name);
            match self.dir.symlink_metadata(&path) {
                Ok(metadata) if metadata.is_symlink() => self.judge_link(&path, found),
                Ok(metadata) if metadata.is_dir() && depth < DEEPEST => {
                    self.search_in(&path, depth + 1, found);
                }
                _ => {}
            }
        }
    }

    /// Whether there is a run: its settings, and a log or the folder that is made before the settings.
    fn is_run(&self, path: &Path) -> bool {
        let files = RunFiles::of(path);
        let is_file = |path: PathBuf| self.dir.symlink_metadata(path).is_ok_and(|m| !m.is_dir());
        is_file(files.config_path())
            && (is_file(files.metrics_path()) || self.dir.is_dir(files.checkpoints()))
    }

    /// The names in a folder, in order; hidden ones are left out.
    fn names(&self, path: &Path, found: &mut Found) -> Vec<String> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let Ok(entries) = self.dir.read_dir(path) else { return Vec::new() };
        let mut names = Vec::new();
        for entry in entries.flatten().take(MOST_ENTRIES) {
            match entry.file_name().into_string() {
                Ok(name) if !name.starts_with('.') => names.push(name),
                Ok(_) => {}
                Err(name) => {
                    let path = path.join(name).to_string_lossy().into_owned();
                    let why = "its name is no UTF-8, so it has no address; rename it".to_owned();
                    found.refused.push(Refused { path, why });
                }
            }
        }
        names.sort_unstable();
        names
    }

    /// Says of a link that leads to a folder elsewhere that it is not followed. One that leads to within the
    /// folder needs no word: what it leads to is shown by its own name.
    fn judge_link(&self, path: &Path, found: &mut Found) {
        let Ok(target) = self.resolved.join(path).canonicalize() else { return };
        if target.is_dir() && !target.starts_with(&self.resolved) {
            let why = "is a link that leads out of the folder, and is not followed; serve the folder that it leads to, \
                       or put the run itself here";
            found.refused.push(Refused { path: slashed(path), why: why.to_owned() });
        }
    }
}

/// A relative path with slashes, whatever the system's own separator is.
pub(crate) fn slashed(path: &Path) -> String {
    let parts = path.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn run(path: &Path) {
        fs::create_dir_all(path).unwrap();
        fs::write(path.join("config.toml"), "").unwrap();
        fs::write(path.join("metrics.jsonl"), "").unwrap();
    }

    fn found(path: &Path) -> (Vec<String>, Vec<Refused>) {
        let found = Folder::open(path).unwrap().search();
        (found.runs.iter().map(|path| slashed(path)).collect(), found.refused)
    }

    #[test]
    fn runs_are_found_to_a_small_depth_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b", "a/deep/er/run", "a/too/deep/to/be/found", "b/inside", ".hidden"] {
            run(&folder.path().join(path));
        }
        fs::create_dir_all(folder.path().join("begun/checkpoints")).unwrap();
        fs::write(folder.path().join("begun/config.toml"), "").unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::write(folder.path().join("other/config.toml"), "").unwrap();
        assert_eq!(found(folder.path()).0, ["a/deep/er/run", "b", "begun"]);
        assert_eq!(found(&folder.path().join("b")).0, [""], "the folder is itself a run");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_said_and_one_within_it_is_not() {
        use std::os::unix::fs::symlink;
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run(&folder.path().join("own"));
        run(&outside.path().join("secret"));
        symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
        symlink(outside.path(), folder.path().join("above")).unwrap();
        symlink(folder.path().join("own"), folder.path().join("latest")).unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        symlink(folder.path(), folder.path().join("circle")).unwrap();
        let (runs, refused) = found(folder.path());
        assert_eq!(runs, ["own"]);
        let names: Vec<&str> = refused.iter().map(|refused| refused.path.as_str()).collect();
        assert_eq!(names, ["above", "link"]);
        assert!(refused[0].why.contains("leads out of the folder"), "{refused:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_no_text_is_said() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        run(&folder.path().join(OsStr::from_bytes(b"\xff")));
        let (runs, refused) = found(folder.path());
        assert_eq!((runs.len(), refused.len()), (0, 1));
    }
}
