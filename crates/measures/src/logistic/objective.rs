//! The loss of a multinomial logistic regression and its gradient, block of images by block.

use std::ops::Range;

use cpu_kernels::{Level, Matrix, Workspace, matmul};
use rayon::prelude::*;

use crate::{Features, Labelled};

/// Numbers of features in a block, which fit into a processor's cache.
const BLOCK: usize = 1 << 20;
/// Images whose losses are summed by one task.
const TASK: usize = 64;

/// What brings every dimension to mean 0 and standard deviation 1.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    pub(super) mean: Vec<f64>,
    /// One over the standard deviation; 1 where that is 0, as scikit-learn's StandardScaler has it.
    pub(super) factor: Vec<f64>,
}

impl Scaling {
    /// Of the images `of`.
    fn new(features: Features<'_>, of: &[usize]) -> Self {
        let (count, dim) = (of.len() as f64, features.dim());
        let mut mean = vec![0.0; dim];
        for &image in of {
            let row = features.row(image);
            mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / count);
        }
        let mut variance = vec![0.0; dim];
        for &image in of {
            let centred =
                features.row(image).iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean);
            variance.iter_mut().zip(centred).for_each(|(to, x)| *to += x * x / count);
        }
        // A constant's variance is what rounding its mean leaves.
        let is_constant =
            |mean: f64, variance: f64| variance <= (count * f64::EPSILON * mean).powi(2);
        let factor = mean.iter().zip(variance).map(|(&mean, variance)| {
            if is_constant(mean, variance) { 1.0 } else { variance.sqrt().recip() }
        });
        Self { factor: factor.collect(), mean }
    }
}

/// Some of the images, as a classifier sees them.
pub(super) struct Design<'a> {
    data: Labelled<'a>,
    images: &'a [usize],
    scaling: Option<Scaling>,
    level: Level,
}

impl<'a> Design<'a> {
    /// The images `images`, standardised by their own statistics if it is asked for.
    pub(super) fn new(
        data: Labelled<'a>,
        images: &'a [usize],
        standardise: bool,
        level: Level,
    ) -> Self {
        let scaling = standardise.then(|| Scaling::new(data.features(), images));
        Self { data, images, scaling, level }
    }

    /// Other images, standardised by the statistics of these.
    pub(super) fn with_images(&self, images: &'a [usize]) -> Self {
        Self { data: self.data, images, scaling: self.scaling.clone(), level: self.level }
    }

    pub(super) fn scaling(&self) -> Option<&Scaling> {
        self.scaling.as_ref()
    }

    pub(super) fn dim(&self) -> usize {
        self.data.features().dim()
    }

    pub(super) fn classes(&self) -> usize {
        self.data.labels().classes()
    }

    pub(super) fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, at: usize) -> usize {
        self.data.labels().of()[self.images[at]]
    }

    /// Rows `range` as the classifier sees them, `[images, dim]`.
    fn rows(&self, range: Range<usize>, to: &mut [f32]) {
        let dim = self.dim();
        let images = &self.images[range];
        to.par_chunks_mut(dim).zip(images).for_each(|(to, &image)| {
            let row = self.data.features().row(image);
            match &self.scaling {
                None => to.copy_from_slice(row),
                Some(Scaling { mean, factor }) => {
                    let scale = mean.iter().zip(factor).zip(row);
                    to.iter_mut().zip(scale).for_each(|(to, ((mean, factor), &x))| {
                        *to = ((f64::from(x) - mean) * factor) as f32;
                    });
                }
            }
        });
    }
}

/// The mean cross-entropy of a linear classifier, and buffers to take it with.
///
/// Its parameters are weights `[classes, dim]` and after them biases `[classes]`.
pub(super) struct Objective<'a> {
    design: Design<'a>,
    rows: Vec<f32>,
    /// `[images, classes]`: logits, and then what the loss says of them.
    logits: Vec<f32>,
    weights: Vec<f32>,
    product: Vec<f32>,
    workspace: Workspace,
}

impl<'a> Objective<'a> {
    pub(super) fn new(design: Design<'a>) -> Self {
        let (dim, classes) = (design.dim(), design.classes());
        let block = (BLOCK / dim).clamp(TASK, 4096).min(design.len());
        Self {
            rows: vec![0.0; block * dim],
            logits: vec![0.0; block * classes],
            weights: vec![0.0; classes * dim],
            product: vec![0.0; classes * dim],
            workspace: Workspace::default(),
            design,
        }
    }

