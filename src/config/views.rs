//! The section `views`: how an image becomes global and local views.

use serde::{Deserialize, Serialize};

use super::check::{Check, ensure, in_range};

/// How an image becomes global and local views.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ViewsConfig {
    /// The large crops.
    pub global: CropConfig,
    /// The small crops.
    pub local: CropConfig,
    /// The probability that a view is flipped horizontally.
    pub flip: f32,
    /// Random changes of colour.
    pub jitter: JitterConfig,
    /// The probability that a view is turned grey.
    pub grayscale: f32,
    /// Gaussian blur.
    pub blur: BlurConfig,
}

/// A random resized crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CropConfig {
    /// The side of the resulting square view, in pixels.
    pub size: usize,
    /// The least and the greatest share of the image's area that is cropped.
    pub area: [f32; 2],
    /// The least and the greatest width / height of the cropped box.
    pub aspect: [f32; 2],
    /// How many such views each image gives.
    #[serde(default = "CropConfig::default_count")]
    pub count: usize,
}

/// Colour jitter as torchvision's `ColorJitter`: factors from `[max(0, 1 - x), 1 + x]`, a hue turned by
/// `[-hue, hue]` of a full circle, and the four in random order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct JitterConfig {
    /// The probability that a view is jittered at all.
    pub probability: f32,
    /// How far the factor of brightness may lie from 1.
    pub brightness: f32,
    /// How far the factor of contrast may lie from 1.
    pub contrast: f32,
    /// How far the factor of saturation may lie from 1.
    pub saturation: f32,
    /// How far the hue may be turned, as a share of a full circle; at most 0.5.
    pub hue: f32,
}

/// Gaussian blur whose σ is drawn uniformly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BlurConfig {
    /// The probability that a view is blurred.
    pub probability: f32,
    /// The least and the greatest σ, in pixels of the view.
    pub sigma: [f32; 2],
}

impl CropConfig {
    /// The paper's number of views of either kind.
    fn default_count() -> usize {
        2
    }

    fn check(&self, key: &str) -> Check {
        in_range(&format!("{key}.size"), self.size, 8, 512)?;
        let [least, most] = self.area;
        ensure(&format!("{key}.area"), 0.0 < least && least <= most && most <= 1.0, || {
            format!(
                "{key}.area = [{least}, {most}] must be two shares of the image in rising order, above 0 and at most 1"
            )
        })?;
        let [narrow, wide] = self.aspect;
        ensure(&format!("{key}.aspect"), 0.0 < narrow && narrow <= wide, || {
            format!("{key}.aspect = [{narrow}, {wide}] must be two positive ratios in rising order")
        })
    }
}

impl JitterConfig {
    fn check(&self) -> Check {
        in_range("views.jitter.probability", self.probability, 0.0, 1.0)?;
        in_range("views.jitter.brightness", self.brightness, 0.0, 10.0)?;
        in_range("views.jitter.contrast", self.contrast, 0.0, 10.0)?;
        in_range("views.jitter.saturation", self.saturation, 0.0, 10.0)?;
        in_range("views.jitter.hue", self.hue, 0.0, 0.5)
    }
}

impl BlurConfig {
    fn check(&self) -> Check {
        in_range("views.blur.probability", self.probability, 0.0, 1.0)?;
        let [least, most] = self.sigma;
        ensure("views.blur.sigma", least > 0.0 && least <= most, || {
            format!(
                "views.blur.sigma = [{least}, {most}] must be two positive numbers in rising order"
            )
        })
    }
}

impl ViewsConfig {
    pub(super) fn check(&self) -> Check {
        self.global.check("views.global")?;
        self.local.check("views.local")?;
        ensure("views.local.size", self.local.size <= self.global.size, || {
            format!(
                "views.local.size = {} contradicts views.global.size = {}: local views are the smaller ones",
                self.local.size, self.global.size
            )
        })?;
        in_range("views.global.count", self.global.count, 2, 64)?;
        in_range("views.local.count", self.local.count, 0, 64)?;
        in_range("views.flip", self.flip, 0.0, 1.0)?;
        in_range("views.grayscale", self.grayscale, 0.0, 1.0)?;
        self.jitter.check()?;
        self.blur.check()
    }
}
