//! ResNet of basic blocks (He et al., 2016) with the stem for small images, parameter names as
//! torchvision's.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

use super::layers::{BatchNorm, Conv2d, Initializer, Phase};
use crate::engine::{self, Plan, Precision};

/// How many blocks each of the four stages has.
pub type Blocks = [usize; 4];

/// The backbone: image to feature vector.
///
/// On the CPU it runs on the project's [`engine`]; elsewhere it composes Burn's operations. Both give
/// the same results within rounding, and the same names to the same parameters.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    layer4: Vec<BasicBlock>,
    #[module(skip)]
    plan: Arc<Plan>,
}

impl ResNet {
    /// With the CIFAR stem: a 3×3 convolution of stride 1 and no max-pool. The stages have
    /// `width`, `2 width`, `4 width` and `8 width` channels.
    pub fn cifar(blocks: Blocks, width: usize, init: &mut Initializer<'_>) -> Self {
        let conv1 = Conv2d::new([3, width], 3, 1, init);
        let bn1 = init.batch_norm(width);
        let mut stage = |number: usize| {
            let output = width << number;
            let input = if number == 0 { width } else { output / 2 };
            let stride = if number == 0 { 1 } else { 2 };
            (0..blocks[number])
                .map(|block| match block {
                    0 => BasicBlock::new([input, output], stride, init),
                    _ => BasicBlock::new([output, output], 1, init),
                })
                .collect()
        };
        let (layer1, layer2, layer3, layer4) = (stage(0), stage(1), stage(2), stage(3));
        let mut plan = Plan::new(conv1.shape(), Precision::F32);
        let layers: [&Vec<BasicBlock>; 4] = [&layer1, &layer2, &layer3, &layer4];
        for block in layers.into_iter().flatten() {
            let shortcut = block.downsample.as_ref().map(|(conv, _)| conv.shape());
            plan.block(&[block.conv1.shape(), block.conv2.shape()], shortcut);
        }
        Self { conv1, bn1, layer1, layer2, layer3, layer4, plan: Arc::new(plan) }
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

    /// The features of images `[batch, 3, height, width]` in evaluation mode, `[batch, 8 width]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images, Phase::Eval)
    }

    /// `[batch, 3, height, width]` to `[batch, 8 width]`: the features after global average
    /// pooling. Any height and width will do, so local and global views share the weights.
    pub fn forward(&self, images: Tensor<4>, phase: Phase) -> Tensor<2> {
        match engine::runs_on(&images.device()) {
            true => self.on_cpu(images, phase),
            false => self.composed(images, phase),
        }
    }

    /// The same of Burn's own operations, on any device. Here the images too receive a gradient.
    pub fn composed(&self, images: Tensor<4>, phase: Phase) -> Tensor<2> {
        let mut x = relu(self.bn1.forward(self.conv1.forward(images), phase));
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

    fn blocks(&self) -> impl Iterator<Item = &BasicBlock> {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
    }

    /// Every convolution with its batch norm, in the plan's order.
    fn units(&self) -> impl Iterator<Item = (&Conv2d, &BatchNorm)> {
        let blocks = self.blocks().flat_map(|block| {
            let main = [(&block.conv1, &block.bn1), (&block.conv2, &block.bn2)];
            main.into_iter().chain(block.downsample.as_ref().map(|(conv, norm)| (conv, norm)))
        });
        std::iter::once((&self.conv1, &self.bn1)).chain(blocks)
    }
}

/// Two 3×3 convolutions around a shortcut.
#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl BasicBlock {
    fn new([input, output]: [usize; 2], stride: usize, init: &mut Initializer<'_>) -> Self {
        let reshapes = stride != 1 || input != output;
        Self {
            conv1: Conv2d::new([input, output], 3, stride, init),
            bn1: init.batch_norm(output),
            conv2: Conv2d::new([output, output], 3, 1, init),
            bn2: init.batch_norm(output),
            downsample: reshapes
                .then(|| (Conv2d::new([input, output], 1, stride, init), init.batch_norm(output))),
        }
    }

    fn forward(&self, x: Tensor<4>, phase: Phase) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(x.clone()), phase),
            None => x.clone(),
        };
        let x = relu(self.bn1.forward(self.conv1.forward(x), phase));
        let x = self.bn2.forward(self.conv2.forward(x), phase);
        relu(x + shortcut)
    }
}
