//! Which element-wise operations and reductions pass over their elements together.
//!
//! A cluster is a set of nodes over equally many elements that are computed in one loop. Merging two must
//! leave an order in which the clusters can run: no way may lead from one out of both and into the other.

use crate::node::{Node, Operation};

/// Elements from which on it is worth a merger that two loops read the same operand.
const WORTH_A_MERGER: usize = 4096;

/// The clusters of a program.
#[derive(Debug)]
pub(crate) struct Clusters {
    /// The cluster of each looped node.
    pub of: Vec<Option<usize>>,
    /// The nodes of each cluster in order; none where it has been merged into another.
    pub members: Vec<Vec<usize>>,
}

/// For each node, the live ones that take it.
pub(crate) fn users(nodes: &[Node], live: &[bool]) -> Vec<Vec<usize>> {
    let mut users = vec![vec![]; nodes.len()];
    for (id, node) in nodes.iter().enumerate().filter(|(id, _)| live[*id]) {
        for &operand in &node.operands {
            if users[operand].last() != Some(&id) {
                users[operand].push(id);
            }
        }
    }
    users
}

/// How many elements a looped node's loop passes over.
pub(crate) fn space(nodes: &[Node], id: usize) -> usize {
    match nodes[id].operation {
        Operation::Reduce(_) => nodes[nodes[id].operands[0]].len,
        _ => nodes[id].len,
    }
}

/// Clusters as large as they can be.
pub(crate) fn cluster(nodes: &[Node], live: &[bool], users: &[Vec<usize>]) -> Clusters {
    let looped: Vec<usize> =
        (0..nodes.len()).filter(|&id| live[id] && nodes[id].operation.is_looped()).collect();
    let mut clusters = Clusters {
        of: vec![None; nodes.len()],
        members: looped.iter().map(|&id| vec![id]).collect(),
    };
    looped.iter().enumerate().for_each(|(at, &id)| clusters.of[id] = Some(at));
    let mut merging = Merging { nodes, users, clusters, seen: vec![0; nodes.len()], search: 0 };
    for &id in &looped {
        for &operand in &nodes[id].operands {
            if nodes[operand].operation.is_elementwise() {
                merging.try_merge(operand, id);
            }
        }
    }
    for shared in (0..nodes.len()).filter(|&id| live[id] && nodes[id].len >= WORTH_A_MERGER) {
        if !nodes[shared].operation.is_free() {
            merging.merge_readers(shared);
        }
    }
    merging.clusters
}

struct Merging<'a> {
    nodes: &'a [Node],
    users: &'a [Vec<usize>],
    clusters: Clusters,
    /// In which search a node was last met.
    seen: Vec<usize>,
    search: usize,
}

impl Merging<'_> {
    /// Merges the clusters of two nodes, if they are two and can be one.
    fn try_merge(&mut self, a: usize, b: usize) {
        let (Some(a), Some(b)) = (self.clusters.of[a], self.clusters.of[b]) else { return };
        if a == b || self.leads_around(a, b) || self.leads_around(b, a) {
            return;
        }
        let moved = std::mem::take(&mut self.clusters.members[b]);
        moved.iter().for_each(|&id| self.clusters.of[id] = Some(a));
        self.clusters.members[a].extend(moved);
        self.clusters.members[a].sort_unstable();
    }

    /// Merges the loops that read `shared` element by element.
    fn merge_readers(&mut self, shared: usize) {
        let readers: Vec<usize> = self.users[shared]
            .iter()
            .copied()
            .filter(|&id| self.clusters.of[id].is_some())
            .collect();
        for (at, &second) in readers.iter().enumerate() {
            for &first in &readers[..at] {
                self.try_merge(first, second);
            }
        }
    }

    /// Whether a way leads from cluster `from` to cluster `to` through something else, or through memory.
    fn leads_around(&mut self, from: usize, to: usize) -> bool {
        self.search += 1;
        let mut next = vec![];
        for &id in &self.clusters.members[from] {
            let in_memory = !self.nodes[id].operation.is_elementwise();
            for &user in &self.users[id] {
                match self.clusters.of[user] {
                    Some(cluster) if cluster == to && in_memory => return true,
                    Some(cluster) if cluster == to || cluster == from => {}
                    _ => next.push(user),
                }
            }
        }
        while let Some(id) = next.pop() {
            if std::mem::replace(&mut self.seen[id], self.search) == self.search {
                continue;
            }
            let cluster = self.clusters.of[id];
            if cluster == Some(to) {
                return true;
            }
            match cluster {
                Some(cluster) => {
                    for &member in &self.clusters.members[cluster] {
                        self.seen[member] = self.search;
                        next.extend(&self.users[member]);
                    }
                }
                None => next.extend(&self.users[id]),
            }
        }
        false
    }
}
