//! ONNX models: written node by node, and read for their weights.
//!
//! [`Graph`] takes inputs, tensors, nodes and outputs, and becomes the bytes of a model. [`Weights`] finds the
//! tensors in the bytes of any model, under the names that PyTorch's modules have, batch norms that were
//! folded into convolutions included.
//!
//! What is written is of opset 20, IR version 9. Fields and numbers are those of ONNX's `onnx.proto`. This
//! crate opens no file.

mod element;
mod error;
mod graph;
mod message;
mod names;
mod nodes;
mod tensor;
mod weights;
mod wire;

pub use element::Element;
pub use error::Error;
pub use graph::{Attribute, Dim, Graph};
pub use weights::{TensorInfo, Weights};

/// Has the example of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
