//! What ℓ_s and its target are. LoGo composes with any of these; each is one file, and one line in a list.

mod byol;
pub mod logo;
mod moco;
mod simclr;
mod simsiam;

use std::collections::BTreeMap;

use graph::Node;

use crate::Result;
use crate::config::Config;
use crate::model::Embedding;
use crate::model::params::State;

pub use byol::Byol;
pub use logo::{Affinities, Losses, derangement};
pub use moco::MoCo;
pub use simclr::SimClr;
pub use simsiam::SimSiam;

/// What a framework needs beside the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Whether its targets come from a momentum encoder.
    pub momentum_encoder: bool,
    /// Whether it needs a predictor, lest it collapse.
    pub predictor: bool,
}

/// ℓ_s(query, target): a loss that is low when `query` predicts `target`.
///
/// A framework of one's own implements this and goes into
/// [`Learner::with_framework`](crate::train::Learner::with_framework).
pub trait Framework: Send + Sync {
    /// What it needs beside the encoder.
    fn needs(&self) -> Needs;

    /// Between two views of the same images, `[batch, dim]` each, averaged over the batch: a scalar.
    fn similarity<'g>(
        &self,
        query: Embedding<'g>,
        target: Embedding<'g>,
        memory: &Memory<'g>,
    ) -> Node<'g>;

    /// Numbers of its own that the log of a run is to have beside the loss: scalars, by name, of the global
    /// views' embeddings and of what they are compared with, `[batch, dim]` each.
    fn report<'g>(
        &self,
        _global: &[Embedding<'g>],
        _targets: &[Embedding<'g>],
        _memory: &Memory<'g>,
    ) -> Vec<(&'static str, Node<'g>)> {
        Vec::new()
    }

    /// Refuses the settings of a run with which it cannot work.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the key and what would be accepted.
    fn check(&self, _config: &Config) -> Result<()> {
        Ok(())
    }

    /// What it remembers from one update to the next, by name, as it is before the first.
    fn memory(&self) -> State {
        State::new()
    }

    /// Takes in what the global views were compared with, once an update is done.
    fn remember<'g>(&self, _targets: &[Embedding<'g>], _memory: &mut Memory<'g>) {}
}

/// What a framework remembers, by the names that it gave.
#[derive(Clone, Debug, Default)]
pub struct Memory<'g> {
    tensors: BTreeMap<String, Node<'g>>,
}

impl<'g> Memory<'g> {
    /// The tensor of this name.
    ///
    /// # Panics
    /// If the framework's [`Framework::memory`] has none of it.
    pub fn get(&self, name: &str) -> Node<'g> {
        *self.tensors.get(name).unwrap_or_else(|| panic!("the framework has no memory `{name}`"))
    }

    /// Replaces a tensor.
    pub fn set(&mut self, name: &str, tensor: Node<'g>) {
        self.tensors.insert(name.to_owned(), tensor);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Node<'g>)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor))
    }
}

impl<'g> FromIterator<(String, Node<'g>)> for Memory<'g> {
    fn from_iter<T: IntoIterator<Item = (String, Node<'g>)>>(tensors: T) -> Self {
        Self { tensors: tensors.into_iter().collect() }
    }
}

/// Every framework, in the order in which they are listed to a person.
static KINDS: [&Kind; 4] = [&simsiam::KIND, &simclr::KIND, &moco::KIND, &byol::KIND];

/// A framework by name.
#[derive(Debug)]
pub struct Kind {
    /// As configs have it.
    pub name: &'static str,
    /// With its settings.
    pub of_config: fn(&Config) -> Box<dyn Framework>,
}

/// The frameworks that a config can name.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().copied()
}

/// The framework that `config` names.
pub fn from_config(config: &Config) -> Box<dyn Framework> {
    (config.framework.name.kind().of_config)(config)
}
