//! Where a command computes: its flags, and what it takes to open a device.

use std::env::{self, consts::OS};

use clap::Args;
use logo_ssl::config::Config;
use logo_ssl::executor::{self, Device, DeviceName, OpenOptions};
use plugins::Kind;

use super::Output;
use crate::error::{Error, Result};
use crate::hints;

/// Set in a process that was started anew with the environment that a plugin needs, lest it be started
/// again and again.
const RESTARTED: &str = "LOGO_SSL_RESTARTED";

/// Which device, of commands without a config of their own.
#[derive(Clone, Debug, Args)]
pub(crate) struct On {
    /// Where to compute: cpu, cuda, … [default: cpu]
    ///
    /// `logo-ssl devices` lists what is here. One of cpu, cuda, rocm, tpu; cuda:0,1 for several; or the path of a PJRT plugin.
    #[arg(long, value_name = "NAME")]
    device: Option<DeviceName>,
}

/// The same for training.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrainOn {
    #[command(flatten)]
    on: On,
    /// Have GPUs too give the same bytes for the same seed, at some cost of speed (compute.deterministic)
    #[arg(long, hide_short_help = true)]
    deterministic: bool,
}

impl On {
    /// The one named, if one is.
    pub(crate) fn named(&self) -> Option<&DeviceName> {
        self.device.as_ref()
    }

    /// Has `config` say what the flag says.
    pub(crate) fn lay_over(&self, config: &mut Config) {
        if let Some(name) = &self.device {
            config.compute.device = name.clone();
        }
    }

    /// The one named, else the CPU.
    pub(crate) fn name(&self) -> DeviceName {
        self.device.clone().unwrap_or_default()
    }

    /// Opens the one named, else the CPU.
    pub(crate) fn open(&self) -> Result<Device> {
        open(&self.name(), &OpenOptions::default())
    }
}

impl TrainOn {
    /// The device named, if one is.
    pub(crate) fn named(&self) -> Option<&DeviceName> {
        self.on.named()
    }

    /// Whether the flag for the same bytes is given.
    pub(crate) fn deterministic(&self) -> bool {
        self.deterministic
    }

    /// Has `config` say what the flags say.
    ///
    /// # Errors
    /// [`logo_ssl::Error`] where that contradicts something else in it.
    pub(crate) fn lay_over(&self, config: &mut Config) -> Result<()> {
        self.on.lay_over(config);
        config.compute.deterministic |= self.deterministic;
        Ok(config.validate()?)
    }

    /// One line, where the CPU is to train although a GPU is here and nobody chose.
    pub(crate) fn tell_of_gpu(&self, config: &Config, output: Output) {
        let chosen = self.named().is_some() || config.compute.device != DeviceName::Cpu;
        if chosen || output.quiet || output.json {
            return;
        }
        // Nobody is told of a GPU where it is not even known where plugins lie.
        let Ok(surroundings) = executor::surroundings() else { return };
        let Some(gpu) = surroundings.nvidia_gpus().into_iter().next() else { return };
        match surroundings.next_step(Kind::Cuda, OS) {
            None => remark!("a GPU is here ({gpu}): --device cuda would be faster"),
            Some(step) => {
                let step = hints::next_step(&step);
                remark!("a GPU is here ({gpu}) and cannot be used yet. {step}");
            }
        }
    }
}

/// Opens the device that `config` names.
pub(crate) fn open_for(config: &Config) -> Result<Device> {
    open(&config.compute.device, &OpenOptions::of_config(config))
}

/// Opens a device; where its plugin needs another environment, this process starts anew with it.
fn open(name: &DeviceName, options: &OpenOptions) -> Result<Device> {
    restart_with_environment_for(name)?;
    Ok(Device::open(name, options)?)
}

/// Starts this process anew with what the plugin for `name` needs in its environment. Returns where
/// nothing is needed, or where that was done already.
#[cfg(unix)]
pub(crate) fn restart_with_environment_for(name: &DeviceName) -> Result<()> {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let needed = executor::needed_environment(name)?;
    if needed.is_empty() || env::var_os(RESTARTED).is_some() {
        return Ok(());
    }
    tracing::debug!("starting anew with {needed:?}");
    let program = env::current_exe().map_err(Error::io("find", "the program itself"))?;
    let mut command = Command::new(&program);
    command.args(env::args_os().skip(1)).envs(needed).env(RESTARTED, "1");
    // It returns only where it fails.
    Err(Error::io("start", &program)(command.exec()))
}

#[cfg(not(unix))]
pub fn restart_with_environment_for(_: &DeviceName) -> Result<()> {
    Ok(())
}
