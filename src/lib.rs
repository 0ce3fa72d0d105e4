//! Self-supervised pretraining of image encoders with LoGo (Zhang et al., CVPR 2022).
//!
//! What `logo-ssl pretrain` does, in a few lines:
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use burn::tensor::Device;
//! use logo_ssl::data::Splits;
//! use logo_ssl::presets::Layers;
//! use logo_ssl::train::run_dir::RunDir;
//! use logo_ssl::train::{Setup, Workers, pretrain};
//!
//! # fn main() -> logo_ssl::Result<()> {
//! let config = Layers::preset("quickstart")?.set("optimizer.epochs=2")?.build()?;
//! let splits = Splits::load(config.data.dataset, None)?;
//! let summary = pretrain(Setup {
//!     config: &config,
//!     dir: &RunDir::create("runs/mine".as_ref(), &config)?,
//!     splits,
//!     device: Device::flex(),
//!     workers: Workers::measured(2),
//!     checkpoint_every: 100,
//!     stop: &AtomicBool::new(false),
//!     show: &mut |event| eprintln!("{event:?}"),
//! })?;
//! println!("{:?}", summary.knn);
//! # Ok(())
//! # }
//! ```
//!
//! The parts stand alone too. A pair of views, a network, and the plain framework's loss:
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//! use logo_ssl::model::{Network, Phase};
//! use logo_ssl::objective;
//! use logo_ssl::presets::Layers;
//!
//! # fn main() -> logo_ssl::Result<()> {
//! let config = Layers::preset("cifar10")?.set("model.width=2")?.build()?;
//! let device = Device::flex().autodiff();
//! let network = Network::new(&config.model, 0, &device);
//! let views = Tensor::random([8, 3, 16, 16], Distribution::Default, &device);
//! let pair = network.forward(views, Phase::Train).views(2);
//! let loss = objective::cosine(pair[0].p.clone(), pair[1].z.clone());
//! let gradients = loss.backward();
//! # assert!(network.projector.forward(Tensor::zeros([2, 16], &device), Phase::Train).dims() == [2, 2048]);
//! # drop(gradients);
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
pub mod files;
pub mod framework;
pub mod interop;
pub mod model;
pub mod objective;
pub mod presets;
pub mod report;
pub mod rng;
pub mod sweep;
pub mod train;

pub use error::{Error, Result};
