//! Buffers: arrays in a device's memory, whose contents may still be under way.

use std::fmt;
use std::sync::{Arc, Mutex};

use crate::element::{ElementType, Shape};
use crate::error::Error;
use crate::lock;
use crate::pjrt::{BufferHandle, Download, EventHandle};

/// An array in the memory of a device. Dropping it frees that memory once the runs that use it end.
pub struct Buffer {
    pub(crate) handle: BufferHandle,
    pub(crate) shape: Arc<Shape>,
    device: usize,
    /// The run whose output this is, if it is one.
    run: Option<Arc<Run>>,
}

impl Buffer {
    pub(crate) fn new(
        handle: BufferHandle,
        shape: Arc<Shape>,
        device: usize,
        run: Option<Arc<Run>>,
    ) -> Self {
        Self { handle, shape, device, run }
    }

    /// The type of the elements.
    pub fn element(&self) -> ElementType {
        self.shape.element
    }

    /// The dimensions, the slowest varying first.
    pub fn dims(&self) -> &[usize] {
        &self.shape.dims
    }

    /// Element type and dimensions together.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The index of the device among [`Client::devices`](crate::Client::devices).
    pub fn device(&self) -> usize {
        self.device
    }

    /// Whether the contents are there, or will never be because something failed.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] where the plugin cannot tell. A run that failed is reported by
    /// [`wait_ready`](Self::wait_ready).
    pub fn is_ready(&self) -> Result<bool, Error> {
        self.handle.ready()?.is_ready()
    }

    /// Waits until the contents are there.
    ///
    /// # Errors
    ///
    /// What made the upload or the run fail that the contents come from, or a run before it that
    /// its arguments come from: [`Error::OutOfMemory`], [`Error::DeviceLost`] or [`Error::Other`].
    pub fn wait_ready(&self) -> Result<(), Error> {
        self.run.as_ref().map_or(Ok(()), |run| run.wait())?;
        self.handle.ready()?.wait()
    }

    /// Waits for the contents and copies them to the host, dense, the last dimension varying
    /// fastest.
    ///
    /// # Errors
    ///
    /// Those of [`wait_ready`](Self::wait_ready) and of the copy itself.
    pub fn download(&self) -> Result<Vec<u8>, Error> {
        self.read()?.wait()
    }

    /// Enqueues the same copy and returns at once, so that a value can be read while the next run
    /// is under way.
    ///
    /// # Errors
    ///
    /// Those of the device. What made the contents fail is reported by [`Pending::wait`] where it
    /// is not known yet.
    pub fn read(&self) -> Result<Pending, Error> {
        Ok(Pending { download: self.handle.download(&self.shape)?, run: self.run.clone() })
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} on device {})", self.shape, self.device)
    }
}

/// A copy to the host that is under way. Dropping it waits for the copy to end.
pub struct Pending {
    download: Download,
    run: Option<Arc<Run>>,
}

impl Pending {
    /// Whether [`wait`](Self::wait) would return at once.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] where the plugin cannot tell.
    pub fn is_ready(&mut self) -> Result<bool, Error> {
        self.download.is_ready()
    }

    /// Waits for the copy and gives the bytes.
    ///
    /// # Errors
    ///
    /// What made the contents or the copy fail: [`Error::OutOfMemory`], [`Error::DeviceLost`] or
    /// [`Error::Other`].
    pub fn wait(self) -> Result<Vec<u8>, Error> {
        self.run.as_ref().map_or(Ok(()), |run| run.wait())?;
        self.download.wait()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pending").finish_non_exhaustive()
    }
}

/// A run of a program, on all its replicas, which the outputs share.
pub(crate) struct Run {
    /// One event for each replica, until they are known to have ended well.
    ends: Mutex<Vec<EventHandle>>,
    /// The runs that the arguments come from, but those that are known to have ended well.
    sources: Mutex<Vec<Arc<Run>>>,
}

impl Run {
    /// A run whose arguments are these.
    pub(crate) fn new<'a>(
        ends: Vec<EventHandle>,
        arguments: impl Iterator<Item = &'a Buffer>,
    ) -> Self {
        let mut sources: Vec<Arc<Self>> = Vec::new();
        for run in arguments.filter_map(|buffer| buffer.run.as_ref()) {
            if !sources.iter().any(|known| Arc::ptr_eq(known, run)) {
                sources.push(Arc::clone(run));
            }
        }
        sources.retain(|run| !run.has_ended_well());
        Self { ends: Mutex::new(ends), sources: Mutex::new(sources) }
    }

    /// Waits for the end; every call gives the first failure among this run and its sources.
    fn wait(&self) -> Result<(), Error> {
        let sources = lock(&self.sources).clone();
        sources.iter().try_for_each(|run| run.wait())?;
        lock(&self.sources).clear();
        let mut ends = lock(&self.ends);
        ends.iter_mut().try_for_each(EventHandle::wait)?;
        ends.clear();
        Ok(())
    }

    /// Whether this run and its sources are known to have ended well, without waiting.
    fn has_ended_well(&self) -> bool {
        let mut sources = lock(&self.sources);
        sources.retain(|run| !run.has_ended_well());
        // Where another thread waits for the end, it is not known yet.
        let Ok(mut ends) = self.ends.try_lock() else { return false };
        ends.retain_mut(|end| end.is_ready() != Ok(true) || end.wait().is_err());
        sources.is_empty() && ends.is_empty()
    }
}
