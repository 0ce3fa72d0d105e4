//! How features lie in their space, whatever the classes.

use std::sync::Arc;

use measures::Features;
use measures::geometry::{Deviations, Pairs, alignment, effective_rank, hubness, uniformity};

use super::{Effort, Encoder, Evaluation, Progress, Subject};
use crate::Result;
use crate::augment::views::{ViewKind, ViewMaker};
use crate::config::Config;
use crate::data::Images;
use crate::loader::{Loader, LoaderPlan};
use crate::model::params::TensorData;
use crate::record::{NamedScores, Outcome, Source};

/// Test images whose views are compared for the alignment.
const ALIGNED: usize = 2000;
/// Images of a forward pass of views.
const BATCH: usize = 100;
/// Most test images of which all pairs are compared for the uniformity; of more, as many pairs are drawn.
const ALL_PAIRS: usize = 10_000;
/// Neighbours that are counted for the hubness.
const HUBNESS_K: usize = 10;

/// Effective rank, alignment, uniformity, deviations and hubness of the test images' features.
pub struct Geometry;

impl Evaluation for Geometry {
    fn name(&self) -> &'static str {
        "geometry"
    }

    fn title(&self) -> &'static str {
        "Geometry"
    }

    fn effort(&self) -> Effort {
        Effort::Features
    }

    fn measures(&self, source: Source) -> bool {
        source != Source::Pixels
    }

    fn run(
        &self,
        subject: &mut Subject<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Outcome>> {
        let (config, labelled) = (subject.config(), subject.labelled());
        let Some(encoder) = subject.encoder() else { return Ok(None) };
        let Some([_, test]) = subject.features(progress)? else { return Ok(None) };
        let (features, raw) = (test.features()?, test.raw_rows());
        let deviations = Deviations::of(features);
        let mut scores = NamedScores::default();
        scores.set("effective rank (RankMe)", effective_rank(Features::new(&raw, test.dim)?));
        scores.set("dimensions", test.dim as f64);
        if let Some(aligned) = alignment_of_views(encoder, &labelled.test, config)? {
            scores.set("alignment of two views", aligned);
        }
        let pairs = match test.len() <= ALL_PAIRS {
            true => Pairs::All,
            false => Pairs::Drawn { count: ALL_PAIRS * ALL_PAIRS / 2, seed: config.seed },
        };
        scores.set("uniformity", uniformity(features, pairs)?);
        // 1 where features are spread over the sphere evenly.
        scores.set("std × √dimensions, mean", deviations.mean * (test.dim as f64).sqrt());
        scores.set("std × √dimensions, least", deviations.least * (test.dim as f64).sqrt());
        scores.set("dead dimensions", deviations.dead as f64);
        if test.len() > HUBNESS_K {
            let hubs = hubness(features, HUBNESS_K)?;
            scores.set(format!("hubness, k={HUBNESS_K}: skewness"), hubs.skewness);
            scores.set("images that are nobody's neighbour", hubs.anti_hubs);
        }
        Ok(Some(Outcome::of_scores(scores)))
    }
}

/// Alignment (Wang and Isola, 2020) of the run's own global views, two of each image; none without images.
fn alignment_of_views(encoder: &Encoder, images: &Images, config: &Config) -> Result<Option<f64>> {
    let mut views = config.views.clone();
    (views.global.count, views.local.count) = (2, 0);
    let maker = ViewMaker::new(&views, config.data.mean, config.data.std, config.seed);
    let side = maker.size(ViewKind::Global);
    let batch = BATCH.min(images.len());
    let plan = LoaderPlan {
        order: (0..images.len().min(ALIGNED)).collect(),
        batch_size: batch,
        epoch: 0,
        first_batch: 0,
        workers: rayon::current_num_threads(),
        prefetch: 1,
    };
    let (mut first, mut second) = (vec![], vec![]);
    let mut pairs = 0;
    for made in Loader::start(images.clone(), Arc::new(maker), plan) {
        let views = TensorData::new(made?.global, [2 * batch, 3, side, side]);
        let features = encoder.features(views, config.eval.features)?;
        let (of_first, of_second) = features.split_at(features.len() / 2);
        first.extend_from_slice(of_first);
        second.extend_from_slice(of_second);
        pairs += batch;
    }
    if pairs == 0 {
        return Ok(None);
    }
    let dim = first.len() / pairs;
    first.extend(second);
    let pairs: Vec<(usize, usize)> = (0..pairs).map(|image| (image, image + pairs)).collect();
    Ok(Some(alignment(Features::new(&first, dim)?, &pairs)?))
}
