//! Linear classifiers on a network's features, trained by updates that are programs: on a frozen backbone, or
//! with it.

use std::f64::consts::PI;
use std::sync::Arc;

use graph::{Element, Graph, Node, Program, Type, concatenate, flat_gradient};

use rayon::prelude::*;

use super::encoder::Extractor;
use super::features::FeatureSet;
use super::lessons::Lessons;
use super::{Encoder, Progress, first_greatest};
use crate::Result;
use crate::config::Config;
use crate::data::Images;
use crate::executor::{Array, Compiled};
use crate::model::Phase;
use crate::model::params::{TensorData, Weights};
use crate::objective::Known;

/// SGD's momentum, as in every protocol that is followed here.
const MOMENTUM: f64 = 0.9;

/// Heads on one backbone, each a linear classifier, and what training has made of them.
pub(super) struct Classifier {
    extractor: Arc<Extractor>,
    heads: Heads,
    /// Whether the backbone is trained too, with batch norms that take the batch's statistics.
    trains_backbone: bool,
    /// The backbone's trained tensors and its running statistics.
    backbone: [Array; 2],
    /// The heads' weights and biases, `[heads, classes, dim + 1]`.
    head: Array,
    /// SGD's velocities: of the heads, and of the backbone where it is trained.
    velocities: Vec<Array>,
    program: Option<(Vec<usize>, Compiled)>,
}

/// Several heads of one size, which see the same features and do not know of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// How many there are.
    pub(super) count: usize,
    /// What each tells apart.
    pub(super) classes: usize,
    /// Length of a feature vector.
    pub(super) dim: usize,
}

/// A training of a classifier: SGD with momentum whose rates fall to zero by a half cosine.
pub(super) struct Course<'a> {
    /// Passes over the images.
    pub(super) epochs: usize,
    /// Most images of an update.
    pub(super) batch: usize,
    /// The first rate of each head, for batches of so many images.
    pub(super) heads: &'a [f64],
    /// That of the backbone, where it is trained.
    pub(super) backbone: f64,
}

/// A trained head on the host.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// `[classes, dim + 1]`, the bias last.
    rows: Vec<f32>,
    dim: usize,
}

impl Heads {
    fn shape(self) -> [usize; 3] {
        [self.count, self.classes, self.dim + 1]
    }

    fn len(self) -> usize {
        self.shape().iter().product()
    }
}

