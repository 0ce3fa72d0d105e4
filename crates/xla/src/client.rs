//! Clients: a plugin's devices, put to use.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::buffer::Buffer;
use crate::element::{ElementType, Shape};
use crate::error::Error;
use crate::executable::Executable;
use crate::lock;
use crate::options::{CompileOptions, OptionValue};
use crate::pjrt::{self, ClientHandle, Transfer};
use crate::plugin::Plugin;
use crate::signature;

/// A connection to a plugin's devices. Clones are the same connection.
///
/// It ends when the last clone, buffer and executable of it is dropped.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What a client's clones share.
struct Shared {
    /// The host's memory that devices may still read; dropped, and so waited for, before the
    /// client.
    transfers: Mutex<Vec<Transfer>>,
    handle: Arc<ClientHandle>,
    plugin: Arc<Plugin>,
    platform: (String, String),
    /// The devices, without their memory.
    devices: Vec<DeviceInfo>,
}

/// A device that a client may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The plugin's number of the device. Elsewhere devices go by their place in
    /// [`Client::devices`], which need not be the same.
    pub id: i32,
    /// The model, such as `NVIDIA H100 80GB HBM3`.
    pub kind: String,
    /// The device in the plugin's words, such as `CpuDevice(id=0)`.
    pub description: String,
    /// Its memory, where the plugin keeps count.
    pub memory: Option<Memory>,
}

/// A device's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What is in use by buffers and runs.
    pub used: u64,
    /// What may be used, where the plugin says so.
    pub limit: Option<u64>,
}

impl Client {
    /// Connects to the devices of a plugin.
    ///
    /// The options are the plugin's own, and unknown ones may be refused. The CPU plugin knows
    /// `cpu_device_count`, an integer, for that many virtual devices on one processor (four of them
    /// where it is not given, in the version of 2026). The CUDA plugin knows among others
    /// `preallocate`, a flag, `memory_fraction`, a float, and `visible_devices`, integers.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchDevice`] where the plugin finds no device, [`Error::OutOfMemory`], and else
    /// [`Error::Other`] with what the plugin reports.
    pub fn new(plugin: &Arc<Plugin>, options: &[(&str, OptionValue)]) -> Result<Self, Error> {
        Self::connect(plugin, options).map_err(Error::before_use)
    }

