//! What the crates of logo-ssl share, and nothing that knows of images or networks: files that are
//! whole or absent, randomness as a pure function of where it is used, the name that was meant, and
//! counts as a person reads them.
//!
//! ```
//! use logo_ssl_base::rng::{Stream, generator, normal};
//! use logo_ssl_base::suggest;
//!
//! // For the first view of image 3 in epoch 4 of a run with seed 1, whatever was drawn before.
//! let draw = || normal(&mut generator(1, Stream::View, 4, 3, 0));
//! assert_eq!(draw(), draw());
//! assert_eq!(suggest("cifar", ["stl10", "cifar10"]), "did you mean `cifar10`?");
//! ```

pub mod files;
mod names;
pub mod rng;
pub mod words;

pub use names::suggest;

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
