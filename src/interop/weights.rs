//! `weights.safetensors`: the backbone alone, under torchvision's names.

use std::path::Path;
use std::sync::Arc;

use super::tensors;
use crate::config::{BlockKind, Config, Precision, Stem};
use crate::eval::{Encoder, Extractor};
use crate::executor::Device;
use crate::model::params::{self, Declaration, State};
use crate::model::{Architecture, ResNet};
use crate::presets;
use crate::{Error, Result};

/// What a checkpoint puts before the backbone's names.
const IN_CHECKPOINT: &str = "network.backbone.";

/// Writes the backbone of a learner's state; its config goes along as metadata.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(path: &Path, state: &State, config: &Config) -> Result<()> {
    let backbone = params::within(IN_CHECKPOINT.trim_end_matches('.'), state);
    tensors::write(path, &backbone, presets::to_toml(config))
}

/// A backbone from a weights file, or from a checkpoint, in evaluation mode on `device`.
///
/// Its architecture is read off the tensors, so that files of other programs work too.
///
/// # Errors
/// [`Error::Io`] or [`Error::Data`] naming the file; [`Error::Device`] where the device has no place.
pub fn read(path: &Path, device: &Device) -> Result<Encoder> {
    let (state, _) = tensors::read(path)?;
    let state = backbone_of(state);
    let unusable = |problem: String| Error::data(path, format!("no ResNet backbone: {problem}"));
    let architecture = architecture_of(&state).map_err(unusable)?;
    let mut declare = Declaration::default();
    let backbone = ResNet::new(&architecture, Precision::F32, &mut declare);
    let trained =
        declare.trained.join(&state, "").map_err(|mismatch| unusable(mismatch.to_string()))?;
    let running =
        declare.running.join(&state, "").map_err(|mismatch| unusable(mismatch.to_string()))?;
    let [trained, running] = [trained, running].map(|flat| {
        let len = flat.len();
        device.f32(flat, &[len])
    });
    let extractor = Extractor::of_backbone(backbone, declare, device);
    Ok(Encoder::new(Arc::new(extractor), [trained?, running?]))
}

fn backbone_of(state: State) -> State {
    let inside: State = state
        .iter()
        .filter_map(|(name, data)| {
            name.strip_prefix(IN_CHECKPOINT).map(|short| (short.to_owned(), data.clone()))
        })
        .collect();
    if inside.is_empty() { state } else { inside }
}

/// What network has these tensors.
fn architecture_of(state: &State) -> Result<Architecture, String> {
    let conv1 = state.get("conv1.weight").ok_or("it has no tensor `conv1.weight`")?;
    let (width, stem) = match conv1.shape[..] {
        [width, 3, 3, 3] => (width, Stem::Cifar),
        [width, 3, 7, 7] => (width, Stem::Imagenet),
        _ => {
            let expected = "[width, 3, 3, 3] or [width, 3, 7, 7]";
            return Err(format!("its stem has shape {:?}, expected {expected}", conv1.shape));
        }
    };
    let blocks = [1, 2, 3, 4].map(|stage| {
        (0..).take_while(|b| state.contains_key(&format!("layer{stage}.{b}.conv1.weight"))).count()
    });
    if blocks.contains(&0) {
        return Err("it lacks one of layer1 to layer4".to_owned());
    }
    let block = match state.contains_key("layer1.0.conv3.weight") {
        true => BlockKind::Bottleneck,
        false => BlockKind::Basic,
    };
    Ok(Architecture { stem, block, blocks, width, zero_init_residual: false })
}
