//! A program as steps in an order, and where in which buffer each step finds and leaves what.

use graph::{Element, Program};

use crate::cluster::{self, Clusters};
use crate::executable::Unsupported;
use crate::finish;
use crate::kernel::{Access, Kernel, kernel};
use crate::lower::{Lowered, lower};
use crate::memory::{self, Homes, Memory};
use crate::node::{Moved, Network, Node, Operation, Product};
use crate::order::order;
use crate::strides::Affine;

/// Part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub buffer: usize,
    pub offset: usize,
    pub len: usize,
}

/// What a step does with what it reads and writes.
#[derive(Debug)]
pub(crate) enum Action {
    /// Of each leaf, the store whose place its elements are in, if it is one of them.
    Loop(Kernel, Vec<Option<usize>>),
    Copy(Affine),
    Pad(Moved),
    Concatenate {
        outer: usize,
    },
    /// Each part to a place of its own.
    Place,
    Dot(Product),
    Gather(usize),
    Scatter(usize),
    DynamicSlice(usize),
    /// Whether the rows around are in their place already.
    DynamicUpdate {
        row: usize,
        in_place: bool,
    },
    MaxPool(graph::Window, Vec<usize>),
    SelectAndScatter(graph::Window, Vec<usize>),
    Convolution(Box<graph::Convolution>, [[usize; 4]; 3]),
    /// Which tape it leaves, if one is wanted.
    Train(Network, Option<usize>),
    /// Which tape it takes.
    Gradient(Network, usize),
    Evaluate(Network),
}

/// Something to do.
#[derive(Debug)]
pub(crate) struct Step {
    pub action: Action,
    pub reads: Vec<Region>,
    pub writes: Vec<Region>,
}

/// Where an output comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// A buffer, given away.
    Buffer(usize),
    /// A copy of a part.
    Part(Region),
    /// The buffer of an input, as it came.
    Input(usize),
}

/// A program, ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    pub memory: Memory,
    pub outputs: Vec<Origin>,
    pub tapes: usize,
}

/// A step before it is known where things are: nodes in place of regions.
#[derive(Debug)]
pub(crate) struct Draft {
    pub kind: Kind,
    pub reads: Vec<usize>,
    pub writes: Vec<usize>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Loop(Kernel),
    /// A node by itself.
    Single(usize),
}

/// Plans a program.
pub(crate) fn plan(program: &Program) -> Result<Plan, Unsupported> {
    let lowered = lower(program)?;
    let users = cluster::users(&lowered.nodes, &lowered.live);
    let clusters = cluster::cluster(&lowered.nodes, &lowered.live, &users);
    let kept = kept(&lowered, &users, &clusters);
    let drafts = drafts(&lowered, &clusters, &kept);
    let mut homes = Homes::new(&lowered, &drafts);
    homes.place_parts(&lowered, &drafts);
    let after = homes.give_up_inputs(&lowered, program, &drafts);
    let drafts = order(&lowered.nodes, drafts, &after);
    homes.give_up_operands(&lowered, &drafts);
    let memory = memory::assign(&lowered, &drafts, &homes);
    Ok(finish(&lowered, drafts, &homes, memory))
}

/// Which nodes' elements are needed in memory.
fn kept(lowered: &Lowered, users: &[Vec<usize>], clusters: &Clusters) -> Vec<bool> {
    let Lowered { nodes, live, outputs } = lowered;
    let needs = |id: usize, user: usize| {
        let operation = &nodes[id].operation;
        let looped = nodes[user].operation.is_looped();
        let inlined = operation.is_free() && looped;
        let computed = operation.is_elementwise() && clusters.of[id] == clusters.of[user];
        !(inlined || looped && computed)
    };
    let kept = |id: usize| {
        live[id] && (outputs.contains(&id) || users[id].iter().any(|&user| needs(id, user)))
    };
    (0..nodes.len()).map(kept).collect()
}

fn drafts(lowered: &Lowered, clusters: &Clusters, kept: &[bool]) -> Vec<Draft> {
    let nodes = &lowered.nodes;
    let loops = clusters.members.iter().filter(|members| !members.is_empty()).map(|members| {
        let space = cluster::space(nodes, members[0]);
        of_kernel(kernel(nodes, members, space, kept))
    });
    let free = (0..nodes.len())
        .filter(|&id| kept[id] && nodes[id].operation.is_free())
        .map(|id| of_kernel(kernel(nodes, &[id], nodes[id].len, kept)));
    let single = (0..nodes.len()).filter(|&id| lowered.live[id]).filter_map(|id| {
        let operation = &nodes[id].operation;
        let elsewhere = operation.is_looped()
            || operation.is_free()
            || matches!(
                operation,
                Operation::Input(_) | Operation::Part(_) | Operation::Statistics
            );
        (!elsewhere).then(|| Draft {
            kind: Kind::Single(id),
            reads: nodes[id].operands.clone(),
            writes: writes(lowered, id),
        })
    });
    loops.chain(free).chain(single).collect()
}

fn of_kernel(kernel: Kernel) -> Draft {
    let mut reads: Vec<usize> = kernel.leaves.iter().map(|leaf| leaf.node).collect();
    reads.dedup();
    let stores = kernel.stores.iter().map(|store| store.node);
    let writes = stores.chain(kernel.sums.iter().map(|sum| sum.node)).collect();
    Draft { kind: Kind::Loop(kernel), reads, writes }
}

/// What a node's step writes: a training pass the statistics too, where they are wanted.
fn writes(lowered: &Lowered, id: usize) -> Vec<usize> {
    let statistics = (0..lowered.nodes.len()).filter(|&other| {
        let node = &lowered.nodes[other];
        lowered.live[other]
            && matches!(node.operation, Operation::Statistics)
            && node.operands == [id]
    });
    std::iter::once(id).chain(statistics.take(1)).collect()
}

