//! Plugins found in trees made for the test.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl_plugins::{Candidate, Kind, NextStep, Origin, Surroundings};

struct World {
    folder: tempfile::TempDir,
    surroundings: Surroundings,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut surroundings = Surroundings::of_this_process(folder.path().join("data/plugins"));
        surroundings.variables.clear();
        surroundings.root = folder.path().join("root");
        Self { folder, surroundings }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.surroundings.variables.insert(name.into(), value.into());
    }

    /// A plugin fetched earlier.
    fn fetched(&self, kind: &str, version: &str, plugin: &str) -> PathBuf {
        let folder = format!("data/plugins/{kind}/{version}");
        let record = format!(
            "{{\"kind\": \"{kind}\", \"version\": \"{version}\", \"plugin\": \"{plugin}\", \"packages\": []}}"
        );
        self.file(&format!("{folder}/installed.json"), &record);
        self.file(&format!("{folder}/{plugin}"), "plugin")
    }

    fn paths(&self, kind: Kind) -> Vec<PathBuf> {
        self.surroundings.candidates(kind).into_iter().map(|found| found.path).collect()
    }
}

const CUDA: &str = "jax_plugins/xla_cuda13/xla_cuda_plugin.so";

#[test]
fn nothing_is_found_where_nothing_is() {
    let world = World::new();
    for kind in Kind::ALL {
        assert!(world.surroundings.candidates(kind).is_empty());
    }
    assert!(world.surroundings.nvidia_gpus().is_empty());
}

#[test]
fn every_place_in_its_order() {
    let mut world = World::new();
    let named = world.file("mine/xla_cuda_plugin.so", "");
    let old = world.fetched("cuda", "0.9.2", CUDA);
    let new = world.fetched("cuda", "0.11.2", CUDA);
    let venv = world.file(&format!("venv/lib/python3.12/site-packages/{CUDA}"), "");
    let twelve = "venv/lib/python3.12/site-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so";
    let twelve = world.file(twelve, "");
    let conda = world.file(&format!("conda/lib/python3.11/site-packages/{CUDA}"), "");
    world.file("usr/bin/python3", "");
    let system = world.file(&format!("usr/lib/python3/dist-packages/{CUDA}"), "");
    let user = world.file(&format!("home/.local/lib/python3.12/site-packages/{CUDA}"), "");
    let local = world.file(&format!("root/usr/local/lib/python3.9/dist-packages/{CUDA}"), "");
    world.set("LOGO_SSL_PJRT_PLUGIN", named.clone());
    world.set("VIRTUAL_ENV", world.path("venv"));
    world.set("CONDA_PREFIX", world.path("conda"));
    world.set("HOME", world.path("home"));
    let path = [world.path("no"), world.path("usr/bin")];
    world.set("PATH", std::env::join_paths(path).unwrap());

    let expected = [named, new, old, venv, twelve, conda, system, user, local];
    assert_eq!(world.paths(Kind::Cuda), expected);
    let found = world.surroundings.candidates(Kind::Cuda);
    assert_eq!(found[0].origin, Origin::Variable);
    assert_eq!((&found[1].origin, found[1].version.as_deref()), (&Origin::Fetched, Some("0.11.2")));
    assert!(world.paths(Kind::Cpu).is_empty());
}

#[test]
fn versions_come_from_the_dist_info() {
    let mut world = World::new();
    let packages = "venv/lib/python3.12/site-packages";
    world.file(&format!("{packages}/{CUDA}"), "");
    for version in ["0.9.1", "0.11.2", "0.11.1"] {
        world.file(&format!("{packages}/jax_cuda13_pjrt-{version}.dist-info/METADATA"), "");
    }
    world.file(&format!("{packages}/jax_cuda13_plugin-0.12.0.dist-info/METADATA"), "");
    world.file(&format!("{packages}/libtpu/libtpu.so"), "");
    world.file(&format!("{packages}/jax_plugins/xla_rocm7/xla_rocm_plugin.so"), "");
    world.file(&format!("{packages}/lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so"), "");
    world.set("VIRTUAL_ENV", world.path("venv"));
    let found = world.surroundings.candidates(Kind::Cuda);
    assert_eq!(found[0].version.as_deref(), Some("0.11.2"));
    assert_eq!(found[0].origin, Origin::Python(world.path(packages)));
    for kind in [Kind::Tpu, Kind::Rocm, Kind::Cpu] {
        let found = world.surroundings.candidates(kind);
        assert_eq!((found.len(), found[0].kind, &found[0].version), (1, kind, &None));
    }
}

