//! Which nodes share memory, and how much of it there is.

use std::collections::HashMap;

use graph::{Element, Program};

use crate::kernel::{Access, Kernel};
use crate::lower::Lowered;
use crate::node::{Node, Operation};
use crate::order::before;
use crate::plan::{Draft, Kind, Origin, Region};

/// Where a node's elements are: in memory of its own, or within another node's.
#[derive(Debug)]
pub(crate) struct Homes {
    home: Vec<Option<(usize, usize)>>,
    /// Whether a step writes the node.
    written: Vec<bool>,
}

impl Homes {
    /// Parts of nodes are within them.
    pub(crate) fn new(lowered: &Lowered, drafts: &[Draft]) -> Self {
        let part = |node: &Node| match node.operation {
            Operation::Part(offset) => Some((node.operands[0], offset)),
            _ => None,
        };
        let mut written = vec![false; lowered.nodes.len()];
        drafts.iter().flat_map(|draft| &draft.writes).for_each(|&id| written[id] = true);
        Self { home: lowered.nodes.iter().map(part).collect(), written }
    }

    /// The node in whose memory this one is, and where.
    pub(crate) fn root(&self, id: usize) -> (usize, usize) {
        let (mut root, mut offset) = (id, 0);
        while let Some((next, at)) = self.home[root] {
            (root, offset) = (next, offset + at);
        }
        (root, offset)
    }

    fn is_own(&self, id: usize) -> bool {
        self.written[id] && self.home[id].is_none()
    }

    /// What is put together along the first axis is computed where it will be needed.
    pub(crate) fn place_parts(&mut self, lowered: &Lowered, drafts: &[Draft]) {
        let nodes = &lowered.nodes;
        for draft in drafts {
            let Kind::Single(whole) = draft.kind else { continue };
            if !matches!(nodes[whole].operation, Operation::Concatenate { outer: 1 }) {
                continue;
            }
            let mut offset = 0;
            for &part in &nodes[whole].operands {
                if self.is_own(part) && !lowered.outputs.contains(&part) {
                    self.home[part] = Some((whole, offset));
                }
                offset += nodes[part].len;
            }
        }
    }

    /// Has outputs written over the inputs that are given up for them. Comes back with pairs of steps of
    /// which the second must follow the first, so that nothing is read that is overwritten.
    pub(crate) fn give_up_inputs(
        &mut self,
        lowered: &Lowered,
        program: &Program,
        drafts: &[Draft],
    ) -> Vec<(usize, usize)> {
        let mut order = Order::new(&lowered.nodes, drafts);
        for (at, output) in program.inputs().iter().enumerate() {
            let Some(output) = output.becomes else { continue };
            let is_input =
                |node: &Node| matches!(node.operation, Operation::Input(input) if input == at);
            let input = lowered.nodes.iter().position(is_input).filter(|&id| lowered.live[id]);
            if let Some(input) = input {
                self.give_up_input(lowered, drafts, input, lowered.outputs[output], &mut order);
            }
        }
        order.added
    }

    fn give_up_input(
        &mut self,
        lowered: &Lowered,
        drafts: &[Draft],
        input: usize,
        output: usize,
        order: &mut Order,
    ) {
        let writer = drafts.iter().position(|draft| draft.writes.contains(&output));
        let Some(writer) = writer.filter(|_| self.is_own(output)) else { return };
        let whole = matches!(lowered.nodes[output].operation, Operation::Concatenate { .. });
        let kept = lowered.outputs.iter().any(|&id| self.root(id).0 == input);
        if whole || kept || !self.may_overwrite(lowered, &drafts[writer], input, output) {
            return;
        }
        let readers: Vec<usize> = (0..drafts.len())
            .filter(|&step| step != writer && self.reads(&drafts[step], input))
            .collect();
        if readers.iter().all(|&reader| !order.leads(writer, reader)) {
            readers.into_iter().for_each(|reader| order.add(reader, writer));
            self.home[output] = Some((input, 0));
        }
    }

    fn reads(&self, draft: &Draft, root: usize) -> bool {
        draft.reads.iter().any(|&id| self.root(id).0 == root)
    }

