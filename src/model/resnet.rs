//! ResNet of basic blocks (He et al., 2016) with the stem for small images, parameter names as
//! torchvision's.

use burn::module::Module;
use burn::tensor::{Tensor, activation::relu};

use super::layers::{BatchNorm, Conv2d, Initializer, Phase};

/// How many blocks each of the four stages has.
pub type Blocks = [usize; 4];

/// The backbone: image to feature vector.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    layer4: Vec<BasicBlock>,
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
        Self { conv1, bn1, layer1, layer2, layer3, layer4 }
    }

    /// The features of images `[batch, 3, height, width]` in evaluation mode, `[batch, 8 width]`.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images, Phase::Eval)
    }

    /// `[batch, 3, height, width]` to `[batch, 8 width]`: the features after global average
    /// pooling. Any height and width will do, so local and global views share the weights.
    pub fn forward(&self, images: Tensor<4>, phase: Phase) -> Tensor<2> {
        let mut x = relu(self.bn1.forward(self.conv1.forward(images), phase));
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
        {
            x = block.forward(x, phase);
        }
        x.flatten::<3>(2, 3).mean_dim(2).flatten(1, 2)
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
