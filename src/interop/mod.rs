//! Files that other programs read: safetensors with torchvision's names, and [exports](export) to other formats.

mod encoder_at;
pub mod export;
pub mod tensors;
pub mod weights;

pub use encoder_at::{EncoderAt, learner_of_run};
