//! Which images are embedded: parts of a dataset, labelled or not.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use logo_ssl_base::suggest;
use logo_ssl_data::{Joined, Location};

use crate::augment::views::EvalView;
use crate::config::Config;
use crate::data::{Dataset, DatasetName, Images, Parts};
use crate::presets::Layers;
use crate::{Error, Result};

/// Headers that are looked at to see whether images are of one size.
const LOOKED_AT: usize = 256;
/// The preset whose resize and crop bring images of different sizes to one.
const MIXED_SIZES: &str = "folder";

/// Which part of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All parts: train, test, unlabelled, in that order.
    #[default]
    All,
    /// What is trained on and has labels, or what is all there is.
    Train,
    /// What is tested on; of a folder that is not divided, the images that are held out.
    Test,
    /// What has no labels beside a part that has, as in STL-10.
    Unlabelled,
}

impl Which {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::All, Self::Train, Self::Test, Self::Unlabelled];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Train => "train",
            Self::Test => "test",
            Self::Unlabelled => "unlabelled",
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Which {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|which| which.name() == name);
        found.ok_or_else(|| {
            Error::name("part", name, suggest(name, Self::ALL.into_iter().map(Self::name)))
        })
    }
}

/// Images of one or several parts of a dataset, in the order of the parts.
#[derive(Clone)]
pub struct Chosen {
    dataset: String,
    joined: Arc<Joined>,
    images: Images,
}

impl Chosen {
    /// The parts `which` of the dataset called `dataset`, from `dir` unless it is embedded (see
    /// [`data_dir`](crate::data::data_dir)). The share `max_bad_fraction` of them may be broken.
    ///
    /// # Errors
    /// [`Error::Data`] when it is missing or damaged; [`Error::Images`] when it has no such part.
    pub fn load(
        dataset: DatasetName,
        dir: Option<&Path>,
        which: Which,
        max_bad_fraction: f64,
    ) -> Result<Self> {
        let parts = (dataset.source().load)(&Location::new(dir))?;
        Self::of(dataset.as_str(), parts, which, max_bad_fraction)
    }

    /// The same of any parts, a dataset of one's own too, under a name that the features' file gives.
    ///
    /// # Errors
    /// [`Error::Images`] when there is no such part.
    pub fn of(dataset: &str, parts: Parts, which: Which, max_bad_fraction: f64) -> Result<Self> {
        let all = Joined::of(parts);
        let there: Vec<&str> = all.parts().map(|(name, _)| name).collect();
        let there = there.join(", ");
        let joined = match which {
            Which::All => all,
            part => all.only(part.name()),
        };
        if joined.is_empty() {
            let has =
                if there.is_empty() { "no images".to_owned() } else { format!("only {there}") };
            return Err(Error::Images(format!("{dataset} has no part `{which}`, {has}")));
        }
        let joined = Arc::new(joined);
        let images = Images::new(Arc::clone(&joined) as Arc<dyn Dataset>, max_bad_fraction);
        Ok(Self { dataset: dataset.to_owned(), joined, images })
    }

    /// What the dataset is called.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// The names of the parts with how many images each has, in order.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.joined.parts()
    }

    /// The name of the part that image `index` is in.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn part_of(&self, index: usize) -> &'static str {
        self.joined.part_of(index)
    }

    /// Has `config` bring images to one size as the preset for folders does, where it would see them as they
    /// are and they are not of one size. Some hundreds all along the dataset are looked at. Says whether it
    /// was so.
    ///
    /// # Errors
    /// [`Error::Broken`] when too many of these cannot be read.
    pub fn suit(&self, config: &mut Config) -> Result<bool> {
        if EvalView::of_config(&config.eval) != EvalView::Whole {
            return Ok(false);
        }
        let mut first = None;
        for index in (0..self.len()).step_by(self.len().div_ceil(LOOKED_AT)) {
            let size = self.images.read(index, |picture| Ok(picture.open()?.size()))?;
            if size.is_some() && *first.get_or_insert(size) != size {
                let preset = Layers::preset(MIXED_SIZES)?.build()?;
                (config.eval.resize, config.eval.crop) = (preset.eval.resize, preset.eval.crop);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// They are images, of which it is known what they are parts of.
impl Deref for Chosen {
    type Target = Images;

    fn deref(&self) -> &Images {
        &self.images
    }
}
