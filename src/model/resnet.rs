//! ResNets of basic blocks or bottlenecks (He et al., 2016), parameter names and initialisation as
//! torchvision's.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, activation::relu, module};

use super::layers::{BatchNorm, Conv2d, Initializer, Phase};
use crate::config::{BlockKind, ModelConfig, Stem};
use crate::engine::{self, Plan, Precision};

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

impl Architecture {
    fn stem(&self, init: &mut Initializer<'_>) -> Conv2d {
        match self.stem {
            Stem::Cifar => Conv2d::new([3, self.width], 3, 1, init),
            Stem::Imagenet => Conv2d::new([3, self.width], 7, 2, init),
        }
    }

    fn stage(&self, number: usize, init: &mut Initializer<'_>) -> Vec<Block> {
        let inner = self.width << number;
        let output = inner * self.block.expansion();
        let (input, stride) = if number == 0 { (self.width, 1) } else { (output / 2, 2) };
        (0..self.blocks[number])
            .map(|block| match block {
                0 => Block::new(self, [input, inner, output], stride, init),
                _ => Block::new(self, [output, inner, output], 1, init),
            })
            .collect()
    }
}

/// The backbone: image to feature vector.
///
/// On the CPU it runs on the project's [`engine`]; elsewhere it composes Burn's operations. Both give
/// the same results within rounding, and the same names to the same parameters.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    #[module(skip)]
    plan: Arc<Plan>,
}

impl ResNet {
    /// Fresh weights: Kaiming-normal over the fan-out, as torchvision's.
    pub fn new(architecture: &Architecture, init: &mut Initializer<'_>) -> Self {
        let conv1 = architecture.stem(init);
        let bn1 = init.batch_norm(architecture.width);
        let layers = [0, 1, 2, 3].map(|number| architecture.stage(number, init));
        let max_pool = architecture.stem == Stem::Imagenet;
        let mut plan = Plan::new(conv1.shape(), max_pool, Precision::F32);
        for block in layers.iter().flatten() {
            let main: Vec<_> = block.main().map(|(conv, _)| conv.shape()).collect();
            plan.block(&main, block.downsample.as_ref().map(|(conv, _)| conv.shape()));
        }
        let [layer1, layer2, layer3, layer4] = layers;
        Self { conv1, bn1, layer1, layer2, layer3, layer4, plan: Arc::new(plan) }
    }

    /// Of basic blocks, with the stem for small images.
    pub fn cifar(blocks: [usize; 4], width: usize, init: &mut Initializer<'_>) -> Self {
        let (stem, block) = (Stem::Cifar, BlockKind::Basic);
        let zero_init_residual = false;
        Self::new(&Architecture { stem, block, blocks, width, zero_init_residual }, init)
    }

    /// The same network with its activations stored in `precision` on the CPU.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        Arc::make_mut(&mut self.plan).precision = precision;
        self
    }

    /// The network's shape, as the CPU engine sees it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The features of images `[batch, 3, height, width]` in evaluation mode, `[batch, features]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images, Phase::Eval)
    }

    /// `[batch, 3, height, width]` to `[batch, features]`, after global average pooling: 8 × width of
    /// them, with bottlenecks 32 × width. Any height and width will do, so local and global views share
    /// the weights.
    pub fn forward(&self, images: Tensor<4>, phase: Phase) -> Tensor<2> {
        match engine::runs_on(&images.device()) {
            true => self.on_cpu(images, phase),
            false => self.composed(images, phase),
        }
    }

    /// The same of Burn's own operations, on any device. Here the images too receive a gradient.
    pub fn composed(&self, images: Tensor<4>, phase: Phase) -> Tensor<2> {
        let mut x = relu(self.bn1.forward(self.conv1.forward(images), phase));
        if self.plan.max_pool {
            let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_padding([1, 1]);
            x = module::max_pool2d(x, options);
        }
        for block in self.blocks() {
            x = block.forward(x, phase);
        }
        x.flatten::<3>(2, 3).mean_dim(2).flatten(1, 2)
    }

    fn on_cpu(&self, images: Tensor<4>, phase: Phase) -> Tensor<2> {
        let flat = self.units().flat_map(|(conv, norm)| {
            let affine = [&norm.weight, &norm.bias].into_iter().flatten().map(|p| p.val());
            std::iter::once(conv.weight.val().flatten(0, 3)).chain(affine)
        });
        let parameters = Tensor::cat(flat.collect(), 0);
        if phase == Phase::Eval {
            let running = self.units().flat_map(|(_, norm)| norm.running());
            let running = Tensor::cat(running.collect(), 0);
            return engine::backbone_eval(images, parameters, running, &self.plan);
        }
        let (features, statistics) = engine::backbone_train(images, parameters, &self.plan);
        for ((_, norm), plan) in self.units().zip(self.plan.units()) {
            norm.observe(
                statistics.clone().slice([plan.mean()]),
                statistics.clone().slice([plan.variance()]),
            );
        }
        features
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
    }

    /// Every convolution with its batch norm, in the plan's order.
    fn units(&self) -> impl Iterator<Item = (&Conv2d, &BatchNorm)> {
        let blocks = self.blocks().flat_map(|block| {
            block.main().chain(block.downsample.as_ref().map(|(conv, norm)| (conv, norm)))
        });
        std::iter::once((&self.conv1, &self.bn1)).chain(blocks)
    }
}

/// Two or three convolutions around a shortcut.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    /// Of a bottleneck alone, as is its batch norm.
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl Block {
    fn new(
        architecture: &Architecture,
        [input, inner, output]: [usize; 3],
        stride: usize,
        init: &mut Initializer<'_>,
    ) -> Self {
        let [conv1, conv2] = match architecture.block {
            BlockKind::Basic => [([input, inner], 3, stride), ([inner, output], 3, 1)],
            BlockKind::Bottleneck => [([input, inner], 1, 1), ([inner, inner], 3, stride)],
        };
        let [conv1, conv2] = [conv1, conv2]
            .map(|(channels, kernel, stride)| Conv2d::new(channels, kernel, stride, init));
        let conv3 = (architecture.block == BlockKind::Bottleneck)
            .then(|| Conv2d::new([inner, output], 1, 1, init));
        let reshapes = stride != 1 || input != output;
        let mut block = Self {
            conv1,
            bn1: init.batch_norm(inner),
            conv2,
            bn2: init.batch_norm(inner),
            bn3: conv3.as_ref().map(|_| init.batch_norm(output)),
            conv3,
            downsample: reshapes
                .then(|| (Conv2d::new([input, output], 1, stride, init), init.batch_norm(output))),
        };
        if architecture.zero_init_residual {
            let last = block.bn3.as_mut().unwrap_or(&mut block.bn2);
            *last = init.silent_batch_norm(output);
        }
        block
    }

    /// The convolutions of its main path with their batch norms.
    fn main(&self) -> impl Iterator<Item = (&Conv2d, &BatchNorm)> {
        let third = self.conv3.as_ref().zip(self.bn3.as_ref());
        [(&self.conv1, &self.bn1), (&self.conv2, &self.bn2)].into_iter().chain(third)
    }

    fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(x.clone()), phase),
            None => x.clone(),
        };
        let unit = |x, (conv, norm): (&Conv2d, &BatchNorm)| norm.forward(conv.forward(x), phase);
        let main = self.main().enumerate().fold(x, |x, (at, of)| match at {
            0 => unit(x, of),
            _ => unit(relu(x), of),
        });
        relu(main + shortcut)
    }
}
