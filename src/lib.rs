//! Self-supervised pretraining of image encoders with LoGo (Zhang et al., CVPR 2022): pictures without
//! labels in, a trained backbone and the evidence that it is good out.
//!
//! ```no_run
//! # fn main() -> logo_ssl::Result<()> {
//! use logo_ssl::Pretraining;
//!
//! let finished = Pretraining::on("~/pictures").preset("folder").epochs(50).run()?;
//! println!("{}", finished.weights.display());
//! # Ok(())
//! # }
//! ```
//!
//! That is the front door, [`Pretraining`]. Behind it, from the way in to the way out:
//!
//! - [`config`] and [`presets`]: an experiment as one typed value, and how it is put together;
//! - [`data`]: datasets, one's own among them; [`augment`] and [`loader`]: their views;
//! - [`model`], [`objective`], [`framework`]: the network and the method's equations, as functions from
//!   nodes of a graph to nodes;
//! - [`executor`]: the processor, or a GPU through XLA;
//! - [`train`] and [`run`]: updates, the loop, checkpoints; [`record`]: what a run writes;
//! - [`eval`]: features and what they are worth; [`interop`]: weights for others.
//!
//! `examples/` has a run on a folder, a framework of one's own, a dataset of one's own, and features for a
//! classifier. Plots and reports are the crate `logo-ssl-report`, the program is `logo-ssl-cli`.
//!
//! The parts stand alone too. A pair of views, a network, and the plain framework's loss, as a program
//! that any device runs:
//!
//! ```
//! use graph::{Graph, Program, Type, flat_gradient};
//! use logo_ssl::executor::Device;
//! use logo_ssl::model::params::Weights;
//! use logo_ssl::model::{Network, Phase};
//! use logo_ssl::objective;
//! use logo_ssl::presets::Layers;
//!
//! # fn main() -> logo_ssl::Result<()> {
//! let config = Layers::preset("cifar10")?.set("model.width=2")?.build()?;
//! let network = Network::new(&config.model, config.compute.precision);
//! let layouts @ [trained, running] = network.layouts();
//!
//! let graph = Graph::new();
//! let flat = |name, len| graph.parameter(name, Type::f32([len]));
//! let inputs = [
//!     flat("trained", trained.len()),
//!     flat("running", running.len()),
//!     graph.parameter("views", Type::f32([8, 3, 16, 16])),
//! ];
//! let weights = Weights::of(layouts, [Some(inputs[0]), Some(inputs[1])]);
//! let pair = network.forward(inputs[2], &weights, Phase::Train).views(2);
//! let loss = objective::cosine(pair[0].p, pair[1].z);
//! let gradient = flat_gradient(loss, weights.trained());
//! let program = Program::new(&graph, &inputs, &[("loss", loss), ("gradient", gradient)])
//!     .expect("every parameter is an input");
//!
//! let device = Device::cpu();
//! let arrays = vec![
//!     device.f32(trained.first_values(0), &[trained.len()])?,
//!     device.f32(running.first_values(0), &[running.len()])?,
//!     device.f32(vec![0.5; 8 * 3 * 16 * 16], &[8, 3, 16, 16])?,
//! ];
//! let outputs = device.compile(&program)?.run(arrays)?;
//! assert_eq!(outputs[1].read()?.len(), trained.len());
//! # Ok(())
//! # }
//! ```

pub mod augment;
pub mod bench;
pub mod config;
pub mod data;
pub mod error;
pub mod eval;
pub mod executor;
pub mod framework;
pub mod instructions;
pub mod interop;
pub mod loader;
pub mod model;
pub mod objective;
pub mod presets;
mod pretraining;
pub mod preview;
pub mod record;
pub mod run;
pub use logo_ssl_base::rng;
pub mod sweep;
pub mod train;
pub mod verify;

pub use error::{Error, Result, RunProblem};
pub use graph;
pub use pretraining::{Finished, Pretraining};
