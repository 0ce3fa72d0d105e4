//! Plugins that are on this machine already, and what they need beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{self, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::installed::Installed;
use crate::python::{packages_folders, version_of};
use crate::version::Version;

/// Names a plugin outright, of any kind.
pub const VARIABLE: &str = "LOGO_SSL_PJRT_PLUGIN";

/// Tells XLA where `bin/ptxas` and `nvvm/libdevice` lie.
const CUDA_DATA_DIR: &str = "--xla_gpu_cuda_data_dir";

/// How little XLA writes to stderr, read when a plugin is loaded: 2 leaves errors alone. Otherwise it
/// tells what ptxas says of each of a program's kernels.
const LOG_LEVEL: (&str, &str) = ("TF_CPP_MIN_LOG_LEVEL", "2");

/// Which device a plugin drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// NVIDIA's GPUs.
    Cuda,
    /// AMD's GPUs.
    Rocm,
    /// Google's TPUs.
    Tpu,
    /// XLA on the CPU.
    Cpu,
    /// Whatever a plugin named by hand drives.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cuda, Self::Rocm, Self::Tpu, Self::Cpu, Self::Other];

    /// Its name on the command line and in folders.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Tpu => "tpu",
            Self::Cpu => "cpu",
            Self::Other => "other",
        }
    }

    /// By the name of the plugin's file, as far as that tells.
    pub fn of_file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let known = [
            ("cuda", Self::Cuda),
            ("rocm", Self::Rocm),
            ("tpu", Self::Tpu),
            ("cpu_plugin", Self::Cpu),
        ];
        known.iter().find(|(part, _)| name.contains(part)).map_or(Self::Other, |(_, kind)| *kind)
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A plugin that may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which device it drives.
    pub kind: Kind,
    /// The shared library.
    pub path: PathBuf,
    /// The version of the package that it came in, where that is known.
    pub version: Option<String>,
    /// How it was found.
    pub origin: Origin,
}

/// How a plugin was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named by `LOGO_SSL_PJRT_PLUGIN`. It may not exist: it was asked for, so that loading it must
    /// fail rather than another be taken.
    Variable,
    /// Fetched by this program.
    Fetched,
    /// A package of the Python environment whose packages lie in this folder.
    Python(PathBuf),
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(VARIABLE),
            Self::Fetched => f.write_str("fetched by logo-ssl"),
            Self::Python(folder) => write!(f, "Python packages in {}", folder.display()),
        }
    }
}

/// What a plugin needs beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Folders with the libraries that it loads.
    pub library_paths: Vec<PathBuf>,
    /// The folder with `bin/ptxas` and `nvvm/libdevice`.
    pub cuda_data_dir: Option<PathBuf>,
}

/// Where a plugin lies among Python's packages, and which package brings it.
struct Place {
    kind: Kind,
    path: &'static str,
    /// Its name, normalised.
    package: &'static str,
}

const PLACES: [Place; 6] = [
    Place {
        kind: Kind::Cuda,
        path: "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
        package: "jax-cuda13-pjrt",
    },
    Place {
        kind: Kind::Cuda,
        path: "jax_plugins/xla_cuda12/xla_cuda_plugin.so",
        package: "jax-cuda12-pjrt",
    },
    Place {
        kind: Kind::Rocm,
        path: "jax_plugins/xla_rocm7/xla_rocm_plugin.so",
        package: "jax-rocm7-pjrt",
    },
    Place {
        kind: Kind::Rocm,
        path: "jax_plugins/xla_rocm60/xla_rocm_plugin.so",
        package: "jax-rocm60-pjrt",
    },
    Place { kind: Kind::Tpu, path: "libtpu/libtpu.so", package: "libtpu" },
    Place {
        kind: Kind::Cpu,
        path: "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
        package: "lammps-jax-pjrt-cpu",
    },
];

/// Everything that is looked at: the process's environment, and the machine's folders.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The folder for fetched plugins, with a folder for each kind in it.
    pub plugins: PathBuf,
    /// The environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// Where the file system begins: `/`, but in tests.
    pub root: PathBuf,
}

impl Surroundings {
    /// Those of this process, with fetched plugins in `plugins`.
    pub fn of_this_process(plugins: impl Into<PathBuf>) -> Self {
        let plugins = plugins.into();
        // What is handed on to another process must not depend on the folder it runs in.
        let plugins = path::absolute(&plugins).unwrap_or(plugins);
        Self { plugins, variables: env::vars_os().collect(), root: PathBuf::from("/") }
    }

    /// The variable `name`, unless it is unset or empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name)).map(OsString::as_os_str);
        value.filter(|value| !value.is_empty())
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// The machine's folder `path`, given without its first slash.
    pub(crate) fn system(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The plugins of `kind`, best first: the one named by `LOGO_SSL_PJRT_PLUGIN`, those fetched,
    /// newest first, and those of the Python environments: the active one, Conda's, and that of
    /// the first `python3` on the path.
    pub fn candidates(&self, kind: Kind) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = self.named(kind).into_iter().collect();
        found.extend(self.fetched(kind));
        for folder in packages_folders(self) {
            let places = PLACES.iter().filter(|place| place.kind == kind);
            found.extend(places.filter_map(|place| in_packages(&folder, place)));
        }
        let mut seen = BTreeSet::new();
        // Where lib64 is a link to lib, both lead to the same plugin.
        found.retain(|candidate| {
            seen.insert(fs::canonicalize(&candidate.path).unwrap_or(candidate.path.clone()))
        });
        found
    }

