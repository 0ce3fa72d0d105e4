//! Named tensors in the checkpoints of other programs, and the ResNets and their heads among them.
//!
//! [`Checkpoint`] opens PyTorch's files, safetensors and ONNX models, and reads one tensor at a time as f32.
//! [`Backbone`] finds a ResNet among the names, whatever they begin with, and says what torchvision calls
//! each of its tensors. [`Head`] finds what stands beside it, such as a projector.
//!
//! Nothing in a file is executed. PyTorch's files are parsed by
//! [`pytorch_reader`](https://docs.rs/pytorch-reader), which calls no function that a pickle names; what it
//! leaves to its user is refused here: files that unfold to more than they hold, and pickles that would run a
//! command when Python opens them.

mod acting;
mod backbone;
mod checkpoint;
mod error;
mod head;
mod model;
mod names;

mod pytorch;
mod safe;

pub use backbone::Backbone;
pub use checkpoint::{Checkpoint, Element, TensorInfo};
pub use error::{Error, Problem};
pub use head::{Head, Layer, Norm};

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
