//! The networks: ResNet backbone, SimSiam's heads, LoGo's affinity.
//!
//! A network is a description: which tensors it has, under which names, and how they make embeddings of
//! images. The tensors themselves are a program's: two flat vectors, what is trained and the running
//! statistics, which [`params::Layout`] tells apart.

mod affinity;
mod heads;
mod layers;
pub mod params;
mod resnet;

use graph::Node;

pub use affinity::Affinity;
pub use heads::{Predictor, Projector};
pub use layers::{BatchNorm, Compute, Linear, LinearNorm, Norm, Phase};
pub use resnet::{Architecture, ResNet};

use self::params::{Declaration, Layout, Weights};
use crate::config::{ModelConfig, Precision};

/// Everything the main optimiser trains: encoder (backbone and projector) and predictor.
#[derive(Clone, Debug)]
pub struct Network {
    /// Images to features; what remains after pretraining.
    pub backbone: ResNet,
    /// Features to embeddings z.
    pub projector: Projector,
    /// Embeddings to predictions h(z), where the framework has a predictor.
    pub predictor: Option<Predictor>,
    dim: usize,
    compute: Compute,
    trained: Layout,
    running: Layout,
}

/// What the network makes of a batch of views.
#[derive(Clone, Copy, Debug)]
pub struct Embedding<'g> {
    /// z = f_e(x), `[batch, dim]`.
    pub z: Node<'g>,
    /// h(z), `[batch, dim]`; z itself where there is no predictor.
    pub p: Node<'g>,
}

impl<'g> Embedding<'g> {
    /// The same function of z and of h(z).
    pub fn map(self, f: impl Fn(Node<'g>) -> Node<'g>) -> Self {
        Self { z: f(self.z), p: f(self.p) }
    }

    /// Its equal parts: `views` of each image lie one behind the other.
    pub fn views(self, views: usize) -> Vec<Self> {
        let parts = self.z.chunk(views).into_iter().zip(self.p.chunk(views));
        parts.map(|(z, p)| Self { z, p }).collect()
    }
}

impl Network {
    /// The one that `config` describes.
    pub fn new(config: &ModelConfig, precision: Precision) -> Self {
        let mut declare = Declaration::default();
        let architecture = Architecture::from(config);
        let (projector, hidden) = (&config.projector, config.predictor.hidden);
        Self {
            backbone: declare.within("backbone", |d| ResNet::new(&architecture, precision, d)),
            projector: declare.within("projector", |d| {
                d.within("layers", |d| Projector::new(config.feature_dim(), projector, d))
            }),
            predictor: (hidden > 0)
                .then(|| declare.within("predictor", |d| Predictor::new(projector.dim, hidden, d))),
            dim: projector.dim,
            compute: Compute::from(precision),
            trained: declare.trained,
            running: declare.running,
        }
    }

    /// The same network whose batch norms take the statistics of so many replicas' batches.
    pub(crate) fn over_replicas(mut self, replicas: usize) -> Self {
        self.compute.replicas = replicas;
        self.backbone = self.backbone.over_replicas(replicas);
        self
    }

    /// Dimensions of z.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Where its trained tensors and its running statistics lie.
    pub fn layouts(&self) -> [&Layout; 2] {
        [&self.trained, &self.running]
    }

    /// Images `[batch, 3, height, width]` to embeddings z `[batch, dim]`, in evaluation mode.
    pub fn embed<'g>(&self, images: Node<'g>, weights: &Weights<'g>) -> Node<'g> {
        let features = self.backbone.forward(images, weights, Phase::Eval);
        self.projector.forward(features, weights, Phase::Eval, self.compute)
    }

    /// Views `[batch, 3, height, width]` to embeddings and predictions `[batch, dim]`.
    pub fn forward<'g>(
        &self,
        views: Node<'g>,
        weights: &Weights<'g>,
        phase: Phase,
    ) -> Embedding<'g> {
        let features = self.backbone.forward(views, weights, phase);
        let z = self.projector.forward(features, weights, phase, self.compute);
        let p = match &self.predictor {
            Some(predictor) => predictor.forward(z, weights, phase, self.compute),
            None => z,
        };
        Embedding { z, p }
    }
}
