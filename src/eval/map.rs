//! Images in the plane, as near to each other as their features are.

use std::fmt;
use std::str::FromStr;

use logo_ssl_base::suggest;
use measures::reduce::{Pca, Tsne, trustworthiness, tsne};
use measures::{Features, Labels};

use super::features::{self, FeatureSet};
use super::{Encoder, Progress, shown};
use crate::config::Config;
use crate::data::Images;
use crate::{Error, Result};

/// Neighbours by which a map is judged, or as many as half of the images allow.
const TRUSTED_NEIGHBOURS: usize = 12;

/// How many dimensions become two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapMethod {
    /// The two directions of most variance.
    Pca,
    /// Barnes-Hut t-SNE (van der Maaten 2014), which keeps neighbours together.
    Tsne,
}

impl MapMethod {
    /// Every method.
    pub const ALL: [Self; 2] = [Self::Pca, Self::Tsne];

    /// What it is called in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pca => "pca",
            Self::Tsne => "tsne",
        }
    }

    /// What it is called for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pca => "PCA",
            Self::Tsne => "t-SNE",
        }
    }
}

impl FromStr for MapMethod {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || Self::ALL.into_iter().map(Self::name);
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| Error::name("method of a map", name, suggest(name, names())))
    }
}

impl fmt::Display for MapMethod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where images lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// How it was made.
    pub method: MapMethod,
    /// A place for each image.
    pub places: Vec<[f32; 2]>,
    /// Their numbers among the images that were given.
    pub images: Vec<usize>,
    /// Their classes.
    pub labels: Vec<usize>,
    /// How far neighbours in the map are neighbours in truth (Venna and Kaski 2001), 1 at best.
    pub trustworthiness: f64,
    /// By so many neighbours.
    pub neighbours: usize,
    /// The share of all variance that the two directions of a PCA have; none of another method.
    pub explained: Option<f64>,
}

/// The map of `count` of the `images`, drawn under `seed`, spread over classes; of all where there are fewer.
/// None is returned when `progress` says no.
///
/// # Errors
/// As [`features::of_encoder`], and [`Error::Measure`] where there are less than four images.
pub fn of_encoder(
    encoder: &Encoder,
    images: &Images,
    config: &Config,
    (method, count, seed): (MapMethod, usize, u64),
    progress: &mut Progress<'_>,
) -> Result<Option<Map>> {
    let classes: Vec<Option<usize>> = (0..images.len()).map(|image| images.label(image)).collect();
    let chosen = shown::spread(&classes, count, seed);
    let subset = images.subset(chosen.clone());
    let mut done = 0;
    let mut count = |more: usize| {
        done += more;
        progress(done, chosen.len())
    };
    let Some(found) = features::of_encoder(encoder, &subset, config, &mut count)? else {
        return Ok(None);
    };
    let in_whole = |&row: &usize| if subset.len() == images.len() { row } else { chosen[row] };
    let numbers = found.images.iter().map(in_whole).collect();
    of_features(&FeatureSet { images: numbers, ..found }, method).map(Some)
}

fn of_features(found: &FeatureSet, method: MapMethod) -> Result<Map> {
    let features = found.features()?;
    Labels::new(&found.labels)?;
    let (places, explained) = match method {
        MapMethod::Pca => {
            let pca = Pca::fit(features, 2)?;
            (pca.transform(features)?, Some(pca.explained_ratio().iter().sum()))
        }
        MapMethod::Tsne => (tsne(features, &Tsne::default(), &mut |_, _| {})?, None),
    };
    let neighbours = TRUSTED_NEIGHBOURS.min((found.len() - 1) / 2);
    let trust = trustworthiness(features, Features::new(&places, 2)?, neighbours)?;
    Ok(Map {
        method,
        places: places.chunks_exact(2).map(|place| [place[0], place[1]]).collect(),
        images: found.images.clone(),
        labels: found.labels.clone(),
        trustworthiness: trust,
        neighbours,
        explained,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two clouds of 20, far apart in the first of four dimensions.
    fn clouds() -> FeatureSet {
        let row = |image: usize| {
            let far = if image < 20 { 1.0 } else { -1.0 };
            let at = image as f32;
            [far, 0.1 * (at * 1.7).sin(), 0.1 * (at * 2.3).cos(), 0.01 * (at * 0.7).sin()]
        };
        let rows = (0..40).flat_map(row).collect();
        let labels = (0..40).map(|image| image / 20).collect();
        FeatureSet {
            images: (0..40).map(|row| 2 * row).collect(),
            ..FeatureSet::new(4, rows, labels)
        }
    }

    #[test]
    fn clouds_stay_apart_and_the_map_says_how_far_it_can_be_trusted() {
        for method in MapMethod::ALL {
            let map = of_features(&clouds(), method).unwrap();
            assert_eq!((map.places.len(), map.images[39], map.labels[39]), (40, 78, 1));
            let middle = |cloud: &[[f32; 2]]| {
                [0, 1].map(|axis| cloud.iter().map(|place| place[axis]).sum::<f32>() / 20.0)
            };
            let middles = [middle(&map.places[..20]), middle(&map.places[20..])];
            for (image, place) in map.places.iter().enumerate() {
                let distance = |to: [f32; 2]| (place[0] - to[0]).hypot(place[1] - to[1]);
                let [own, other] = [middles[image / 20], middles[1 - image / 20]];
                assert!(distance(own) < distance(other), "{method}, image {image}");
            }
            assert_eq!(map.neighbours, 12);
            assert!(map.trustworthiness > 0.8 && map.trustworthiness <= 1.0, "{method}: {map:?}");
            assert_eq!(map.explained.is_some(), method == MapMethod::Pca);
        }
    }

    #[test]
    fn too_few_images_are_refused() {
        let few = clouds().select(&[0, 1, 2]);
        assert!(matches!(of_features(&few, MapMethod::Tsne), Err(Error::Measure(_))));
        let one = clouds().select(&[7]);
        assert!(matches!(of_features(&one, MapMethod::Pca), Err(Error::Measure(_))));
    }

    #[test]
    fn methods_are_known_by_their_names() {
        for method in MapMethod::ALL {
            assert_eq!(method.name().parse::<MapMethod>().unwrap(), method);
        }
        let error = "umap".parse::<MapMethod>().unwrap_err();
        assert!(error.to_string().contains("no method of a map `umap`"), "{error}");
    }
}
