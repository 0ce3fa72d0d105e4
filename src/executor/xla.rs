//! Programs through a PJRT plugin.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::Program;
use xla::{
    Argument, Buffer, Cache, Client, CompileOptions, ElementType, Executable, OptionValue, Origin,
    Plugin,
};

use super::advice::{self, Need};
use crate::model::params::TensorData;
use crate::{Error, Result};

/// How a plugin is opened and used.
#[derive(Clone, Debug, Default)]
pub struct XlaOptions {
    /// What the plugin is told when it is opened.
    pub client: Vec<(String, OptionValue)>,
    /// Which of its devices share the work; empty for the first.
    pub devices: Vec<usize>,
    /// Whether the same seed must give the same bytes, at some cost of speed.
    pub deterministic: bool,
    /// Where compiled programs are kept, if it can be written.
    pub cache: Option<PathBuf>,
    /// Images of a batch, on all devices together, where it is known.
    pub batch: Option<usize>,
}

/// One or several devices of a plugin.
#[derive(Debug)]
pub struct Xla {
    client: Client,
    devices: Vec<usize>,
    deterministic: bool,
    cache: Option<Cache>,
    batch: Option<usize>,
}

pub(super) type XlaArray = Arc<Buffers>;

/// An array: one buffer for each device.
#[derive(Debug)]
pub(super) struct Buffers {
    each: Vec<Buffer>,
    /// What the program needs that makes it, which may be found to be too much when it is read.
    need: Option<Need>,
}

#[derive(Debug)]
pub(super) struct XlaProgram {
    executable: Executable,
    need: Need,
    /// Of each input, whether its memory is given up for an output.
    given: Vec<bool>,
}

/// Numbers as the bytes that a plugin copies.
struct Bytes<T>(Vec<T>);

impl<T: bytemuck::NoUninit> AsRef<[u8]> for Bytes<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl Xla {
    /// Opens the plugin at `path` and its devices.
    ///
    /// # Errors
    /// [`Error::Device`] where it is no plugin, is of another version, lacks a library, or lacks a
    /// device.
    pub fn open(path: &Path, options: XlaOptions) -> Result<Self> {
        let told = |error| advice::opening(path, &error);
        let plugin = Plugin::load(path).map_err(told)?;
        let settings: Vec<(&str, OptionValue)> =
            options.client.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let client = Client::new(&plugin, &settings).map_err(told)?;
        let devices = if options.devices.is_empty() { vec![0] } else { options.devices };
        let present = client.devices().len();
        if let Some(&wanted) = devices.iter().find(|&&device| device >= present) {
            return Err(told(xla::Error::NoSuchDevice { wanted, present }));
        }
        let XlaOptions { deterministic, cache, batch, .. } = options;
        Ok(Self { client, devices, deterministic, cache: cache.and_then(cache_at), batch })
    }

    /// How many devices share the work.
    pub fn replicas(&self) -> usize {
        self.devices.len()
    }

    /// The plugin's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which of the plugin's devices share the work.
    pub fn devices(&self) -> &[usize] {
        &self.devices
    }

    pub(super) fn compile(&self, program: &Program) -> Result<XlaProgram> {
        // What needs no other device runs on all of them alike.
        let devices = self.devices.clone();
        let options =
            CompileOptions { replicas: devices.len(), devices, overrides: self.overrides() };
        let need = Need::of(program, self.devices.len(), self.batch, self.memory_limit());
        let executable = self
            .executable(&program.text(), &options)
            .map_err(|error| advice::running(&error, Some(&need)))?;
        let need = need.compiled(executable.memory());
        let given = program.inputs().iter().map(|input| input.becomes.is_some()).collect();
        Ok(XlaProgram { executable, need, given })
    }

    /// What a GPU needs to give the same bytes twice: sums in one order, and kernels that are not chosen
    /// by how fast they happen to be.
    fn overrides(&self) -> Vec<(String, String)> {
        let (platform, _) = self.client.platform();
        let gpu = ["cuda", "rocm"].iter().any(|name| platform.eq_ignore_ascii_case(name));
        match self.deterministic && gpu {
            true => vec![("xla_gpu_deterministic_ops".to_owned(), "true".to_owned())],
            false => vec![],
        }
    }

    /// The least that any of the devices has.
    fn memory_limit(&self) -> Option<u64> {
        let limits = self.devices.iter().map(|&device| self.client.memory(device)?.limit);
        limits.min().flatten()
    }

    fn executable(&self, text: &str, options: &CompileOptions) -> Result<Executable, xla::Error> {
        let Some(cache) = &self.cache else { return self.client.compile(text, options) };
        let (executable, origin) = cache.compile(&self.client, text, options)?;
        if let Origin::Uncached(reason) = origin {
            tracing::debug!("a compiled program is not kept: {reason}");
        }
        Ok(executable)
    }