/// Steps with regions in place of nodes.
fn finish(lowered: &Lowered, drafts: Vec<Draft>, homes: &Homes, memory: Memory) -> Plan {
    let nodes = &lowered.nodes;
    let trains = drafts.iter().filter_map(|draft| match draft.kind {
        Kind::Single(id) if matches!(nodes[id].operation, Operation::Train(_)) => Some(id),
        _ => None,
    });
    let trains: Vec<usize> = trains.collect();
    let finishing = Finishing { lowered, homes, memory: &memory, trains: &trains };
    let steps = drafts.into_iter().map(|draft| finishing.step(draft)).collect();
    let mut given: Vec<usize> = vec![];
    let outputs = lowered.outputs.iter().map(|&id| {
        let region = finishing.region(id);
        let origin = memory.origin(region, &given);
        if let Origin::Buffer(buffer) = origin {
            given.push(buffer);
        }
        origin
    });
    let outputs = outputs.collect();
    Plan { steps, outputs, tapes: trains.len(), memory }
}

struct Finishing<'a> {
    lowered: &'a Lowered,
    homes: &'a Homes,
    memory: &'a Memory,
    /// The nodes whose passes leave tapes.
    trains: &'a [usize],
}

impl Finishing<'_> {
    fn region(&self, id: usize) -> Region {
        let (root, offset) = self.homes.root(id);
        Region { buffer: self.memory.buffer_of[root], offset, len: self.lowered.nodes[id].len }
    }

    fn step(&self, draft: Draft) -> Step {
        match draft.kind {
            Kind::Loop(kernel) => self.looped(kernel, &draft.writes),
            Kind::Single(id) => self.single(id, &draft.writes),
        }
    }

    fn looped(&self, mut kernel: Kernel, writes: &[usize]) -> Step {
        let own = kernel.leaves.iter().map(|leaf| {
            let stored = |store: &crate::kernel::Store| {
                leaf.access == Access::Same && self.region(store.node) == self.region(leaf.node)
            };
            kernel.stores.iter().position(stored).filter(|_| !self.is_empty(leaf.node))
        });
        let own: Vec<Option<usize>> = own.collect();
        let read = kernel.leaves.iter().zip(&own).filter(|(_, own)| own.is_none());
        let reads = read.map(|(leaf, _)| self.region(leaf.node)).collect();
        let writes = writes.iter().map(|&id| self.region(id)).collect();
        let single = |id: usize| self.lowered.nodes[id].element == Element::F32;
        let single: Vec<bool> = kernel.stores.iter().map(|store| single(store.node)).collect();
        finish::finish(&mut kernel, &own, &single);
        Step { action: Action::Loop(kernel, own), reads, writes }
    }

    fn is_empty(&self, id: usize) -> bool {
        self.lowered.nodes[id].len == 0
    }

    fn single(&self, id: usize, writes: &[usize]) -> Step {
        let Node { operation, operands, .. } = &self.lowered.nodes[id];
        let mut reads: Vec<Region> = operands.iter().map(|&id| self.region(id)).collect();
        let mut writes: Vec<Region> = writes.iter().map(|&id| self.region(id)).collect();
        let action = match operation {
            Operation::Copy(places) => Action::Copy(places.clone()),
            Operation::Pad(moved) => Action::Pad(moved.clone()),
            Operation::Concatenate { outer: 1 } => {
                (reads, writes) = unplaced(&reads, writes[0]);
                Action::Place
            }
            &Operation::Concatenate { outer } => Action::Concatenate { outer },
            Operation::Dot(product) => Action::Dot(*product),
            Operation::Gather(row) => Action::Gather(*row),
            Operation::Scatter(row) => Action::Scatter(*row),
            Operation::DynamicSlice(row) => Action::DynamicSlice(*row),
            &Operation::DynamicUpdate(row) => {
                let in_place = reads[0] == writes[0];
                if in_place {
                    reads.remove(0);
                }
                Action::DynamicUpdate { row, in_place }
            }
            Operation::MaxPool(window, shape) => Action::MaxPool(window.clone(), shape.clone()),
            Operation::SelectAndScatter(window, shape) => {
                Action::SelectAndScatter(window.clone(), shape.clone())
            }
            Operation::Convolution(of, shapes) => Action::Convolution(of.clone(), *shapes),
            Operation::Train(network) => {
                let wanted = self.has_gradient(id).then(|| self.tape(id));
                Action::Train(network.clone(), wanted)
            }
            Operation::Gradient(network) => {
                // What it takes of the pass is the tape.
                reads.remove(0);
                Action::Gradient(network.clone(), self.tape(operands[0]))
            }
            Operation::Evaluate(network) => Action::Evaluate(network.clone()),
            other => unreachable!("{other:?} is no step of its own"),
        };
        Step { action, reads, writes }
    }

    fn tape(&self, train: usize) -> usize {
        let found = self.trains.iter().position(|&id| id == train);
        found.expect("a gradient keeps its pass alive")
    }

    fn has_gradient(&self, train: usize) -> bool {
        let Lowered { nodes, live, .. } = self.lowered;
        nodes.iter().zip(live).any(|(node, &live)| {
            live && matches!(node.operation, Operation::Gradient(_)) && node.operands[0] == train
        })
    }
}

/// Those parts of a concatenation that are not yet in their places, and the places.
fn unplaced(parts: &[Region], whole: Region) -> (Vec<Region>, Vec<Region>) {
    let mut offset = whole.offset;
    let places = parts.iter().map(|&part| {
        let place = Region { buffer: whole.buffer, offset, len: part.len };
        offset += part.len;
        (part, place)
    });
    places.filter(|(part, place)| part != place).unzip()
}
