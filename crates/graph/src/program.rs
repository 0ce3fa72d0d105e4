//! A finished computation: what goes in, what comes out, and nothing that is not needed for it.

use std::fmt;

use crate::{Graph, Instruction, Node, Operation, Type};

/// A value that a program takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What it is called.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// The instruction that stands for it; none where the program does not read it.
    pub id: Option<usize>,
    /// The output that it is given up for: the one of its name, where that has its type. Its memory may be
    /// used for it.
    pub becomes: Option<usize>,
}

/// A value that a program makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is called.
    pub name: String,
    /// The instruction whose result it is.
    pub id: usize,
}

/// Instructions in an order in which they can be run, each needed for an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

/// What is wrong with the outputs or inputs of a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// A parameter that the outputs need is not among the inputs.
    #[error("the outputs need a parameter `{0}`, which is not among the inputs")]
    NoInput(String),
    /// Two values have one name.
    #[error("there are two values named `{0}`")]
    TwoOfAName(String),
}

impl Program {
    /// The computation of `outputs` from `inputs`, which are parameters of their graph in the order in
    /// which they will be given.
    ///
    /// # Errors
    /// [`ProgramError`], where a parameter is missing among the inputs, or a name is used twice.
    ///
    /// # Panics
    /// If an input is no parameter.
    pub fn new(
        graph: &Graph,
        inputs: &[Node<'_>],
        outputs: &[(&str, Node<'_>)],
    ) -> Result<Self, ProgramError> {
        unique(outputs.iter().map(|(name, _)| *name))?;
        graph.read(|all| {
            let (instructions, places) = needed(all, outputs.iter().map(|(_, node)| node.id()));
            let outputs: Vec<Output> = outputs
                .iter()
                .map(|(name, node)| Output {
                    name: (*name).to_owned(),
                    id: places[node.id()].expect("an output is needed"),
                })
                .collect();
            let input = |node: &Node<'_>| match &all[node.id()] {
                Instruction { operation: Operation::Parameter(name), ty, .. } => Input {
                    name: name.clone(),
                    ty: ty.clone(),
                    id: places[node.id()],
                    becomes: becomes(name, ty, &outputs, &instructions),
                },
                other => panic!("an input is a parameter, not a {}", other.operation.name()),
            };
            let inputs: Vec<Input> = inputs.iter().map(input).collect();
            unique(inputs.iter().map(|input| &*input.name))?;
            complete(&instructions, &inputs)?;
            Ok(Self { instructions, inputs, outputs })
        })
    }

    /// Its instructions; operands come before what takes them.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// What it takes, in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What it makes, in order.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The type of output number `at`.
    pub fn output_type(&self, at: usize) -> &Type {
        &self.instructions[self.outputs[at].id].ty
    }

    /// How many replicas it is for: as many as its sums over replicas say, batch norm's included.
    pub fn replicas(&self) -> usize {
        let count = |instruction: &Instruction| match instruction.operation {
            Operation::AllReduce { replicas } | Operation::AllGather { replicas } => Some(replicas),
            // Once unfolded, its batch norms sum over replicas.
            Operation::ResidualTrain(ref plan) => Some(plan.replicas),
            _ => None,
        };
        self.instructions.iter().filter_map(count).max().unwrap_or(1)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, Instruction { operation, operands, ty }) in self.instructions.iter().enumerate() {
            let operands: Vec<String> = operands.iter().map(|id| format!("%{id}")).collect();
            writeln!(f, "%{id} = {}({}) : {ty}", operation.name(), operands.join(", "))?;
        }
        Ok(())
    }
}

/// The instructions that `ids` need, renumbered, and where each went.
fn needed(
    all: &[Instruction],
    ids: impl Iterator<Item = usize>,
) -> (Vec<Instruction>, Vec<Option<usize>>) {
    let mut wanted = vec![false; all.len()];
    ids.for_each(|id| wanted[id] = true);
    for id in (0..all.len()).rev() {
        if wanted[id] {
            all[id].operands.iter().for_each(|&operand| wanted[operand] = true);
        }
    }
    let (mut kept, mut places) = (Vec::new(), vec![None; all.len()]);
    for (id, instruction) in all.iter().enumerate().filter(|(id, _)| wanted[*id]) {
        places[id] = Some(kept.len());
        let mut instruction = instruction.clone();
        for operand in &mut instruction.operands {
            *operand = places[*operand].expect("operands come first");
        }
        kept.push(instruction);
    }
    (kept, places)
}

fn becomes(
    name: &str,
    ty: &Type,
    outputs: &[Output],
    instructions: &[Instruction],
) -> Option<usize> {
    outputs.iter().position(|output| output.name == name && instructions[output.id].ty == *ty)
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ProgramError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ProgramError::TwoOfAName(name.to_owned()));
        }
    }
    Ok(())
}

fn complete(instructions: &[Instruction], inputs: &[Input]) -> Result<(), ProgramError> {
    for (id, instruction) in instructions.iter().enumerate() {
        if let Operation::Parameter(name) = &instruction.operation
            && !inputs.iter().any(|input| input.id == Some(id))
        {
            return Err(ProgramError::NoInput(name.clone()));
        }
    }
    Ok(())
}
