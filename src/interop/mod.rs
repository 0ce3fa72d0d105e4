//! Files that other programs read: safetensors with torchvision's names.

mod encoder_at;
pub mod tensors;
pub mod weights;

pub use encoder_at::{EncoderAt, learner_of_run};
