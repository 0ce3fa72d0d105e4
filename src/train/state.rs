//! What training changes: a few flat vectors on a device, and the named tensors that a checkpoint
//! makes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use graph::{Graph, Node, Type};

use super::optimizer::{Optimizer, Remembered};
use crate::Result;
use crate::executor::{Array, Device};
use crate::model::params::{Layout, Mismatch, State, TensorData};

/// How one vector of the state is called in checkpoints, and what it is before the first update.
#[derive(Clone, Debug)]
enum Kept {
    /// The tensors of a layout, each behind a prefix.
    Tensors { layout: Layout, prefix: String, first: First },
    /// A number that goes by the name of every tensor of a layout, each behind a prefix: a checkpoint
    /// has it once for each.
    Count { layout: Layout, prefix: String },
    /// One tensor of its own name.
    Whole(TensorData),
    /// What lives between two checkpoints alone, so many zeros.
    Passing(usize),
}

/// What a vector is before the first update.
#[derive(Clone, Copy, Debug)]
enum First {
    /// The layout's own first values under a seed.
    Drawn(u64),
    /// Zeros, and so where a checkpoint has none of its tensors.
    Zeros,
}

/// The parts of the state, by the names that programs have for them.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    kept: BTreeMap<String, Kept>,
}

impl Parts {
    /// A module's trained tensors as `name` and its running statistics as `name.running`, in
    /// checkpoints behind `prefix`.
    pub(super) fn module(&mut self, name: &str, layouts: [&Layout; 2], prefix: &str, seed: u64) {
        let names = [name.to_owned(), running(name)];
        for (name, layout) in names.into_iter().zip(layouts) {
            let first = First::Drawn(seed);
            self.tensors(name, layout, prefix, first);
        }
    }

    fn tensors(&mut self, name: String, layout: &Layout, prefix: &str, first: First) {
        if !layout.is_empty() {
            let (layout, prefix) = (layout.clone(), prefix.to_owned());
            self.kept.insert(name, Kept::Tensors { layout, prefix, first });
        }
    }

    /// What `optimizer` remembers of the tensors of `layout`, as `name.WHAT`; in checkpoints behind
    /// `before`, what it is, and `behind`.
    pub(super) fn optimizer(
        &mut self,
        name: &str,
        optimizer: &Optimizer,
        layout: &Layout,
        [before, behind]: [&str; 2],
    ) {
        for &remembered in optimizer.remembers() {
            match remembered {
                Remembered::Each(what) => {
                    let prefix = format!("{before}{what}.{behind}");
                    self.tensors(format!("{name}.{what}"), layout, &prefix, First::Zeros);
                }
                Remembered::Once(what) if !layout.is_empty() => {
                    let (layout, prefix) = (layout.clone(), format!("{before}{what}.{behind}"));
                    self.kept.insert(format!("{name}.{what}"), Kept::Count { layout, prefix });
                }
                Remembered::Once(_) => {}
            }
        }
    }

    /// Tensors that start at zero, in checkpoints behind `prefix`.
    pub(super) fn zeros(&mut self, name: &str, layout: &Layout, prefix: &str) {
        self.tensors(name.to_owned(), layout, prefix, First::Zeros);
    }

    /// One tensor, under the same name in checkpoints.
    pub(super) fn whole(&mut self, name: &str, first: TensorData) {
        self.kept.insert(name.to_owned(), Kept::Whole(first));
    }

    /// So many zeros that no checkpoint keeps.
    pub(super) fn passing(&mut self, name: &str, len: usize) {
        self.kept.insert(name.to_owned(), Kept::Passing(len));
    }

    /// The state before the first update.
    pub(super) fn first(&self, device: &Device) -> Result<BTreeMap<String, Array>> {
        let upload = |(name, kept): (&String, &Kept)| {
            Ok((name.clone(), device.f32(kept.first(), &kept.shape())?))
        };
        self.kept.iter().map(upload).collect()
    }

    /// The state that a checkpoint has.
    pub(super) fn join(&self, state: &State, device: &Device) -> Result<BTreeMap<String, Array>> {
        let upload = |(name, kept): (&String, &Kept)| {
            Ok((name.clone(), device.f32(kept.join(name, state)?, &kept.shape())?))
        };
        self.kept.iter().map(upload).collect()
    }

    /// The named tensors that a checkpoint keeps of the parts' numbers.
    fn split(&self, numbers: &BTreeMap<String, Vec<f32>>) -> State {
        let mut state = State::new();
        for (name, kept) in &self.kept {
            kept.split(name, &numbers[name], &mut state);
        }
        state
    }

    /// The parts as parameters of `graph`.
    pub(super) fn nodes<'g>(&self, graph: &'g Graph) -> StateNodes<'g> {
        let node = |(name, kept): (&String, &Kept)| {
            (name.clone(), graph.parameter(name, Type::f32(kept.shape())))
        };
        StateNodes { nodes: self.kept.iter().map(node).collect() }
    }
}

/// The state as it was at one moment, on the host: what a checkpoint is made of.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    parts: Arc<Parts>,
    numbers: BTreeMap<String, Vec<f32>>,
}

