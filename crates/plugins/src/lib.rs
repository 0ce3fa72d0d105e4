//! PJRT plugins: where they lie on this machine, and how they are fetched.
//!
//! A PJRT plugin is a shared library through which a program compiles for a device and runs on it.
//! [`Surroundings::candidates`] looks for plugins that are here already, best first, and
//! [`Surroundings::needed_environment`] says what one of them needs to be set before it is loaded.
//! [`plan`] works out which wheels of a Python package index hold a plugin and the libraries that
//! it loads, and how large they are; [`execute`] downloads, checks and unpacks them. No Python runs.
//!
//! The crate does not load plugins. It reads the process's environment and the machine's folders
//! through [`Surroundings`] alone, which is a value that a test can make up.

mod address;
mod error;
mod fetch;
mod find;
mod http;
mod index;
mod known;
mod next;
mod python;
mod remote;
mod requirement;
mod unpack;
mod version;

pub use error::{Error, Result};
pub use fetch::{Event, Installed, Package, Plan, Request, Wheel, execute, plan};
pub use find::{Candidate, Environment, Kind, Origin, Surroundings, VARIABLE};
pub use http::Patience;
pub use index::{Index, Machine};

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
