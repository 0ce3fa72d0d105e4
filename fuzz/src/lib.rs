//! What each fuzz target does with its input: [`parsers`] of data and of other programs' checkpoints, and what
//! [`runs`] leave and are told.

mod parsers;
mod runs;

pub use parsers::*;
pub use runs::*;
