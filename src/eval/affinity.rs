//! What LoGo learned of an image's parts: f_d of all pairs of a grid of local crops, and how near each is to the
//! global view.

use graph::{Element, Graph, Node, Program, Type};
use serde::Serialize;

pub use crate::augment::crop::CropBox;

use super::crops::{cosine, embed, grid, overlap};
use super::{Progress, shown};
use crate::augment::views::central;
use crate::config::Config;
use crate::data::{Image, Images};
use crate::executor::{Array, Device};
use crate::model::params::{State, TensorData, Weights};
use crate::model::{Affinity, Phase};
use crate::train::Learner;
use crate::{Error, Result};

/// Pairs in one run of f_d's program.
const BATCH: usize = 1024;
/// Crops of a pair that is shown share at most this: neighbours in a grid are alike since they are the same
/// pixels.
const MOST_OVERLAP: f64 = 0.25;

/// f_d with its weights on a device, in evaluation mode.
pub struct LearnedAffinity {
    affinity: Affinity,
    /// What is trained, and the running statistics; none where it has no such.
    weights: [Option<Array>; 2],
    device: Device,
}

impl LearnedAffinity {
    /// f_d with the tensors of `state`, by their names.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where they are not its tensors, [`Error::Device`] where they find no place.
    pub fn new(affinity: Affinity, state: &State, device: &Device) -> Result<Self> {
        let [trained, running] = affinity.layouts().map(|layout| {
            let upload = || device.f32(layout.join(state, "")?, &[layout.len()]);
            (!layout.is_empty()).then(upload).transpose()
        });
        Ok(Self { weights: [trained?, running?], affinity, device: device.clone() })
    }

    /// That of a run with LoGo.
    ///
    /// # Errors
    /// [`Error::Setting`] where the run is plain and has none; [`Error::Device`].
    pub fn of_learner(learner: &Learner, device: &Device) -> Result<Self> {
        let Some(affinity) = learner.affinity() else {
            let message = "framework.logo = false: a plain run has no learned affinity f_d to be shown; show \
                           its similarities instead, or train a run with framework.logo = true";
            return Err(Error::setting("framework.logo", message));
        };
        Self::new(affinity.clone(), &learner.affinity_state()?, device)
    }

    /// f_d of pairs of rows of `embeddings`, `[rows, dim]`, in the order in which they stand: f_d of (a, b) may
    /// differ from f_d of (b, a).
    ///
    /// # Errors
    /// [`Error::Device`] where the device fails.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn of_pairs(&self, embeddings: TensorData, pairs: &[[usize; 2]]) -> Result<Vec<f32>> {
        let rows = embeddings.shape[0];
        assert!(pairs.iter().flatten().all(|&row| row < rows), "pairs of the embeddings' rows");
        let program = self.device.compile(&self.program(&embeddings.shape))?;
        let embeddings = self.device.f32(embeddings.values, &embeddings.shape)?;
        let mut scores = Vec::with_capacity(pairs.len());
        for batch in pairs.chunks(BATCH) {
            // A program has one size, so the last batch is filled up with its first row.
            let place = |at: usize, of: usize| batch.get(at).map_or(0, |pair| pair[of] as i32);
            let side = |of: usize| self.device.s32((0..BATCH).map(|at| place(at, of)).collect());
            let mut inputs: Vec<Array> = self.weights.iter().flatten().cloned().collect();
            inputs.extend([embeddings.clone(), side(0)?, side(1)?]);
            scores.extend(&program.run(inputs)?[0].read()?[..batch.len()]);
        }
        Ok(scores)
    }

    fn program(&self, embeddings: &[usize]) -> Program {
        let graph = Graph::new();
        let layouts = self.affinity.layouts();
        let flat = |(name, at): (&str, usize)| {
            let there = self.weights[at].is_some();
            there.then(|| graph.parameter(name, Type::f32([layouts[at].len()])))
        };
        let weights = [("trained", 0), ("running", 1)].map(flat);
        let z = graph.parameter("embeddings", Type::f32(embeddings.to_vec()));
        let sides =
            ["first", "second"].map(|name| graph.parameter(name, Type::new(Element::S32, [BATCH])));
        let inputs: Vec<Node<'_>> = weights.into_iter().flatten().chain([z]).chain(sides).collect();
        let pair = sides.map(|rows| z.gather(rows));
        let scores = self.affinity.forward(pair, &Weights::of(layouts, weights), Phase::Eval);
        Program::new(&graph, &inputs, &[("affinities", scores)])
            .expect("every parameter was listed, each once")
    }

    /// f_d of all pairs of rows, the mean of both orders, `[rows, rows]`.
    ///
    /// # Errors
    /// As [`LearnedAffinity::of_pairs`].
    pub fn of_all_pairs(&self, embeddings: TensorData) -> Result<Vec<f32>> {
        let rows = embeddings.shape[0];
        let pairs: Vec<[usize; 2]> = (0..rows * rows).map(|at| [at / rows, at % rows]).collect();
        let scores = self.of_pairs(embeddings, &pairs)?;
        let mean = |[a, b]: &[usize; 2]| 0.5 * (scores[a * rows + b] + scores[b * rows + a]);
        Ok(pairs.iter().map(mean).collect())
    }
}

