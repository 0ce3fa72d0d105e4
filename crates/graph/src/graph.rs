//! The graph as it is built: instructions in the order of their making, and handles to them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use crate::infer::{Mistake, infer};
use crate::{Operation, Type};

/// An operation on the results of earlier instructions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it does.
    pub operation: Operation,
    /// Which instructions' results it takes.
    pub operands: Vec<usize>,
    /// The type of its result.
    pub ty: Type,
}

/// Tensors that are functions of one another.
///
/// An instruction that is there already is not made again, so that what is written twice is computed
/// once.
#[derive(Default)]
pub struct Graph {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    instructions: Vec<Instruction>,
    known: HashMap<Instruction, usize>,
}

/// A tensor of a graph: a cheap handle that stands for what will be computed.
#[derive(Clone, Copy)]
pub struct Node<'g> {
    graph: &'g Graph,
    id: usize,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.inner.borrow().instructions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an instruction, or finds it where it is there already. `wanted` is its result's type, where
    /// the operands do not say it.
    ///
    /// # Errors
    /// [`Mistake`] where the operands do not fit the operation.
    pub fn instruction<'g>(
        &'g self,
        operation: Operation,
        operands: &[Node<'g>],
        wanted: Option<Type>,
    ) -> Result<Node<'g>, Mistake> {
        let mut inner = self.inner.borrow_mut();
        let types: Vec<&Type> =
            operands.iter().map(|node| &inner.instructions[node.id].ty).collect();
        let ty = infer(&operation, &types, wanted.as_ref())?;
        let operands = operands.iter().map(|node| node.id).collect();
        let instruction = Instruction { operation, operands, ty };
        let next = inner.instructions.len();
        let id = *inner.known.entry(instruction.clone()).or_insert(next);
        if id == next {
            inner.instructions.push(instruction);
        }
        Ok(Node { graph: self, id })
    }

    /// As [`Graph::instruction`], for callers whose operands fit unless they are mistaken.
    ///
    /// # Panics
    /// Naming the operation and the operands' types, where they do not fit.
    #[track_caller]
    pub(crate) fn push<'g>(
        &'g self,
        operation: Operation,
        operands: &[Node<'g>],
        wanted: Option<Type>,
    ) -> Node<'g> {
        match self.instruction(operation, operands, wanted) {
            Ok(node) => node,
            Err(mistake) => panic!("{mistake}"),
        }
    }

    /// A value from outside. Two of one name and type are one.
    pub fn parameter(&self, name: &str, ty: Type) -> Node<'_> {
        self.push(Operation::Parameter(name.to_owned()), &[], Some(ty))
    }

    /// The handle of instruction number `id`.
    pub(crate) fn node(&self, id: usize) -> Node<'_> {
        Node { graph: self, id }
    }

    /// Reads the instructions.
    pub(crate) fn read<T>(&self, with: impl FnOnce(&[Instruction]) -> T) -> T {
        with(&self.inner.borrow().instructions)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|all| f.debug_list().entries(all).finish())
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instruction { operation, ty, .. } = self.instruction();
        write!(f, "%{} = {} : {ty}", self.id, operation.name())
    }
}

impl<'g> Node<'g> {
    /// The graph it is of.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// Its number in the graph.
    pub fn id(self) -> usize {
        self.id
    }

    /// How it is computed.
    pub fn instruction(self) -> Instruction {
        self.graph.read(|all| all[self.id].clone())
    }

    /// Its type.
    pub fn ty(self) -> Type {
        self.graph.read(|all| all[self.id].ty.clone())
    }

    /// The lengths of its axes.
    pub fn shape(self) -> Vec<usize> {
        self.ty().shape
    }

    /// The lengths of its axes, `D` of them.
    ///
    /// # Panics
    /// If it has another number of axes.
    #[track_caller]
    pub fn dims<const D: usize>(self) -> [usize; D] {
        let shape = self.shape();
        <[usize; D]>::try_from(&shape[..])
            .unwrap_or_else(|_| panic!("a tensor of {D} axes was expected, this has {shape:?}"))
    }

    #[track_caller]
    pub(crate) fn push(self, operation: Operation, others: &[Node<'g>]) -> Node<'g> {
        let operands: Vec<_> = std::iter::once(self).chain(others.iter().copied()).collect();
        self.graph.push(operation, &operands, None)
    }
}
