//! A trained encoder as a person names it: by its run, or by a file of weights.

use std::path::{Path, PathBuf};

use super::{tensors, weights};
use crate::Result;
use crate::config::Config;
use crate::data::Places;
use crate::eval::Encoder;
use crate::executor::Device;
use crate::presets;
use crate::record::RunFiles;
use crate::train::{Learner, checkpoint};

/// Where a trained encoder lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncoderAt {
    /// In a run directory: its last checkpoint.
    Run(PathBuf),
    /// In a weights file, or a checkpoint: of this program, of PyTorch, or safetensors of any other.
    Weights(PathBuf),
}

impl EncoderAt {
    /// What lies at `path`: a folder is a run, all else a file of weights.
    pub fn path(path: &Path) -> Self {
        match path.is_dir() {
            true => Self::Run(path.to_path_buf()),
            false => Self::Weights(path.to_path_buf()),
        }
    }

    /// The file that holds it.
    pub fn file(&self) -> PathBuf {
        match self {
            Self::Run(root) => RunFiles::of(root).last_checkpoint(),
            Self::Weights(file) => file.clone(),
        }
    }

    /// The settings that it was trained with; none where a file does not bear them, as those of other
    /// programs.
    ///
    /// # Errors
    /// [`crate::Error::Run`] where there is no run, or its settings are damaged; [`crate::Error::Io`] and
    /// [`crate::Error::Data`] where a file cannot be read.
    pub fn config(&self) -> Result<Option<Config>> {
        match self {
            Self::Run(root) => {
                presets::read_run_config(&RunFiles::of(root).config_path()).map(Some)
            }
            Self::Weights(file) => {
                let metadata = tensors::metadata(file)?;
                // A checkpoint's is no config, and that of a later version may have keys unknown here.
                Ok(metadata.and_then(|text| presets::config_of_text(&text).ok()))
            }
        }
    }

    /// Where its run's images lie; nothing of a file.
    ///
    /// # Errors
    /// [`crate::Error::Run`] where that is damaged.
    pub fn places(&self) -> Result<Places> {
        match self {
            Self::Run(root) => RunFiles::of(root).places(),
            Self::Weights(_) => Ok(Places::default()),
        }
    }

    /// The encoder on `device`; of a run, which was trained by `config`, with its projector.
    ///
    /// # Errors
    /// As [`weights::read`]; of a run also [`crate::Error::Mismatch`] where the checkpoint is another
    /// config's.
    pub fn open(&self, config: &Config, device: &Device) -> Result<Encoder> {
        match self {
            Self::Weights(file) => weights::read(file, device),
            Self::Run(root) => Ok(learner_of_run(root, config, device)?.encoder()),
        }
    }
}

/// What the run in `root`, which was trained by `config`, had learned at its last checkpoint: the encoder,
/// and with LoGo f_d.
///
/// # Errors
/// [`crate::Error::Io`] and [`crate::Error::Data`] where there is no checkpoint or it is damaged or another
/// config's, [`crate::Error::Device`] where the device has no place for it.
pub fn learner_of_run(root: &Path, config: &Config, device: &Device) -> Result<Learner> {
    let path = RunFiles::of(root).last_checkpoint();
    let (_, state) = checkpoint::read(&path)?;
    weights::refuse_non_finite(&path, &state)?;
    let mut learner = Learner::new(config, device)?;
    learner.load(&state).map_err(|error| error.in_file(&path))?;
    Ok(learner)
}