#[test]
fn a_half_installation_is_no_plugin() {
    let world = World::new();
    world.file(&format!("data/plugins/cuda/0.11.2/{CUDA}"), "half");
    world.file(&format!("data/plugins/cuda/.unpacking/{CUDA}"), "half");
    world.file("data/plugins/cuda/0.11.1/installed.json", "{");
    let plugin = world.fetched("cuda", "0.11.0", CUDA);
    fs::remove_file(plugin).unwrap();
    assert!(world.surroundings.candidates(Kind::Cuda).is_empty());
}

#[test]
fn a_plugin_that_is_named_must_be_of_the_kind_or_of_none() {
    let mut world = World::new();
    world.set("LOGO_SSL_PJRT_PLUGIN", "/x/pjrt_c_api_cpu_plugin.so");
    assert!(world.paths(Kind::Cuda).is_empty());
    assert_eq!(world.paths(Kind::Cpu), [Path::new("/x/pjrt_c_api_cpu_plugin.so")]);
    world.set("LOGO_SSL_PJRT_PLUGIN", "/x/mine.so");
    for kind in Kind::ALL {
        let found = world.surroundings.candidates(kind);
        assert_eq!((found.len(), found[0].kind), (1, kind));
    }
    let step = world.surroundings.next_step(Kind::Other, "linux").expect("there is no such file");
    assert!(step.to_string().contains("/x/mine.so"), "{step}");
}

#[cfg(unix)]
#[test]
fn the_python_of_a_virtual_environment_on_the_path_is_not_followed_to_its_origin() {
    let mut world = World::new();
    let real = world.file("opt/python/bin/python3.12", "");
    let installed = world.file(&format!("opt/python/lib/python3.12/site-packages/{CUDA}"), "");
    let here = world.file(&format!("env/lib/python3.12/site-packages/{CUDA}"), "");
    for folder in ["env/bin", "links/bin"] {
        fs::create_dir_all(world.path(folder)).unwrap();
        let link = world.path(folder).join("python3");
        std::os::unix::fs::symlink(&real, link).unwrap();
    }
    world.file("env/pyvenv.cfg", "");
    std::os::unix::fs::symlink(world.path("env/lib"), world.path("env/lib64")).unwrap();
    world.set("PATH", world.path("env/bin"));
    assert_eq!(world.paths(Kind::Cuda), [here]);
    world.set("PATH", world.path("links/bin"));
    let real = fs::canonicalize(installed).unwrap();
    assert_eq!(world.paths(Kind::Cuda), [real]);
}

fn cuda_candidate(world: &World) -> Candidate {
    let path = world.file(&format!("packages/{CUDA}"), "");
    Candidate { kind: Kind::Cuda, path, version: None, origin: Origin::Variable }
}

#[test]
fn the_environment_is_asked_for_once() {
    let mut world = World::new();
    let candidate = cuda_candidate(&world);
    assert!(world.surroundings.needed_environment(&candidate).is_empty(), "nothing is known");
    for folder in ["cu13/lib", "cudnn/lib", "other/include"] {
        world.file(&format!("packages/nvidia/{folder}/x"), "");
    }
    world.file("packages/nvidia/cu13/nvvm/libdevice/libdevice.10.bc", "");
    world.set("LD_LIBRARY_PATH", "/before");
    world.set("XLA_FLAGS", "--xla_other=1");

    let needed = world.surroundings.needed_environment(&candidate);
    let nvidia = world.path("packages/nvidia");
    let paths = [nvidia.join("cu13/lib"), nvidia.join("cudnn/lib"), "/before".into()];
    let flags = format!("--xla_gpu_cuda_data_dir={} --xla_other=1", nvidia.join("cu13").display());
    assert_eq!(
        needed,
        [
            ("LD_LIBRARY_PATH".to_owned(), std::env::join_paths(paths).unwrap()),
            ("XLA_FLAGS".to_owned(), flags.into()),
            ("TF_CPP_MIN_LOG_LEVEL".to_owned(), "2".into()),
        ]
    );
    for (name, value) in needed {
        world.set(&name, value);
    }
    assert!(world.surroundings.needed_environment(&candidate).is_empty());
}

#[test]
fn what_xla_logs_is_a_persons_choice_and_no_reason_to_start_anew() {
    let mut world = World::new();
    let candidate = cuda_candidate(&world);
    world.file("packages/nvidia/cu13/lib/x", "");
    let library_path = world.path("packages/nvidia/cu13/lib");
    let names = |world: &World| {
        let needed = world.surroundings.needed_environment(&candidate).into_iter();
        needed.map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&world), ["LD_LIBRARY_PATH", "TF_CPP_MIN_LOG_LEVEL"]);
    world.set("TF_CPP_MIN_LOG_LEVEL", "0");
    assert_eq!(names(&world), ["LD_LIBRARY_PATH"]);
    world.set("LD_LIBRARY_PATH", library_path);
    world.surroundings.variables.remove(&OsString::from("TF_CPP_MIN_LOG_LEVEL"));
    assert!(names(&world).is_empty());
}

