//! What a run keeps of the file that it began from.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::interop::EncoderAt;
use crate::{Error, Result};

/// The file that a run began from, and what was taken of it. The run keeps it; it does not need the file again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name of the file; of a run's, from the run directory on.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// What became of each part.
    pub parts: Vec<PartFit>,
    /// How many tensors stayed in the file.
    pub left_out: usize,
}

/// What became of a part of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFit {
    /// Which part of what training changes.
    pub part: Part,
    /// What its names begin with in the file, where it is there.
    pub from: Option<String>,
    /// Whether it was taken.
    #[serde(flatten)]
    pub fit: Fit,
}

/// Whether a part of a file was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fit", rename_all = "snake_case")]
pub enum Fit {
    /// It was.
    Taken {
        /// How many tensors of the file.
        tensors: usize,
        /// How many more the network has, which start as in any run.
        missing: usize,
    },
    /// The file has none. It starts as in any run, a momentum encoder as the encoder.
    Absent,
    /// The settings have no place for it.
    Unused,
    /// It does not fit the settings, and starts as in any run.
    Misfit {
        /// What it has that the settings have not, as it reads behind the part's name.
        why: String,
    },
}

/// A part of what training changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Images to features.
    Backbone,
    /// Features to embeddings.
    Projector,
    /// Embeddings to predictions.
    Predictor,
    /// The copy of the encoder that follows it.
    MomentumEncoder,
    /// The keys of earlier batches.
    Queue,
    /// f_d.
    Affinity,
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Backbone => "backbone",
            Self::Projector => "projector",
            Self::Predictor => "predictor",
            Self::MomentumEncoder => "momentum encoder",
            Self::Queue => "queue",
            Self::Affinity => "affinity f_d",
        })
    }
}

impl Origin {
    /// Of the file of `at`, which is read once more for its checksum.
    pub(super) fn of(at: &EncoderAt, parts: Vec<PartFit>, left_out: usize) -> Result<Self> {
        let path = at.file();
        let mut file = File::open(&path).map_err(Error::io("read", &path))?;
        let mut hasher = Sha256::new();
        let bytes = io::copy(&mut file, &mut hasher).map_err(Error::io("read", &path))?;
        let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // What lies above may be a person's own.
        let above = match at {
            EncoderAt::Run(root) => root.parent(),
            EncoderAt::Weights(file) => file.parent(),
        };
        let name = above.and_then(|above| path.strip_prefix(above).ok()).unwrap_or(&path);
        Ok(Self { file: name.display().to_string(), bytes, sha256, parts, left_out })
    }
}
