//! From the features' gradient to the parameters', written out.
//!
//! Derived step by step, batch norm's way back would take a sum over the activations for each place where
//! a statistic is used. By hand there are two, over the same operands, so that an executor takes them in
//! one pass, and one element-wise pass after them.

use super::Plan;
use super::forward::{BlockTape, Tape, UnitTape, per_channel, samples};
use crate::{Element, Node, Operation, Type, concatenate, pull_back};

/// One pass back.
pub(super) struct Backward<'a, 'g> {
    pub plan: &'a Plan,
    pub tape: &'a Tape<'g>,
}

/// A unit's gradients: of its weights, its γ and its β.
type UnitGradients<'g> = [Node<'g>; 3];

impl<'g> Backward<'_, 'g> {
    /// The gradients of all parameters, as the plan lays them out, given that of the features.
    pub(super) fn run(&self, features: Node<'g>) -> Node<'g> {
        let tape = self.tape;
        // Last to first, turned around at the end.
        let mut found: Vec<UnitGradients<'g>> = Vec::new();
        let mut g = self.spread(features);
        for block in tape.blocks.iter().rev() {
            g = self.block(block, gated(g, block.out), &mut found);
        }
        let behind = match tape.pooled {
            Some(pooled) => unpooled(g, tape.stem_out, pooled),
            None => g,
        };
        // The images' own gradient is left unused, and so out of every program.
        self.unit(&tape.stem, gated(behind, tape.stem.normalised), &mut found);
        found.reverse();
        let flat: Vec<Node<'g>> = found.into_iter().flatten().map(Node::flatten).collect();
        concatenate(&flat, 0)
    }

    /// From the features to every pixel that they are means of.
    fn spread(&self, features: Node<'g>) -> Node<'g> {
        let last = self.tape.blocks.last().map(|block| block.out);
        let x = last.or(self.tape.pooled).unwrap_or(self.tape.stem_out);
        let [_, height, width, _] = x.dims();
        let each = features / (height * width) as f64;
        each.convert(self.plan.precision).broadcast(&[0, 3], &x.shape())
    }

    /// From the gradient before a block's last ReLU to that of what the block read. The gradients of
    /// its units go to `found`, the last one's first.
    fn block(
        &self,
        tape: &BlockTape<'g>,
        g: Node<'g>,
        found: &mut Vec<UnitGradients<'g>>,
    ) -> Node<'g> {
        let beside = tape.shortcut.as_ref().map_or(g, |unit| self.unit(unit, g, found));
        let mut past = g;
        for (at, unit) in tape.main.iter().enumerate().rev() {
            past = self.unit(unit, past, found);
            if let Some(before) = at.checked_sub(1) {
                past = gated(past, tape.main[before].normalised);
            }
        }
        past + beside
    }

    /// From the gradient behind a unit's batch norm to that of what its convolution read. The gradients
    /// of its parameters go to `found`.
    fn unit(
        &self,
        tape: &UnitTape<'g>,
        g: Node<'g>,
        found: &mut Vec<UnitGradients<'g>>,
    ) -> Node<'g> {
        let wide = g.convert(Element::F32);
        let sum = wide.sum(&[0, 1, 2]);
        let with_centred = (wide * tape.centred).sum(&[0, 1, 2]);
        let [all, all_with_centred] = [sum, with_centred]
            .map(|sum| sum.all_reduce(self.plan.replicas) / samples(tape.y, self.plan) as f64);
        let slope = all_with_centred * tape.inverse.square();
        let centred = wide - per_channel(all, g) - tape.centred * per_channel(slope, g);
        let through = (centred * per_channel(tape.scale, g)).convert(self.plan.precision);
        let both = pull_back(&[(tape.y, through)], &[tape.x, tape.weight]);
        found.push([both[1].convert(Element::F32), with_centred * tape.inverse, sum]);
        both[0]
    }
}

/// ReLU's way back: `g` where `x` is positive.
fn gated<'g>(g: Node<'g>, x: Node<'g>) -> Node<'g> {
    let graph = g.graph();
    let zero = graph.full(0.0, g.ty());
    let positive = x.gt(graph.full(0.0, Type::new(x.ty().element, [])));
    positive.select(g, zero)
}

/// The max-pool's way back, from its input, which is nowhere negative, and its output.
///
/// Each window's gradient goes to its first greatest element. Written as a sum over the nine places of
/// a window it writes each element once, where a scatter would add in any order. Beyond the edges
/// stand zeros: a window takes one of them for its greatest only where all its elements are zero, and
/// there the ReLU before lets nothing through.
fn unpooled<'g>(g: Node<'g>, x: Node<'g>, pooled: Node<'g>) -> Node<'g> {
    let wide = g.convert(Element::F32);
    let zero = g.graph().full(0.0, wide.ty());
    let winner = winners(x, pooled);
    let [_, height, width, _] = x.dims();
    let [_, rows, columns, _] = pooled.dims();
    let part = |place: usize| {
        let [down, right] = [place / 3, place % 3].map(|step| step as i64 - 1);
        let behind = |length, windows, step| length as i64 - step - (2 * windows as i64 - 1);
        let high = [0, behind(height, rows, down), behind(width, columns, right), 0];
        let own = winner.eq(g.graph().full(place as f64, Type::new(Element::U8, [])));
        own.select(wide, zero).pad(&[0, down, right, 0], &high, &[0, 1, 1, 0])
    };
    let sum = (1..9).fold(part(0), |sum, place| sum + part(place));
    sum.convert(g.ty().element)
}

/// Which of a window's nine places, row by row, its first greatest element is at.
fn winners<'g>(x: Node<'g>, pooled: Node<'g>) -> Node<'g> {
    let [batch, height, width, channels] = x.dims();
    let [_, rows, columns, _] = pooled.dims();
    let high = [0, 2 * rows - height, 2 * columns - width, 0].map(|length| length as i64);
    let padded = x.pad(&[0, 1, 1, 0], &high, &[0; 4]);
    let ty = Type::new(Element::U8, pooled.shape());
    let number = |place: usize| x.graph().full(place as f64, ty.clone());
    (0..8).rev().fold(number(8), |winner, place| {
        let [down, right] = [place / 3, place % 3];
        let limit = vec![batch, down + 2 * rows - 1, right + 2 * columns - 1, channels];
        let at =
            Operation::Slice { start: vec![0, down, right, 0], limit, stride: vec![1, 2, 2, 1] };
        padded.push(at, &[]).eq(pooled).select(number(place), winner)
    })
}
