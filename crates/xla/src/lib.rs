//! XLA through a PJRT plugin that is loaded at run time: devices, buffers and compiled programs.
//!
//! A plugin is a shared library with one C function, `GetPjrtApi`, which gives a table of
//! functions. [`Plugin::load`] opens it, [`Client::new`] finds its devices, [`Client::compile`]
//! turns a StableHLO text into an [`Executable`], and [`Executable::run`] enqueues it on
//! [`Buffer`]s and returns before it has run. What goes wrong later comes out where one waits:
//! [`Buffer::wait_ready`], [`Buffer::download`] and [`Pending::wait`]. A failed run also fails the
//! runs that use its outputs, so that who waits for the last one learns of the first failure.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use logo_ssl_xla::{Argument, Client, CompileOptions, ElementType, Plugin};
//!
//! const DOUBLE: &str = "module @double {
//!   func.func public @main(%x: tensor<2xf32>) -> tensor<2xf32> {
//!     %y = stablehlo.add %x, %x : tensor<2xf32>
//!     return %y : tensor<2xf32>
//!   }
//! }";
//!
//! let plugin = Plugin::load(Path::new("pjrt_c_api_cpu_plugin.so")).unwrap();
//! let client = Client::new(&plugin, &[]).unwrap();
//! let double = client.compile(DOUBLE, &CompileOptions::default()).unwrap();
//! let bytes = [1.0_f32, 1.5].map(f32::to_le_bytes).concat();
//! let x = client.upload(bytes, ElementType::F32, &[2], 0).unwrap();
//! let outputs = double.run(vec![vec![Argument::Kept(&x)]]).unwrap();
//! assert_eq!(outputs[0][0].download().unwrap(), [2.0_f32, 3.0].map(f32::to_le_bytes).concat());
//! ```
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

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