    pub(super) fn f32(&self, values: Vec<f32>, shape: &[usize]) -> Result<XlaArray> {
        self.replicated(values, ElementType::F32, shape)
    }

    pub(super) fn s32(&self, values: Vec<i32>) -> Result<XlaArray> {
        let count = values.len();
        self.replicated(values, ElementType::S32, &[count])
    }

    fn replicated<T: bytemuck::NoUninit + Send + Sync>(
        &self,
        values: Vec<T>,
        element: ElementType,
        shape: &[usize],
    ) -> Result<XlaArray> {
        let (first, further) = self.devices.split_first().expect("there is a device");
        let mut buffers = vec![];
        for &device in further {
            let bytes = bytemuck::cast_slice(&values);
            buffers.push(self.client.upload_slice(bytes, element, shape, device).map_err(told)?);
        }
        let bytes = Bytes(values);
        buffers.insert(0, self.client.upload(bytes, element, shape, *first).map_err(told)?);
        Ok(Arc::new(Buffers { each: buffers, need: None }))
    }

    pub(super) fn shards(&self, shards: Vec<TensorData>) -> Result<XlaArray> {
        let placed = self.devices.iter().zip(shards);
        let upload = |(&device, shard): (&usize, TensorData)| {
            let TensorData { values, shape } = shard;
            self.client.upload(Bytes(values), ElementType::F32, &shape, device).map_err(told)
        };
        Ok(Arc::new(Buffers { each: placed.map(upload).collect::<Result<_>>()?, need: None }))
    }
}

impl XlaProgram {
    pub(super) fn run(&self, inputs: Vec<XlaArray>) -> Result<Vec<XlaArray>> {
        let replicas = self.executable.devices().len();
        let mut taken: Vec<Taken> = inputs
            .into_iter()
            .zip(&self.given)
            .map(|(array, given)| match given {
                true => Arc::try_unwrap(array).map_or_else(Taken::Held, Taken::whole),
                false => Taken::Held(array),
            })
            .collect();
        // Buffers that are given up are moved out of their arrays first, so that the rest can be lent.
        let given: Vec<Vec<Option<Buffer>>> = (0..replicas)
            .map(|replica| taken.iter_mut().map(|array| array.take(replica)).collect())
            .collect();
        let arguments = given.into_iter().enumerate().map(|(replica, given)| {
            let with_arrays = given.into_iter().zip(&taken);
            with_arrays.map(|(given, array)| array.argument(given, replica)).collect()
        });
        let outputs = self
            .executable
            .run(arguments.collect())
            .map_err(|error| advice::running(&error, Some(&self.need)))?;
        let array = |each| Arc::new(Buffers { each, need: Some(self.need) });
        Ok(by_output(outputs).into_iter().map(array).collect())
    }
}

/// An input as a run takes it.
enum Taken {
    /// Its buffers are given up, each once.
    Given(Vec<Option<Buffer>>),
    /// It is kept.
    Held(XlaArray),
}

impl Taken {
    fn whole(buffers: Buffers) -> Self {
        Self::Given(buffers.each.into_iter().map(Some).collect())
    }

    /// The argument of a replica, whose buffer was taken out if it is given up.
    fn argument(&self, given: Option<Buffer>, replica: usize) -> Argument<'_> {
        match (given, self) {
            (Some(buffer), _) => Argument::Donated(buffer),
            (None, Self::Held(array)) => Argument::Kept(&array.each[replica]),
            (None, Self::Given(_)) => unreachable!("each given buffer is taken once"),
        }
    }

    fn take(&mut self, replica: usize) -> Option<Buffer> {
        match self {
            Self::Given(buffers) => buffers[replica].take(),
            Self::Held(_) => None,
        }
    }
}

/// From each replica's outputs to each output's replicas.
fn by_output(replicas: Vec<Vec<Buffer>>) -> Vec<Vec<Buffer>> {
    let count = replicas.first().map_or(0, Vec::len);
    let mut outputs: Vec<Vec<Buffer>> = (0..count).map(|_| vec![]).collect();
    for replica in replicas {
        for (output, buffer) in outputs.iter_mut().zip(replica) {
            output.push(buffer);
        }
    }
    outputs
}

pub(super) fn read(array: &XlaArray) -> Result<Vec<f32>> {
    let read = array.each[0].download();
    let bytes = read.map_err(|error| advice::running(&error, array.need.as_ref()))?;
    Ok(bytemuck::pod_collect_to_vec(&bytes))
}

/// Where nothing can be kept, programs are compiled anew; that is no reason to stop.
fn cache_at(folder: PathBuf) -> Option<Cache> {
    let cache = Cache::at(folder);
    cache.inspect_err(|error| tracing::debug!("compiled programs are not kept: {error}")).ok()
}

/// The error for arrays that cannot be brought to a device.
fn told(error: xla::Error) -> Error {
    advice::running(&error, None)
}
