//! What the crates of logo-ssl share, and nothing that knows of images or networks: files that are
//! whole or absent, randomness as a pure function of where it is used, and the name that was meant.

pub mod files;
mod names;
pub mod rng;

pub use names::suggest;
