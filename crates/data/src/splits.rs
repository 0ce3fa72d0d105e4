//! What is trained on, and what it is measured by.

use std::path::Path;

use crate::source::{DatasetName, Location, Parts};
use crate::{Error, Images, Result};

/// The images of a run.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Trained on, with or without labels.
    pub train: Images,
    /// What the kNN is about; none where there are no labels, or nothing to test on.
    pub evaluation: Option<Labelled>,
}

/// Two labelled parts of one dataset.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// Searched for neighbours.
    pub bank: Images,
    /// Classified.
    pub test: Images,
}

impl Splits {
    /// The share of images that may be broken unless somebody says otherwise: one in a thousand.
    pub const MAX_BAD_FRACTION: f64 = 0.001;

    /// Loads the dataset called `name`; one that is not embedded from `dir` (see
    /// [`data_dir`](crate::data_dir)).
    ///
    /// # Errors
    /// [`Error::Data`] when it is missing or damaged.
    pub fn load(name: DatasetName, dir: Option<&Path>) -> Result<Self> {
        Self::load_allowing(name, dir, Self::MAX_BAD_FRACTION)
    }

    /// [`Splits::load`], of whose images the share `max_bad_fraction` may be broken.
    ///
    /// # Errors
    /// As [`Splits::load`].
    pub fn load_allowing(
        name: DatasetName,
        dir: Option<&Path>,
        max_bad_fraction: f64,
    ) -> Result<Self> {
        let parts = (name.source().load)(&Location::new(dir))?;
        Self::of(parts, max_bad_fraction)
            .ok_or_else(|| Error::Images(format!("there is nothing to train on in {name}")))
    }

    /// Of any parts, a dataset of one's own too; none where there is nothing to train on.
    pub fn of(parts: Parts, max_bad_fraction: f64) -> Option<Self> {
        let images = |dataset| Images::new(dataset, max_bad_fraction);
        let Parts { train, test, unlabelled } = parts;
        let (train, unlabelled) = (train.map(images), unlabelled.map(images));
        let evaluation = train.clone().and_then(|bank| Labelled::of(bank, test.map(images)));
        Some(Self { train: unlabelled.or(train)?, evaluation })
    }
}

impl Labelled {
    fn of(bank: Images, test: Option<Images>) -> Option<Self> {
        let labelled = |set: &Images| !set.is_empty() && !set.classes().is_empty();
        let test = test.filter(labelled)?;
        labelled(&bank).then_some(Self { bank, test })
    }
}
