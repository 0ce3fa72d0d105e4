//! Files that other programs read: safetensors with torchvision's names.

mod encoder_at;
mod seal;
pub mod tensors;
pub mod weights;

pub use encoder_at::{EncoderAt, learner_of_run};
pub use seal::Seal;