/// Which images are looked at, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many images.
    pub images: usize,
    /// Local crops in a row and in a column of the grid.
    pub grid: usize,
    /// The draw.
    pub seed: u64,
}

/// One image by its local crops.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parts {
    /// Its number among the images that were given.
    pub image: usize,
    /// Width and height, pixels.
    pub size: [usize; 2],
    /// The part that the global view shows: the central square.
    pub global: CropBox,
    /// The grid of local crops, row by row.
    pub crops: Vec<CropBox>,
    /// The cosine of each crop's embedding with the global view's, `[crops]`.
    pub to_global: Vec<f32>,
    /// f_d of each pair of crops, the mean of both orders, `[crops, crops]`.
    pub affinities: Vec<f32>,
}

/// A pair of crops, by their numbers, with f_d of them.
pub type ScoredPair = ([usize; 2], f32);

impl Parts {
    /// The crops in the order of their cosine with the global view, the nearest first, of equals the first.
    pub fn nearest_to_global(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.crops.len()).collect();
        order.sort_by(|&a, &b| self.to_global[b].total_cmp(&self.to_global[a]));
        order
    }

    /// Of pairs that share at most a quarter of their pixels, the one that f_d has most alike and the one that it
    /// has least alike; none where all share more.
    pub fn extreme_pairs(&self) -> Option<[ScoredPair; 2]> {
        let crops = self.crops.len();
        let pairs = (0..crops).flat_map(|a| (a + 1..crops).map(move |b| [a, b]));
        let apart = pairs.filter(|&[a, b]| overlap(&self.crops[a], &self.crops[b]) <= MOST_OVERLAP);
        let mut scored: Vec<ScoredPair> =
            apart.map(|[a, b]| ([a, b], self.affinities[a * crops + b])).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        Some([*scored.first()?, *scored.last()?])
    }
}

/// Some images by their local crops, and f_d from one to the other.
#[derive(Clone, Debug, PartialEq)]
pub struct AffinityMaps {
    /// Those of the same class together.
    pub images: Vec<Parts>,
    /// Local crops in a row and in a column of each.
    pub grid: usize,
    /// The mean f_d of crops of two images, and on the diagonal of two crops of one, `[images, images]`.
    pub between: Vec<f32>,
}

