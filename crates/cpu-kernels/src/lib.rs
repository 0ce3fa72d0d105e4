//! The CPU kernels of logo-ssl: what a residual network needs to train, forward and back.
//!
//! Activations are stored channels last, `[batch, height, width, channels]`, with the channels padded
//! to [`stored_channels`], in f32 or bfloat16. Arithmetic is in f32, but that bfloat16 is multiplied as it
//! is where the [`Level`] can, and summed in f32. A convolution takes a few images
//! at a time from there into a *slab* near the processor, applies on the way what lies between it and
//! its predecessor, multiplies, and stores with the statistics that follow. Every kernel is written
//! once over a vector type and compiled for each [`Level`] of instructions, chosen at run time.
//!
//! All the project's `unsafe` code is in this crate, behind functions that check their operands.

mod bf16_dot;
mod choice;
mod conv;
mod direct;
mod element;
mod epilogue;
mod f32_path;
mod gemm;
mod level;
mod matmul;
mod memory;
mod nearest;
mod norm;

mod part;
mod peak;
mod pool;
mod processor;
mod shape;
mod simd;
mod slab;
#[cfg(target_arch = "x86_64")]
mod tile_registers;
mod trial;

mod winograd;
mod workspace;

pub use choice::{Choice, Chosen, KERNELS_VERSION, choose};
pub use conv::{Algorithm, Conv};
pub use element::Element;
pub use epilogue::{BackwardEpilogue, Gate};
pub use half::bf16;
pub use level::{LEVEL_VARIABLE, Level, LevelError, Work};
pub use matmul::{Matrix, matmul};
pub use memory::keep_freed_memory;
pub use nearest::{Bank, Neighbour};
pub use norm::{
    EPSILON, GradientOf, GradientSums, Moments, NormGradient, Normalisation, Shortcut, join,
};
pub use peak::{peak_gflops, peak_gflops_bf16};
pub use pool::{MaxPool, average, average_backward};
pub use processor::processor;
pub use shape::{ConvShape, stored_channels};
pub use slab::{Input, InputGradient, OutputGradient};
pub use trial::trial;
pub use workspace::{Buffer, Workspace};
