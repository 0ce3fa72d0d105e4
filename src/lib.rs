//! Self-supervised pretraining of image encoders with LoGo (Zhang et al., CVPR 2022).
//!
//! What `logo-ssl pretrain` does, in a few lines:
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use logo_ssl::data::Splits;
//! use logo_ssl::executor::Device;
//! use logo_ssl::presets::Layers;
//! use logo_ssl::record::{Event, RunDir};
//! use logo_ssl::train::{Setup, Workers, pretrain};
//!
//! # fn main() -> logo_ssl::Result<()> {
//! let config = Layers::preset("quickstart")?.set("optimizer.epochs=2")?.build()?;
//! let splits = Splits::load(config.data.dataset, None)?;
//! let summary = pretrain(Setup {
//!     config: &config,
//!     dir: &RunDir::create("runs/mine".as_ref(), &config)?,
//!     splits,
//!     device: Device::cpu(),
//!     workers: Workers::measured(2),
//!     checkpoint_every: 100,
//!     stop: &AtomicBool::new(false),
//!     sinks: vec![&mut |event: &Event<'_>| eprintln!("{event:?}")],
//! })?;
//! println!("{:?}", summary.knn);
//! # Ok(())
//! # }
//! ```
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
pub mod engine;
pub mod error;
pub mod eval;
pub mod executor;
pub mod framework;
pub mod interop;
pub mod loader;
pub mod model;
pub mod objective;
pub mod presets;
pub mod record;
pub mod report;
pub use logo_ssl_base::rng;
pub mod sweep;
pub mod train;

pub use error::{Error, Result};
