//! Compiled programs and their runs.

use std::fmt;
use std::sync::Arc;

use crate::buffer::{Buffer, Run};
use crate::element::Shape;
use crate::error::Error;
use crate::pjrt::{BufferHandle, ExecutableHandle};

/// A compiled program.
pub struct Executable {
    handle: ExecutableHandle,
    /// The shapes of the arguments, where they are known.
    parameters: Option<Vec<Shape>>,
    /// The device of each replica.
    devices: Vec<usize>,
}

/// An argument of a run.
#[derive(Debug)]
pub enum Argument<'a> {
    /// A buffer that stays as it is.
    Kept(&'a Buffer),
    /// A buffer that is used up: where the program's text lets an output have its memory, it does,
    /// and else the memory is freed after the run.
    Donated(Buffer),
}

/// The device memory that a run of a program needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// The arguments.
    pub arguments: u64,
    /// The outputs.
    pub outputs: u64,
    /// The part of the outputs that lies in the memory of donated arguments.
    pub aliased: u64,
    /// What the program needs while it runs.
    pub temporary: u64,
    /// The program itself.
    pub code: u64,
}

impl Argument<'_> {
    fn buffer(&self) -> &Buffer {
        match self {
            Self::Kept(buffer) => buffer,
            Self::Donated(buffer) => buffer,
        }
    }
}

impl Executable {
    pub(crate) fn new(
        handle: ExecutableHandle,
        parameters: Option<Vec<Shape>>,
        devices: Vec<usize>,
    ) -> Self {
        Self { handle, parameters, devices }
    }

    /// The shapes of the outputs, the same on every replica.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = &Shape> {
        self.handle.outputs().iter().map(AsRef::as_ref)
    }

    /// The shapes of the arguments, where the text says them in a way that this crate reads.
    pub fn parameters(&self) -> Option<&[Shape]> {
        self.parameters.as_deref()
    }

    /// The device of each replica, as indices among [`Client::devices`](crate::Client::devices).
    pub fn devices(&self) -> &[usize] {
        &self.devices
    }

    /// The device memory that a run needs, where the plugin says so.
    pub fn memory(&self) -> Option<MemoryUse> {
        self.handle.memory().ok()
    }

    /// Some bytes that are the same for the same program, options and compiler, where the plugin
    /// has any.
    pub fn fingerprint(&self) -> Option<Vec<u8>> {
        self.handle.fingerprint().ok().filter(|bytes| !bytes.is_empty())
    }

    /// The compiled program as bytes for [`Client::deserialize`](crate::Client::deserialize).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the plugin cannot do so, and else [`Error::Other`].
    pub fn serialize(&self) -> Result<Vec<u8>, Error> {
        self.handle.serialize()
    }

    /// Enqueues a run on one list of arguments for each replica and returns its outputs, one list
    /// for each replica, before it has ended.
    ///
    /// Donated arguments are gone afterwards, even if the run fails. An argument that one replica
    /// keeps is kept on all.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] where lists, shapes or devices do not fit the program, and then nothing
    /// was run; [`Error::OutOfMemory`], [`Error::DeviceLost`] and [`Error::Other`] where the plugin
    /// cannot start the run. What fails later is reported by the outputs' [`Buffer::wait_ready`],
    /// [`Buffer::download`] and [`Pending::wait`](crate::Pending::wait), and by those of later runs
    /// that the outputs are arguments of.
    pub fn run(&self, arguments: Vec<Vec<Argument<'_>>>) -> Result<Vec<Vec<Buffer>>, Error> {
        self.check(&arguments)?;
        let kept = kept(&arguments);
        let lists: Vec<Vec<&BufferHandle>> = arguments.iter().map(|list| handles(list)).collect();
        let started = self.handle.execute(&lists, &kept)?;
        let run = Run::new(started.ends, arguments.iter().flatten().map(Argument::buffer));
        // Donated buffers are destroyed here; the plugin holds their memory for as long as it runs.
        drop(arguments);
        Ok(self.outputs_of(started.outputs, &Arc::new(run)))
    }

    fn check(&self, arguments: &[Vec<Argument<'_>>]) -> Result<(), Error> {
        if arguments.len() != self.devices.len() {
            let (found, wanted) = (arguments.len(), self.devices.len());
            return Err(Error::argument(format!(
                "there are {found} lists of arguments for {wanted} replicas"
            )));
        }
        for (list, &device) in arguments.iter().zip(&self.devices) {
            self.check_list(list, device)?;
        }
        Ok(())
    }

    fn check_list(&self, list: &[Argument<'_>], device: usize) -> Result<(), Error> {
        if let Some(parameters) = &self.parameters {
            check_shapes(list, parameters)?;
        }
        match list.iter().position(|argument| argument.buffer().device() != device) {
            None => Ok(()),
            Some(at) => Err(Error::argument(format!(
                "argument {at} lies on device {}, but the program runs on device {device}",
                list[at].buffer().device()
            ))),
        }
    }

    fn outputs_of(&self, replicas: Vec<Vec<BufferHandle>>, run: &Arc<Run>) -> Vec<Vec<Buffer>> {
        let mut outputs = Vec::with_capacity(replicas.len());
        for (handles, &device) in replicas.into_iter().zip(&self.devices) {
            let shapes = self.handle.outputs().iter().map(Arc::clone);
            let with_shapes = handles.into_iter().zip(shapes);
            let buffer = |(handle, shape)| Buffer::new(handle, shape, device, Some(run.clone()));
            outputs.push(with_shapes.map(buffer).collect());
        }
        outputs
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Executable");
        debug.field("outputs", &self.handle.outputs()).field("devices", &self.devices).finish()
    }
}

fn handles<'a>(list: &'a [Argument<'_>]) -> Vec<&'a BufferHandle> {
    list.iter().map(|argument| &argument.buffer().handle).collect()
}

/// The indices of the arguments that some replica keeps.
fn kept(arguments: &[Vec<Argument<'_>>]) -> Vec<i64> {
    let length = arguments.first().map_or(0, Vec::len);
    let is_kept =
        |at: &usize| arguments.iter().any(|list| matches!(list.get(*at), Some(Argument::Kept(_))));
    (0..length).filter(is_kept).map(|at| at as i64).collect()
}

fn check_shapes(list: &[Argument<'_>], parameters: &[Shape]) -> Result<(), Error> {
    if list.len() != parameters.len() {
        let (found, wanted) = (list.len(), parameters.len());
        return Err(Error::argument(format!("the program takes {wanted} arguments, not {found}")));
    }
    for (at, (argument, wanted)) in list.iter().zip(parameters).enumerate() {
        let found = argument.buffer().shape();
        if found != wanted {
            return Err(Error::argument(format!("argument {at} is {found}, not {wanted}")));
        }
    }
    Ok(())
}
