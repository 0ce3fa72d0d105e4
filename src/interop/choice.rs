//! Which of the backbones in a file is meant.

use std::path::Path;

use checkpoints::{Backbone, Checkpoint};

use super::weights::IN_CHECKPOINT;
use crate::{Error, Result};

/// How many names of a file without a backbone its refusal shows.
const MOST_NAMES: usize = 3;

/// Which of a file's backbones is meant, and how complete it has to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What its names begin with, or some whole parts of that: `encoder_q` means `module.encoder_q.`.
    /// Without one, there has to be one backbone alone.
    pub prefix: Option<String>,
    /// Whether it may lack tensors, which then have their first values under seed 0, or have more than a
    /// ResNet has, which are then left out. It then computes something else than where it comes from. Of what a
    /// run begins from, whether heads may not fit; what is lacking then starts under the run's seed.
    pub allow_missing: bool,
    /// Whether a stem of 3×3 pads by two pixels ([`Stem::CifarPadded`](crate::config::Stem::CifarPadded)), which
    /// no checkpoint says but this program's.
    pub padded_stem: bool,
}

/// The one backbone of `file` that is meant.
pub(super) fn chosen(path: &Path, file: &Checkpoint, choice: &Choice) -> Result<Backbone> {
    chosen_among(path, file, &Backbone::find(file), choice)
}

/// The backbone of `file` that is meant, and the one that follows it, where there is one such. Where `both` are
/// wanted and none is named, nothing is left to choose.
pub(super) fn chosen_with_momentum(
    path: &Path,
    file: &Checkpoint,
    choice: &Choice,
    both: bool,
) -> Result<(Backbone, Option<Backbone>)> {
    let found = Backbone::find(file);
    let (momentum, trained): (Vec<_>, Vec<_>) =
        found.iter().cloned().partition(Backbone::is_momentum);
    let are_both_there = !momentum.is_empty() && !trained.is_empty();
    let among = match both && are_both_there && choice.prefix.is_none() {
        true => &trained,
        false => &found,
    };
    let backbone = chosen_among(path, file, among, choice)?;
    let follower = match &momentum[..] {
        [only] if !backbone.is_momentum() => Some(only.clone()),
        _ => None,
    };
    Ok((backbone, follower))
}

fn chosen_among(
    path: &Path,
    file: &Checkpoint,
    found: &[Backbone],
    choice: &Choice,
) -> Result<Backbone> {
    let own = format!("{IN_CHECKPOINT}.");
    let candidates: Vec<&Backbone> = match &choice.prefix {
        Some(asked) => match found.iter().find(|backbone| backbone.prefix == *asked) {
            Some(exact) => vec![exact],
            None => found.iter().filter(|backbone| backbone.answers_to(asked)).collect(),
        },
        None => match found.iter().find(|backbone| backbone.prefix == own) {
            Some(own) => vec![own],
            None => found.iter().collect(),
        },
    };
    let Some((&first, others)) = candidates.split_first() else {
        return Err(Error::data(path, none_found(file, found, choice)));
    };
    for other in others {
        if !are_the_same(file, first, other)? {
            let prefixes = candidates.iter().map(|backbone| backbone.prefix.clone()).collect();
            return Err(Error::Several { path: path.to_path_buf(), prefixes });
        }
    }
    Ok(first.clone())
}

/// Why no backbone could be chosen.
fn none_found(file: &Checkpoint, found: &[Backbone], choice: &Choice) -> String {
    match (&choice.prefix, found) {
        (Some(asked), [_, ..]) => {
            let there: Vec<String> = found.iter().map(|b| format!("`{}`", b.prefix)).collect();
            format!("no backbone's names begin with `{asked}`; there is {}", there.join(", "))
        }
        _ => {
            let names: Vec<String> =
                file.tensors().keys().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
            let names = match names.is_empty() {
                true => "it has no tensors at all".to_owned(),
                false => format!("its tensors are {}, …", names.join(", ")),
            };
            format!(
                "no ResNet backbone: it has no tensor `layer1.0.conv1.weight`, behind whatever its names begin with, \
                 and no nn.Sequential of a ResNet's parts; {names}"
            )
        }
    }
}

/// Whether two backbones are one, which is saved under two names.
fn are_the_same(file: &Checkpoint, one: &Backbone, other: &Backbone) -> Result<bool> {
    let (one, other) = (one.tensors(file), other.tensors(file));
    if !one.keys().eq(other.keys()) {
        return Ok(false);
    }
    for (one, other) in one.values().zip(other.values()) {
        let are_alike = file.tensors()[*one] == file.tensors()[*other];
        if !are_alike || file.numbers(one)? != file.numbers(other)? {
            return Ok(false);
        }
    }
    Ok(true)
}
