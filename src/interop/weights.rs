//! `weights.safetensors`: the backbone alone, under torchvision's names.

use std::path::Path;

use super::{Choice, Import, tensors};
use crate::config::Config;
use crate::eval::Encoder;
use crate::executor::Device;
use crate::model::params::{self, State};
use crate::presets;
use crate::{Error, Result};

/// What a checkpoint puts before the backbone's names.
pub(super) const IN_CHECKPOINT: &str = "network.backbone";

/// Writes the backbone of a learner's state; its config goes along as metadata.
///
/// # Errors
/// [`Error::Io`] naming the file.
pub fn write(path: &Path, state: &State, config: &Config) -> Result<()> {
    let backbone = params::within(IN_CHECKPOINT, state);
    tensors::write(path, &backbone, &presets::to_toml(config))
}

/// A backbone from a weights file, or from a checkpoint of whatever origin, in evaluation mode on `device`.
///
/// Its architecture is read off the tensors, so that files of other programs work too; what all its names
/// begin with, such as `module.` or `backbone.`, is left out.
///
/// # Errors
/// As [`Import::open`]; [`Error::Data`] naming the file also where a number is not finite; [`Error::Device`]
/// where the device has no place.
pub fn read(path: &Path, device: &Device) -> Result<Encoder> {
    Import::open(path, &Choice::default())?.encoder(device)
}

/// Refuses weights with a number that is infinite or none: what is measured of them would look like a
/// result.
///
/// # Errors
/// [`Error::Data`] naming `path` and the first such tensor.
pub fn refuse_non_finite(path: &Path, state: &State) -> Result<()> {
    state.iter().try_for_each(|(name, data)| refuse_non_finite_of(path, name, &data.values))
}

/// As [`refuse_non_finite`], of the tensor `name` alone.
pub(super) fn refuse_non_finite_of(path: &Path, name: &str, values: &[f32]) -> Result<()> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::data(
            path,
            format!(
                "`{name}` holds {value}: the training that it is from went wrong; take an earlier file"
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::params::TensorData;

    fn bn1(value: f32) -> State {
        State::from([("bn1.weight".to_owned(), TensorData::new(vec![1.0, value], [2]))])
    }

    #[test]
    fn numbers_that_are_none_are_refused_by_the_tensors_name() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let state = bn1(value);
            let problem = refuse_non_finite(Path::new("w"), &state).unwrap_err().to_string();
            assert!(problem.contains("`bn1.weight`"), "{problem}");
        }
        assert!(refuse_non_finite(Path::new("w"), &bn1(2.0)).is_ok());
    }
}
