//! What is evaluated, and the features that evaluations share.

use super::features::{self, FeatureSet};
use super::{Encoder, Progress};
use crate::Result;
use crate::config::Config;
use crate::data::{Images, Labelled};

/// An encoder, or the pixels themselves, on labelled images. Features are made once, when the first
/// evaluation asks for them.
pub struct Subject<'a> {
    encoder: Option<&'a Encoder>,
    labelled: &'a Labelled,
    config: &'a Config,
    features: Option<[FeatureSet; 2]>,
}

impl<'a> Subject<'a> {
    /// An encoder at the output that `config` names; where it is none, the pixels: the floor of every
    /// encoder.
    pub fn new(encoder: Option<&'a Encoder>, labelled: &'a Labelled, config: &'a Config) -> Self {
        Self { encoder, labelled, config, features: None }
    }

    /// The encoder; none where pixels are evaluated.
    pub fn encoder(&self) -> Option<&'a Encoder> {
        self.encoder
    }

    /// What it is evaluated on.
    pub fn labelled(&self) -> &'a Labelled {
        self.labelled
    }

    /// The run's settings.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// The features of the bank and of the test images. None are returned when `progress` says no.
    ///
    /// # Errors
    /// As [`features::of_encoder`], and those of `progress`.
    pub fn features(&mut self, progress: &mut Progress<'_>) -> Result<Option<&[FeatureSet; 2]>> {
        if self.features.is_none() {
            self.features = self.make_features(progress)?;
        }
        Ok(self.features.as_ref())
    }

    fn make_features(&self, progress: &mut Progress<'_>) -> Result<Option<[FeatureSet; 2]>> {
        let Labelled { bank, test, .. } = self.labelled;
        let total = bank.len() + test.len();
        let mut done = 0;
        let mut count = |images: usize| {
            done += images;
            progress(done, total)
        };
        let mut of = |images: &Images| match self.encoder {
            None => features::of_pixels(images, self.config, &mut count),
            Some(encoder) => features::of_encoder(encoder, images, self.config, &mut count),
        };
        let Some(bank) = of(bank)? else { return Ok(None) };
        let Some(test) = of(test)? else { return Ok(None) };
        Ok(Some([bank, test]))
    }
}
