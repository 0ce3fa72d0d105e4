//! Which library's ResNet a network is, what its tensors are called there, and its settings.

use serde_json::{Value, json};

use super::preprocessing::Preprocessing;
use crate::config::{Backbone, BlockKind, Stem};
use crate::interop::export::Export;
use crate::model::Architecture;
use crate::{Error, Result};

/// The channels of the stem of timm's ResNets.
const TIMM_WIDTH: usize = 64;

/// Whose ResNet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// timm's; transformers opens it as `TimmWrapperModel`.
    Timm,
    /// transformers' own, as `ResNetModel` and `ResNetBackbone`.
    Transformers,
}

impl Layout {
    /// The one that can express the network.
    ///
    /// # Errors
    /// [`Error::Data`] where none can.
    pub(super) fn of(export: &Export) -> Result<Self> {
        match export.architecture() {
            Architecture { stem: Stem::Cifar | Stem::CifarPadded, .. } => Err(Error::data(
                export.path(),
                "has the stem for small images, 3 × 3 of stride 1 without a max-pool, which no ResNet of timm or \
                 transformers has; export it as pth or safetensors, and put that stem into torchvision's or timm's \
                 ResNet (docs/howto/export.md), or as onnx",
            )),
            Architecture { width: TIMM_WIDTH, .. } => Ok(Self::Timm),
            _ => Ok(Self::Transformers),
        }
    }

    /// The library that opens the folder first.
    pub(super) fn library(self) -> &'static str {
        match self {
            Self::Timm => "timm",
            Self::Transformers => "transformers",
        }
    }

    /// What it calls the tensor that torchvision calls `name`.
    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::Timm => name.to_owned(),
            Self::Transformers => name_in_transformers(name),
        }
    }

    /// `config.json`.
    pub(super) fn config(self, architecture: Architecture, images: &Preprocessing) -> Value {
        match self {
            Self::Timm => timm_config(architecture, images),
            Self::Transformers => transformers_config(architecture),
        }
    }
}

/// After `transformers/models/resnet/modeling_resnet.py`.
fn name_in_transformers(name: &str) -> String {
    let module = |part: &str| match part.starts_with("conv") || part == "0" {
        true => "convolution",
        false => "normalization",
    };
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [part, tensor] => format!("embedder.embedder.{}.{tensor}", module(part)),
        [stage, block, "downsample", part, tensor] => {
            format!("{}.shortcut.{}.{tensor}", block_in_transformers(stage, block), module(part))
        }
        [stage, block, part, tensor] => {
            let number = number_of(part).saturating_sub(1);
            let block = block_in_transformers(stage, block);
            format!("{block}.layer.{number}.{}.{tensor}", module(part))
        }
        _ => name.to_owned(),
    }
}

fn block_in_transformers(stage: &str, block: &str) -> String {
    format!("encoder.stages.{}.layers.{block}", number_of(stage).saturating_sub(1))
}

/// The number that a name ends with; 0 where it ends with none.
fn number_of(name: &str) -> usize {
    name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

fn timm_config(architecture: Architecture, images: &Preprocessing) -> Value {
    let Architecture { block, blocks, width, .. } = architecture;
    // ResNet-10 is nobody's but ours.
    let known = architecture.backbone().is_some_and(|backbone| backbone != Backbone::Resnet10);
    let name = match (known, block) {
        (true, _) => architecture.name(),
        (false, BlockKind::Basic) => "resnet18".to_owned(),
        (false, BlockKind::Bottleneck) => "resnet50".to_owned(),
    };
    let mut config = json!({
        "architecture": name,
        "num_classes": 0,
        "num_features": block.features(width),
        "global_pool": "avg",
        "pretrained_cfg": images.for_timm(),
    });
    if !known {
        config["model_args"] = json!({ "layers": blocks });
    }
    config
}

fn transformers_config(architecture: Architecture) -> Value {
    let Architecture { block, blocks, width, .. } = architecture;
    let channels = [0, 1, 2, 3].map(|stage| (width * block.expansion()) << stage);
    json!({
        "architectures": ["ResNetModel"],
        "model_type": "resnet",
        "num_channels": 3,
        "embedding_size": width,
        "hidden_sizes": channels,
        "depths": blocks,
        "layer_type": block.name(),
        "hidden_act": "relu",
        "downsample_in_first_stage": false,
        "downsample_in_bottleneck": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_the_names_of_transformers() {
        for (torchvision, transformers) in [
            ("conv1.weight", "embedder.embedder.convolution.weight"),
            ("bn1.running_var", "embedder.embedder.normalization.running_var"),
            ("layer1.0.conv1.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight"),
            ("layer4.10.bn3.bias", "encoder.stages.3.layers.10.layer.2.normalization.bias"),
            (
                "layer2.0.downsample.0.weight",
                "encoder.stages.1.layers.0.shortcut.convolution.weight",
            ),
            (
                "layer2.0.downsample.1.num_batches_tracked",
                "encoder.stages.1.layers.0.shortcut.normalization.num_batches_tracked",
            ),
        ] {
            assert_eq!(Layout::Transformers.name(torchvision), transformers);
            assert_eq!(Layout::Timm.name(torchvision), torchvision);
        }
    }

    #[test]
    fn a_network_without_a_name_is_one_with_other_layers() {
        let of = |blocks, block| Architecture {
            stem: Stem::Imagenet,
            block,
            blocks,
            width: 64,
            zero_init_residual: false,
        };
        let images = Preprocessing::of_size(256, 224);
        let config = |blocks, block| timm_config(of(blocks, block), &images);
        let known = config([3, 4, 6, 3], BlockKind::Bottleneck);
        assert_eq!(
            (&known["architecture"], &known["num_features"]),
            (&json!("resnet50"), &json!(2048))
        );
        assert!(known.get("model_args").is_none());
        let small = config([1, 1, 1, 1], BlockKind::Basic);
        assert_eq!(small["architecture"], "resnet18");
        assert_eq!(small["model_args"]["layers"], json!([1, 1, 1, 1]));
    }
}
