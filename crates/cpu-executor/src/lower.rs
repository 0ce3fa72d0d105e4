//! From a program's instructions to [`Node`]s: what moves nothing vanishes, and what has several forms is
//! brought to the few that steps exist for.

use graph::{Binary, Dot, Element, Instruction, Operation as Op, Plan, Program, Reduction};

use crate::executable::Unsupported;
use crate::node::{Moved, Network, Node, Operation, Product, Reduce};
use crate::strides::{Affine, Axis, Form, dense_steps};

/// The nodes of a program, and which of them its outputs are.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub nodes: Vec<Node>,
    /// Whether an output needs the node.
    pub live: Vec<bool>,
    pub outputs: Vec<usize>,
}

/// The nodes that compute `program`.
pub(crate) fn lower(program: &Program) -> Result<Lowered, Unsupported> {
    let instructions = program.instructions();
    let mut uses = vec![0; instructions.len()];
    for instruction in instructions {
        instruction.operands.iter().for_each(|&operand| uses[operand] += 1);
    }
    program.outputs().iter().for_each(|output| uses[output.id] += 1);
    let mut lowering = Lowering { program, uses, nodes: vec![], of: vec![] };
    for instruction in instructions {
        let node = lowering.instruction(instruction)?;
        lowering.of.push(node);
    }
    let Lowering { nodes, of, .. } = lowering;
    let outputs: Vec<usize> = program.outputs().iter().map(|output| of[output.id]).collect();
    Ok(Lowered { live: live(&nodes, &outputs), nodes, outputs })
}

fn live(nodes: &[Node], outputs: &[usize]) -> Vec<bool> {
    let mut live = vec![false; nodes.len()];
    outputs.iter().for_each(|&output| live[output] = true);
    for id in (0..nodes.len()).rev() {
        if live[id] {
            nodes[id].operands.iter().for_each(|&operand| live[operand] = true);
        }
    }
    live
}

struct Lowering<'a> {
    program: &'a Program,
    /// How often each instruction's result is used.
    uses: Vec<usize>,
    nodes: Vec<Node>,
    /// The node of each instruction so far.
    of: Vec<usize>,
}

