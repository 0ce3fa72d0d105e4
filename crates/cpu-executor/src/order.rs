//! The order of steps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::node::{Node, Operation};
use crate::plan::{Draft, Kind};

/// For each node, the step that computes it.
pub(crate) fn producers(nodes: &[Node], drafts: &[Draft]) -> Vec<Option<usize>> {
    let mut producers = vec![None; nodes.len()];
    for (step, draft) in drafts.iter().enumerate() {
        draft.writes.iter().for_each(|&id| producers[id] = Some(step));
    }
    for id in 0..nodes.len() {
        if let Operation::Part(_) = nodes[id].operation {
            producers[id] = producers[nodes[id].operands[0]];
        }
    }
    producers
}

/// For each step, those that must come before it.
pub(crate) fn before(nodes: &[Node], drafts: &[Draft]) -> Vec<Vec<usize>> {
    let producers = producers(nodes, drafts);
    let of = |draft: &Draft| draft.reads.iter().filter_map(|&id| producers[id]).collect();
    drafts.iter().map(of).collect()
}

/// Sorts steps so that each comes behind what it needs and, of each pair in `after`, the second behind the
/// first; else as the program has them, which makes the gradient of what was computed last first.
pub(crate) fn order(nodes: &[Node], drafts: Vec<Draft>, after: &[(usize, usize)]) -> Vec<Draft> {
    let mut needs = before(nodes, &drafts);
    after.iter().for_each(|&(first, second)| needs[second].push(first));
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut followers = vec![vec![]; drafts.len()];
    for (step, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|&need| followers[need].push(step));
    }
    let key = |step: usize| (last_of(&drafts[step]), step);
    let mut ready: BinaryHeap<Reverse<(usize, usize)>> = (0..drafts.len())
        .filter(|&step| waiting[step] == 0)
        .map(|step| Reverse(key(step)))
        .collect();
    let mut sorted = vec![];
    while let Some(Reverse((_, step))) = ready.pop() {
        sorted.push(step);
        for &follower in &followers[step] {
            waiting[follower] -= 1;
            if waiting[follower] == 0 {
                ready.push(Reverse(key(follower)));
            }
        }
    }
    let mut drafts: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
    let sorted: Vec<Draft> = sorted.into_iter().filter_map(|step| drafts[step].take()).collect();
    debug_assert!(drafts.iter().all(Option::is_none), "steps that wait for one another");
    sorted
}

/// The last of the nodes that a step computes.
fn last_of(draft: &Draft) -> usize {
    match draft.kind {
        Kind::Single(id) => id,
        Kind::Loop(_) => draft.writes.iter().copied().max().unwrap_or(0),
    }
}