    /// Whether a step may write `to` over `from`, which is the root of some of its operands or none.
    fn may_overwrite(&self, lowered: &Lowered, draft: &Draft, from: usize, to: usize) -> bool {
        let nodes = &lowered.nodes;
        if (nodes[from].element, nodes[from].len) != (nodes[to].element, nodes[to].len) {
            return false;
        }
        let within = |id: &usize| self.root(*id).0 == from;
        match &draft.kind {
            _ if !draft.reads.iter().any(within) => true,
            Kind::Loop(Kernel { leaves, stores, .. }) => {
                let leaves = leaves.iter().filter(|leaf| within(&leaf.node));
                let mut leaves = leaves.map(|leaf| self.is_whole(nodes, leaf.node, leaf.access));
                stores.iter().any(|store| store.node == to) && leaves.all(|whole| whole)
            }
            Kind::Single(id) => match nodes[*id].operation {
                Operation::DynamicUpdate(_) => {
                    self.is_whole(nodes, draft.reads[0], Access::Same)
                        && !draft.reads[1..].iter().any(within)
                }
                _ => false,
            },
        }
    }

    /// Whether a step that reads a node reads all that is in its root's memory, each in its place.
    fn is_whole(&self, nodes: &[Node], id: usize, access: Access) -> bool {
        let (root, _) = self.root(id);
        access == Access::Same && nodes[id].len == nodes[root].len
    }

    /// Has steps write over operands that nothing needs any more. The steps are in their order.
    pub(crate) fn give_up_operands(&mut self, lowered: &Lowered, drafts: &[Draft]) {
        let mut last = HashMap::new();
        for (step, draft) in drafts.iter().enumerate() {
            for &id in draft.reads.iter().chain(&draft.writes) {
                last.insert(self.root(id).0, step);
            }
        }
        for (step, draft) in drafts.iter().enumerate() {
            for &to in &draft.writes {
                let candidates: Vec<usize> =
                    draft.reads.iter().map(|&id| self.root(id).0).collect();
                let found = candidates.into_iter().find(|&from| {
                    self.is_own(to)
                        && last.get(&from) == Some(&step)
                        && self.is_given_up(lowered, from)
                        && !draft.writes.iter().any(|&id| self.root(id).0 == from)
                        && self.may_overwrite(lowered, draft, from, to)
                        && !matches!(lowered.nodes[to].operation, Operation::Concatenate { .. })
                });
                if let Some(from) = found {
                    // What reads the one from here on reads the other.
                    let until = last.get(&to).copied().unwrap_or(step);
                    self.home[to] = Some((from, 0));
                    last.insert(from, until.max(step));
                }
            }
        }
    }

    /// Whether a node's memory is the program's own and not kept for an output.
    fn is_given_up(&self, lowered: &Lowered, root: usize) -> bool {
        let input = matches!(lowered.nodes[root].operation, Operation::Input(_));
        // What is written over an input is an output.
        !input && !lowered.outputs.iter().any(|&id| self.root(id).0 == root)
    }
}

/// Which steps must follow which.
struct Order {
    followers: Vec<Vec<usize>>,
    added: Vec<(usize, usize)>,
}

impl Order {
    fn new(nodes: &[Node], drafts: &[Draft]) -> Self {
        let mut followers = vec![vec![]; drafts.len()];
        for (step, needs) in before(nodes, drafts).into_iter().enumerate() {
            needs.into_iter().for_each(|need| followers[need].push(step));
        }
        Self { followers, added: vec![] }
    }

    fn add(&mut self, first: usize, second: usize) {
        self.followers[first].push(second);
        self.added.push((first, second));
    }

    /// Whether `second` must come behind `first`.
    fn leads(&self, first: usize, second: usize) -> bool {
        let mut seen = vec![false; self.followers.len()];
        let mut next = vec![first];
        while let Some(step) = next.pop() {
            if step == second {
                return true;
            }
            if !std::mem::replace(&mut seen[step], true) {
                next.extend(&self.followers[step]);
            }
        }
        false
    }
}

