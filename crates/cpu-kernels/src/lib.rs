//! CPU kernels for training residual networks: convolutions, batch normalisation, pooling, matrix products and
//! nearest neighbours, forward and backward, on slices of f32 or bfloat16.
//!
//! Every kernel is written once, over a type of vectors, and compiled for each [`Level`] of instructions: plain
//! Rust, NEON, AVX2, AVX-512 with and without bfloat16, and AMX. Which of these the processor has is found out at
//! run time. Work is spread over rayon's threads, and the results are the same bytes for any number of them.
//!
//! ```
//! use logo_ssl_cpu_kernels::{Conv, ConvShape, Input, Level, Workspace};
//!
//! let shape = ConvShape {
//!     height: 8,
//!     width: 8,
//!     in_channels: 16,
//!     out_channels: 32,
//!     kernel: 3,
//!     stride: 1,
//!     images: false,
//! };
//! let conv = Conv::new::<f32>(shape, Level::chosen()?);
//!
//! // A batch of two.
//! let x = vec![1.0; 2 * shape.input_len()];
//! let weight = vec![0.5; shape.weight_len()];
//! let mut y = vec![0.0; 2 * shape.output_len()];
//! let moments = conv.forward(Input::Plain(&x), &weight, &mut y, &Workspace::default());
//!
//! // A corner sees four of the kernel's nine taps, in 16 channels each.
//! assert!((y[0] - 4.0 * 16.0 * 0.5).abs() < 1e-3);
//! assert_eq!(moments.count, 2 * 8 * 8);
//! # Ok::<(), logo_ssl_cpu_kernels::LevelError>(())
//! ```
//!
//! # What there is
//!
//! - [`Conv`]: a convolution forward, and the gradients of its weights and of its input, by whichever
//!   [`Algorithm`] is fastest for its [`ConvShape`].
//! - [`Normalisation`], [`Moments`], [`join`]: batch normalisation around convolutions, and the end of a residual
//!   block.
//! - [`average`], [`MaxPool`]: pooling, forward and backward.
//! - [`matmul`], [`matmul_bf16`]: products of plain matrices.
//! - [`Bank`]: exact nearest neighbours by inner product.
//! - [`Level`], [`Choice`], [`trial`], [`peak_gflops`]: which instructions there are, which are fastest, and how
//!   fast they could be at most.
//! - [`Workspace`]: buffers that are used again from step to step.
//!
//! # How activations are stored
//!
//! Channels come last, `[batch, height, width, channels]`, in f32 or bfloat16 (an [`Element`]), and are padded with
//! zeros to [`stored_channels`], so that no kernel meets a part of a vector. Arithmetic is in f32, but that bfloat16
//! is multiplied as it is where the level has instructions for that; sums are in f32 there too.
//!
//! # How a convolution runs
//!
//! A task takes a few images at a time from memory into a *slab* near the processor. The *prologue* does this, and
//! applies on the way what lies between the convolution and the one before it: normalisation and ReLU going forward,
//! batch norm's gradient going back. Then the slab is multiplied with the weights. The *epilogue* stores the outputs
//! and takes their moments; the [`BackwardEpilogue`] adds the residual's gradient, applies the ReLU's gate, stores, and
//! takes the sums that the batch norms before need. So a convolution with all that surrounds it reads and writes the
//! whole batch once.
//!
//! # Safety
//!
//! All `unsafe` code is behind functions that check their operands' sizes and the processor's instructions; no public
//! function is `unsafe`.

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

pub use bf16_dot::matmul_bf16;
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

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