impl Snapshot {
    /// Reads the `arrays` of `parts` from their device, where updates may then go on.
    pub(super) fn of(parts: &Arc<Parts>, arrays: &BTreeMap<String, Array>) -> Result<Self> {
        let read = |(name, array): (&String, &Array)| Ok((name.clone(), array.read()?));
        let numbers = arrays.iter().map(read).collect::<Result<_>>()?;
        Ok(Self { parts: Arc::clone(parts), numbers })
    }

    /// Weights, running statistics and what the optimisers remember, by name.
    pub(crate) fn state(&self) -> State {
        self.parts.split(&self.numbers)
    }
}

impl Kept {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Tensors { layout, .. } => vec![layout.len()],
            Self::Count { .. } => vec![1],
            Self::Whole(first) => first.shape.clone(),
            Self::Passing(len) => vec![*len],
        }
    }

    fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.shape().iter().product()]
    }

    fn first(&self) -> Vec<f32> {
        match self {
            Self::Tensors { layout, first: First::Drawn(seed), .. } => layout.first_values(*seed),
            Self::Whole(first) => first.values.clone(),
            Self::Tensors { .. } | Self::Count { .. } | Self::Passing(_) => self.zeros(),
        }
    }

    /// # Errors
    /// [`Mismatch`] naming the first tensor that is missing or of another shape.
    fn join(&self, name: &str, state: &State) -> std::result::Result<Vec<f32>, Mismatch> {
        let none = |prefix: &str| !state.keys().any(|key| key.starts_with(prefix));
        match self {
            Self::Tensors { prefix, first: First::Zeros, .. } if none(prefix) => Ok(self.zeros()),
            Self::Tensors { layout, prefix, .. } => layout.join(state, prefix),
            Self::Count { prefix, .. } if none(prefix) => Ok(self.zeros()),
            Self::Count { layout, prefix } => {
                let counts = layout.entries().iter().map(|entry| {
                    let name = format!("{prefix}{}", entry.name);
                    let count = state.get(&name).and_then(|count| count.values.first());
                    count.copied().ok_or(Mismatch::Missing(name))
                });
                let counts = counts.collect::<std::result::Result<Vec<_>, _>>()?;
                Ok(vec![counts[0]])
            }
            Self::Whole(first) => match state.get(name) {
                Some(found) if found.shape == first.shape => Ok(found.values.clone()),
                Some(found) => Err(Mismatch::Shape {
                    name: name.to_owned(),
                    found: found.shape.clone(),
                    expected: first.shape.clone(),
                }),
                None => Err(Mismatch::Missing(name.to_owned())),
            },
            Self::Passing(_) => Ok(self.zeros()),
        }
    }

    fn split(&self, name: &str, values: &[f32], state: &mut State) {
        match self {
            Self::Tensors { layout, prefix, .. } => state.extend(layout.split(values, prefix)),
            Self::Count { layout, prefix } => {
                let named = layout.entries().iter().map(|entry| {
                    let count = TensorData::new(values.to_vec(), [1]);
                    (format!("{prefix}{}", entry.name), count)
                });
                state.extend(named);
            }
            Self::Whole(first) => {
                let tensor = TensorData::new(values.to_vec(), first.shape.clone());
                state.insert(name.to_owned(), tensor);
            }
            Self::Passing(_) => {}
        }
    }
}

/// The running statistics that belong to the module `name`.
pub(super) fn running(name: &str) -> String {
    format!("{name}.running")
}

/// The parts of the state within a program, as far as its update has come.
#[derive(Clone, Debug)]
pub(super) struct StateNodes<'g> {
    nodes: BTreeMap<String, Node<'g>>,
}

impl<'g> StateNodes<'g> {
    /// # Panics
    /// If there is no such part.
    pub(super) fn get(&self, name: &str) -> Node<'g> {
        self.find(name).unwrap_or_else(|| panic!("the state has no part `{name}`"))
    }

    pub(super) fn find(&self, name: &str) -> Option<Node<'g>> {
        self.nodes.get(name).copied()
    }

    pub(super) fn set(&mut self, name: &str, node: Node<'g>) {
        let before = self.nodes.insert(name.to_owned(), node);
        debug_assert_eq!(before.map(Node::ty), Some(node.ty()), "the part `{name}` of the state");
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Node<'g>)> {
        self.nodes.iter().map(|(name, node)| (name.as_str(), *node))
    }

    /// What an optimiser remembers, where it is called `name`.
    pub(super) fn memory(&self, name: &str, optimizer: &Optimizer) -> Vec<Node<'g>> {
        optimizer.remembers().iter().map(|what| self.get(&remembered(name, *what))).collect()
    }

    /// Takes back what [`StateNodes::memory`] gave.
    pub(super) fn remember(&mut self, name: &str, optimizer: &Optimizer, memory: Vec<Node<'g>>) {
        for (what, node) in optimizer.remembers().iter().zip(memory) {
            self.set(&remembered(name, *what), node);
        }
    }
}

fn remembered(name: &str, what: Remembered) -> String {
    let (Remembered::Each(what) | Remembered::Once(what)) = what;
    format!("{name}.{what}")
}
