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
const IN_CHECKPOINT: &str = "network.backbone";

/// The tensor by which a ResNet is found.
const FIRST_TENSOR: &str = "conv1.weight";

/// Writes the backbone of a learner's state; its config goes along as metadata.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(path: &Path, state: &State, config: &Config) -> Result<()> {
    let backbone = params::within(IN_CHECKPOINT, state);
    tensors::write(path, &backbone, &presets::to_toml(config))
}

/// A backbone from a weights file, or from a checkpoint, in evaluation mode on `device`.
///
/// Its architecture is read off the tensors, so that files of other programs work too; what all its names
/// begin with, such as `module.` or `backbone.`, is left out.
///
/// # Errors
/// [`Error::Io`] naming the file; [`Error::Data`] naming it where it holds no backbone, several, or one with
/// a number that is not finite; [`Error::Device`] where the device has no place.
pub fn read(path: &Path, device: &Device) -> Result<Encoder> {
    let (state, _) = tensors::read(path)?;
    let unusable = |problem: String| Error::data(path, format!("no ResNet backbone: {problem}"));
    let state = backbone_of(state).map_err(unusable)?;
    refuse_non_finite(path, &state)?;
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

/// Refuses weights with a number that is infinite or none: what is measured of them would look like a
/// result.
///
/// # Errors
/// [`Error::Data`] naming `path` and the first such tensor.
pub fn refuse_non_finite(path: &Path, state: &State) -> Result<()> {
    let bad = state.iter().find_map(|(name, data)| {
        let value = data.values.iter().find(|value| !value.is_finite())?;
        Some((name, value))
    });
    match bad {
        Some((name, value)) => Err(Error::data(
            path,
            format!(
                "`{name}` holds {value}: the training that it is from went wrong; take an earlier file"
            ),
        )),
        None => Ok(()),
    }
}

/// The tensors of the one backbone among `state`, without what their names begin with; or why there is not one.
fn backbone_of(state: State) -> Result<State, String> {
    let begins = |prefix: &&str| state.contains_key(&format!("{prefix}layer1.0.{FIRST_TENSOR}"));
    let prefixes = state.keys().filter_map(|name| name.strip_suffix(FIRST_TENSOR));
    let prefixes: Vec<&str> = prefixes.filter(begins).collect();
    let own = format!("{IN_CHECKPOINT}.");
    match prefixes[..] {
        _ if prefixes.contains(&&*own) => Ok(params::within(IN_CHECKPOINT, &state)),
        [] | [""] => Ok(state),
        [prefix] => Ok(params::within(prefix.trim_end_matches('.'), &state)),
        _ => Err(format!(
            "it holds several, whose names begin with {}: write the one that is meant to a file of its own",
            prefixes.join(", ")
        )),
    }
}

/// What network has these tensors.
fn architecture_of(state: &State) -> Result<Architecture, String> {
    let conv1 = state.get(FIRST_TENSOR).ok_or("it has no tensor `conv1.weight`")?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::params::TensorData;

    fn backbone(prefix: &str) -> State {
        let names = [FIRST_TENSOR, "layer1.0.conv1.weight", "layer1.1.conv1.weight", "bn1.weight"];
        let tensor = |name: &&str| (format!("{prefix}{name}"), TensorData::new(vec![1.0], [1]));
        names.iter().map(tensor).collect()
    }

    #[test]
    fn what_all_names_begin_with_is_left_out() {
        for prefix in ["", "module.", "backbone.", "module.encoder_q.", "network.backbone."] {
            let mut state = backbone(prefix);
            state.insert("epoch".to_owned(), TensorData::new(vec![7.0], [1]));
            let found = backbone_of(state).unwrap();
            assert!(found.contains_key(FIRST_TENSOR), "{prefix}: {:?}", found.keys());
            assert!(found.contains_key("layer1.1.conv1.weight"), "{prefix}");
        }
    }

    #[test]
    fn of_several_backbones_a_checkpoints_own_is_meant_and_others_are_named() {
        let two =
            |first: &str, second: &str| [backbone(first), backbone(second)].map(State::into_iter);
        let state: State =
            two("network.backbone.", "momentum.backbone.").into_iter().flatten().collect();
        assert_eq!(backbone_of(state).unwrap(), backbone(""));
        let state: State = two("encoder_q.", "encoder_k.").into_iter().flatten().collect();
        let problem = backbone_of(state).unwrap_err();
        assert!(problem.contains("encoder_k., encoder_q."), "{problem}");
    }

    #[test]
    fn numbers_that_are_none_are_refused_by_the_tensors_name() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut state = backbone("");
            state.insert("bn1.weight".to_owned(), TensorData::new(vec![1.0, value], [2]));
            let problem = refuse_non_finite(Path::new("w"), &state).unwrap_err().to_string();
            assert!(problem.contains("`bn1.weight`"), "{problem}");
        }
        assert!(refuse_non_finite(Path::new("w"), &backbone("")).is_ok());
    }
}
