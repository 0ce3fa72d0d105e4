//! Programs of the graph on the CPU.
//!
//! [`Executable::new`] plans a [`graph::Program`] once: what only renames elements vanishes, element-wise
//! operations and reductions become loops that pass over their operands once, results are computed where
//! they are needed, and what is not needed at the same time shares memory. [`Executable::run`] then runs it
//! on rayon's threads, residual networks and matrix products on the kernels of
//! `logo-ssl-cpu-kernels`.
//!
//! Work is cut by shape, never by the number of threads, and sums are added up in a fixed order: results are
//! the same bytes for any number of threads. They do depend on the [`Levels`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use logo_ssl_cpu_executor::graph::{Graph, Program, Type};
//! use logo_ssl_cpu_executor::{Engine, Executable, Levels, Tensor};
//!
//! let graph = Graph::new();
//! let x = graph.parameter("x", Type::f32([3]));
//! let program = Program::new(&graph, &[x], &[("x", x * 2.0), ("sum", x.sum_all())]).unwrap();
//! let engine = Arc::new(Engine::new(Levels::chosen().unwrap()));
//! let executable = Executable::new(&program, engine).unwrap();
//! let outputs = executable.run(vec![Arc::new(Tensor::f32([3], [1.0, 2.0, 3.0]))]).unwrap();
//! assert_eq!(outputs[0].as_f32(), Some(&[2.0, 4.0, 6.0][..]));
//! assert_eq!(outputs[1].as_f32(), Some(&[6.0][..]));
//! ```

mod block;
mod buffers;
mod cluster;
mod engine;
mod executable;
mod finish;
mod functions;
mod kernel;
mod loops;
mod lower;
mod memory;
mod moves;
mod node;
mod order;
mod plan;
mod residual;
mod step;
mod strides;
mod tensor;
mod windows;

/// The graph, in whose terms programs are written.
pub use graph;

pub use engine::{Engine, Levels};
pub use executable::{Executable, RunError, Unsupported};
pub use tensor::{Data, Tensor, WrongLength};

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