#[test]
fn a_cuda_of_the_machine_stands_in_and_cuda_root_comes_first() {
    let mut world = World::new();
    let candidate = cuda_candidate(&world);
    world.file("root/usr/local/cuda/lib64/libcublas.so.13", "");
    world.file("root/usr/local/cuda/bin/ptxas", "");
    let found = world.surroundings.environment(&candidate);
    assert_eq!(found.library_paths, [world.path("root/usr/local/cuda/lib64")]);
    assert_eq!(found.cuda_data_dir, Some(world.path("root/usr/local/cuda")));
    world.file("my cuda/bin/ptxas", "");
    world.set("CUDA_ROOT", world.path("my cuda"));
    let needed = world.surroundings.needed_environment(&candidate);
    let quoted = format!("--xla_gpu_cuda_data_dir=\"{}\"", world.path("my cuda").display());
    assert_eq!(needed[1].1, OsString::from(quoted));
}

#[test]
fn gpus_are_named_by_their_driver() {
    let world = World::new();
    for (slot, model) in
        [("0000:01:00.0", "NVIDIA GeForce RTX 4090"), ("0000:02:00.0", "NVIDIA H100 80GB HBM3")]
    {
        let text = format!("Model: \t\t {model}\nIRQ:   \t\t 123\nGPU UUID: \t GPU-0\n");
        world.file(&format!("root/proc/driver/nvidia/gpus/{slot}/information"), &text);
    }
    let expected = ["NVIDIA GeForce RTX 4090", "NVIDIA H100 80GB HBM3"];
    assert_eq!(world.surroundings.nvidia_gpus(), expected);
}

#[test]
fn the_next_step_changes_as_steps_are_taken() {
    let world = World::new();
    let next = |kind: Kind| world.surroundings.next_step(kind, "linux");
    let step = |kind: Kind| next(kind).expect("something is missing").to_string();
    let fetch = |kind: Kind| Some(NextStep::FetchPlugin(kind));
    let kernel = |release: &str| {
        let text = format!(
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {release}.65.06  Release\n"
        );
        world.file("root/proc/driver/nvidia/version", &text);
    };
    assert!(step(Kind::Cuda).starts_with("Install NVIDIA's driver"), "{}", step(Kind::Cuda));
    kernel("535");
    assert!(step(Kind::Cuda).contains("--gpus all"), "{}", step(Kind::Cuda));
    world.file("root/usr/lib/x86_64-linux-gnu/libcuda.so.1", "");
    assert!(step(Kind::Cuda).contains("this machine has 535"), "{}", step(Kind::Cuda));
    kernel("580");
    assert_eq!(next(Kind::Cuda), fetch(Kind::Cuda));
    world.fetched("cuda", "0.11.2", CUDA);
    assert_eq!(next(Kind::Cuda), None);

    assert!(step(Kind::Rocm).contains("/dev/kfd"));
    world.file("root/dev/kfd", "");
    assert!(step(Kind::Rocm).starts_with("Install ROCm"));
    world.file("root/opt/rocm/lib/libamdhip64.so.7", "");
    assert_eq!(next(Kind::Rocm), fetch(Kind::Rocm));
    assert!(step(Kind::Tpu).contains("/dev/accel0"));
    world.file("root/dev/accel0", "");
    assert!(step(Kind::Tpu).contains("pip install libtpu"));
    assert_eq!(next(Kind::Cpu), fetch(Kind::Cpu));
    assert!(step(Kind::Other).contains("LOGO_SSL_PJRT_PLUGIN"));
    let elsewhere = |kind: Kind, os: &str| {
        world.surroundings.next_step(kind, os).expect("Linux alone has plugins").to_string()
    };
    assert!(elsewhere(Kind::Cuda, "windows").contains("WSL2"));
    assert!(elsewhere(Kind::Cpu, "macos").contains("own CPU kernels"));
}

#[test]
fn wsl_has_the_library_without_the_kernel_part() {
    let world = World::new();
    world.file("root/usr/lib/wsl/lib/libcuda.so.1", "");
    let step = world.surroundings.next_step(Kind::Cuda, "linux");
    assert_eq!(step, Some(NextStep::FetchPlugin(Kind::Cuda)));
}
