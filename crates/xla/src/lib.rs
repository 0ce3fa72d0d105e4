//! XLA through a PJRT plugin that is loaded at run time: devices, buffers and compiled programs.
//!
//! A plugin is a shared library with one C function, `GetPjrtApi`, which gives a table of
//! functions. [`Plugin::load`] opens it, [`Client::new`] finds its devices, [`Client::compile`]
//! turns a StableHLO text into an [`Executable`], and [`Executable::run`] enqueues it on
//! [`Buffer`]s and returns before it has run. What goes wrong later comes out where one waits:
//! [`Buffer::wait_ready`], [`Buffer::download`] and [`Pending::wait`]. A failed run also fails the
//! runs that use its outputs, so that who waits for the last one learns of the first failure.
//!
//! Clients, buffers and executables may be shared among threads and moved between them.
//!
//! The crate's `unsafe` code is in `pjrt.rs`, the one file that speaks to C. It trusts the plugin,
//! as whoever loads a library must.

#![deny(unsafe_code)]

mod buffer;
mod cache;
mod client;
mod element;
mod error;
mod executable;
mod interface;
mod options;
#[allow(unsafe_code)]
mod pjrt;
mod plugin;
mod signature;

pub use buffer::{Buffer, Pending};
pub use cache::{Cache, Origin};
pub use client::{Client, DeviceInfo, Memory};
pub use element::{ElementType, Shape};
pub use error::Error;
pub use executable::{Argument, Executable, MemoryUse};
pub use options::{CompileOptions, OptionValue};
pub use plugin::Plugin;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, although a thread may have panicked with the lock: none leaves half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
