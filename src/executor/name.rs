//! Devices by name, as `--device` and `compute.device` have them.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use plugins::Kind;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use logo_ssl_base::suggest;

/// Where to compute: `cpu`, `cuda`, `rocm`, `tpu`, or the path of a PJRT plugin; all but the first with
/// indices where others than the first device are meant, as in `cuda:0,1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The processor, by the project's own kernels.
    #[default]
    Cpu,
    /// What the best plugin of a kind drives.
    Plugin {
        /// Which kind.
        kind: Accelerator,
        /// Which of its devices; empty for the first.
        devices: Vec<usize>,
    },
    /// What the plugin at a path drives.
    Path {
        /// The shared library.
        path: PathBuf,
        /// Which of its devices; empty for the first.
        devices: Vec<usize>,
    },
}

/// What has a name of its own, and is driven by a plugin that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// NVIDIA's GPUs.
    Cuda,
    /// AMD's GPUs.
    Rocm,
    /// Google's TPUs.
    Tpu,
}

impl Accelerator {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cuda, Self::Rocm, Self::Tpu];

    /// The kind of plugin that drives it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Cuda => Kind::Cuda,
            Self::Rocm => Kind::Rocm,
            Self::Tpu => Kind::Tpu,
        }
    }
}

impl DeviceName {
    /// How many devices share a batch.
    pub fn replicas(&self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::Plugin { devices, .. } | Self::Path { devices, .. } => devices.len().max(1),
        }
    }
}

const CPU: &str = "cpu";
/// What names a device in a config.
const KEY: &str = "compute.device";

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, indices) = split(text);
        let devices = indices.map_or(Ok(vec![]), |indices| parse_indices(text, indices))?;
        if name == CPU {
            return match indices {
                None => Ok(Self::Cpu),
                Some(_) => Err(Error::setting(
                    KEY,
                    format!(
                        "`{text}`: the CPU is one device, whose cores all work together; say cpu, and set the number of threads by itself"
                    ),
                )),
            };
        }
        match accelerator(name) {
            Some(kind) => Ok(Self::Plugin { kind, devices }),
            None if is_path(name) => Ok(Self::Path { path: name.into(), devices }),
            None => Err(unknown(name)),
        }
    }
}

fn accelerator(name: &str) -> Option<Accelerator> {
    Accelerator::ALL.into_iter().find(|known| known.kind().name() == name)
}

/// The name, and the text of the indices behind it. A path may hold a colon that begins none.
fn split(text: &str) -> (&str, Option<&str>) {
    let Some((name, rest)) = text.rsplit_once(':') else { return (text, None) };
    let numbers = rest.chars().all(|c| c.is_ascii_digit() || [',', '-', ' '].contains(&c));
    match numbers || name == CPU || accelerator(name).is_some() {
        true => (name, Some(rest)),
        false => (text, None),
    }
}

fn parse_indices(text: &str, indices: &str) -> Result<Vec<usize>> {
    let mut devices = vec![];
    for part in indices.split(',') {
        let index = part.parse().map_err(|_| {
            Error::setting(
                KEY,
                format!(
                    "`{text}`: `{part}` is no device's index; they are counted from 0, as in cuda:0,1"
                ),
            )
        })?;
        if devices.contains(&index) {
            return Err(Error::setting(
                KEY,
                format!("`{text}` names device {index} twice; each takes one part of a batch"),
            ));
        }
        devices.push(index);
    }
    Ok(devices)
}

fn is_path(name: &str) -> bool {
    let libraries = ["so", "dylib", "dll"];
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    name.contains(['/', '\\']) || extension.is_some_and(|found| libraries.contains(&found))
}

fn unknown(name: &str) -> Error {
    let hint = match name {
        // `cpu` is what it differs least from.
        "gpu" => "say `cuda` for NVIDIA's, `rocm` for AMD's".to_owned(),
        _ => {
            let accelerators = Accelerator::ALL.map(|known| known.kind().name());
            suggest(name, std::iter::once(CPU).chain(accelerators))
        }
    };
    Error::name("device", name, format!("{hint} (The path of a plugin has a `/` in it.)"))
}

impl Display for DeviceName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let devices = match self {
            Self::Cpu => return f.write_str(CPU),
            Self::Plugin { kind, devices } => {
                f.write_str(kind.kind().name())?;
                devices
            }
            Self::Path { path, devices } => {
                write!(f, "{}", path.display())?;
                devices
            }
        };
        for (at, device) in devices.iter().enumerate() {
            write!(f, "{}{device}", if at == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for DeviceName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> DeviceName {
        text.parse().unwrap()
    }

    #[test]
    fn names_come_back_as_they_were_given() {
        let cuda = |devices: &[usize]| DeviceName::Plugin {
            kind: Accelerator::Cuda,
            devices: devices.to_vec(),
        };
        let path = |path: &str, devices: &[usize]| DeviceName::Path {
            path: path.into(),
            devices: devices.to_vec(),
        };
        for (text, name, replicas) in [
            ("cpu", DeviceName::Cpu, 1),
            ("cuda", cuda(&[]), 1),
            ("cuda:1", cuda(&[1]), 1),
            ("cuda:2,0", cuda(&[2, 0]), 2),
            ("./plugin", path("./plugin", &[]), 1),
            ("plugin.so:0,1", path("plugin.so", &[0, 1]), 2),
            ("/a:b/plugin.so", path("/a:b/plugin.so", &[]), 1),
            ("C:\\plugin.dll:3", path("C:\\plugin.dll", &[3]), 1),
        ] {
            assert_eq!(parsed(text), name, "{text}");
            assert_eq!((name.to_string().as_str(), name.replicas()), (text, replicas));
        }
        let kinds = ["rocm", "tpu"].map(|text| parsed(text).to_string());
        assert_eq!(kinds, ["rocm", "tpu"]);
    }

    #[test]
    fn what_is_no_device_is_refused_with_what_would_do() {
        for (text, expected) in [
            ("cudda", "did you mean `cuda`?"),
            ("cudda:0", "did you mean `cuda`?"),
            ("gpu", "`cuda` for NVIDIA's"),
            ("", "expected one of: cpu, cuda, rocm, tpu"),
            ("cpu:0", "the CPU is one device"),
            ("cuda:", "`` is no device's index"),
            ("cuda:-1", "`-1` is no device's index"),
            ("cuda:first", "`first` is no device's index"),
            ("./plugin.so:0,-1", "`-1` is no device's index"),
            ("cuda:0,1,0", "names device 0 twice"),
        ] {
            let error = text.parse::<DeviceName>().unwrap_err();
            assert!(matches!(error, Error::Setting { .. } | Error::Name { .. }), "{text}");
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
    }
}
