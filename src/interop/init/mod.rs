//! What a run begins from: the weights of a checkpoint, as far as they fit its settings.

mod fitting;
mod heads;
mod memory;
mod origin;

use std::path::Path;
use std::sync::Arc;

pub use origin::{Fit, Origin, Part, PartFit};

use self::fitting::Fitting;
use super::choice::{Choice, chosen_with_momentum};
use super::{EncoderAt, tensors};
use crate::config::Config;
use crate::framework;
use crate::model::params::State;
use crate::{Error, Result};

/// Which run or file another run begins from, and which of its backbones is meant.
///
/// A path is one, of a file or of a run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitFrom {
    /// Where it lies.
    pub at: EncoderAt,
    /// What of it is meant, and whether all has to fit.
    pub choice: Choice,
}

impl<P: AsRef<Path>> From<P> for InitFrom {
    fn from(path: P) -> Self {
        Self { at: EncoderAt::path(path.as_ref()), choice: Choice::default() }
    }
}

/// The weights that a run begins from, under its own names.
///
/// Of a checkpoint of any program that [`Import`](super::Import) knows, or of a run, these are the backbone and,
/// where they are there and the settings have a place for them, projector, predictor, momentum encoder, queue
/// and f_d. What is not there starts as in any run; a momentum encoder starts as the encoder.
///
/// ```
/// use logo_ssl::executor::Device;
/// use logo_ssl::interop::{Init, weights};
/// use logo_ssl::presets::Layers;
/// use logo_ssl::train::Learner;
///
/// # fn main() -> logo_ssl::Result<()> {
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("resnet10.safetensors");
/// let config = Layers::preset("cifar10")?
///     .set("model.backbone=resnet10")?
///     .set("model.width=2")?
///     .build()?;
/// # let trained = Learner::new(&config, &Device::cpu())?.state()?;
/// # weights::write(&file, &trained, &config)?;
/// let init = Init::open(&file.into(), &config)?;
/// let mut learner = Learner::new(&config, &Device::cpu())?;
/// learner.begin_from(init.state())?;
/// for part in &init.origin().parts {
///     println!("{}: {:?}", part.part, part.fit);
/// }
/// # assert_eq!(learner.state()?, trained);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Init {
    origin: Origin,
    state: State,
}

impl Init {
    /// Reads what fits a run of `config`.
    ///
    /// # Errors
    /// As [`Import::open`](super::Import::open), but a file with a momentum encoder holds nothing to choose where
    /// `config` has one too. [`Error::Setting`] where the backbone is another than the config's, with the
    /// settings to change; [`Error::Misfit`] where another part does not fit and that is not allowed.
    pub fn open(from: &InitFrom, config: &Config) -> Result<Self> {
        let path = from.at.file();
        let file = Arc::new(tensors::open(&path)?);
        let framework = framework::from_config(config);
        let momentum = framework.needs().momentum_encoder;
        let (backbone, follower) = chosen_with_momentum(&path, &file, &from.choice, momentum)?;
        let mut fitting = Fitting::new(&path, file, config, from.choice.allow_missing);
        fitting.backbone(&backbone)?;
        fitting.projector(&backbone)?;
        fitting.predictor(&backbone)?;
        fitting.momentum(follower.as_ref(), momentum)?;
        fitting.queue(&framework.memory())?;
        fitting.affinity(&backbone)?;
        let misfits = fitting.misfits();
        if !misfits.is_empty() && !from.choice.allow_missing {
            return Err(Error::Misfit { path, parts: misfits });
        }
        let (state, parts, left_out) = fitting.finish();
        Ok(Self { origin: Origin::of(&from.at, parts, left_out)?, state })
    }

    /// The file, and what became of each of its parts.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The tensors by the names of [`Learner::state`](crate::train::Learner::state), of which they are a part.
    pub fn state(&self) -> &State {
        &self.state
    }
}
