//! Where feature vectors come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dtype, Embedding};
use crate::Result;
use crate::config::Features;
use crate::data::Fingerprint;

/// All that the numbers of a file of features depend on. Formats with a place for it hold it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What wrote them, with its version.
    pub program: String,
    /// The file of the encoder, as it was named.
    pub encoder: String,
    /// Its backbone.
    pub architecture: String,
    /// CRC-32 of its weights, in hexadecimal digits.
    pub weights: String,
    /// The output that was taken.
    pub features: Features,
    /// The length of a vector.
    pub dim: usize,
    /// The dataset's name.
    pub dataset: String,
    /// How many images of each of its parts were looked at; rows lie in the order train, test, unlabelled.
    pub parts: BTreeMap<String, usize>,
    /// What the dataset was, as far as it costs little to know.
    pub images: Fingerprint,
    /// The pixels that an image's shorter side was brought to; 0 where images were seen as they are.
    pub resize: usize,
    /// The side in pixels of the central square that was seen; 0 where images were seen as they are.
    pub crop: usize,
    /// What was subtracted from each channel (red, green, blue) of pixel values in [0, 1].
    pub mean: [f32; 3],
    /// By what each channel was divided.
    pub std: [f32; 3],
    /// Whether vectors were brought to unit length.
    pub unit: bool,
    /// The type of the numbers.
    pub dtype: Dtype,
}

impl Origin {
    pub(super) fn of(embedding: &Embedding<'_>) -> Result<Self> {
        let Embedding { encoder, source, images, config, dtype, unit } = *embedding;
        Ok(Self {
            program: format!("logo-ssl {}", env!("CARGO_PKG_VERSION")),
            encoder: source.display().to_string(),
            architecture: encoder.architecture(),
            weights: format!("{:08x}", encoder.checksum()?),
            features: config.eval.features,
            dim: encoder.dim(config.eval.features),
            dataset: images.dataset().to_owned(),
            parts: images.parts().map(|(name, count)| (name.to_owned(), count)).collect(),
            images: Fingerprint::of(&***images),
            resize: config.eval.resize,
            crop: config.eval.crop,
            mean: config.data.mean,
            std: config.data.std,
            unit,
            dtype,
        })
    }

    /// Bytes of a vector.
    pub(super) fn row_bytes(&self) -> usize {
        self.dim * self.dtype.bytes()
    }

    /// How many images there are in all parts.
    pub(super) fn total(&self) -> usize {
        self.parts.values().sum()
    }

    /// It as JSON.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("it is made of JSON's own types")
    }

    /// In what vectors of another origin differ, as a clause; none where they are of this one.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        if let Some(difference) = other.images.difference(&self.images) {
            return Some(difference);
        }
        let (ours, theirs) = (self.to_value(), other.to_value());
        let fields = ours.as_object()?.iter().zip(theirs.as_object()?.values());
        let mut different = fields.filter(|((_, ours), theirs)| ours != theirs);
        let ((name, ours), theirs) = different.next()?;
        Some(format!("`{name}` was {theirs} and is {ours}"))
    }
}
