//! What classifiers are trained on: labelled images as the field shows them, cropped at random and perhaps
//! mirrored.

use std::sync::Arc;

use logo_ssl_base::rng::{Stream, generator};
use rand::seq::SliceRandom;

use crate::Result;
use crate::augment::views::ViewMaker;
use crate::config::Config;
use crate::data::Images;
use crate::loader::{Loader, LoaderPlan, epoch_order};
use crate::model::params::TensorData;

/// The share of an image's area that a crop shows, and its width over its height: the defaults of
/// torchvision's `RandomResizedCrop`, which the codes of MoCo and SimSiam classify by.
const AREA: [f32; 2] = [0.08, 1.0];
const ASPECT: [f32; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// How often an image is mirrored.
const FLIP: f32 = 0.5;
/// Finished batches that each thread may have waiting.
const PREFETCH: usize = 1;

/// Views of labelled images, and the order in which they are shown.
pub(super) struct Lessons {
    images: Images,
    maker: Arc<ViewMaker>,
    side: usize,
    seed: u64,
}

/// The views of a batch, `[batch, 3, side, side]`, and their classes.
pub(super) type Lesson = (TensorData, Vec<usize>);

impl Lessons {
    /// Of `images`, all of which have a label, as large as they are evaluated, or where they are evaluated as
    /// they are, as large as the run's global views.
    pub(super) fn new(images: &Images, config: &Config) -> Self {
        let mut views = config.views.clone();
        let side = match config.eval.crop {
            0 => views.global.size,
            crop => crop,
        };
        (views.global.size, views.global.count) = (side, 1);
        (views.global.area, views.global.aspect) = (AREA, ASPECT);
        views.local.count = 0;
        views.flip = FLIP;
        (views.jitter.probability, views.grayscale, views.blur.probability) = (0.0, 0.0, 0.0);
        let maker = ViewMaker::new(&views, config.data.mean, config.data.std, config.seed);
        Self { images: images.clone(), maker: Arc::new(maker), side, seed: config.seed }
    }

    /// Epoch number `epoch` over the images `chosen`, in batches of `batch`; what does not fill the last one
    /// is left out.
    ///
    /// # Errors
    /// Each batch is an error where too many images cannot be read.
    pub(super) fn epoch(
        &self,
        chosen: &[usize],
        epoch: usize,
        batch: usize,
    ) -> impl ExactSizeIterator<Item = Result<Lesson>> {
        let order = epoch_order(self.seed, epoch as u64, chosen.len());
        let plan = LoaderPlan {
            order: order.into_iter().map(|at| chosen[at]).collect(),
            batch_size: batch,
            epoch: epoch as u64,
            first_batch: 0,
            workers: rayon::current_num_threads(),
            prefetch: PREFETCH,
        };
        let (images, side) = (self.images.clone(), self.side);
        let label = move |image: &usize| images.label(*image).expect("all images have a label");
        Loader::start(self.images.clone(), Arc::clone(&self.maker), plan).map(move |made| {
            let made = made?;
            let views = TensorData::new(made.global, [made.indices.len(), 3, side, side]);
            Ok((views, made.indices.iter().map(&label).collect()))
        })
    }
}

/// A share of the images of each class, at least one of each, and the others; both in ascending order.
pub(super) fn of_each_class(images: &Images, share: f64, seed: u64) -> [Vec<usize>; 2] {
    let mut classes: Vec<Vec<usize>> = vec![];
    for image in 0..images.len() {
        let class = images.label(image).expect("all images have a label");
        classes.resize_with(classes.len().max(class + 1), Vec::new);
        classes[class].push(image);
    }
    let (mut chosen, mut rest) = (vec![], vec![]);
    for (class, mut of_class) in classes.into_iter().enumerate() {
        of_class.shuffle(&mut generator(seed, Stream::Labels, 0, class as u64, 0));
        let count = ((of_class.len() as f64 * share).round() as usize).max(1).min(of_class.len());
        rest.extend(of_class.split_off(count));
        chosen.extend(of_class);
    }
    chosen.sort_unstable();
    rest.sort_unstable();
    [chosen, rest]
}
