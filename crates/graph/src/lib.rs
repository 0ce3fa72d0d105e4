//! Tensors as a graph, and their derivatives as a graph too.
//!
//! A [`Graph`] is built of the operations of StableHLO, shapes and types checked as it is built.
//! [`gradients`] adds the derivatives of a loss. A [`Program`] is what some of it computes: a value that an
//! executor compiles and runs, or that [`text`](Program::text) prints for XLA. [`evaluate`] computes it in
//! double precision by the plainest means, for others to be compared with.
//!
//! ```
//! use logo_ssl_graph::{Graph, Program, Type, gradients};
//!
//! let graph = Graph::new();
//! let x = graph.parameter("x", Type::f32([8, 3]));
//! let w = graph.parameter("w", Type::f32([3, 1]));
//! let loss = x.matmul(w).square().mean_all();
//! let gradient = gradients(loss, &[w])[0];
//! let next = w - gradient * 0.1;
//! let step = Program::new(&graph, &[w, x], &[("w", next), ("loss", loss)]).unwrap();
//! assert_eq!(step.inputs()[0].becomes, Some(0));
//! ```

mod evaluate;
mod gradient;
mod graph;
mod infer;
mod node;
mod operation;
mod program;
mod residual;
mod text;
mod types;

pub use evaluate::{evaluate, evaluate_replicas};
pub use gradient::{depends, flat_gradient, gradients, pull_back};
pub use graph::{Graph, Instruction, Node};
pub use infer::Mistake;
pub use node::concatenate;
pub use operation::{
    Binary, Comparison, Convolution, Dot, Number, Operation, Reduction, Unary, Window,
};
pub use program::{Input, Output, Program, ProgramError};
pub use residual::{BlockPlan, Plan, UnitPlan, UnitShape};
pub use types::{Element, Type};

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
