//! The pictures of a run that its report shows: neighbours, a map, and with LoGo what attracts and what repels.

use std::fs;
use std::path::{Path, PathBuf};

use logo_ssl::config::Config;
use logo_ssl::data::Splits;
use logo_ssl::eval::map::{self, MapMethod};
use logo_ssl::eval::{Progress, Subject, affinity, neighbours};
use logo_ssl::executor::Device;
use logo_ssl::record::RunFiles;
use logo_ssl::train::Learner;
use logo_ssl::{Error, Result};

use crate::pictures::{self, MapPicture};

/// Test images, and neighbours of each.
const NEIGHBOURS: [usize; 2] = [6, 8];
/// Images of a map.
const MAPPED: usize = 1000;
/// Fewer than so many have no map.
const LEAST_MAPPED: usize = 8;
/// Images whose crops are compared, and the side of the grid of their crops.
const AFFINITY: [usize; 2] = [2, 5];
/// Every draw's.
const SEED: u64 = 0;

/// A picture that a report has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illustration {
    /// Test images beside their nearest neighbours.
    Neighbours,
    /// Test images in the plane.
    Map,
    /// Local crops that attract and repel.
    Affinity,
}

impl Illustration {
    /// Every one, in the order of a report.
    pub const ALL: [Self; 3] = [Self::Neighbours, Self::Map, Self::Affinity];

    /// What it is called, as the command that draws it alone.
    pub fn name(self) -> &'static str {
        match self {
            Self::Neighbours => "neighbours",
            Self::Map => "map",
            Self::Affinity => "affinity",
        }
    }

    /// Where it lies in a run.
    pub fn path(self, files: &RunFiles) -> PathBuf {
        files.pictures().join(format!("{}.png", self.name()))
    }

    /// Whether a run of `config` on `splits` can have it.
    fn suits(self, config: &Config, splits: &Splits) -> bool {
        let tested = splits.evaluation.as_ref().map_or(0, |labelled| labelled.test.len());
        let in_bank = splits.evaluation.as_ref().map_or(0, |labelled| labelled.bank.len());
        match self {
            Self::Neighbours => tested >= NEIGHBOURS[0] && in_bank >= NEIGHBOURS[1],
            Self::Map => tested >= LEAST_MAPPED,
            Self::Affinity => config.framework.logo && splits.train.len() >= AFFINITY[0],
        }
    }
}

/// A run whose pictures are drawn.
#[derive(Clone, Copy)]
pub struct Illustrated<'a> {
    /// Its folder.
    pub run: &'a Path,
    /// Its settings.
    pub config: &'a Config,
    /// Its images.
    pub splits: &'a Splits,
    /// What it learned.
    pub learner: &'a Learner,
    /// Where that computes.
    pub device: &'a Device,
}

impl Illustrated<'_> {
    /// Draws what suits the run into its folder `pictures`, where [`crate::generate`] finds it, and says what
    /// that was; an older picture that no longer suits is removed. `progress` is told of each picture of
    /// images done and in all; when it says no, what is drawn so far is kept.
    ///
    /// # Errors
    /// [`Error::Io`] where a picture cannot be written, [`Error::Broken`] where too many images are,
    /// [`Error::Device`] and those of `progress`.
    pub fn draw(
        self,
        progress: &mut dyn FnMut(Illustration, usize, usize) -> Result<bool>,
    ) -> Result<Vec<Illustration>> {
        let files = RunFiles::of(self.run);
        let folder = files.pictures();
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let mut drawn = vec![];
        for picture in Illustration::ALL {
            let path = picture.path(&files);
            if !picture.suits(self.config, self.splits) {
                remove(&path)?;
                continue;
            }
            if !self.one(picture, &path, &mut |done, total| progress(picture, done, total))? {
                break;
            }
            drawn.push(picture);
        }
        Ok(drawn)
    }

    /// Draws one picture, and says whether it came to an end.
    fn one(self, picture: Illustration, path: &Path, progress: &mut Progress<'_>) -> Result<bool> {
        match picture {
            Illustration::Neighbours => self.neighbours(path, progress),
            Illustration::Map => self.map(path, progress),
            Illustration::Affinity => self.affinity(path, progress),
        }
    }

    fn neighbours(self, path: &Path, progress: &mut Progress<'_>) -> Result<bool> {
        let Some(labelled) = &self.splits.evaluation else { return Ok(true) };
        let encoder = self.learner.encoder();
        let mut subject = Subject::new(Some(&encoder), labelled, self.config);
        let [queries, neighbours] = NEIGHBOURS;
        let asked = neighbours::Asked { queries, neighbours, seed: SEED, only_wrong: false };
        let Some(found) = neighbours::of_subject(&mut subject, asked, progress)? else {
            return Ok(false);
        };
        pictures::neighbours(&found, labelled, &pictures::what(self.run, self.config), path)?;
        Ok(true)
    }

    fn map(self, path: &Path, progress: &mut Progress<'_>) -> Result<bool> {
        let Some(labelled) = &self.splits.evaluation else { return Ok(true) };
        let (encoder, images) = (self.learner.encoder(), &labelled.test);
        let asked = (MapMethod::Tsne, MAPPED, SEED);
        let Some(map) = map::of_encoder(&encoder, images, self.config, asked, progress)? else {
            return Ok(false);
        };
        let picture = MapPicture {
            map: &map,
            images,
            what: &pictures::what(self.run, self.config),
            thumbnails: false,
        };
        pictures::map(&picture, path)?;
        Ok(true)
    }

    fn affinity(self, path: &Path, progress: &mut Progress<'_>) -> Result<bool> {
        // Images that were not trained on, where there are enough of them.
        let test = self.splits.evaluation.as_ref().map(|labelled| &labelled.test);
        let shown = test.filter(|test| test.len() >= AFFINITY[0]).unwrap_or(&self.splits.train);
        let [images, grid] = AFFINITY;
        let asked = affinity::Asked { images, grid, seed: SEED };
        let of = (self.learner, self.device);
        let Some(maps) = affinity::of_learner(of, shown, self.config, asked, progress)? else {
            return Ok(false);
        };
        pictures::affinity(&maps, shown, &pictures::what(self.run, self.config), path)?;
        Ok(true)
    }
}

/// Removes the pictures of a run that is trained on: they would be of what it was before.
///
/// # Errors
/// [`Error::Io`] where one cannot be removed.
pub fn remove_all(files: &RunFiles) -> Result<()> {
    Illustration::ALL.into_iter().try_for_each(|picture| remove(&picture.path(files)))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
