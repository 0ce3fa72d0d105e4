//! PJRT plugins: where they lie on this machine, and how they are fetched.
//!
//! A PJRT plugin is a shared library through which a program compiles for a device and runs on it.
//! [`Surroundings::candidates`] looks for plugins that are here already, best first, and
//! [`Surroundings::needed_environment`] says what one of them needs to be set before it is loaded.
//! No Python runs.
//!
//! ```
//! use logo_ssl_plugins::{Kind, Surroundings};
//!
//! let surroundings = Surroundings::of_this_process("plugins");
//! for candidate in surroundings.candidates(Kind::Cuda) {
//!     println!("{}: {}", candidate.path.display(), candidate.origin);
//! }
//! if let Some(step) = surroundings.next_step(Kind::Cuda, std::env::consts::OS) {
//!     println!("{step}");
//! }
//! ```
//!
//! With the feature `fetch`, off by default, `plan` works out which wheels of a Python package index
//! hold a plugin and the libraries that it loads, and how large they are; `execute` downloads, checks
//! and unpacks them.
//!
//! The crate does not load plugins. It reads the process's environment and the machine's folders
//! through [`Surroundings`] alone, which is a value that a test can make up.

#[cfg(feature = "fetch")]
mod fetch;
mod find;
mod installed;
mod next;
mod python;
#[cfg_attr(not(feature = "fetch"), allow(dead_code, reason = "only fetching asks for ranges"))]
mod version;

#[cfg(feature = "fetch")]
pub use fetch::{
    Error, Event, Index, Machine, Patience, Plan, Request, Result, Wheel, execute, plan,
};
pub use find::{Candidate, Environment, Kind, Origin, Surroundings, VARIABLE};
pub use installed::{Installed, Package};
pub use next::NextStep;

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
