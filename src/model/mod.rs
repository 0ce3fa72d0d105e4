//! The networks: ResNet backbone, SimSiam's heads, LoGo's affinity. Tensors are NCHW.

mod affinity;
mod heads;
mod layers;
pub mod params;
mod resnet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

pub use affinity::Affinity;
pub use heads::{Predictor, Projector};
pub use layers::{BatchNorm, Conv2d, Initializer, Linear, LinearNorm, Phase};
pub use resnet::{Architecture, ResNet};

use crate::config::ModelConfig;

/// Everything the main optimiser trains: encoder (backbone and projector) and predictor.
#[derive(Module, Debug)]
pub struct Network {
    /// Images to features; what remains after pretraining.
    pub backbone: ResNet,
    /// Features to embeddings z.
    pub projector: Projector,
    /// Embeddings to predictions h(z), where the framework has a predictor.
    pub predictor: Option<Predictor>,
}

/// What the network makes of a batch of views.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// z = f_e(x), `[batch, dim]`.
    pub z: Tensor<2>,
    /// h(z), `[batch, dim]`; z itself where there is no predictor.
    pub p: Tensor<2>,
}

impl Embedding {
    /// Its equal parts: `views` of each image lie one behind the other.
    pub fn views(self, views: usize) -> Vec<Embedding> {
        let parts = self.z.chunk(views, 0).into_iter().zip(self.p.chunk(views, 0));
        parts.map(|(z, p)| Embedding { z, p }).collect()
    }
}

impl Network {
    /// Fresh weights from `seed`.
    pub fn new(config: &ModelConfig, seed: u64, device: &Device) -> Self {
        let mut init = Initializer::new(seed, device);
        let init = &mut init;
        let backbone = ResNet::new(&Architecture::from(config), init);
        let projector = &config.projector;
        Self {
            backbone,
            projector: Projector::new(config.feature_dim(), projector, init),
            predictor: (config.predictor.hidden > 0)
                .then(|| Predictor::new(projector.dim, config.predictor.hidden, init)),
        }
    }

    /// Images `[batch, 3, height, width]` to embeddings z `[batch, dim]`, in evaluation mode.
    pub fn embed(&self, images: Tensor<4>) -> Tensor<2> {
        self.projector.forward(self.backbone.features(images), Phase::Eval)
    }

    /// Views `[batch, 3, height, width]` to embeddings and predictions `[batch, dim]`.
    pub fn forward(&self, views: Tensor<4>, phase: Phase) -> Embedding {
        let z = self.projector.forward(self.backbone.forward(views, phase), phase);
        let p = match &self.predictor {
            Some(predictor) => predictor.forward(z.clone(), phase),
            None => z.clone(),
        };
        Embedding { z, p }
    }
}