    fn named(&self, kind: Kind) -> Option<Candidate> {
        let path = self.path(VARIABLE)?;
        let told = Kind::of_file(&path);
        let suits = told == kind || told == Kind::Other;
        suits.then_some(Candidate { kind, path, version: None, origin: Origin::Variable })
    }

    fn fetched(&self, kind: Kind) -> Vec<Candidate> {
        let folders = subfolders(&self.plugins.join(kind.name()));
        let mut found: Vec<_> =
            folders.iter().filter_map(|folder| Installed::read(folder)).collect();
        found.retain(|installed| installed.kind == kind);
        found.sort_by_key(|installed| std::cmp::Reverse(Version::parse(&installed.version)));
        let candidate = |installed: Installed| Candidate {
            kind,
            path: installed.path(),
            version: Some(installed.version),
            origin: Origin::Fetched,
        };
        found.into_iter().map(candidate).collect()
    }

    /// What `candidate` needs beside it, as far as it is found.
    pub fn environment(&self, candidate: &Candidate) -> Environment {
        match candidate.kind {
            Kind::Cuda => self.cuda_environment(candidate),
            Kind::Rocm => {
                let library = self.path("ROCM_PATH").map(|folder| folder.join("lib"));
                let library_paths = library.into_iter().filter(|path| path.is_dir()).collect();
                Environment { library_paths, cuda_data_dir: None }
            }
            Kind::Tpu | Kind::Cpu | Kind::Other => Environment::default(),
        }
    }

    /// NVIDIA's packages beside the plugin's, as pip lays them out, else a CUDA on this machine.
    fn cuda_environment(&self, candidate: &Candidate) -> Environment {
        let beside = candidate.path.ancestors().nth(3).map(|packages| packages.join("nvidia"));
        let beside = beside.unwrap_or_default();
        let system = self.path("CUDA_ROOT").into_iter().chain([self.system("usr/local/cuda")]);
        let mut library_paths: Vec<_> =
            subfolders(&beside).iter().map(|folder| folder.join("lib")).collect();
        library_paths.retain(|path| path.is_dir());
        if library_paths.is_empty() {
            library_paths.extend(system.map(|folder| folder.join("lib64")));
            library_paths.retain(|path| path.is_dir());
        }
        let data = self.path("CUDA_ROOT").into_iter().chain([
            beside.join("cu13"),
            beside.join("cuda_nvcc"),
            self.system("usr/local/cuda"),
        ]);
        let cuda_data_dir = data.into_iter().find(|folder| {
            folder.join("nvvm/libdevice/libdevice.10.bc").is_file()
                || folder.join("bin/ptxas").is_file()
        });
        Environment { library_paths, cuda_data_dir }
    }

    /// The variables that must be set, with their values, before the process that loads `candidate`
    /// starts: the loader reads them at its start, XLA when it is loaded. Empty when the environment
    /// holds them already, so that a process that starts itself anew with them does so once. Among them
    /// is how little XLA logs, unless that is set; by itself it is no reason to start anew.
    pub fn needed_environment(&self, candidate: &Candidate) -> Vec<(String, OsString)> {
        let environment = self.environment(candidate);
        let paths = self.needed_library_path(&environment.library_paths);
        let flags = environment.cuda_data_dir.and_then(|folder| self.needed_flags(&folder));
        let named = [("LD_LIBRARY_PATH", paths), ("XLA_FLAGS", flags)].into_iter();
        let mut needed: Vec<_> =
            named.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let (name, value) = LOG_LEVEL;
        if !needed.is_empty() && self.variable(name).is_none() {
            needed.push((name.to_owned(), value.into()));
        }
        needed
    }

    fn needed_library_path(&self, wanted: &[PathBuf]) -> Option<OsString> {
        let there: Vec<PathBuf> = self
            .variable("LD_LIBRARY_PATH")
            .map(|value| env::split_paths(value).collect())
            .unwrap_or_default();
        let missing: Vec<_> = wanted.iter().filter(|path| !there.contains(path)).collect();
        // A folder with a colon in its name cannot be said; the plugin then finds what it can.
        match missing.is_empty() {
            true => None,
            false => env::join_paths(missing.into_iter().chain(&there)).ok(),
        }
    }

    fn needed_flags(&self, folder: &Path) -> Option<OsString> {
        let there = self.variable("XLA_FLAGS").unwrap_or_default();
        if there.to_string_lossy().contains(CUDA_DATA_DIR) {
            return None;
        }
        let spaced = folder.to_string_lossy().contains(char::is_whitespace);
        let quote = if spaced { "\"" } else { "" };
        let mut value = OsString::from(format!("{CUDA_DATA_DIR}={quote}"));
        value.push(folder);
        value.push(quote);
        if !there.is_empty() {
            value.push(" ");
            value.push(there);
        }
        Some(value)
    }
}

fn in_packages(folder: &Path, place: &Place) -> Option<Candidate> {
    let path = folder.join(place.path);
    path.is_file().then(|| Candidate {
        kind: place.kind,
        path,
        version: version_of(folder, place.package),
        origin: Origin::Python(folder.to_path_buf()),
    })
}

/// The folders in `folder`, sorted by name; none when it cannot be read.
pub(crate) fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_file_name() {
        for (name, kind) in [
            ("xla_cuda_plugin.so", Kind::Cuda),
            ("xla_rocm_plugin.so", Kind::Rocm),
            ("libtpu.so", Kind::Tpu),
            ("pjrt_c_api_cpu_plugin.so", Kind::Cpu),
            ("pjrt_c_api_gpu_plugin.so", Kind::Other),
            ("mine.so", Kind::Other),
        ] {
            assert_eq!(Kind::of_file(Path::new(name)), kind, "{name}");
        }
    }
}