    fn connect(plugin: &Arc<Plugin>, options: &[(&str, OptionValue)]) -> Result<Self, Error> {
        let handle = ClientHandle::create(plugin.table, options)?;
        if handle.devices() == 0 {
            return Err(Error::NoSuchDevice { wanted: 0, present: 0 });
        }
        let platform = (handle.platform_name()?, handle.platform_version()?);
        let device = |index| handle.describe(index);
        let devices = (0..handle.devices()).map(device).collect::<Result<_, _>>()?;
        let (plugin, handle) = (Arc::clone(plugin), Arc::new(handle));
        let transfers = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { transfers, handle, plugin, platform, devices }) })
    }

    /// The plugin that the client belongs to.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.shared.plugin
    }

    /// The name and the version of the platform, such as `cuda` and the version of CUDA.
    pub fn platform(&self) -> (&str, &str) {
        (&self.shared.platform.0, &self.shared.platform.1)
    }

    /// The devices that the client may use, with their memory as it is now.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        let with_memory = |(index, device): (usize, &DeviceInfo)| DeviceInfo {
            memory: self.memory(index),
            ..device.clone()
        };
        self.shared.devices.iter().enumerate().map(with_memory).collect()
    }

    /// The model of one device.
    pub(crate) fn kind(&self, device: usize) -> &str {
        &self.shared.devices[device].kind
    }

    /// The memory of one device, where the plugin keeps count.
    pub fn memory(&self, device: usize) -> Option<Memory> {
        let (used, limit) = self.shared.handle.device_memory(device).ok()?;
        let limit = limit.and_then(|bytes| u64::try_from(bytes).ok());
        Some(Memory { used: u64::try_from(used).ok()?, limit })
    }

    /// Copies an array, which lies dense with its last dimension varying fastest, to a device.
    ///
    /// The call may return before the copy is made. The bytes are kept until then, and freed at
    /// some later upload or when the client is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] where the bytes are not as many as the dimensions ask for,
    /// [`Error::NoSuchDevice`], [`Error::OutOfMemory`], [`Error::DeviceLost`] and [`Error::Other`].
    /// A copy that fails later makes [`Buffer::wait_ready`] fail, and runs that use the buffer.
    pub fn upload<B: AsRef<[u8]> + Send + Sync + 'static>(
        &self,
        bytes: B,
        element: ElementType,
        dims: &[usize],
        device: usize,
    ) -> Result<Buffer, Error> {
        let shape = Arc::new(Shape { element, dims: dims.into() });
        let (handle, transfer) = pjrt::upload(&self.shared.handle, bytes, &shape, device)?;
        let mut transfers = lock(&self.shared.transfers);
        transfers.retain_mut(|transfer| !transfer.is_done());
        transfers.push(transfer);
        Ok(Buffer::new(handle, shape, device, None))
    }

    /// The same for bytes that cannot be handed over: they are copied before the call returns.
    ///
    /// # Errors
    ///
    /// The same as those of [`upload`](Self::upload).
    pub fn upload_slice(
        &self,
        bytes: &[u8],
        element: ElementType,
        dims: &[usize],
        device: usize,
    ) -> Result<Buffer, Error> {
        let shape = Arc::new(Shape { element, dims: dims.into() });
        let handle = pjrt::upload_slice(&self.shared.handle, bytes, &shape, device)?;
        Ok(Buffer::new(handle, shape, device, None))
    }

    /// Compiles a StableHLO text.
    ///
    /// An argument of its function `@main` that has the attribute `tf.aliasing_output = N : i32`
    /// lends its memory to output `N` in runs to which it is donated.
    ///
    /// # Errors
    ///
    /// [`Error::Compile`] where the compiler refuses the text or a flag, [`Error::NoSuchDevice`]
    /// and [`Error::Argument`] where the options ask for devices that are not there or for another
    /// number of them than of replicas, [`Error::OutOfMemory`] and [`Error::DeviceLost`].
    pub fn compile(&self, text: &str, options: &CompileOptions) -> Result<Executable, Error> {
        let (devices, encoded) = self.encode(options)?;
        let handle = pjrt::compile(&self.shared.handle, text, &encoded, devices.len())
            .map_err(Error::of_compilation)?;
        Ok(Executable::new(handle, signature::parameters(text), devices))
    }

    /// Loads a program that [`Executable::serialize`] gave, which must have been done by the same
    /// plugin for the same kind of device and with the same options. The bytes must be trusted:
    /// they hold code.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the plugin cannot do so, [`Error::Other`] where it refuses the
    /// bytes, and those of [`compile`](Self::compile) that concern options and devices.
    pub fn deserialize(&self, bytes: &[u8], options: &CompileOptions) -> Result<Executable, Error> {
        self.load(bytes, options, None)
    }

    /// The same for a program whose arguments are known from its text.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        options: &CompileOptions,
        parameters: Option<Vec<Shape>>,
    ) -> Result<Executable, Error> {
        let (devices, encoded) = self.encode(options)?;
        let handle = pjrt::deserialize(&self.shared.handle, bytes, &encoded, devices.len())?;
        Ok(Executable::new(handle, parameters, devices))
    }

    /// The devices that the options assign, and the options as the plugin reads them.
    pub(crate) fn encode(&self, options: &CompileOptions) -> Result<(Vec<usize>, Vec<u8>), Error> {
        let devices = options.assignment(self.shared.devices.len())?;
        let ids: Vec<i64> =
            devices.iter().map(|&device| i64::from(self.shared.devices[device].id)).collect();
        let encoded = options.encode(&ids);
        Ok((devices, encoded))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        let mut debug = formatter.debug_struct("Client");
        debug.field("platform", &shared.platform).field("devices", &shared.devices).finish()
    }
}
