use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::Checkpoint;
use crate::names;

/// The tensor by which a ResNet is found, behind whatever its names begin with.
const FIRST_BLOCK: &str = "0.conv1.weight";
/// What counts a batch norm's batches; it says nothing about the weights.
pub(crate) const COUNTER: &str = "num_batches_tracked";

/// A ResNet among the tensors of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backbone {
    /// What all of its names begin with; with a dot at its end, or empty.
    pub prefix: String,
    naming: Naming,
}

/// How a ResNet's parts are called.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Naming {
    /// `conv1`, `bn1`, `layer1` to `layer4`, as torchvision has them and nearly everybody after it.
    Named,
    /// By their numbers in an `nn.Sequential`: the convolution, behind it the batch norm, and the first of
    /// four layers.
    Numbered { stem: usize, layers: usize },
}

impl Backbone {
    /// Every ResNet of `checkpoint`, by the order of their prefixes.
    pub fn find(checkpoint: &Checkpoint) -> Vec<Self> {
        let tensors = checkpoint.tensors();
        let mut named = BTreeSet::new();
        let mut numbered: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for name in tensors.keys() {
            let Some(layer) = name.strip_suffix(FIRST_BLOCK) else { continue };
            let Some(layer) = layer.strip_suffix('.') else { continue };
            let (prefix, last) = split(layer);
            if last == "layer1" {
                named.insert(prefix);
            } else if let Ok(number) = last.parse() {
                numbered.entry(prefix).or_default().insert(number);
            }
        }
        let named = named.into_iter().map(|p| Self { prefix: p.to_owned(), naming: Naming::Named });
        let numbered = numbered.into_iter().filter_map(|(prefix, layers)| {
            let naming = numbers(prefix, &layers, checkpoint)?;
            Some(Self { prefix: prefix.to_owned(), naming })
        });
        let mut found: Vec<Self> = named.chain(numbered).collect();
        found.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        found
    }

    /// The names in the file by torchvision's: what lies behind the prefix and is of the backbone. Heads
    /// and counters of batches are not.
    pub fn tensors<'a>(&self, checkpoint: &'a Checkpoint) -> BTreeMap<String, &'a str> {
        let names = checkpoint.tensors().keys();
        names.filter_map(|theirs| Some((self.ours(theirs)?, theirs.as_str()))).collect()
    }

    /// What torchvision calls the tensor `theirs`; nothing where it is not of this backbone.
    pub fn ours(&self, theirs: &str) -> Option<String> {
        let inside = theirs.strip_prefix(&self.prefix)?;
        let (part, rest) = inside.split_once('.')?;
        if rest.ends_with(COUNTER) {
            return None;
        }
        let part = match self.naming {
            Naming::Named => match part {
                "conv1" | "bn1" | "layer1" | "layer2" | "layer3" | "layer4" => part.to_owned(),
                _ => return None,
            },
            Naming::Numbered { stem, layers } => match part.parse::<usize>().ok()? {
                number if number == stem => "conv1".to_owned(),
                number if number == stem + 1 => "bn1".to_owned(),
                number if (layers..layers + 4).contains(&number) => {
                    format!("layer{}", number - layers + 1)
                }
                _ => return None,
            },
        };
        // The name that ResNets for CIFAR have had since one widely copied file, and lightly has.
        Some(format!("{part}.{}", rest.replacen(".shortcut.", ".downsample.", 1)))
    }

    /// Of an `nn.Sequential`, how many modules without tensors lie between the stem's batch norm and the
    /// first layer: a ReLU and a max-pool are two.
    pub fn modules_between(&self) -> Option<usize> {
        match self.naming {
            Naming::Named => None,
            Naming::Numbered { stem, layers } => Some(layers - stem - 2),
        }
    }

    /// Whether its name says that it follows another network that is trained, as those of a momentum encoder,
    /// a target or a teacher do.
    pub fn is_momentum(&self) -> bool {
        names::is_momentum(&self.prefix)
    }

    /// Whether `asked` means this one: its whole prefix, or the parts at its end or beginning.
    pub fn answers_to(&self, asked: &str) -> bool {
        let (own, asked) = (self.prefix.trim_end_matches('.'), asked.trim_end_matches('.'));
        let parts = |text: &str| -> Vec<String> { text.split('.').map(str::to_owned).collect() };
        own == asked
            || (!asked.is_empty() && {
                let (own, asked) = (parts(own), parts(asked));
                own.windows(asked.len()).any(|window| window == asked)
            })
    }
}

/// A name's beginning, with its dot, and its last part.
fn split(name: &str) -> (&str, &str) {
    let at = name.rfind('.').map_or(0, |at| at + 1);
    name.split_at(at)
}

/// The numbers of a ResNet's parts in the `nn.Sequential` at `prefix`, whose modules `layers` begin with a
/// block; nothing where they are not four in a row behind a stem.
fn numbers(prefix: &str, layers: &BTreeSet<usize>, checkpoint: &Checkpoint) -> Option<Naming> {
    let first = *layers.first()?;
    if layers.len() != 4 || layers.last() != Some(&(first + 3)) {
        return None;
    }
    let tensors = checkpoint.tensors();
    let is_stem = |number: &usize| {
        let weight = tensors.get(&format!("{prefix}{number}.weight"));
        weight.is_some_and(|info| info.shape.len() == 4)
            && tensors.contains_key(&format!("{prefix}{}.running_mean", number + 1))
    };
    let stem = (0..first.checked_sub(1)?).find(is_stem)?;
    Some(Naming::Numbered { stem, layers: first })
}
