//! Images to feature vectors, without augmentation.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::augment::views::eval_view;
use crate::config::Config;
use crate::data::Dataset;

/// Images a forward pass.
const BATCH: usize = 256;

/// Feature vectors of unit length with the classes they belong to.
#[derive(Clone, Debug)]
pub struct FeatureSet {
    /// Length of a vector.
    pub dim: usize,
    /// `[images, dim]`, row by row.
    pub rows: Vec<f32>,
    /// The class of each row.
    pub labels: Vec<usize>,
}

impl FeatureSet {
    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(crate) fn new(dim: usize, mut rows: Vec<f32>, labels: Vec<usize>) -> Self {
        rows.par_chunks_mut(dim).for_each(normalise);
        Self { dim, rows, labels }
    }
}

/// To unit length; a zero vector stays zero.
fn normalise(row: &mut [f32]) {
    let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(1e-12);
    for x in row {
        *x = (f64::from(*x) / norm) as f32;
    }
}

/// The pixels themselves, normalised per channel: what any encoder must beat.
pub fn of_pixels(dataset: &dyn Dataset, config: &Config) -> FeatureSet {
    let images: Vec<usize> = (0..dataset.len()).collect();
    let (rows, [channels, height, width]) = eval_views(dataset, &images, config);
    FeatureSet::new(channels * height * width, rows, labels(dataset))
}

/// What `model` makes of the images. `progress` is told how many more are done and returns whether
/// to go on; none is returned when it says no.
pub fn of_model(
    model: impl Fn(Tensor<4>) -> Tensor<2>,
    dataset: &dyn Dataset,
    config: &Config,
    device: &Device,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Option<FeatureSet> {
    let device = device.clone().inner();
    let images: Vec<usize> = (0..dataset.len()).collect();
    let mut rows = Vec::new();
    for batch in images.chunks(BATCH) {
        let (views, [channels, height, width]) = eval_views(dataset, batch, config);
        let shape = [batch.len(), channels, height, width];
        let views = Tensor::from_data(TensorData::new(views, shape), &device);
        rows.extend(model(views).into_data().iter::<f32>());
        if !progress(batch.len()) {
            return None;
        }
    }
    let dim = rows.len() / images.len().max(1);
    Some(FeatureSet::new(dim, rows, labels(dataset)))
}

/// Normalised images, `[images, 3, height, width]`, and the shape of one.
fn eval_views(dataset: &dyn Dataset, images: &[usize], config: &Config) -> (Vec<f32>, [usize; 3]) {
    let first = dataset.image(images[0]);
    let shape = [3, first.height, first.width];
    let mut views = vec![0.0; images.len() * shape.iter().product::<usize>()];
    let size = shape.iter().product();
    views.par_chunks_mut(size).zip(images).for_each(|(view, &image)| {
        eval_view(dataset.image(image), config.data.mean, config.data.std, view);
    });
    (views, shape)
}

fn labels(dataset: &dyn Dataset) -> Vec<usize> {
    (0..dataset.len()).map(|image| dataset.label(image)).collect()
}
