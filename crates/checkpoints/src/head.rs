use std::collections::{BTreeMap, BTreeSet};

use crate::backbone::{Backbone, COUNTER};
use crate::checkpoint::{Checkpoint, TensorInfo};
use crate::names::{self, words};

/// A chain of linear layers beside a ResNet, such as a projector.
///
/// What lies between them and has no tensors cannot be seen: a ReLU is what the field puts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What all of its names begin with, without a dot at its end.
    pub prefix: String,
    /// In the order in which they are applied; at least one.
    pub layers: Vec<Layer>,
}

/// A linear layer, and the batch norm over its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Outputs and inputs, which is the shape of its weight.
    pub shape: [usize; 2],
    /// The name of its weight.
    pub weight: String,
    /// The name of its bias, where it has one.
    pub bias: Option<String>,
    /// Its batch norm, where it has one.
    pub norm: Option<Norm>,
}

/// A batch norm, by the names of its tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Norm {
    /// γ and β, where it has them.
    pub affine: Option<[String; 2]>,
    /// Running means and variances.
    pub running: [String; 2],
}

impl Head {
    /// Every head of `checkpoint` that stands beside one of its `backbones` or within one's names, by the order
    /// of their prefixes. What is no plain chain of linear layers and batch norms is none.
    pub fn find(checkpoint: &Checkpoint, backbones: &[Backbone]) -> Vec<Self> {
        let places: BTreeSet<&str> =
            backbones.iter().flat_map(|backbone| beginnings(&backbone.prefix)).collect();
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let is_of_backbone = |name: &str| backbones.iter().any(|b| b.ours(name).is_some());
        for name in checkpoint.tensors().keys() {
            if name.ends_with(COUNTER) || is_of_backbone(name) {
                continue;
            }
            if let Some(prefix) = prefix_of(name, &places) {
                groups.entry(prefix).or_default().push(name);
            }
        }
        let heads = groups.into_iter().filter_map(|(prefix, names)| {
            let layers = chain(prefix, &names, checkpoint)?;
            Some(Self { prefix: prefix.to_owned(), layers })
        });
        heads.collect()
    }

    /// The length of what it takes.
    pub fn input(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.shape[1])
    }

    /// The length of what it makes.
    pub fn output(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.shape[0])
    }

    /// Whether its name says that it predicts, as those of `predictor` and `prediction_head` do.
    pub fn is_predictor(&self) -> bool {
        words(&self.prefix).any(|word| word.starts_with("pred"))
    }

    /// As [`Backbone::is_momentum`].
    pub fn is_momentum(&self) -> bool {
        names::is_momentum(&self.prefix)
    }

    /// With how many whole parts the names of both begin: the more, the nearer it stands to `backbone`.
    pub fn nearness(&self, backbone: &Backbone) -> usize {
        let pairs = self.prefix.split('.').zip(backbone.prefix.split('.'));
        pairs.take_while(|(own, other)| own == other).count()
    }
}

/// The beginnings of a prefix, which end in a dot or are empty, up to itself.
fn beginnings(prefix: &str) -> impl Iterator<Item = &str> {
    let dots = prefix.match_indices('.').map(|(at, _)| &prefix[..=at]);
    std::iter::once("").chain(dots)
}

/// What the names of the head begin with that the tensor `name` would be of: the longest of `places`, and one
/// part more.
fn prefix_of<'a>(name: &'a str, places: &BTreeSet<&str>) -> Option<&'a str> {
    let place = beginnings(name).filter(|beginning| places.contains(beginning)).last()?;
    let part = name[place.len()..].find('.')?;
    Some(&name[..place.len() + part])
}

/// A part of a name, so that 10 comes behind 9.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(u64),
    Word(&'a str),
}

/// A module of a head.
enum Module {
    Linear(Layer),
    Norm(Norm, usize),
}

/// The layers that the tensors `names` make, all of which are behind `prefix`.
fn chain(prefix: &str, names: &[&str], checkpoint: &Checkpoint) -> Option<Vec<Layer>> {
    let mut modules: BTreeMap<Vec<Part<'_>>, BTreeMap<&str, &str>> = BTreeMap::new();
    for name in names {
        let (module, tensor) = name.rsplit_once('.')?;
        let inside = module[prefix.len()..].split('.').filter(|part| !part.is_empty());
        let part = |part| str::parse(part).map_or(Part::Word(part), Part::Number);
        modules.entry(inside.map(part).collect()).or_default().insert(tensor, name);
    }
    let mut layers: Vec<Layer> = Vec::new();
    for tensors in modules.into_values() {
        match module(&tensors, checkpoint)? {
            Module::Linear(layer) => {
                let follows = layers.last().is_none_or(|last| last.shape[0] == layer.shape[1]);
                layers.push(follows.then_some(layer)?);
            }
            Module::Norm(norm, channels) => {
                let free = |last: &&mut Layer| last.norm.is_none() && last.shape[0] == channels;
                layers.last_mut().filter(free)?.norm = Some(norm);
            }
        }
    }
    Some(layers)
}

/// What a module with these `tensors` is, by what they are called within it.
fn module(tensors: &BTreeMap<&str, &str>, checkpoint: &Checkpoint) -> Option<Module> {
    let info =
        |tensor: &str| -> Option<&TensorInfo> { checkpoint.tensors().get(*tensors.get(tensor)?) };
    let named = |tensor: &str| tensors.get(tensor).map(|name| (*name).to_owned());
    let has_length = |tensor: &str, length| info(tensor).is_none_or(|info| info.shape == [length]);
    let is_of = |known: &[&str]| tensors.keys().all(|tensor| known.contains(tensor));
    if let Some(running) = info("running_mean") {
        let &[channels] = &running.shape[..] else { return None };
        let all = ["weight", "bias", "running_mean", "running_var"];
        let affine = match (named("weight"), named("bias")) {
            (Some(weight), Some(bias)) => Some([weight, bias]),
            (None, None) => None,
            _ => return None,
        };
        let running = [named("running_mean")?, named("running_var")?];
        let is_norm = is_of(&all) && all.iter().all(|tensor| has_length(tensor, channels));
        return is_norm.then_some(Module::Norm(Norm { affine, running }, channels));
    }
    let &[outputs, inputs] = &info("weight")?.shape[..] else { return None };
    let is_linear = is_of(&["weight", "bias"]) && has_length("bias", outputs);
    let (weight, bias) = (named("weight")?, named("bias"));
    let layer = Layer { shape: [outputs, inputs], weight, bias, norm: None };
    is_linear.then_some(Module::Linear(layer))
}