impl Course<'_> {
    /// Trains `classifier` on those images that are chosen. Whether it came to its end: not where `progress`
    /// says no.
    ///
    /// # Errors
    /// [`crate::Error::Broken`] where too many images cannot be read, [`crate::Error::Device`] where the
    /// device fails, and those of `progress`.
    pub(super) fn run(
        &self,
        classifier: &mut Classifier,
        (images, chosen): (&Images, &[usize]),
        config: &Config,
        progress: &mut Progress<'_>,
    ) -> Result<bool> {
        let lessons = Lessons::new(images, config);
        let batch = self.batch.min(chosen.len());
        let total = chosen.len() / batch * self.epochs;
        let mut done = 0;
        for epoch in 0..self.epochs {
            for lesson in lessons.epoch(chosen, epoch, batch) {
                let (views, labels) = lesson?;
                let factor = 0.5 * (1.0 + (PI * done as f64 / total as f64).cos());
                let rates = self.heads.iter().chain([&self.backbone]);
                classifier.update(views, &labels, rates.map(|rate| rate * factor).collect())?;
                done += 1;
                if !progress(done * batch, total * batch)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Classifier {
    /// Heads of zeros, which give every class the same score, on `encoder`.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where they find no place.
    pub(super) fn new(encoder: &Encoder, heads: Heads, trains_backbone: bool) -> Result<Self> {
        let Encoder { extractor, weights } = encoder.clone();
        let zeros = |len: usize| extractor.device().f32(vec![0.0; len], &[len]);
        let mut velocities = vec![zeros(heads.len())?];
        if trains_backbone {
            velocities.push(zeros(extractor.layouts()[0].len())?);
        }
        Ok(Self {
            head: zeros(heads.len())?,
            backbone: weights,
            velocities,
            program: None,
            extractor,
            heads,
            trains_backbone,
        })
    }

    /// One step of SGD by the mean cross-entropy of `images`, `[batch, 3, height, width]`, whose classes are
    /// `labels`, at the rates of the heads and of the backbone.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails; the classifier is lost then.
    fn update(&mut self, images: TensorData, labels: &[usize], rates: Vec<f64>) -> Result<()> {
        let device = self.extractor.device().clone();
        let TensorData { shape, values } = images;
        if self.program.as_ref().is_none_or(|(known, _)| *known != shape) {
            self.program = Some((shape.clone(), device.compile(&self.build(&shape))?));
        }
        let Some((_, program)) = &self.program else { unreachable!("it was made above") };
        let rates: Vec<f32> = rates.into_iter().map(|rate| rate as f32).collect();
        let count = rates.len();
        let [trained, running] = self.backbone.clone();
        let mut inputs = vec![trained, running, self.head.clone()];
        inputs.append(&mut self.velocities);
        inputs.push(device.f32(values, &shape)?);
        inputs.push(device.s32(labels.iter().map(|&label| label as i32).collect())?);
        inputs.push(device.f32(rates, &[count])?);
        let mut outputs = program.run(inputs)?.into_iter();
        let mut next = || outputs.next().expect("the program has as many outputs");
        self.head = next();
        self.velocities.push(next());
        if self.trains_backbone {
            self.backbone = [next(), next()];
            self.velocities.push(next());
        }
        Ok(())
    }

    /// The backbone as it is now.
    pub(super) fn encoder(&self) -> Encoder {
        Encoder::new(Arc::clone(&self.extractor), self.backbone.clone())
    }

    /// The heads as they are now.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device fails.
    pub(super) fn heads(&self) -> Result<Vec<Head>> {
        let Heads { classes, dim, .. } = self.heads;
        let rows = self.head.read()?;
        let head = |rows: &[f32]| Head { rows: rows.to_vec(), dim };
        Ok(rows.chunks(classes * (dim + 1)).map(head).collect())
    }

    fn build(&self, images: &[usize]) -> Program {
        let graph = Graph::new();
        let layouts @ [trained, running] = self.extractor.layouts();
        let flat = |name: &str, len: usize| graph.parameter(name, Type::f32([len]));
        let backbone = [flat("trained", trained.len()), flat("running", running.len())];
        let head = flat("head", self.heads.len());
        let mut inputs = vec![backbone[0], backbone[1], head, flat("velocity", self.heads.len())];
        if self.trains_backbone {
            inputs.push(flat("velocity.backbone", trained.len()));
        }
        let velocities = inputs[3..].to_vec();
        let pictures = graph.parameter("images", Type::f32(images.to_vec()));
        let labels = graph.parameter("labels", Type::new(Element::S32, [images[0]]));
        let rates = flat("rates", self.heads.count + 1);
        inputs.extend([pictures, labels, rates]);

        let weights = Weights::of([&layouts[0], &layouts[1]], backbone.map(Some));
        let phase = if self.trains_backbone { Phase::Train } else { Phase::Eval };
        let features = self.extractor.backbone().forward(pictures, &weights, phase);
        let features = if self.trains_backbone { features } else { features.stop_gradient() };
        let loss = self.loss(features, head, labels);
        let own_rates = rates.rows(0..self.heads.count);
        let own_rates = own_rates.broadcast(&[0], &self.heads.shape()).reshape(&[self.heads.len()]);
        let [head, velocity] = step([head, velocities[0]], flat_gradient(loss, &[head]), own_rates);
        let mut outputs = vec![("head", head), ("velocity", velocity)];
        if self.trains_backbone {
            let gradient = flat_gradient(loss, weights.trained());
            let rate = rates.rows(self.heads.count..self.heads.count + 1).reshape(&[]);
            let [value, velocity] = step([backbone[0], velocities[1]], gradient, rate);
            let statistics = weights.all_statistics().unwrap_or(backbone[1]);
            outputs.extend([("trained", value), ("running", statistics)]);
            outputs.push(("velocity.backbone", velocity));
        }
        Program::new(&graph, &inputs, &outputs).expect("every parameter was listed, each once")
    }

    /// The sum over heads of each one's mean cross-entropy on `features`, `[batch, dim]`.
    fn loss<'g>(&self, features: Node<'g>, head: Node<'g>, labels: Node<'g>) -> Node<'g> {
        let Heads { count, classes, dim } = self.heads;
        let batch = features.shape()[0];
        let ones = features.graph().full(1.0, Type::f32([batch, 1]));
        let features = concatenate(&[features, ones], 1);
        let logits = features.matmul_transposed(head.reshape(&[count * classes, dim + 1]));
        let logits = logits.reshape(&[batch * count, classes]);
        let labels = labels.broadcast(&[0], &[batch, count]).reshape(&[batch * count]);
        Known::of(logits, labels).cross_entropy() * count as f64
    }
}

/// v ← μ v + g; θ ← θ - lr v.
fn step<'g>([value, velocity]: [Node<'g>; 2], gradient: Node<'g>, rate: Node<'g>) -> [Node<'g>; 2] {
    let velocity = velocity * MOMENTUM + gradient;
    [value - velocity * rate, velocity]
}

impl Head {
    /// For each image whether the class of its highest score, of equals the lowest, is its own.
    pub(super) fn hits(&self, set: &FeatureSet) -> Vec<bool> {
        let rows = set.raw_rows();
        let images = rows.par_chunks(self.dim).zip(&set.labels);
        images.map(|(image, label)| self.guess(image) == *label).collect()
    }

    fn guess(&self, image: &[f32]) -> usize {
        let score = |row: &[f32]| -> f64 {
            let products = image.iter().zip(row).map(|(x, w)| f64::from(*x) * f64::from(*w));
            products.sum::<f64>() + f64::from(row[self.dim])
        };
        let scores: Vec<f64> = self.rows.chunks(self.dim + 1).map(score).collect();
        first_greatest(&scores)
    }
}

