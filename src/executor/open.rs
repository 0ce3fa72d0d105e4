//! Devices opened by their names: which plugin is meant, and how it is set up.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use plugins::{Candidate, Kind, Origin, Surroundings};
use xla::OptionValue;

use super::{Advice, Device, DeviceName, Xla, XlaOptions};
use crate::config::Config;
use crate::{Error, Result};

/// Set to anything, it has every program compiled anew.
const NO_CACHE: &str = "LOGO_SSL_NO_CACHE";

/// The share of a GPU's memory that may be used, beside what its driver and others hold.
const MEMORY_FRACTION: f32 = 0.9;

/// How a device is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Whether a GPU must give the same bytes for the same seed, at some cost of speed.
    pub deterministic: bool,
    /// Images of a batch, so that a device without memory for them can say how many it has memory for.
    pub batch: Option<usize>,
}

impl OpenOptions {
    /// As a run of `config` needs it.
    pub fn of_config(config: &Config) -> Self {
        Self {
            deterministic: config.compute.deterministic,
            batch: Some(config.optimizer.batch_size),
        }
    }
}

impl Device {
    /// The device called `name`. Programs compiled for it are kept in the user's cache folder, unless
    /// `LOGO_SSL_NO_CACHE` is set.
    ///
    /// # Errors
    /// [`Error::Device`] where there is no plugin for it, where the plugin cannot be loaded or lacks a
    /// device, and where the process's environment lacks what [`needed_environment`] says.
    pub fn open(name: &DeviceName, options: &OpenOptions) -> Result<Self> {
        let devices = match name {
            DeviceName::Cpu => return Ok(Self::cpu()),
            DeviceName::Plugin { devices, .. } | DeviceName::Path { devices, .. } => {
                devices.clone()
            }
        };
        let surroundings = surroundings()?;
        let candidate = candidate(name, &surroundings)?;
        refuse_other_environment(&candidate, &surroundings)?;
        let xla = Xla::open(
            &candidate.path,
            XlaOptions {
                deterministic: options.deterministic,
                cache: cache_folder(),
                batch: options.batch,
                ..XlaOptions::suiting(candidate.kind, &devices)
            },
        )?;
        Ok(Self::Xla(xla.into()))
    }
}

impl XlaOptions {
    /// What a plugin of `kind` is told of itself and of the `devices` that are used of it; nothing is kept.
    pub fn suiting(kind: Kind, devices: &[usize]) -> Self {
        let client = client_options(kind, devices);
        Self { client, devices: devices.to_vec(), ..Self::default() }
    }
}

/// What the plugin for `name` needs in the environment of the process that loads it, from its start on:
/// variables and their values. Empty where nothing is needed, or all of it is there.
///
/// # Errors
/// [`Error::Device`] where there is no plugin for it.
pub fn needed_environment(name: &DeviceName) -> Result<Vec<(String, OsString)>> {
    match name {
        DeviceName::Cpu => Ok(vec![]),
        _ => {
            let surroundings = surroundings()?;
            Ok(surroundings.needed_environment(&candidate(name, &surroundings)?))
        }
    }
}

/// The folder for fetched plugins.
///
/// # Errors
/// [`Error::NoUserFolder`] where the system names no folder for a user's data.
pub fn plugins_folder() -> Result<PathBuf> {
    let data = dirs::data_dir().ok_or(Error::NoUserFolder { of: "plugins" })?;
    Ok(data.join("logo-ssl").join("plugins"))
}

/// Where plugins are looked for.
///
/// # Errors
/// As [`plugins_folder`].
pub fn surroundings() -> Result<Surroundings> {
    plugins_folder().map(Surroundings::of_this_process)
}

fn candidate(name: &DeviceName, surroundings: &Surroundings) -> Result<Candidate> {
    match name {
        DeviceName::Cpu => unreachable!("the processor needs no plugin"),
        DeviceName::Path { path, .. } => Ok(Candidate {
            kind: Kind::of_file(path),
            path: path.clone(),
            version: None,
            origin: Origin::Variable,
        }),
        DeviceName::Plugin { kind, .. } => {
            let kind = kind.kind();
            surroundings.candidates(kind).into_iter().next().ok_or_else(|| {
                let step = surroundings.next_step(kind, env::consts::OS);
                Error::Device {
                    problem: format!("there is no plugin for {kind} here"),
                    advice: step.map(Advice::Machine),
                }
            })
        }
    }
}

/// The loader reads its paths when a process starts, and XLA its flags when it is loaded: set later, they
/// would be overlooked.
fn refuse_other_environment(candidate: &Candidate, surroundings: &Surroundings) -> Result<()> {
    let needed = surroundings.needed_environment(candidate);
    if needed.is_empty() {
        return Ok(());
    }
    let assignments =
        needed.iter().map(|(name, value)| format!("{name}={}", value.to_string_lossy()));
    Err(Error::device(format!(
        "{} needs an environment that this process was not started with; set {}",
        candidate.path.display(),
        assignments.collect::<Vec<_>>().join(" and ")
    )))
}

/// What a plugin is told when it is opened.
fn client_options(kind: Kind, devices: &[usize]) -> Vec<(String, OptionValue)> {
    let options = match kind {
        Kind::Cuda | Kind::Rocm => vec![
            ("platform_name", OptionValue::Text(kind.name().to_owned())),
            ("memory_fraction", OptionValue::Float(MEMORY_FRACTION)),
            // What a run does not need stays for others.
            ("preallocate", OptionValue::Flag(false)),
        ],
        // As many virtual devices as it takes to have all that are named.
        Kind::Cpu if devices.len() > 1 => {
            let count = devices.iter().max().map_or(1, |highest| highest + 1);
            vec![("cpu_device_count", OptionValue::Integer(count as i64))]
        }
        Kind::Cpu | Kind::Tpu | Kind::Other => vec![],
    };
    options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn cache_folder() -> Option<PathBuf> {
    match env::var_os(NO_CACHE) {
        Some(_) => None,
        None => Some(dirs::cache_dir()?.join("logo-ssl").join("programs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_virtual_devices_are_asked_for_where_several_are_named() {
        let count = |devices: &[usize]| client_options(Kind::Cpu, devices);
        let asked = |count| vec![("cpu_device_count".to_owned(), OptionValue::Integer(count))];
        assert_eq!(count(&[0, 5]), asked(6));
        assert!(count(&[]).is_empty() && count(&[2]).is_empty());
    }
}
