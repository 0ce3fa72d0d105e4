//! The section `data`: where the images come from.

use serde::{Deserialize, Serialize};

use super::check::{Check, ensure, in_range};
use crate::data::{DatasetName, Splits};

/// Where the images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DataConfig {
    /// The dataset that is trained on.
    pub dataset: DatasetName,
    /// How many of its images are trained on; 0 means all. The evaluation always sees the whole splits.
    pub limit: usize,
    /// The share of images that may be broken. These are passed over; more of them end the run.
    #[serde(default = "DataConfig::default_max_bad_fraction")]
    pub max_bad_fraction: f64,
    /// The mean of each channel (red, green, blue), for pixel values in [0, 1]. It is subtracted from
    /// every view.
    pub mean: [f32; 3],
    /// The standard deviation of each channel (red, green, blue), for pixel values in [0, 1]. Every view
    /// is divided by it.
    pub std: [f32; 3],
}

impl DataConfig {
    fn default_max_bad_fraction() -> f64 {
        Splits::MAX_BAD_FRACTION
    }

    pub(super) fn check(&self) -> Check {
        // Above a half, an image that stands in for a broken one would mostly be broken too.
        in_range("data.max_bad_fraction", self.max_bad_fraction, 0.0, 0.5)?;
        ensure("data.std", self.std.iter().all(|&std| std > 0.0), || {
            "data.std must be positive in every channel".to_owned()
        })
    }
}
