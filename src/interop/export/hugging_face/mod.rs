//! A folder for timm and Hugging Face's transformers: weights, settings, preprocessing and a model card.
//!
//! timm's ResNets have torchvision's names and a stem of 7 × 7 with 64 channels; transformers opens timm's
//! folders too. Networks of another width are in the form of transformers' own ResNet, whose width is a
//! setting. Neither has a stem of 3 × 3 with stride 1.

mod card;
mod layout;
mod preprocessing;

use serde_json::Value;

use self::layout::Layout;
use self::preprocessing::Preprocessing;
use super::format::Parts;
use super::safe;
use super::source::Export;
use crate::{Error, Result};

/// What transformers wants to find in the weights' metadata: that their layout is PyTorch's.
const METADATA: [&str; 2] = ["format", "pt"];

/// The files of the folder by name, the settings last: a folder without them is no model.
///
/// # Errors
/// [`Error::Data`] where heads are asked for, the network has no name there, nothing says how images are to be
/// normalised, or a number does not fit its type; of a run also as [`crate::record::read`].
pub(super) fn files(export: &Export, parts: Parts) -> Result<Vec<(&'static str, Vec<u8>)>> {
    if parts.heads {
        let problem = "heads have no place in a folder for timm and transformers; export them as safetensors or pth";
        return Err(Error::data(export.path(), problem));
    }
    let layout = Layout::of(export)?;
    let config = export.config().ok_or_else(|| {
        let problem = "does not say what it was trained on, so nothing says how its images are normalised; name a \
                       dataset";
        Error::data(export.path(), problem)
    })?;
    let preprocessing = Preprocessing::of(config);
    let mut tensors = export.stored(parts)?;
    for tensor in &mut tensors {
        tensor.name = layout.name(&tensor.name);
    }
    let card = card::text(export, config, layout, &preprocessing)?;
    Ok(vec![
        ("model.safetensors", safe::file(export.path(), &tensors, Some(METADATA))?),
        ("preprocessor_config.json", json(&preprocessing.for_transformers())),
        ("README.md", card.into_bytes()),
        ("config.json", json(&layout.config(export.architecture(), &preprocessing))),
    ])
}

/// As text that a person can read.
fn json(value: &Value) -> Vec<u8> {
    let mut text = format!("{value:#}").into_bytes();
    text.push(b'\n');
    text
}
