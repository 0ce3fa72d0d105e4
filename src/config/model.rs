//! The section `model`: backbone, projector and predictor.

use serde::{Deserialize, Serialize};

use super::check::{Check, in_range};

/// The greatest `model.width`.
pub(crate) const MOST_WIDTH: usize = 1024;

/// Backbone, projector and predictor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Which ResNet the encoder is.
    pub backbone: Backbone,
    /// What stands before the backbone's first stage. Runs from before this key have the stem for small
    /// images.
    #[serde(default)]
    pub stem: Stem,
    /// The channels of the stem and of the first stage's 3×3 convolutions; 64 is the field's network.
    /// The features have 8 times as many dimensions, with bottlenecks 32 times.
    pub width: usize,
    /// Whether γ of each block's last batch norm starts at 0, so that every block starts as the
    /// identity (Goyal et al., 2017, section 5.1).
    #[serde(default)]
    pub zero_init_residual: bool,
    /// The projector, which maps features to the embedding z.
    pub projector: ProjectorConfig,
    /// The predictor, which maps z to h(z).
    pub predictor: PredictorConfig,
}

impl ModelConfig {
    /// The number of dimensions of the backbone's features.
    pub fn feature_dim(&self) -> usize {
        self.backbone.block().features(self.width)
    }

    pub(super) fn check(&self) -> Check {
        in_range("model.width", self.width, 1, MOST_WIDTH)?;
        in_range("model.projector.layers", self.projector.layers, 1, 8)?;
        in_range("model.projector.hidden", self.projector.hidden, 1, 65_536)?;
        in_range("model.projector.dim", self.projector.dim, 2, 65_536)
    }
}

/// What turns an image into the first stage's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// A 3×3 convolution of stride 1: the first stage sees every pixel.
    #[default]
    Cifar,
    /// The same with a second ring of zeros around the image, so that the first stage is two wider and
    /// higher (solo-learn's ResNets for CIFAR).
    CifarPadded,
    /// A 7×7 convolution of stride 2 and a 3×3 max-pool of stride 2: the first stage sees a quarter
    /// of each side (He et al., 2016, table 1).
    Imagenet,
}

impl Stem {
    /// How many rings of zeros an image gets beside those of its first convolution.
    pub fn rings(self) -> usize {
        usize::from(self == Self::CifarPadded)
    }

    /// The least side of a view that it takes, in pixels, with the three later stages behind it.
    pub(super) fn least_size(self) -> usize {
        match self {
            Self::Cifar | Self::CifarPadded => 1,
            // It and the three later stages halve each side five times.
            Self::Imagenet => 32,
        }
    }
}

/// What the stages of a ResNet are made of (He et al., 2016, figure 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// Convolutions of 1×1, 3×3 and 1×1, with the stride on the 3×3 as in torchvision ("v1.5").
    Bottleneck,
}

impl BlockKind {
    /// How many channels leave a block for each channel of its 3×3 convolutions.
    pub fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }

    /// How many convolutions lie one behind the other in a block.
    pub fn convolutions(self) -> usize {
        match self {
            BlockKind::Basic => 2,
            BlockKind::Bottleneck => 3,
        }
    }

    /// Dimensions of the features of four stages of them, the first of `width` channels.
    pub fn features(self, width: usize) -> usize {
        8 * width * self.expansion()
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            BlockKind::Basic => "basic",
            BlockKind::Bottleneck => "bottleneck",
        }
    }
}

/// The residual networks of He et al. (2016), table 1, and a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbone {
    /// Stages of one basic block each.
    Resnet10,
    /// Stages of two basic blocks each.
    Resnet18,
    /// Stages of 3, 4, 6 and 3 basic blocks.
    Resnet34,
    /// Stages of 3, 4, 6 and 3 bottlenecks.
    Resnet50,
    /// Stages of 3, 4, 23 and 3 bottlenecks.
    Resnet101,
    /// Stages of 3, 8, 36 and 3 bottlenecks.
    Resnet152,
}

impl Backbone {
    /// All of them, by depth.
    pub const ALL: [Self; 6] = [
        Backbone::Resnet10,
        Backbone::Resnet18,
        Backbone::Resnet34,
        Backbone::Resnet50,
        Backbone::Resnet101,
        Backbone::Resnet152,
    ];

    /// The number of blocks in each of the four stages.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Backbone::Resnet10 => [1, 1, 1, 1],
            Backbone::Resnet18 => [2, 2, 2, 2],
            Backbone::Resnet34 | Backbone::Resnet50 => [3, 4, 6, 3],
            Backbone::Resnet101 => [3, 4, 23, 3],
            Backbone::Resnet152 => [3, 8, 36, 3],
        }
    }

    /// What those blocks are.
    pub fn block(self) -> BlockKind {
        match self {
            Backbone::Resnet10 | Backbone::Resnet18 | Backbone::Resnet34 => BlockKind::Basic,
            Backbone::Resnet50 | Backbone::Resnet101 | Backbone::Resnet152 => BlockKind::Bottleneck,
        }
    }
}

/// The projector: linear layers with batch norms and ReLUs between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ProjectorConfig {
    /// The number of linear layers.
    pub layers: usize,
    /// The units between them.
    pub hidden: usize,
    /// The dimensions of z.
    pub dim: usize,
    /// Which of the layers have a batch norm.
    #[serde(default)]
    pub norm: ProjectorNorm,
}

/// Which layers of a projector have a batch norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProjectorNorm {
    /// All layers have one, the last without γ and β, as in SimSiam.
    #[default]
    All,
    /// All layers but the last have one, as in BYOL.
    Hidden,
    /// No layer has one, as in MoCo v2.
    None,
}

/// The predictor: two linear layers, from the dimensions of z to a bottleneck and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PredictorConfig {
    /// The units of the bottleneck; 0 means that there is no predictor, as in SimCLR.
    pub hidden: usize,
}
