//! A cluster as a small program over registers, each of which holds a block of elements.

use std::collections::HashMap;

use graph::{Binary, Comparison, Element, Unary};

use crate::functions;
use crate::node::{Node, Operation, Reduce};

/// One loop over elements.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// How many elements it passes over.
    pub space: usize,
    pub leaves: Vec<Leaf>,
    pub numbers: Vec<Number>,
    pub instructions: Vec<Instruction>,
    /// How many registers they need.
    pub registers: usize,
    pub stores: Vec<Store>,
    pub sums: Vec<Sum>,
}

/// A node that is read from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaf {
    pub node: usize,
    pub access: Access,
}

/// Which of a leaf's elements belongs to a place of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// The one of that place.
    Same,
    /// Number (place / each) mod length.
    Repeated { each: usize, length: usize },
    /// The only one.
    Scalar,
}

/// A number that is the same at every place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// As registers hold it.
    Constant(f32),
    /// A leaf's only element.
    Leaf(usize),
}

/// Where an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Register(usize),
    /// A leaf of f32 that is read as it lies.
    Leaf(usize),
    Number(usize),
    /// What this instruction's store has been given already.
    Store(usize),
}

/// Where an instruction's result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Register(usize),
    /// To where the elements are kept, which are f32.
    Store(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub function: Function,
    pub operands: [Source; 3],
    pub to: Target,
}

/// What an instruction does. Registers hold f32 and bfloat16 as f32, all else as an i32's bits: truth
/// values as 0 or 1.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Load(usize),
    Iota {
        each: usize,
        length: usize,
        element: Element,
    },
    Unary(Unary, Element),
    Binary(Binary, Element),
    /// A product with a third operand, each step rounded.
    Product(Term),
    /// Of elements of this type.
    Compare(Comparison, Element),
    Select,
    Convert([Element; 2]),
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// a b + c
    Added,
    /// a b - c
    Less,
    /// c - a b
    Taken,
}

/// Elements that are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    pub node: usize,
    pub source: Source,
}

/// Elements that are brought down to fewer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub node: usize,
    pub source: Source,
    pub reduce: Reduce,
    pub element: Element,
}

/// `value` as a register holds it.
pub(crate) fn encoded(value: f64, element: Element) -> f32 {
    match element {
        Element::F32 => value as f32,
        Element::Bf16 => functions::rounded(value as f32),
        Element::S32 => f32::from_bits(value as i32 as u32),
        Element::U8 => f32::from_bits(u32::from(value as u8)),
        Element::Pred => f32::from_bits(u32::from(value != 0.0)),
    }
}

/// The kernel of `members`, of which `kept` says what is needed in memory. A free node may be a member too.
pub(crate) fn kernel(nodes: &[Node], members: &[usize], space: usize, kept: &[bool]) -> Kernel {
    let mut builder = Builder {
        nodes,
        members,
        kernel: Kernel {
            space,
            leaves: vec![],
            numbers: vec![],
            instructions: vec![],
            registers: 0,
            stores: vec![],
            sums: vec![],
        },
        known: HashMap::new(),
    };
    for &id in members {
        if let Operation::Reduce(reduce) = nodes[id].operation {
            let source = builder.source(nodes[id].operands[0]);
            let element = nodes[id].element;
            builder.kernel.sums.push(Sum { node: id, source, reduce, element });
        } else {
            let source = builder.computed(id);
            if kept[id] {
                builder.kernel.stores.push(Store { node: id, source });
            }
        }
    }
    builder.kernel
}

struct Builder<'a> {
    nodes: &'a [Node],
    members: &'a [usize],
    kernel: Kernel,
    known: HashMap<usize, Source>,
}

impl Builder<'_> {
    /// Where an operand is: computed here, had for nothing, or read.
    fn source(&mut self, id: usize) -> Source {
        let operation = &self.nodes[id].operation;
        let here = operation.is_elementwise() && self.members.binary_search(&id).is_ok();
        if here || operation.is_free() { self.computed(id) } else { self.read(id) }
    }

    fn computed(&mut self, id: usize) -> Source {
        if let Some(&source) = self.known.get(&id) {
            return source;
        }
        let Node { operation, operands, element, .. } = &self.nodes[id];
        let of_operand = |at: usize| self.nodes[operands[at]].element;
        let function = match *operation {
            Operation::Constant(value) => {
                return self.number(id, Number::Constant(encoded(value, *element)));
            }
            Operation::Spread { each } => return self.spread(id, operands[0], each),
            Operation::Iota { each, length } => {
                Function::Iota { each: each.max(1), length: length.max(1), element: *element }
            }
            Operation::Unary(function) => Function::Unary(function, *element),
            Operation::Binary(function) => Function::Binary(function, *element),
            Operation::Compare(comparison) => Function::Compare(comparison, of_operand(0)),
            Operation::Select => Function::Select,
            Operation::Convert => Function::Convert([of_operand(0), *element]),
            ref other => unreachable!("{other:?} is not computed in a register"),
        };
        let mut sources = [Source::Register(0); 3];
        let operands: Vec<Source> = operands.iter().map(|&operand| self.source(operand)).collect();
        sources[..operands.len()].copy_from_slice(&operands);
        let source = self.instruction(function, sources);
        self.known.insert(id, source);
        source
    }

    fn number(&mut self, id: usize, number: Number) -> Source {
        self.kernel.numbers.push(number);
        let source = Source::Number(self.kernel.numbers.len() - 1);
        self.known.insert(id, source);
        source
    }

    fn instruction(&mut self, function: Function, operands: [Source; 3]) -> Source {
        let to = self.kernel.instructions.len();
        let to_register = Target::Register(to);
        self.kernel.instructions.push(Instruction { function, operands, to: to_register });
        Source::Register(to)
    }

    fn leaf(&mut self, node: usize, access: Access) -> usize {
        let leaf = Leaf { node, access };
        let known = self.kernel.leaves.iter().position(|&known| known == leaf);
        known.unwrap_or_else(|| {
            self.kernel.leaves.push(leaf);
            self.kernel.leaves.len() - 1
        })
    }

    fn spread(&mut self, id: usize, of: usize, each: usize) -> Source {
        let length = self.nodes[of].len;
        if length == 1 {
            let leaf = self.leaf(of, Access::Scalar);
            return self.number(id, Number::Leaf(leaf));
        }
        let leaf = self.leaf(of, Access::Repeated { each: each.max(1), length: length.max(1) });
        let source = self.instruction(Function::Load(leaf), [Source::Number(0); 3]);
        self.known.insert(id, source);
        source
    }

    fn read(&mut self, id: usize) -> Source {
        if let Some(&source) = self.known.get(&id) {
            return source;
        }
        let leaf = self.leaf(id, Access::Same);
        let source = match self.nodes[id].element {
            Element::F32 => Source::Leaf(leaf),
            _ => self.instruction(Function::Load(leaf), [Source::Number(0); 3]),
        };
        self.known.insert(id, source);
        source
    }
}

impl Function {
    /// How many of an instruction's operands it takes.
    pub(crate) fn operands(self) -> usize {
        match self {
            Self::Load(_) | Self::Iota { .. } => 0,
            Self::Unary(..) | Self::Convert(_) => 1,
            Self::Binary(..) | Self::Compare(..) => 2,
            Self::Select | Self::Product(_) => 3,
        }
    }
}