/// What a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Buffer {
    /// An input, and whether it is written.
    Input { input: usize, len: usize, written: bool },
    /// What becomes an output.
    Output { element: Element, len: usize },
    /// What one run leaves to the next.
    Kept { element: Element, len: usize },
}

/// All buffers of a program.
#[derive(Debug)]
pub(crate) struct Memory {
    pub buffers: Vec<Buffer>,
    /// The buffer of each root.
    pub buffer_of: Vec<usize>,
}

impl Memory {
    /// Where an output in `region` comes from, some buffers being given away already.
    pub(crate) fn origin(&self, region: Region, given: &[usize]) -> Origin {
        let whole = |len: usize| region.offset == 0 && region.len == len;
        match self.buffers[region.buffer] {
            Buffer::Input { len, written: false, .. } if whole(len) => Origin::Input(region.buffer),
            Buffer::Input { len, written: true, .. } | Buffer::Output { len, .. }
                if whole(len) && !given.contains(&region.buffer) =>
            {
                Origin::Buffer(region.buffer)
            }
            _ => Origin::Part(region),
        }
    }

    /// Bytes of what runs keep and of the outputs that they make.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |buffer: &Buffer| match *buffer {
            Buffer::Input { .. } => 0,
            Buffer::Output { element, len } | Buffer::Kept { element, len } => {
                element.bytes() * len
            }
        };
        self.buffers.iter().map(bytes).sum()
    }
}

/// From the first write to the last use of a root.
#[derive(Clone, Copy, Debug)]
struct Life {
    root: usize,
    first: usize,
    last: usize,
}

/// Gives every root a buffer. Roots that are not needed at the same time share one; the largest come first.
pub(crate) fn assign(lowered: &Lowered, drafts: &[Draft], homes: &Homes) -> Memory {
    let nodes = &lowered.nodes;
    let mut memory = Memory { buffers: vec![], buffer_of: vec![usize::MAX; nodes.len()] };
    let outputs: Vec<usize> = lowered.outputs.iter().map(|&id| homes.root(id).0).collect();
    let mut lives = lives(drafts, homes);
    for &root in &outputs {
        lives.entry(root).or_insert(Life { root, first: 0, last: 0 }).last = usize::MAX;
    }
    let mut lives: Vec<Life> = lives.into_values().collect();
    lives.sort_unstable_by_key(|life| (std::cmp::Reverse(nodes[life.root].len), life.root));
    let written: Vec<usize> = drafts.iter().flat_map(|draft| &draft.writes).copied().collect();
    let mut taken: HashMap<usize, Vec<Life>> = HashMap::new();
    for life in lives {
        let Node { operation, element, len, .. } = &nodes[life.root];
        let (element, len) = (*element, *len);
        let mut new = |buffer: Buffer| {
            memory.buffers.push(buffer);
            memory.buffers.len() - 1
        };
        let buffer = match operation {
            &Operation::Input(input) => {
                let written = written.iter().any(|&id| homes.root(id).0 == life.root);
                new(Buffer::Input { input, len, written })
            }
            _ if outputs.contains(&life.root) => new(Buffer::Output { element, len }),
            _ => {
                let apart = |other: &Life| other.last < life.first || life.last < other.first;
                let fits = |buffer: &usize| match memory.buffers[*buffer] {
                    Buffer::Kept { element: of, .. } => {
                        of == element && taken[buffer].iter().all(apart)
                    }
                    _ => false,
                };
                let free = (0..memory.buffers.len()).rev().find(fits);
                let buffer = free.unwrap_or_else(|| {
                    memory.buffers.push(Buffer::Kept { element, len });
                    memory.buffers.len() - 1
                });
                taken.entry(buffer).or_default().push(life);
                buffer
            }
        };
        memory.buffer_of[life.root] = buffer;
    }
    memory
}

fn lives(drafts: &[Draft], homes: &Homes) -> HashMap<usize, Life> {
    let mut lives: HashMap<usize, Life> = HashMap::new();
    for (step, draft) in drafts.iter().enumerate() {
        for &id in draft.reads.iter().chain(&draft.writes) {
            let (root, _) = homes.root(id);
            lives.entry(root).or_insert(Life { root, first: step, last: step }).last = step;
        }
    }
    lives
}
