//! What ℓ_s and its target are. LoGo composes with any of these; each is one file.

pub mod logo;
mod simclr;
mod simsiam;

use burn::tensor::Tensor;

use crate::config::FrameworkConfig;
use crate::model::Embedding;

pub use logo::{Affinities, Losses, derangement};

/// ℓ_s(query, target): a loss that is low when `query` predicts `target`.
pub trait Framework: Send + Sync {
    /// Between two views of the same images, `[batch, dim]` each, averaged over the batch.
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1>;
}

/// The framework that `config` names.
pub fn from_config(config: &FrameworkConfig) -> Box<dyn Framework> {
    use crate::config::FrameworkName;
    match config.name {
        FrameworkName::Simsiam => Box::new(simsiam::SimSiam),
        FrameworkName::Simclr => Box::new(simclr::SimClr { temperature: config.temperature }),
    }
}
