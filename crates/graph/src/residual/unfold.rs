//! Programs whose residual networks are written out as other operations.

use std::collections::HashMap;
use std::sync::Arc;

use super::Plan;
use super::back::Backward;
use super::forward::{Forward, Source, Tape};
use crate::{Graph, Instruction, Node, Operation, Program};

impl Program {
    /// The same program with every residual network written out as convolutions, batch norms and
    /// pooling, for executors that do not take one whole.
    ///
    /// Activations have their channels last, and are stored in [`Plan::precision`]; statistics, sums
    /// and what lies between two stored activations are f32. Batch norm's way back is written by hand, with
    /// two sums over the activations.
    ///
    /// # Panics
    /// If statistics or a gradient are not of a [`ResidualTrain`](Operation::ResidualTrain).
    pub fn unfolded(&self) -> Self {
        let residual = |instruction: &Instruction| is_residual(&instruction.operation);
        if !self.instructions().iter().any(residual) {
            return self.clone();
        }
        let graph = Graph::new();
        let mut unfolding = Unfolding { graph: &graph, nodes: Vec::new(), tapes: HashMap::new() };
        for (id, instruction) in self.instructions().iter().enumerate() {
            let node = unfolding.instruction(id, instruction);
            unfolding.nodes.push(node);
        }
        let inputs: Vec<Node<'_>> = self
            .inputs()
            .iter()
            .map(|input| graph.parameter(&input.name, input.ty.clone()))
            .collect();
        let outputs: Vec<(&str, Node<'_>)> = self
            .outputs()
            .iter()
            .map(|output| (&*output.name, unfolding.nodes[output.id]))
            .collect();
        Self::new(&graph, &inputs, &outputs).expect("inputs and outputs are those of a program")
    }
}

fn is_residual(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::ResidualTrain(_)
            | Operation::ResidualStatistics
            | Operation::ResidualGradient
            | Operation::ResidualEval(_)
    )
}

/// A program on its way into a graph of its own.
struct Unfolding<'g> {
    graph: &'g Graph,
    /// What became of each instruction so far.
    nodes: Vec<Node<'g>>,
    /// The networks passed so far, by their instruction.
    tapes: HashMap<usize, (Arc<Plan>, Tape<'g>)>,
}

impl<'g> Unfolding<'g> {
    fn instruction(&mut self, id: usize, instruction: &Instruction) -> Node<'g> {
        let operands: Vec<Node<'g>> =
            instruction.operands.iter().map(|&operand| self.nodes[operand]).collect();
        match (&instruction.operation, &operands[..]) {
            (Operation::ResidualTrain(plan), &[images, parameters]) => {
                let tape = Forward { plan, parameters, source: Source::Batch }.run(images);
                let features = tape.features;
                self.tapes.insert(id, (Arc::clone(plan), tape));
                features
            }
            (Operation::ResidualEval(plan), &[images, parameters, running]) => {
                Forward { plan, parameters, source: Source::Running(running) }.run(images).features
            }
            (Operation::ResidualStatistics, _) => {
                let (plan, tape) = self.passed(instruction);
                tape.statistics(plan)
            }
            (Operation::ResidualGradient, &[_, g]) => {
                let (plan, tape) = self.passed(instruction);
                Backward { plan, tape }.run(g)
            }
            (operation, operands) => {
                self.graph.push(operation.clone(), operands, Some(instruction.ty.clone()))
            }
        }
    }

    /// The network that statistics or a gradient are of.
    fn passed(&self, instruction: &Instruction) -> (&Plan, &Tape<'g>) {
        match self.tapes.get(&instruction.operands[0]) {
            Some((plan, tape)) => (plan, tape),
            None => panic!("{} is of no residual_train", instruction.operation.name()),
        }
    }
}