#[cfg(test)]
mod tests {
    use logo_ssl_base::rng::{Stream, generator};
    use rand::RngExt;

    use super::*;
    use crate::config::{Features, Precision};
    use crate::executor::Device;
    use crate::model::params::Declaration;
    use crate::model::{Architecture, ResNet};

    const CLASSES: usize = 3;
    const BATCH: usize = 8;

    fn encoder() -> Encoder {
        let device = Device::cpu();
        let mut declare = Declaration::default();
        let architecture = Architecture::cifar([1, 1, 1, 1], 2);
        let backbone = ResNet::new(&architecture, Precision::F32, &mut declare);
        let weights = [&declare.trained, &declare.running]
            .map(|layout| device.f32(layout.first_values(3), &[layout.len()]).unwrap());
        Encoder::new(Arc::new(Extractor::of_backbone(backbone, declare, &device)), weights)
    }

    fn images(number: u64) -> TensorData {
        let mut rng = generator(1, Stream::Labels, number, 0, 0);
        let values = (0..BATCH * 3 * 8 * 8).map(|_| rng.random_range(-1.0..1.0)).collect();
        TensorData::new(values, [BATCH, 3, 8, 8])
    }

    fn labels() -> Vec<usize> {
        (0..BATCH).map(|image| image * 5 % CLASSES).collect()
    }

    fn heads(count: usize, encoder: &Encoder) -> Heads {
        Heads { count, classes: CLASSES, dim: encoder.backbone_dim() }
    }

    #[test]
    fn the_first_step_of_a_head_is_along_the_softmaxs_gradient() {
        let encoder = encoder();
        let mut classifier = Classifier::new(&encoder, heads(1, &encoder), false).unwrap();
        classifier.update(images(0), &labels(), vec![0.5, 0.0]).unwrap();
        let features = encoder.features(images(0), Features::Backbone).unwrap();
        let dim = encoder.backbone_dim();
        let head = &classifier.heads().unwrap()[0];
        for class in 0..CLASSES {
            for at in 0..=dim {
                // Before, every class has the same share.
                let of_image = |(image, label): (usize, &usize)| {
                    let x = if at == dim { 1.0 } else { f64::from(features[image * dim + at]) };
                    let own = if *label == class { 1.0 } else { 0.0 };
                    (1.0 / CLASSES as f64 - own) * x / BATCH as f64
                };
                let gradient: f64 = labels().iter().enumerate().map(of_image).sum();
                let found = f64::from(head.rows[class * (dim + 1) + at]);
                assert!((found + 0.5 * gradient).abs() < 1e-6, "{found} and {gradient}");
            }
        }
    }

    #[test]
    fn heads_do_not_know_of_each_other() {
        let encoder = encoder();
        let train = |rates: &[f64]| {
            let mut classifier =
                Classifier::new(&encoder, heads(rates.len(), &encoder), false).unwrap();
            for number in 0..4 {
                let rates = rates.iter().copied().chain([0.0]).collect();
                classifier.update(images(number), &labels(), rates).unwrap();
            }
            classifier.heads().unwrap()
        };
        let both = train(&[0.1, 2.0]);
        for (head, rate) in both.iter().zip([0.1, 2.0]) {
            let alone = &train(&[rate])[0];
            let differences = head.rows.iter().zip(&alone.rows).map(|(a, b)| (a - b).abs());
            assert!(differences.fold(0.0, f32::max) < 1e-6, "at rate {rate}");
        }
        assert_ne!(both[0].rows, both[1].rows);
    }

    #[test]
    fn a_probe_leaves_the_backbone_alone_and_fine_tuning_moves_it() {
        let encoder = encoder();
        let before = encoder.features(images(9), Features::Backbone).unwrap();
        for (trains_backbone, moves) in [(false, false), (true, true)] {
            let mut classifier =
                Classifier::new(&encoder, heads(1, &encoder), trains_backbone).unwrap();
            for number in 0..3 {
                classifier.update(images(number), &labels(), vec![0.1, 0.1]).unwrap();
            }
            let after = classifier.encoder().features(images(9), Features::Backbone).unwrap();
            assert_eq!(after != before, moves);
        }
        let untouched = encoder.features(images(9), Features::Backbone).unwrap();
        assert_eq!(untouched, before, "what is evaluated stays as it was");
    }

    #[test]
    fn of_equal_scores_the_lowest_class_is_guessed() {
        let head = Head { rows: vec![1.0, 0.0, 0.5, 0.0, 0.5, 0.25], dim: 1 };
        let set = FeatureSet::new(1, vec![1.0, -1.0, 0.5], vec![0, 2, 1]);
        assert_eq!(head.hits(&set), [true, true, false]);
        assert_eq!([2.0, 0.5, 0.0].map(|x| head.guess(&[x])), [0, 0, 2]);
    }
}
