//! The one next thing to do where a device or its plugin is missing.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::PathBuf;

use crate::Surroundings;
use crate::find::{Kind, subfolders};

/// The first release of NVIDIA's driver that runs CUDA 13.
const DRIVER: u32 = 580;

/// The next thing to do where a device cannot be used yet. Its text is a sentence; a program that fetches
/// plugins can word [`NextStep::FetchPlugin`] by its own command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NextStep {
    /// The plugin of this kind can be fetched, and is all that is missing.
    FetchPlugin(Kind),
    /// What a person must do, as a sentence.
    Do(String),
}

impl NextStep {
    fn to(sentence: impl Into<String>) -> Self {
        Self::Do(sentence.into())
    }
}

impl Display for NextStep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchPlugin(kind) => write!(f, "Fetch the plugin for {kind}."),
            Self::Do(sentence) => f.write_str(sentence),
        }
    }
}

impl Surroundings {
    /// The next thing to do for training on `kind` here, and none where all is here as far as files tell;
    /// `os` as in [`std::env::consts::OS`]. It looks at files alone.
    pub fn next_step(&self, kind: Kind, os: &str) -> Option<NextStep> {
        let sentence = match kind {
            Kind::Cuda | Kind::Rocm | Kind::Tpu if os != "linux" => Some(format!(
                "XLA's plugin for {kind} exists for Linux alone: train on the CPU here, or on a Linux machine{}.",
                if os == "windows" && kind == Kind::Cuda { ", which WSL2 is one of" } else { "" }
            )),
            Kind::Cuda => self.next_for_nvidia(),
            Kind::Rocm => self.next_for_amd(),
            Kind::Tpu => self.next_for_tpu(),
            Kind::Cpu if os != "linux" => Some(
                "Use the program's own CPU kernels: there is no XLA plugin for the CPU that can be fetched for this system."
                    .to_owned(),
            ),
            Kind::Cpu | Kind::Other => None,
        };
        sentence.map(NextStep::Do).or_else(|| self.next_for_plugin(kind))
    }

    fn next_for_plugin(&self, kind: Kind) -> Option<NextStep> {
        if let Some(found) = self.candidates(kind).first() {
            let path = found.path.display();
            let absent = !found.path.is_file();
            return absent.then(|| {
                NextStep::to(format!("Correct LOGO_SSL_PJRT_PLUGIN: there is no {path}."))
            });
        }
        Some(match kind {
            Kind::Cuda | Kind::Rocm | Kind::Cpu => NextStep::FetchPlugin(kind),
            Kind::Tpu => NextStep::to(
                "Install the plugin into the Python environment in use: pip install libtpu",
            ),
            Kind::Other => NextStep::to(
                "Set LOGO_SSL_PJRT_PLUGIN to the plugin's shared library, as its maker names it.",
            ),
        })
    }

    fn next_for_nvidia(&self) -> Option<String> {
        let kernel = fs::read_to_string(self.system("proc/driver/nvidia/version")).ok();
        let library = self.has_library("libcuda.so.1");
        let step = match (kernel.as_deref().map(driver_release), library) {
            (None, false) => format!(
                "Install NVIDIA's driver, release {DRIVER} or later: this machine has neither /proc/driver/nvidia \
                 nor libcuda.so.1."
            ),
            (Some(_), false) => {
                "Let the container have the GPU (docker run --gpus all), or reinstall NVIDIA's driver: its kernel part \
                 is here and its library libcuda.so.1 is not."
                    .to_owned()
            }
            (Some(Some(release)), true) if release < DRIVER => format!(
                "Update NVIDIA's driver to release {DRIVER} or later, which CUDA 13 needs: this machine has {release}."
            ),
            _ => return None,
        };
        Some(step)
    }

    fn next_for_amd(&self) -> Option<String> {
        let rocm = self.path("ROCM_PATH").unwrap_or_else(|| self.system("opt/rocm"));
        if !self.system("dev/kfd").exists() {
            Some("Install AMD's amdgpu driver, or give the container /dev/kfd and /dev/dri: this machine has no /dev/kfd.".to_owned())
        } else if !rocm.join("lib").is_dir() {
            Some("Install ROCm 7, or set ROCM_PATH to where it lies: the plugin loads its libraries from there.".to_owned())
        } else {
            None
        }
    }

    fn next_for_tpu(&self) -> Option<String> {
        let there = ["dev/accel0", "dev/vfio/0"].iter().any(|path| self.system(path).exists());
        let step = "Use a machine with a TPU: this one has neither /dev/accel0 nor /dev/vfio/0.";
        (!there).then(|| step.to_owned())
    }

    /// The names of NVIDIA's GPUs here, as the driver tells them; empty without it. The driver in
    /// Windows, under WSL2, tells none.
    pub fn nvidia_gpus(&self) -> Vec<String> {
        let folders = subfolders(&self.system("proc/driver/nvidia/gpus"));
        let texts =
            folders.iter().filter_map(|folder| fs::read_to_string(folder.join("information")).ok());
        texts.filter_map(|text| model(&text)).collect()
    }

    /// Where the system's loader looks, as far as that is known without asking it.
    fn has_library(&self, name: &str) -> bool {
        let fixed = [
            "usr/lib/x86_64-linux-gnu",
            "usr/lib/aarch64-linux-gnu",
            "usr/lib64",
            "usr/lib",
            "usr/lib/wsl/lib",
            "usr/local/nvidia/lib64",
            "usr/local/cuda/compat",
            "run/opengl-driver/lib",
        ];
        let fixed = fixed.iter().map(|path| self.system(path));
        let told = env::split_paths(self.variable("LD_LIBRARY_PATH").unwrap_or_default());
        let mut folders = fixed.chain(told.collect::<Vec<PathBuf>>());
        folders.any(|folder| folder.join(name).exists())
    }
}

fn model(information: &str) -> Option<String> {
    let line = information.lines().find_map(|line| line.strip_prefix("Model:"))?;
    Some(line.trim().to_owned())
}

/// 580 of `NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  …`.
fn driver_release(version: &str) -> Option<u32> {
    let line = version.lines().next()?;
    line.split_whitespace().find_map(|word| {
        let (release, rest) = word.split_once('.')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| release.parse().ok())?
    })
}
