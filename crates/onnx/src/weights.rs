use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::element::Element;
use crate::error::Error;
use crate::nodes::{Node, name_by_nodes};
use crate::tensor::Tensor;
use crate::wire::Fields;

/// Nodes and tensors of a model at most: a hundred times what a ResNet-152 has.
const MOST_PARTS: usize = 100_000;
/// The latest version of the format by which a file is taken for a model.
const LATEST_IR: u8 = 100;

/// The tensors of a model, by the names that PyTorch's modules have.
#[derive(Debug)]
pub struct Weights {
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Tensor>,
    infos: BTreeMap<String, TensorInfo>,
}

/// What a tensor is, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// What its numbers are.
    pub element: Element,
    /// The lengths of its axes, the outermost first.
    pub shape: Vec<usize>,
    /// How many bytes its numbers take.
    pub bytes: u64,
}

impl Weights {
    /// Whether a file that begins with these bytes may be a model: models have no mark, but all begin with
    /// the version of the format and a second field.
    pub fn may_be(first: &[u8]) -> bool {
        match *first {
            [0x08, version, next, ..] => {
                (1..=LATEST_IR).contains(&version)
                    && (1..=26).contains(&(next >> 3))
                    && matches!(next & 7, 0 | 2)
            }
            _ => false,
        }
    }

    /// Finds the tensors of the model that `bytes` are.
    ///
    /// A convolution with a bias and no batch norm behind it is one that a batch norm was folded into: its
    /// bias becomes that of the batch norm, which changes nothing else, for γ is 1, the running mean 0, and
    /// the running variance 1 less the ε of PyTorch's batch norms.
    ///
    /// # Errors
    /// [`Error`] where they are no model, a damaged one, or one whose numbers are elsewhere.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Error> {
        let (mut tensors, nodes) = parts(&bytes)?;
        name_by_nodes(&mut tensors, &nodes);
        let info = |tensor: &Tensor| TensorInfo {
            element: tensor.element,
            shape: tensor.shape.clone(),
            bytes: tensor.bytes() as u64,
        };
        let infos = tensors.iter().map(|(name, tensor)| (name.clone(), info(tensor))).collect();
        Ok(Self { bytes, tensors, infos })
    }

    /// Every tensor by its name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.infos
    }

    /// The numbers of the tensor `name`, row by row, little-endian.
    ///
    /// # Errors
    /// [`Error::Absent`] where there is no such tensor; [`Error::Damaged`] where its numbers are.
    pub fn numbers(&self, name: &str) -> Result<Cow<'_, [u8]>, Error> {
        let tensor = self.tensors.get(name).ok_or_else(|| Error::Absent(name.to_owned()))?;
        tensor.numbers(&self.bytes)
    }
}

/// The tensors of a model by their own names, and the nodes that matter.
fn parts(bytes: &[u8]) -> Result<(BTreeMap<String, Tensor>, Vec<Node>), Error> {
    let (mut tensors, mut nodes) = (BTreeMap::new(), Vec::new());
    for (at, field) in Fields::of(bytes, graph(bytes)?).enumerate() {
        let field = field?;
        if at == MOST_PARTS {
            return Err(Error::Most { what: "nodes and tensors", most: MOST_PARTS });
        }
        match field.number {
            1 => nodes.extend(Node::read(bytes, field.value.bytes()?)?),
            5 => {
                let (name, tensor) = Tensor::read(bytes, field.value.bytes()?)?;
                if tensors.insert(name.clone(), tensor).is_some() {
                    return Err(Error::damaged(format!("it has two tensors `{name}`")));
                }
            }
            15 => return Err(Error::damaged("it holds sparse tensors, which no backbone has")),
            _ => {}
        }
    }
    Ok((tensors, nodes))
}

/// Where the graph of the model lies.
fn graph(bytes: &[u8]) -> Result<Range<usize>, Error> {
    let mut graph = None;
    for field in Fields::of(bytes, 0..bytes.len()) {
        let field = field?;
        if field.number == 7 && graph.replace(field.value.bytes()?).is_some() {
            return Err(Error::damaged("it has two graphs"));
        }
    }
    graph.ok_or_else(|| Error::damaged("it has no graph"))
}
