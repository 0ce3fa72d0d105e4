//! The plugins that this program is known to work with.

use crate::find::Kind;

/// A plugin that is fetched.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) kind: Kind,
    /// The package that holds it, with the versions that will do.
    pub(crate) package: &'static str,
    /// Where the plugin lies in the package.
    pub(crate) plugin: &'static str,
    /// Where the libraries that it loads are declared.
    pub(crate) companions: Option<Companions>,
}

/// The libraries that a plugin loads.
#[derive(Debug)]
pub(crate) struct Companions {
    /// The package whose METADATA names them. It is not fetched itself: it is for Python.
    pub(crate) declared_by: &'static str,
    /// The extra under which it does.
    pub(crate) extra: &'static str,
    /// Majors that the plugin does not load: the METADATA has no upper bound, and a library of the
    /// next major has another name.
    pub(crate) below: &'static [&'static str],
}

/// What is fetched. One version each, the one that was tried: a plugin's interface grows, and a
/// newer one may refuse this program.
pub(crate) const KNOWN: &[Known] = &[
    Known {
        kind: Kind::Cuda,
        package: "jax-cuda13-pjrt==0.11.2",
        plugin: "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
        companions: Some(Companions {
            declared_by: "jax-cuda13-plugin==0.11.2",
            extra: "with-cuda",
            below: &[
                "nvidia-cublas<14",
                "nvidia-cuda-cupti<14",
                "nvidia-cuda-nvcc<14",
                "nvidia-cuda-nvrtc<14",
                "nvidia-cuda-runtime<14",
                "nvidia-cufft<13",
                "nvidia-cusolver<13",
                "nvidia-cusparse<13",
                "nvidia-nccl-cu13<3",
                "nvidia-nvjitlink<14",
                "nvidia-nvshmem-cu13<4",
                "nvidia-nvvm<14",
            ],
        }),
    },
    Known {
        kind: Kind::Rocm,
        package: "jax-rocm7-pjrt==0.11.2",
        plugin: "jax_plugins/xla_rocm7/xla_rocm_plugin.so",
        companions: None,
    },
    Known {
        kind: Kind::Cpu,
        package: "lammps-jax-pjrt-cpu==0.11.2",
        plugin: "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
        // What it requires is the Python side of JAX.
        companions: None,
    },
];

/// The table's entry for `kind`.
pub(crate) fn known(kind: Kind) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::requirement::Requirement;

    #[test]
    fn the_table_is_understood() {
        for known in KNOWN {
            assert!(Requirement::parse(known.package).is_some(), "{known:?}");
            let Some(companions) = &known.companions else { continue };
            assert!(Requirement::parse(companions.declared_by).is_some(), "{companions:?}");
            assert!(companions.below.iter().all(|text| Requirement::parse(text).is_some()));
        }
    }
}
