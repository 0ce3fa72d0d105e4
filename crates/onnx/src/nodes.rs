//! The nodes of a model that tell which module a tensor is of.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::error::Error;
use crate::names::{module_of_node, norm_behind};
use crate::tensor::{Tensor, text};
use crate::wire::Fields;

/// Inputs that are looked at of a node: those of a batch norm.
const MOST_INPUTS: usize = 5;
/// How often a value may be another one's copy before it is a circle.
const MOST_COPIES: usize = 8;
/// What a batch norm has beside its bias β when it changes nothing else: it adds ε = 1e-5 to the variance.
const UNCHANGING: [(&str, f32); 3] =
    [("weight", 1.0), ("running_mean", 0.0), ("running_var", 1.0 - 1e-5)];

/// A node, as far as it matters.
#[derive(Debug)]
pub(crate) struct Node {
    operator: Operator,
    name: String,
    inputs: Vec<String>,
    output: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Convolution,
    BatchNorm,
    /// What gives on the same numbers: a copy, or a change of type.
    Copy,
}

impl Node {
    /// The node in `range` of `bytes`, where it is one that matters.
    pub(crate) fn read(bytes: &[u8], range: Range<usize>) -> Result<Option<Self>, Error> {
        let (mut name, mut operator, mut output) = (0..0, 0..0, 0..0);
        let mut inputs = Vec::new();
        for field in Fields::of(bytes, range) {
            let field = field?;
            match field.number {
                1 if inputs.len() < MOST_INPUTS => inputs.push(field.value.bytes()?),
                2 if output.is_empty() => output = field.value.bytes()?,
                3 => name = field.value.bytes()?,
                4 => operator = field.value.bytes()?,
                _ => {}
            }
        }
        let operator = match &bytes[operator] {
            b"Conv" => Operator::Convolution,
            b"BatchNormalization" => Operator::BatchNorm,
            b"Identity" | b"Cast" => Operator::Copy,
            _ => return Ok(None),
        };
        let inputs =
            inputs.into_iter().map(|input| text(bytes, input)).collect::<Result<_, _>>()?;
        let (name, output) = (text(bytes, name)?, text(bytes, output)?);
        Ok(Some(Self { operator, name, inputs, output }))
    }
}

/// Puts tensors under the names of PyTorch's modules that have others, by the nodes that take them.
pub(crate) fn name_by_nodes(tensors: &mut BTreeMap<String, Tensor>, nodes: &[Node]) {
    let mut naming = Naming::new(tensors, nodes);
    for node in nodes {
        match node.operator {
            Operator::Convolution => naming.convolution(node),
            Operator::BatchNorm => naming.batch_norm(node),
            Operator::Copy => {}
        }
    }
    let Naming { named, taken, .. } = naming;
    let taken: Vec<String> = taken.into_iter().map(str::to_owned).collect();
    taken.iter().for_each(|name| drop(tensors.remove(name)));
    tensors.extend(named);
}

/// Names found so far.
struct Naming<'a> {
    given: &'a BTreeMap<String, Tensor>,
    /// What the outputs of copies are copies of.
    copies: HashMap<&'a str, &'a str>,
    /// The values that batch norms take.
    normed: HashSet<&'a str>,
    /// Tensors by the names of PyTorch's modules.
    named: BTreeMap<String, Tensor>,
    /// The names that they had.
    taken: BTreeSet<&'a str>,
}

impl<'a> Naming<'a> {
    fn new(given: &'a BTreeMap<String, Tensor>, nodes: &'a [Node]) -> Self {
        let copies = nodes
            .iter()
            .filter(|node| node.operator == Operator::Copy && !node.inputs.is_empty())
            .map(|node| (node.output.as_str(), node.inputs[0].as_str()));
        let (named, taken) = (BTreeMap::new(), BTreeSet::new());
        let mut naming =
            Self { given, copies: copies.collect(), normed: HashSet::new(), named, taken };
        let norms = nodes.iter().filter(|node| node.operator == Operator::BatchNorm);
        naming.normed =
            norms.filter_map(|node| Some(naming.origin(node.inputs.first()?))).collect();
        naming
    }

    /// What the value `name` is a copy of, over any number of copies.
    fn origin(&self, name: &'a str) -> &'a str {
        let mut name = name;
        for _ in 0..MOST_COPIES {
            match self.copies.get(name) {
                Some(before) => name = before,
                None => break,
            }
        }
        name
    }

    /// The tensor that input number `at` of a node is, and its name.
    fn tensor(&self, node: &'a Node, at: usize) -> Option<(&'a str, &'a Tensor)> {
        let name = self.origin(node.inputs.get(at)?);
        Some((name, self.given.get(name)?))
    }

    /// The module of a node: by its own name, else by that of its tensor, which ends with `suffix`.
    fn module(&self, node: &'a Node, tensor: &str, suffix: &str) -> Option<String> {
        module_of_node(&node.name).or_else(|| tensor.strip_suffix(suffix).map(str::to_owned))
    }

    fn name(&mut self, (before, tensor): (&'a str, &Tensor), now: String) {
        self.taken.insert(before);
        self.named.insert(now, tensor.clone());
    }

    fn convolution(&mut self, node: &'a Node) {
        let Some(weight) = self.tensor(node, 1) else { return };
        let Some(module) = self.module(node, weight.0, ".weight") else { return };
        self.name(weight, format!("{module}.weight"));
        let (Some(bias), Some(norm)) = (self.tensor(node, 2), norm_behind(&module)) else { return };
        let of_channels = bias.1.shape.len() == 1 && weight.1.shape.first() == bias.1.shape.first();
        if self.normed.contains(&*node.output) || !of_channels {
            return;
        }
        self.name(bias, format!("{norm}.bias"));
        for (part, value) in UNCHANGING {
            let tensor = Tensor::all(value, bias.1.shape.clone());
            self.named.insert(format!("{norm}.{part}"), tensor);
        }
    }

    fn batch_norm(&mut self, node: &'a Node) {
        let parts = [1, 2, 3, 4].map(|at| self.tensor(node, at));
        let [Some(weight), Some(bias), Some(mean), Some(variance)] = parts else { return };
        let Some(module) = self.module(node, mean.0, ".running_mean") else { return };
        let names = ["weight", "bias", "running_mean", "running_var"];
        for (tensor, part) in [weight, bias, mean, variance].into_iter().zip(names) {
            self.name(tensor, format!("{module}.{part}"));
        }
    }
}
