//! ResNets of basic blocks or bottlenecks (He et al., 2016), parameter names and initialisation as
//! torchvision's.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use graph::{Element, Node, Plan, UnitShape};

use super::layers::{Compute, Phase, step_towards};
use super::params::{Declaration, Slot, Start, Weights};
use crate::config::{Backbone, BlockKind, ModelConfig, Precision, Stem};

/// What a ResNet is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Before the first stage.
    pub stem: Stem,
    /// In every stage.
    pub block: BlockKind,
    /// How many in each of the four stages.
    pub blocks: [usize; 4],
    /// Channels of the stem and of the first stage's 3×3 convolutions; each later stage has twice
    /// those of the one before.
    pub width: usize,
    /// Whether each block starts as the identity: γ of its last batch norm is 0.
    pub zero_init_residual: bool,
}

impl From<&ModelConfig> for Architecture {
    fn from(config: &ModelConfig) -> Self {
        Self {
            stem: config.stem,
            block: config.backbone.block(),
            blocks: config.backbone.blocks(),
            width: config.width,
            zero_init_residual: config.zero_init_residual,
        }
    }
}

/// As a person calls it: `ResNet-50 of width 64 with the stem for large images (7×7, stride 2, max-pool)`.
impl Display for Architecture {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { stem, block, blocks, width, .. } = self;
        match (self.backbone(), block) {
            (Some(_), _) => write!(f, "ResNet-{}", self.depth())?,
            (None, BlockKind::Basic) => write!(f, "a ResNet of {blocks:?} basic blocks")?,
            (None, BlockKind::Bottleneck) => write!(f, "a ResNet of {blocks:?} bottlenecks")?,
        }
        let stem = match stem {
            Stem::Cifar => "the stem for small images (3×3, stride 1)",
            Stem::CifarPadded => "solo-learn's stem for small images (3×3, stride 1, padding 2)",
            Stem::Imagenet => "the stem for large images (7×7, stride 2, max-pool)",
        };
        write!(f, " of width {width} with {stem}")
    }
}

/// A block's convolutions in order, and its shortcut's.
struct BlockShape {
    main: Vec<UnitShape>,
    shortcut: Option<UnitShape>,
}

impl Architecture {
    /// Of basic blocks, with the stem for small images.
    pub fn cifar(blocks: [usize; 4], width: usize) -> Self {
        let (stem, block) = (Stem::Cifar, BlockKind::Basic);
        Self { stem, block, blocks, width, zero_init_residual: false }
    }

    /// The backbone that configs know it as, where they do.
    pub fn backbone(&self) -> Option<Backbone> {
        let is_known =
            |known: &Backbone| known.blocks() == self.blocks && known.block() == self.block;
        Backbone::ALL.into_iter().find(is_known)
    }

    /// How many layers with weights it has: with the stem and a classifier, as He et al. (2016) count.
    fn depth(&self) -> usize {
        2 + self.block.convolutions() * self.blocks.iter().sum::<usize>()
    }

    /// Its name after He et al. (2016).
    pub fn name(&self) -> String {
        format!("resnet{}", self.depth())
    }

    fn stem(&self) -> UnitShape {
        match self.stem {
            Stem::Cifar | Stem::CifarPadded => ([3, self.width], 3, 1),
            Stem::Imagenet => ([3, self.width], 7, 2),
        }
    }

    fn stage(&self, number: usize) -> impl Iterator<Item = BlockShape> + '_ {
        let inner = self.width << number;
        let output = inner * self.block.expansion();
        let (input, stride) = if number == 0 { (self.width, 1) } else { (output / 2, 2) };
        (0..self.blocks[number]).map(move |block| match block {
            0 => self.block([input, inner, output], stride),
            _ => self.block([output, inner, output], 1),
        })
    }

    fn block(&self, [input, inner, output]: [usize; 3], stride: usize) -> BlockShape {
        let main = match self.block {
            BlockKind::Basic => vec![([input, inner], 3, stride), ([inner, output], 3, 1)],
            BlockKind::Bottleneck => {
                vec![([input, inner], 1, 1), ([inner, inner], 3, stride), ([inner, output], 1, 1)]
            }
        };
        let reshapes = stride != 1 || input != output;
        BlockShape { main, shortcut: reshapes.then_some(([input, output], 1, stride)) }
    }
}

