//! What ℓ_s and its target are. LoGo composes with any of these; each is one file.

mod byol;
pub mod logo;
mod moco;
mod simclr;
mod simsiam;

use burn::tensor::{Device, Tensor};

use crate::config::{Config, FrameworkName};
use crate::model::Embedding;
use crate::model::params::State;

pub use logo::{Affinities, Losses, derangement};

/// ℓ_s(query, target): a loss that is low when `query` predicts `target`.
pub trait Framework: Send + Sync {
    /// Between two views of the same images, `[batch, dim]` each, averaged over the batch.
    fn similarity(&self, query: &Embedding, target: &Embedding) -> Tensor<1>;

    /// Takes in what the global views were compared with, once an update is done.
    fn remember(&mut self, _targets: &[Embedding]) {}

    /// What a checkpoint must keep.
    fn state(&self) -> State {
        State::new()
    }

    /// Continues from what [`Framework::state`] gave.
    ///
    /// # Errors
    /// A sentence naming the first tensor that is missing or of another shape.
    fn load(&mut self, _state: &State) -> Result<(), String> {
        Ok(())
    }
}

/// The framework that `config` names, its memory on `device`, which need not differentiate.
pub fn from_config(config: &Config, device: &Device) -> Box<dyn Framework> {
    let temperature = config.framework.temperature;
    match config.framework.name {
        FrameworkName::Simsiam => Box::new(simsiam::SimSiam),
        FrameworkName::Simclr => Box::new(simclr::SimClr { temperature }),
        FrameworkName::Byol => Box::new(byol::Byol),
        FrameworkName::Moco => {
            let queue = [config.framework.momentum.queue, config.model.projector.dim];
            Box::new(moco::MoCo::new(queue, temperature, config.seed, device))
        }
    }
}
