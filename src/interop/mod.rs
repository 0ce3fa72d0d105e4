//! Files that other programs read: safetensors with torchvision's names.

pub mod tensors;
pub mod weights;