/// The backbone: image to feature vector.
///
/// It is one operation of a program. The CPU has kernels for the whole of it; for other devices it
/// unfolds into convolutions and norms.
#[derive(Clone, Debug)]
pub struct ResNet {
    architecture: Architecture,
    parameters: Slot,
    running: Slot,
    plan: Arc<Plan>,
}

impl ResNet {
    /// Weights start Kaiming-normal over the fan-out, as torchvision's.
    pub fn new(
        architecture: &Architecture,
        precision: Precision,
        declare: &mut Declaration,
    ) -> Self {
        let mut plan = Plan::new(
            architecture.stem(),
            architecture.stem == Stem::Imagenet,
            Element::from(precision),
        );
        let ((), [parameters, running]) = declare.whole(|declare| {
            declare_unit(architecture.stem(), ["conv1", "bn1"], 1.0, declare);
            for number in 0..4 {
                declare.within(format!("layer{}", number + 1), |declare| {
                    for (at, block) in architecture.stage(number).enumerate() {
                        plan.block(&block.main, block.shortcut);
                        declare.within(at, |declare| declare_block(architecture, &block, declare));
                    }
                });
            }
        });
        Self { architecture: *architecture, parameters, running, plan: Arc::new(plan) }
    }

    /// The same network whose batch norms take the statistics of so many replicas' batches.
    pub(crate) fn over_replicas(mut self, replicas: usize) -> Self {
        Arc::make_mut(&mut self.plan).replicas = replicas;
        self
    }

    /// What it is made of.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The network's shape.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// `[batch, 3, height, width]` to `[batch, features]`, after global average pooling: 8 × width of
    /// them, with bottlenecks 32 × width. Any height and width will do, so local and global views share
    /// the weights.
    pub fn forward<'g>(&self, images: Node<'g>, weights: &Weights<'g>, phase: Phase) -> Node<'g> {
        let parameters = weights.get(self.parameters);
        let images = match self.architecture.stem.rings() {
            0 => images,
            rings => {
                let around = [0, 0, rings as i64, rings as i64];
                images.pad(&around, &around, &[0; 4])
            }
        };
        match phase {
            Phase::Eval => {
                images.residual_eval(parameters, weights.statistics(self.running), &self.plan)
            }
            Phase::Train => {
                let features = images.residual_train(parameters, &self.plan);
                step_towards(weights, self.running, features.residual_statistics());
                features
            }
        }
    }
}

impl From<Precision> for Element {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Element::F32,
            Precision::Bf16 => Element::Bf16,
        }
    }
}

fn declare_block(architecture: &Architecture, block: &BlockShape, declare: &mut Declaration) {
    let last = block.main.len();
    for (number, &unit) in (1..).zip(&block.main) {
        let silent = number == last && architecture.zero_init_residual;
        let gamma = if silent { 0.0 } else { 1.0 };
        let names = [format!("conv{number}"), format!("bn{number}")];
        declare_unit(unit, [&names[0], &names[1]], gamma, declare);
    }
    if let Some(unit) = block.shortcut {
        declare.within("downsample", |declare| declare_unit(unit, ["0", "1"], 1.0, declare));
    }
}

/// A convolution and its batch norm, in the plan's order: weights, γ, β; means, variances.
fn declare_unit(
    ([input, output], kernel, _): UnitShape,
    [conv, norm]: [&str; 2],
    gamma: f32,
    declare: &mut Declaration,
) {
    let fan_out = (output * kernel * kernel) as f32;
    declare.within(conv, |declare| {
        let start = Start::Normal((2.0 / fan_out).sqrt());
        declare.trained("weight", &[output, input, kernel, kernel], start);
    });
    declare.within(norm, |declare| {
        declare.trained("weight", &[output], Start::Constant(gamma));
        declare.trained("bias", &[output], Start::Constant(0.0));
        declare.running("running_mean", &[output], Start::Constant(0.0));
        declare.running("running_var", &[output], Start::Constant(1.0));
    });
}

/// How a backbone computes: what its activations are stored as follows its matrices' rounding.
impl From<Precision> for Compute {
    fn from(precision: Precision) -> Self {
        Self { rounded: precision == Precision::Bf16, replicas: 1 }
    }
}
