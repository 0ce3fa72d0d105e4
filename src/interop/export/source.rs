//! What is exported: the tensors of a trained encoder, and what is known of its training.

use std::path::{Path, PathBuf};

use crate::config::{Config, Precision};
use crate::executor::Device;
use crate::interop::{EncoderAt, weights};
use crate::model::params::{self, Declaration, State};
use crate::model::{Architecture, Network, ResNet};
use crate::train::{AFFINITY, NETWORK, checkpoint};
use crate::{Error, Result, presets};

/// What stands before the backbone's names within a network.
const BACKBONE: &str = "backbone";

/// A trained encoder that other programs are to read.
#[derive(Clone, Debug)]
pub struct Export {
    at: EncoderAt,
    architecture: Architecture,
    config: Option<Config>,
    /// Epochs that it was trained for, where that is known.
    epochs: Option<usize>,
    /// By torchvision's names.
    backbone: State,
    /// Projector, predictor and f_d, behind their names.
    heads: State,
}

impl Export {
    /// The encoder at `at`: of a run what its last checkpoint holds, of a file the backbone in it. Heads are
    /// there where it is a checkpoint of this program.
    ///
    /// # Errors
    /// As [`weights::read`]; of a run also [`Error::Run`] where there is none; [`Error::Data`] where a number
    /// is not finite.
    pub fn open(at: &EncoderAt) -> Result<Self> {
        let (file, config) = (at.file(), at.config()?);
        match (config, checkpoint::read(&file)) {
            (config, Ok((position, state))) => {
                let own = || presets::config_of_text(&position.config);
                let config = config.map_or_else(own, Ok)?;
                Self::of_checkpoint(at, config, position.closed_epochs, &state)
            }
            (_, Err(error)) if matches!(at, EncoderAt::Run(_)) => Err(error),
            (config, Err(_)) => Self::of_backbone(at, config, &file),
        }
    }

    fn of_checkpoint(at: &EncoderAt, config: Config, epochs: usize, state: &State) -> Result<Self> {
        let file = at.file();
        weights::refuse_non_finite(&file, state)?;
        let network = Network::new(&config.model, Precision::F32);
        let (mut backbone, mut heads) = (State::new(), State::new());
        for layout in network.layouts() {
            let flat = layout.join(state, &format!("{NETWORK}."));
            let named = layout.split(&flat.map_err(|m| Error::from(m).in_file(&file))?, "");
            for (name, tensor) in named {
                match name.strip_prefix(BACKBONE).and_then(|rest| rest.strip_prefix('.')) {
                    Some(inside) => backbone.insert(inside.to_owned(), tensor),
                    None => heads.insert(name, tensor),
                };
            }
        }
        heads.extend(params::behind(AFFINITY, params::within(AFFINITY, state)));
        let architecture = Architecture::from(&config.model);
        let (config, epochs) = (Some(config), Some(epochs));
        Ok(Self { at: at.clone(), architecture, config, epochs, backbone, heads })
    }

    fn of_backbone(at: &EncoderAt, config: Option<Config>, file: &Path) -> Result<Self> {
        let encoder = weights::read(file, &Device::cpu())?;
        let (architecture, backbone) = (encoder.backbone_architecture(), encoder.state()?);
        let (at, heads) = (at.clone(), State::new());
        Ok(Self { at, architecture, config, epochs: None, backbone, heads })
    }

    /// The same, its images seen as `config` has it: normalised and cropped so.
    pub fn seen_by(mut self, config: Config) -> Self {
        let model = self.config.map(|own| own.model);
        self.config = Some(match model {
            Some(model) => Config { model, ..config },
            None => {
                let mut model = config.model.clone();
                model.stem = self.architecture.stem;
                Config { model, ..config }
            }
        });
        self
    }

    /// The backbone's shape.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The settings that it was trained by and that its images are seen by; none where the file does not
    /// bear them.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// How many epochs it was trained for, where that is known.
    pub(super) fn epochs(&self) -> Option<usize> {
        self.epochs
    }

    /// The run that it is of.
    pub fn run(&self) -> Option<&Path> {
        match &self.at {
            EncoderAt::Run(root) => Some(root),
            EncoderAt::Weights(_) => None,
        }
    }

    /// What a person named: the run's folder, or the file.
    pub fn path(&self) -> &Path {
        match &self.at {
            EncoderAt::Run(path) | EncoderAt::Weights(path) => path,
        }
    }

    /// The file that its tensors are from.
    pub(super) fn file(&self) -> PathBuf {
        self.at.file()
    }

    /// The backbone's tensors by torchvision's names.
    pub(super) fn backbone(&self) -> &State {
        &self.backbone
    }

    /// Projector, predictor and f_d, each behind its name.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file where it has none.
    pub(super) fn heads(&self) -> Result<&State> {
        match self.heads.is_empty() {
            true => Err(Error::data(
                self.file(),
                "holds a backbone alone, which has no heads; export the backbone without them, or the run, whose last \
                 checkpoint has them",
            )),
            false => Ok(&self.heads),
        }
    }

    /// The backbone as a network, and its tensors in order.
    pub(super) fn network(&self) -> (ResNet, Declaration) {
        let mut declare = Declaration::default();
        (ResNet::new(&self.architecture, Precision::F32, &mut declare), declare)
    }
}