/// Draws images under a seed, spread over classes, and scores their local crops by what `learner` learned: crops
/// of the mean size of training's, not augmented, by networks in evaluation mode. Images that cannot be
/// read are left out. None is returned when `progress` says no.
///
/// # Errors
/// As [`LearnedAffinity::of_learner`]; [`Error::Images`] where there are not as many images, or none can be
/// read; [`Error::Broken`] where too many cannot.
pub fn of_learner(
    (learner, device): (&Learner, &Device),
    images: &Images,
    config: &Config,
    asked: Asked,
    progress: &mut Progress<'_>,
) -> Result<Option<AffinityMaps>> {
    let learned = LearnedAffinity::of_learner(learner, device)?;
    if asked.images > images.len() {
        let there = images.len();
        return Err(Error::Images(format!(
            "{} images are asked for, and there are {there}; ask for fewer",
            asked.images
        )));
    }
    let classes: Vec<Option<usize>> = (0..images.len()).map(|image| images.label(image)).collect();
    let chosen = shown::spread(&classes, asked.images, asked.seed);
    let (mut parts, mut embeddings) = (vec![], vec![]);
    for (done, &image) in chosen.iter().enumerate() {
        let read = images.read(image, |picture| {
            let pixels = picture.open()?.pixels()?;
            Ok(part_of(learner, pixels.image(), config, asked.grid))
        })?;
        if let Some(read) = read {
            let (part, z) = read?;
            parts.push(Parts { image, ..part });
            embeddings.extend(z);
        }
        if !progress(done + 1, chosen.len())? {
            return Ok(None);
        }
    }
    if parts.is_empty() {
        return Err(Error::Images("none of the images that were drawn can be read".into()));
    }
    let rows = parts.len() * asked.grid * asked.grid;
    let dim = embeddings.len() / rows;
    let all = learned.of_all_pairs(TensorData::new(embeddings, [rows, dim]))?;
    Ok(Some(put_together(parts, asked.grid, &all)))
}

/// One image's crops with their cosines, f_d left out, and their embeddings, `[crops, dim]`.
fn part_of(
    learner: &Learner,
    image: Image<'_>,
    config: &Config,
    side: usize,
) -> Result<(Parts, Vec<f32>)> {
    let size = [image.width, image.height];
    let views = &config.views;
    let [least, most] = views.local.area.map(f64::from);
    let crops = grid(size, 0.5 * (least + most), side);
    let global = central(size, 1.0);
    let statistics = [config.data.mean, config.data.std];
    let encoder = learner.encoder();
    let whole = embed(&encoder, image, &[global], views.global.size, statistics)?;
    let local = embed(&encoder, image, &crops, views.local.size, statistics)?;
    let to_global = local.chunks_exact(whole.len()).map(|z| cosine(z, &whole)).collect();
    Ok((Parts { image: 0, size, global, crops, to_global, affinities: vec![] }, local))
}

/// Gives each image its part of f_d over all crops, `[images crops, images crops]`.
fn put_together(mut parts: Vec<Parts>, side: usize, all: &[f32]) -> AffinityMaps {
    let (images, crops) = (parts.len(), side * side);
    let rows = images * crops;
    let of = |[i, j]: [usize; 2], [a, b]: [usize; 2]| all[(i * crops + a) * rows + j * crops + b];
    let pairs: Vec<[usize; 2]> = (0..crops * crops).map(|at| [at / crops, at % crops]).collect();
    for (image, part) in parts.iter_mut().enumerate() {
        part.affinities = pairs.iter().map(|&pair| of([image; 2], pair)).collect();
    }
    let mean = |at: usize| {
        let [i, j] = [at / images, at % images];
        // A crop with itself says nothing of its image.
        let counted = pairs.iter().filter(|[a, b]| i != j || a != b);
        let scores: Vec<f64> = counted.map(|&pair| f64::from(of([i, j], pair))).collect();
        (scores.iter().sum::<f64>() / scores.len().max(1) as f64) as f32
    };
    AffinityMaps { between: (0..images * images).map(mean).collect(), images: parts, grid: side }
}

#[cfg(test)]
mod tests;