    pub(super) fn design(&self) -> &Design<'a> {
        &self.design
    }

    pub(super) fn parameters(&self) -> usize {
        self.design.classes() * (self.design.dim() + 1)
    }

    /// The mean cross-entropy and `penalty` / 2 times the square of the weights; fills in the gradient.
    pub(super) fn evaluate(
        &mut self,
        parameters: &[f64],
        penalty: f64,
        gradient: &mut [f64],
    ) -> f64 {
        let size = self.design.classes() * self.design.dim();
        let count = self.design.len() as f64;
        gradient.fill(0.0);
        let mut loss = 0.0;
        self.set_weights(parameters);
        for block in self.blocks() {
            self.fill_logits(block.clone());
            let (slopes, bias) = gradient.split_at_mut(size);
            loss += self.residuals(block.clone(), &parameters[size..], bias);
            self.add_slopes(block.len(), slopes);
        }
        gradient.iter_mut().for_each(|slope| *slope /= count);
        let weights = &parameters[..size];
        gradient.iter_mut().zip(weights).for_each(|(slope, weight)| *slope += penalty * weight);
        loss / count + 0.5 * penalty * weights.iter().map(|weight| weight * weight).sum::<f64>()
    }

    /// How many of the images have their greatest logit at their class, the lower class of equals.
    pub(super) fn hits(&mut self, parameters: &[f64]) -> usize {
        let classes = self.design.classes();
        let bias = &parameters[classes * self.design.dim()..];
        self.set_weights(parameters);
        let mut hits = 0;
        for block in self.blocks() {
            self.fill_logits(block.clone());
            let rows = self.logits.chunks_exact(classes).zip(block);
            hits += rows.filter(|(row, at)| best(row, bias) == self.design.label(*at)).count();
        }
        hits
    }

    fn set_weights(&mut self, parameters: &[f64]) {
        self.weights.iter_mut().zip(parameters).for_each(|(to, &weight)| *to = weight as f32);
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (all, block) = (self.design.len(), self.rows.len() / self.design.dim());
        (0..all).step_by(block).map(move |first| first..all.min(first + block))
    }

    /// Logits of the images in `block`, without biases.
    fn fill_logits(&mut self, block: Range<usize>) {
        let (dim, classes, count) = (self.design.dim(), self.design.classes(), block.len());
        self.design.rows(block, &mut self.rows[..count * dim]);
        let rows = Matrix::plain(&self.rows[..count * dim]);
        let weights = Matrix::transposed(&self.weights);
        let logits = &mut self.logits[..count * classes];
        let size = [count, classes, dim];
        matmul(self.design.level, size, rows, weights, logits, false, &self.workspace);
    }

    /// Puts softmax less the class in the place of logits, adds its sum to `slopes`, those of the biases, and
    /// returns the sum of the cross-entropies.
    fn residuals(&mut self, block: Range<usize>, bias: &[f64], slopes: &mut [f64]) -> f64 {
        let (design, classes) = (&self.design, bias.len());
        let logits = &mut self.logits[..block.len() * classes];
        let tasks = logits.par_chunks_mut(TASK * classes).enumerate();
        let sums: Vec<(f64, Vec<f64>)> = tasks
            .map(|(task, rows)| {
                let (mut loss, mut sums) = (0.0, vec![0.0; classes]);
                let mut scratch = vec![0.0; classes];
                for (at, row) in rows.chunks_exact_mut(classes).enumerate() {
                    let label = design.label(block.start + task * TASK + at);
                    loss += softmax_less_class(row, bias, label, &mut scratch);
                    sums.iter_mut().zip(&*row).for_each(|(sum, &x)| *sum += f64::from(x));
                }
                (loss, sums)
            })
            .collect();
        for (_, sums) in &sums {
            slopes.iter_mut().zip(sums).for_each(|(slope, sum)| *slope += sum);
        }
        sums.iter().map(|(loss, _)| loss).sum()
    }

    /// Adds residuals times features to the slopes of the weights.
    fn add_slopes(&mut self, count: usize, slopes: &mut [f64]) {
        let (dim, classes) = (self.design.dim(), self.design.classes());
        let residuals = Matrix::transposed(&self.logits[..count * classes]);
        let rows = Matrix::plain(&self.rows[..count * dim]);
        let size = [classes, dim, count];
        let product = &mut self.product;
        matmul(self.design.level, size, residuals, rows, product, false, &self.workspace);
        slopes.iter_mut().zip(product).for_each(|(slope, &mut x)| *slope += f64::from(x));
    }
}

/// The cross-entropy of one image; softmax less the class takes the place of its logits.
fn softmax_less_class(row: &mut [f32], bias: &[f64], label: usize, scratch: &mut [f64]) -> f64 {
    let mut greatest = f64::NEG_INFINITY;
    for ((to, &logit), bias) in scratch.iter_mut().zip(&*row).zip(bias) {
        *to = f64::from(logit) + bias;
        greatest = greatest.max(*to);
    }
    let own = scratch[label] - greatest;
    scratch.iter_mut().for_each(|x| *x = (*x - greatest).exp());
    let sum = scratch.iter().sum::<f64>();
    row.iter_mut().zip(&*scratch).for_each(|(to, x)| *to = (x / sum) as f32);
    row[label] = (scratch[label] / sum - 1.0) as f32;
    sum.ln() - own
}

fn best(row: &[f32], bias: &[f64]) -> usize {
    let scores = row.iter().zip(bias).map(|(&logit, bias)| f64::from(logit) + bias);
    super::greatest(scores)
}
