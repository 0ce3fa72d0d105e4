//! Heads of a file as settings, and their tensors under the names that a run has for them.

use checkpoints::{Head, Layer, Norm};

use crate::config::{ProjectorConfig, ProjectorNorm};

/// A tensor of a run's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Its name here.
    pub(super) ours: String,
    /// Its name in the file; a bias that a layer lacks there is zero here, which computes the same.
    pub(super) theirs: Option<String>,
    /// The lengths of its axes.
    pub(super) shape: Vec<usize>,
}

/// The settings that make a projector as `head` is; `now` where it leaves a choice. None where no settings do.
pub(super) fn as_projector(head: &Head, now: &ProjectorConfig) -> Option<ProjectorConfig> {
    let (last, before) = head.layers.split_last()?;
    let hidden = before.first().map_or(now.hidden, |layer| layer.shape[0]);
    if before.iter().any(|layer| layer.shape[0] != hidden) {
        return None;
    }
    let norms_before = |is: fn(&Layer) -> bool| before.iter().all(is);
    let norm = match &last.norm {
        None if before.is_empty() && now.norm != ProjectorNorm::All => now.norm,
        None if norms_before(|layer| layer.norm.is_none()) => ProjectorNorm::None,
        None if norms_before(has_affine_norm) => ProjectorNorm::Hidden,
        Some(Norm { affine: None, .. }) if norms_before(has_affine_norm) => ProjectorNorm::All,
        _ => return None,
    };
    Some(ProjectorConfig { layers: head.layers.len(), hidden, dim: head.output(), norm })
}

/// The hidden units of a predictor as `head` is; none where no settings make it.
pub(super) fn as_predictor(head: &Head) -> Option<usize> {
    let [hidden, output] = &head.layers[..] else { return None };
    let is_one = has_affine_norm(hidden) && output.norm.is_none();
    (is_one && head.input() == head.output()).then_some(hidden.shape[0])
}

fn has_affine_norm(layer: &Layer) -> bool {
    matches!(layer.norm, Some(Norm { affine: Some(_), .. }))
}

/// The tensors of a projector, by the names within its network.
pub(super) fn of_projector(head: &Head) -> Vec<Given> {
    let layers = head.layers.iter().enumerate();
    let given = layers.flat_map(|(at, layer)| {
        let name = format!("projector.layers.{at}");
        of_layer(layer, &format!("{name}.linear"), &format!("{name}.norm"))
    });
    given.collect()
}

/// The tensors of a predictor, by the names within its network.
pub(super) fn of_predictor(head: &Head) -> Vec<Given> {
    let names = [
        ["predictor.hidden.linear", "predictor.hidden.norm"],
        ["predictor.output", "predictor.output"],
    ];
    let layers = head.layers.iter().zip(names);
    layers.flat_map(|(layer, [linear, norm])| of_layer(layer, linear, norm)).collect()
}

fn of_layer(layer: &Layer, linear: &str, norm: &str) -> Vec<Given> {
    let [outputs, _] = layer.shape;
    let given = |ours: String, theirs: Option<&String>, shape: &[usize]| Given {
        ours,
        theirs: theirs.cloned(),
        shape: shape.to_vec(),
    };
    let mut tensors = vec![
        given(format!("{linear}.weight"), Some(&layer.weight), &layer.shape),
        given(format!("{linear}.bias"), layer.bias.as_ref(), &[outputs]),
    ];
    if let Some(Norm { affine, running }) = &layer.norm {
        let affine = affine.iter().flatten().zip(["weight", "bias"]);
        let named = affine.chain(running.iter().zip(["running_mean", "running_var"]));
        let of_norm = |(theirs, ours)| given(format!("{norm}.{ours}"), Some(theirs), &[outputs]);
        tensors.extend(named.map(of_norm));
    }
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of layers with these outputs and norms: absent, plain or affine.
    fn head(input: usize, layers: &[(usize, &str)]) -> Head {
        let mut from = input;
        let layer = |&(outputs, norm): &(usize, &str)| {
            let shape = [outputs, std::mem::replace(&mut from, outputs)];
            let running = ["m".to_owned(), "v".to_owned()];
            let norm = match norm {
                "affine" => Some(Norm { affine: Some(["w".to_owned(), "b".to_owned()]), running }),
                "plain" => Some(Norm { affine: None, running }),
                _ => None,
            };
            Layer { shape, weight: "weight".to_owned(), bias: None, norm }
        };
        let layers = layers.iter().map(layer).collect();
        Head { prefix: "head".to_owned(), layers }
    }

    const NOW: ProjectorConfig =
        ProjectorConfig { layers: 3, hidden: 7, dim: 5, norm: ProjectorNorm::All };

    #[test]
    fn the_heads_of_the_field_are_settings() {
        let of_simsiam = head(8, &[(4, "affine"), (4, "affine"), (3, "plain")]);
        let of_byol = head(8, &[(4, "affine"), (3, "")]);
        let of_moco = head(8, &[(4, ""), (3, "")]);
        let linear = head(8, &[(3, "")]);
        for (head, layers, hidden, norm) in [
            (of_simsiam, 3, 4, ProjectorNorm::All),
            (of_byol, 2, 4, ProjectorNorm::Hidden),
            (of_moco, 2, 4, ProjectorNorm::None),
            (linear, 1, 7, ProjectorNorm::None),
        ] {
            let expected = ProjectorConfig { layers, hidden, dim: 3, norm };
            assert_eq!(as_projector(&head, &NOW), Some(expected));
        }
        let hidden = ProjectorConfig { norm: ProjectorNorm::Hidden, ..NOW };
        let linear = head(8, &[(3, "")]);
        assert_eq!(as_projector(&linear, &hidden).unwrap().norm, ProjectorNorm::Hidden);
    }

    #[test]
    fn heads_of_other_kinds_are_none() {
        for layers in [
            &[(4, "affine"), (6, "affine"), (3, "plain")][..],
            &[(4, "plain"), (3, "plain")],
            &[(4, "affine"), (3, "affine")],
            &[(4, "affine"), (4, ""), (3, "")],
        ] {
            assert_eq!(as_projector(&head(8, layers), &NOW), None, "{layers:?}");
        }
        assert_eq!(as_predictor(&head(8, &[(4, "affine"), (8, "")])), Some(4));
        for layers in
            [&[(4, ""), (8, "")][..], &[(4, "affine"), (3, "")], &[(4, "affine"), (8, "plain")]]
        {
            assert_eq!(as_predictor(&head(8, layers)), None, "{layers:?}");
        }
    }
}