impl Lowering<'_> {
    fn at(&self, id: usize) -> &Instruction {
        &self.program.instructions()[id]
    }

    fn push(
        &mut self,
        operation: Operation,
        operands: Vec<usize>,
        element: Element,
        len: usize,
    ) -> usize {
        self.nodes.push(Node { operation, operands, element, len });
        self.nodes.len() - 1
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<usize, Unsupported> {
        let Instruction { operation, operands, ty } = instruction;
        let x: Vec<usize> = operands.iter().map(|&operand| self.of[operand]).collect();
        let (element, len) = (ty.element, ty.len());
        let plain = match operation {
            Op::Parameter(_) => Operation::Input(self.input()),
            Op::Constant(number) => Operation::Constant(number.value()),
            Op::ReplicaId => Operation::Constant(0.0),
            Op::Iota(axis) => {
                Operation::Iota { each: dense_steps(&ty.shape)[*axis], length: ty.shape[*axis] }
            }
            Op::Unary(function) => Operation::Unary(*function),
            Op::Binary(function) => match self.simpler(*function, &x) {
                Some(known) => return Ok(known),
                None => Operation::Binary(*function),
            },
            Op::Compare(comparison) => Operation::Compare(*comparison),
            Op::Select => Operation::Select,
            Op::Convert => return Ok(self.convert(x[0], element)),
            Op::Reshape | Op::StopGradient => return Ok(x[0]),
            Op::AllReduce { replicas: 1 } | Op::AllGather { replicas: 1 } => return Ok(x[0]),
            Op::AllReduce { .. } | Op::AllGather { .. } => {
                return Err(unsupported(operation, "there is one replica on the CPU"));
            }
            Op::BroadcastInDim(_) | Op::Transpose(_) | Op::Slice { .. } | Op::Reverse(_) => {
                return Ok(self.moved(instruction));
            }
            Op::Pad { low, high: _, interior } => return Ok(self.pad(instruction, low, interior)),
            Op::Concatenate(axis) => return Ok(self.concatenate(instruction, *axis)),
            Op::Reduce(reduction, axes) => return Ok(self.reduce(instruction, *reduction, axes)),
            Op::DotGeneral(dot) => return Ok(self.dot(instruction, dot)),
            Op::Gather => Operation::Gather(self.row(operands[0])),
            Op::Scatter(_) => Operation::Scatter(self.row(operands[0])),
            Op::DynamicSlice(_) => Operation::DynamicSlice(self.row(operands[0])),
            Op::DynamicUpdateSlice => Operation::DynamicUpdate(self.row(operands[0])),
            Op::MaxPool(window) => {
                Operation::MaxPool(window.clone(), self.at(operands[0]).ty.shape.clone())
            }
            Op::SelectAndScatter(window) => {
                Operation::SelectAndScatter(window.clone(), ty.shape.clone())
            }
            Op::Convolution(of) => {
                let shape = |ty: &graph::Type| {
                    <[usize; 4]>::try_from(&ty.shape[..])
                        .expect("a convolution's types are checked")
                };
                let of_operand = |at: usize| shape(&self.at(operands[at]).ty);
                let shapes = [of_operand(0), of_operand(1), shape(ty)];
                let operands = x.iter().map(|&x| self.convert(x, Element::F32)).collect();
                let operation = Operation::Convolution(of.clone(), shapes);
                let made = self.push(operation, operands, Element::F32, len);
                return Ok(self.convert(made, element));
            }
            Op::ResidualTrain(plan) => Operation::Train(self.network(instruction, plan)?),
            Op::ResidualEval(plan) => Operation::Evaluate(self.network(instruction, plan)?),
            Op::ResidualStatistics => Operation::Statistics,
            Op::ResidualGradient => return self.gradient(instruction),
        };
        Ok(self.push(plain, x, element, len))
    }

    /// Which input the next instruction is.
    fn input(&self) -> usize {
        let id = Some(self.of.len());
        let found = self.program.inputs().iter().position(|input| input.id == id);
        found.expect("a program's parameters are among its inputs")
    }

    /// Elements of a row.
    fn row(&self, id: usize) -> usize {
        self.at(id).ty.shape[1..].iter().product()
    }

    /// What x × 1, x / 1 and x - 0 are.
    fn simpler(&self, function: Binary, x: &[usize]) -> Option<usize> {
        let is = |at: usize, number: f64| match self.nodes[x[at]].operation {
            Operation::Constant(value) => value == number,
            _ => false,
        };
        match function {
            Binary::Multiply if is(0, 1.0) => Some(x[1]),
            Binary::Multiply | Binary::Divide if is(1, 1.0) => Some(x[0]),
            Binary::Subtract if is(1, 0.0) => Some(x[0]),
            _ => None,
        }
    }

    fn convert(&mut self, x: usize, to: Element) -> usize {
        let Node { element, len, .. } = self.nodes[x];
        match element == to {
            true => x,
            false => self.push(Operation::Convert, vec![x], to, len),
        }
    }

    /// `len` elements of `x` from `offset` on.
    fn part(&mut self, x: usize, offset: usize, len: usize) -> usize {
        let Node { operation, operands, element, len: all } = &self.nodes[x];
        let (element, all) = (*element, *all);
        match operation {
            _ if offset == 0 && len == all => x,
            &Operation::Constant(value) => {
                self.push(Operation::Constant(value), vec![], element, len)
            }
            Operation::Part(before) => {
                let (whole, offset) = (operands[0], before + offset);
                self.push(Operation::Part(offset), vec![whole], element, len)
            }
            _ => self.push(Operation::Part(offset), vec![x], element, len),
        }
    }

    /// The one element that `x` repeats, where it does.
    fn repeats(&self, x: usize) -> Option<Node> {
        let node = &self.nodes[x];
        match node.operation {
            Operation::Constant(_) => Some(node.clone()),
            Operation::Spread { .. } if self.nodes[node.operands[0]].len == 1 => Some(node.clone()),
            _ => None,
        }
    }

    /// Elements of `x` in other places.
    fn places(&mut self, x: usize, places: Affine) -> usize {
        let (element, len) = (self.nodes[x].element, places.len());
        if let Some(node) = self.repeats(x) {
            return self.push(node.operation, node.operands, element, len);
        }
        match places.form() {
            Form::Part(offset) => self.part(x, offset, len),
            Form::Repeated { offset, length, each } => {
                let part = self.part(x, offset, length);
                self.push(Operation::Spread { each }, vec![part], element, len)
            }
            Form::Other => self.push(Operation::Copy(places), vec![x], element, len),
        }
    }

    fn moved(&mut self, instruction: &Instruction) -> usize {
        let [operand] = instruction.operands[..] else { unreachable!("types are checked") };
        let (x, from) = (self.of[operand], Affine::dense(&self.at(operand).ty.shape));
        let places = match &instruction.operation {
            Op::BroadcastInDim(axes) => from.broadcast(axes, &instruction.ty.shape),
            Op::Transpose(order) => match self.transposed_product(operand, order) {
                Some(product) => return product,
                None => from.permuted(order),
            },
            Op::Slice { start, limit, stride } => from.sliced(start, limit, stride),
            Op::Reverse(axes) => from.reversed(axes),
            _ => unreachable!("only these move elements"),
        };
        self.places(x, places)
    }

    /// The transpose of a product that nothing else needs is the product of the transposes.
    fn transposed_product(&mut self, operand: usize, order: &[usize]) -> Option<usize> {
        let Op::DotGeneral(dot) = &self.at(operand).operation else { return None };
        let stacked = dot.batch[0].len();
        let left = self.at(self.at(operand).operands[0]).ty.rank();
        let rows = left - stacked - dot.contracting[0].len();
        let turned = (0..stacked).chain(stacked + rows..order.len()).chain(stacked..stacked + rows);
        let Node { operation: Operation::Dot(product), operands, element, len } =
            &self.nodes[self.of[operand]]
        else {
            return None;
        };
        if self.uses[operand] > 1 || !turned.eq(order.iter().copied()) {
            return None;
        }
        let Product { stacked, size: [m, n, k], transposed: [a, b], rounded } = *product;
        let product = Product { stacked, size: [n, m, k], transposed: [!b, !a], rounded };
        let (operands, element, len) = (vec![operands[1], operands[0]], *element, *len);
        Some(self.push(Operation::Dot(product), operands, element, len))
    }

    fn pad(&mut self, instruction: &Instruction, low: &[i64], interior: &[usize]) -> usize {
        let operand = instruction.operands[0];
        let x = self.of[operand];
        let shape = &self.at(operand).ty.shape;
        let (mut start, mut limit) = (vec![0; shape.len()], shape.clone());
        let mut to = Affine::dense(&instruction.ty.shape);
        for axis in 0..shape.len() {
            let (step, out) = (interior[axis] + 1, instruction.ty.shape[axis] as i64);
            // From the first to the last whose place, low + index × step, is within the result.
            let reach = |places: i64| (places.max(0) as usize).div_ceil(step).min(shape[axis]);
            (start[axis], limit[axis]) = (reach(-low[axis]), reach(out - low[axis]));
            start[axis] = start[axis].min(limit[axis]);
            if limit[axis] > start[axis] {
                let place = (low[axis] + (start[axis] * step) as i64) as usize;
                to.base += place * to.axes[axis].step as usize;
            }
            let step = to.axes[axis].step * step as isize;
            to.axes[axis] = Axis { length: limit[axis] - start[axis], step };
        }
        let from = Affine::dense(shape).sliced(&start, &limit, &vec![1; shape.len()]);
        let (element, len) = (instruction.ty.element, instruction.ty.len());
        if from.len() == len && to.form() == Form::Part(0) {
            return self.places(x, from);
        }
        self.push(Operation::Pad(Moved { from, to }), vec![x], element, len)
    }

    fn concatenate(&mut self, instruction: &Instruction, axis: usize) -> usize {
        let ty = &instruction.ty;
        let parts = instruction.operands.iter().map(|&operand| self.of[operand]);
        let parts: Vec<usize> = parts.filter(|&part| self.nodes[part].len > 0).collect();
        match parts[..] {
            [one] => one,
            _ => {
                let outer = ty.shape[..axis].iter().product();
                self.push(Operation::Concatenate { outer }, parts, ty.element, ty.len())
            }
        }
    }

    /// One reduction for each run of neighbouring axes, the last ones first.
    fn reduce(&mut self, instruction: &Instruction, reduction: Reduction, axes: &[usize]) -> usize {
        let operand = instruction.operands[0];
        let mut runs: Vec<(bool, usize)> = vec![];
        for (axis, &length) in self.at(operand).ty.shape.iter().enumerate() {
            match (runs.last_mut(), axes.contains(&axis)) {
                _ if length == 1 => {}
                (Some((reduced, run)), is) if *reduced == is => *run *= length,
                (_, is) => runs.push((is, length)),
            }
        }
        let element = instruction.ty.element;
        // Sums of several steps are rounded once.
        let between = if element == Element::Bf16 { Element::F32 } else { element };
        let mut x = self.convert(self.of[operand], between);
        while let Some(last) = runs.iter().rposition(|&(reduced, _)| reduced) {
            let product = |runs: &[(bool, usize)]| runs.iter().map(|run| run.1).product::<usize>();
            let (outer, inner) = (product(&runs[..last]), product(&runs[last + 1..]));
            let reduce = Reduce { reduction, length: runs.remove(last).1, inner };
            x = self.push(Operation::Reduce(reduce), vec![x], between, outer * inner);
        }
        self.convert(x, element)
    }

    fn dot(&mut self, instruction: &Instruction, dot: &Dot) -> usize {
        let shapes = [0, 1].map(|side| self.at(instruction.operands[side]).ty.shape.clone());
        // The order in which axes are summed over is free: the left operand's own.
        let mut summed: Vec<(usize, usize)> =
            dot.contracting[0].iter().copied().zip(dot.contracting[1].iter().copied()).collect();
        summed.sort_unstable();
        let summed = [0, 1].map(|side| {
            summed.iter().map(|pair| if side == 0 { pair.0 } else { pair.1 }).collect::<Vec<_>>()
        });
        let free = [0, 1].map(|side| {
            let taken = [&dot.batch[side][..], &summed[side]].concat();
            (0..shapes[side].len()).filter(|axis| !taken.contains(axis)).collect::<Vec<_>>()
        });
        let length = |side: usize, axes: &[usize]| -> usize {
            axes.iter().map(|&axis| shapes[side][axis]).product()
        };
        let size = [length(0, &free[0]), length(1, &free[1]), length(0, &summed[0])];
        let stacked = length(0, &dot.batch[0]);
        let [(a, left), (b, right)] = [0, 1].map(|side| {
            let orders = [
                [&dot.batch[side][..], &free[side], &summed[side]].concat(),
                [&dot.batch[side][..], &summed[side], &free[side]].concat(),
            ];
            self.matrix(instruction.operands[side], orders)
        });
        // The left operand lies plain with its rows first, the right one with its depth first.
        let product = Product { stacked, size, transposed: [left, !right], rounded: dot.rounded };
        let len = instruction.ty.len();
        let made = self.push(Operation::Dot(product), vec![a, b], Element::F32, len);
        self.convert(made, instruction.ty.element)
    }

    /// An operand with its axes in the first order, or in the second, which `true` says: where it lies so,
    /// itself, else a copy.
    fn matrix(&mut self, operand: usize, orders: [Vec<usize>; 2]) -> (usize, bool) {
        let shape = &self.at(operand).ty.shape;
        let whole = self.of[operand];
        let (x, places) = match &self.nodes[whole] {
            Node { operation: Operation::Copy(places), operands, .. }
                if places.axes.iter().map(|axis| axis.length).eq(shape.iter().copied()) =>
            {
                (operands[0], places.clone())
            }
            _ => (whole, Affine::dense(shape)),
        };
        for (turned, order) in [false, true].into_iter().zip(&orders) {
            let places = places.permuted(order);
            if let Form::Part(offset) = places.form() {
                let part = self.part(x, offset, places.len());
                return (self.convert(part, Element::F32), turned);
            }
        }
        let copy = self.places(x, places.permuted(&orders[0]));
        (self.convert(copy, Element::F32), false)
    }

    fn network(
        &self,
        instruction: &Instruction,
        plan: &std::sync::Arc<Plan>,
    ) -> Result<Network, Unsupported> {
        let operation = &instruction.operation;
        let [batch, _, height, width] = self.at(instruction.operands[0]).ty.shape[..] else {
            unreachable!("a network's types are checked")
        };
        let odd = |kernel: usize| kernel % 2 == 1;
        if plan.replicas != 1 {
            return Err(unsupported(operation, "there is one replica on the CPU"));
        }
        if !plan.precision.is_float() {
            return Err(unsupported(operation, "activations are f32 or bf16"));
        }
        if batch == 0 {
            return Err(unsupported(operation, "there are no images"));
        }
        if !plan.units().all(|unit| odd(unit.kernel) && unit.stride > 0) {
            return Err(unsupported(operation, "kernels must be odd, and strides above 0"));
        }
        if plan.blocks.iter().any(|block| block.main.is_empty()) {
            return Err(unsupported(operation, "a block has no convolution"));
        }
        Ok(Network { plan: plan.clone(), batch, size: [height, width] })
    }

    fn gradient(&mut self, instruction: &Instruction) -> Result<usize, Unsupported> {
        let [train, g] = instruction.operands[..] else { unreachable!("types are checked") };
        let Operation::Train(network) = &self.nodes[self.of[train]].operation else {
            let problem = "its first operand is no residual_train";
            return Err(unsupported(&instruction.operation, problem));
        };
        let operation = Operation::Gradient(network.clone());
        let [images, parameters] = [0, 1].map(|at| self.nodes[self.of[train]].operands[at]);
        let operands = vec![self.of[train], self.of[g], images, parameters];
        Ok(self.push(operation, operands, Element::F32, instruction.ty.len()))
    }
}

fn unsupported(operation: &Op, problem: &str) -> Unsupported {
    Unsupported { operation: operation.name(), problem: problem.to_owned() }
}
