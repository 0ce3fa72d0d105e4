//! Files that other programs read or wrote: safetensors with torchvision's names, checkpoints of PyTorch, and [exports](export)
//! to other formats.

mod choice;
mod encoder_at;
pub mod export;
mod import;
mod init;
mod seal;
pub mod tensors;
pub mod weights;

pub use choice::Choice;
pub use encoder_at::{EncoderAt, learner_of_run};
pub use import::{Import, LeftOver, Mapped};
pub use init::{Fit, Init, InitFrom, Origin, Part, PartFit};
pub use seal::{FORMAT, Seal};
