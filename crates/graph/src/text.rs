//! Programs as StableHLO text, as XLA's plugins take it.

use std::fmt::{Display, Write as _};

use crate::operation::{Comparison, Convolution, Dot, Reduction, Window};
use crate::{Element, Instruction, Operation, Program, Type};

impl Program {
    /// The program as an MLIR module of StableHLO operations, residual networks
    /// [unfolded](Program::unfolded).
    ///
    /// Its function is `@main`; arguments come in the order of [`Program::inputs`], results in that of
    /// [`Program::outputs`]. An input that [becomes](crate::Input::becomes) an output is given up for it
    /// (`tf.aliasing_output`). Single precision is meant as it is: convolutions and products of f32 ask
    /// for the highest precision, unless they are [`rounded`](Dot::rounded).
    ///
    /// # Panics
    /// As [`Program::unfolded`].
    pub fn text(&self) -> String {
        Printer::new(&self.unfolded()).module()
    }
}

/// Writes one program.
struct Printer<'a> {
    program: &'a Program,
    /// What each instruction's result is called.
    names: Vec<String>,
    body: String,
}

impl<'a> Printer<'a> {
    fn new(program: &'a Program) -> Self {
        let mut names: Vec<String> =
            (0..program.instructions().len()).map(|id| format!("%{id}")).collect();
        for (at, input) in program.inputs().iter().enumerate() {
            if let Some(id) = input.id {
                names[id] = format!("%arg{at}");
            }
        }
        for (id, instruction) in program.instructions().iter().enumerate() {
            if instruction.operation == Operation::StopGradient {
                names[id] = names[instruction.operands[0]].clone();
            }
        }
        Self { program, names, body: String::new() }
    }

    fn module(mut self) -> String {
        for id in 0..self.program.instructions().len() {
            self.instruction(id);
        }
        let outputs = self.program.outputs();
        let arguments = listed(self.program.inputs().iter().enumerate().map(|(at, input)| {
            let given_up = input.becomes.map_or_else(String::new, |output| {
                format!(" {{tf.aliasing_output = {output} : i32}}")
            });
            format!("%arg{at}: {}{given_up}", tensor(&input.ty))
        }));
        let types = listed((0..outputs.len()).map(|at| tensor(self.program.output_type(at))));
        let results = listed(outputs.iter().map(|output| &self.names[output.id]));
        let colon = if outputs.is_empty() { "" } else { " : " };
        format!(
            "module @program attributes {{mhlo.num_partitions = 1 : i32, \
             mhlo.num_replicas = {} : i32}} {{\n  \
             func.func public @main({arguments}) -> ({types}) {{\n{}    \
             return {results}{colon}{types}\n  }}\n}}\n",
            self.program.replicas(),
            self.body,
        )
    }

    /// Writes `statement`, its result called `name`.
    fn line(&mut self, name: &str, statement: impl Display) {
        writeln!(self.body, "    {name} = {statement}")
            .expect("a string takes whatever is written");
    }

    fn instruction(&mut self, id: usize) {
        let program = self.program;
        let instruction = &program.instructions()[id];
        let before = |at: &usize| (self.names[*at].clone(), program.instructions()[*at].ty.clone());
        let (names, types): (Vec<String>, Vec<Type>) =
            instruction.operands.iter().map(before).unzip();
        let call = Call { id, instruction, names, types };
        if let Some(statement) = self.statement(&call) {
            let name = self.names[id].clone();
            self.line(&name, statement);
        }
    }

    /// What computes an instruction's result; nothing where it is there already. Constants that it
    /// needs are written first.
    fn statement(&mut self, call: &Call<'_>) -> Option<String> {
        use Operation as Op;
        let Instruction { operation, ty, .. } = call.instruction;
        let name = operation.name();
        let to = tensor(ty);
        Some(match operation {
            Op::Parameter(_) | Op::StopGradient => return None,
            Op::Constant(number) => constant(number.value(), ty),
            Op::Iota(axis) => format!("stablehlo.iota dim = {axis} : {to}"),
            Op::Unary(_) | Op::Binary(_) => call.plain(""),
            Op::Compare(comparison) => call.compare(*comparison),
            Op::Select => call.select(),
            Op::Convert | Op::Reshape => call.typed(name, ""),
            Op::BroadcastInDim(axes) => call.typed(name, &format!(", dims = {axes:?}")),
            Op::Transpose(permutation) => call.typed(name, &format!(", dims = {permutation:?}")),
            Op::Slice { start, limit, stride } => call.slice(start, limit, stride),
            Op::Pad { low, high, interior } => {
                let zero = self.constant_for(call, "zero", 0.0);
                call.pad(&zero, low, high, interior)
            }
            Op::Concatenate(axis) => call.typed(name, &format!(", dim = {axis}")),
            Op::Reverse(axes) => call.plain(&format!(", dims = {axes:?}")),
            Op::Reduce(reduction, axes) => {
                let start = self.constant_for(call, "start", reduction.start(ty.element));
                call.reduce(*reduction, axes, &start)
            }
            Op::MaxPool(window) => {
                let least = Reduction::Maximum.start(ty.element);
                let start = self.constant_for(call, "start", least);
                call.max_pool(window, &start)
            }
            Op::SelectAndScatter(window) => {
                let zero = self.constant_for(call, "zero", 0.0);
                call.select_and_scatter(window, &zero)
            }
            Op::DotGeneral(dot) => self.dot_general(call, dot),
            Op::Convolution(of) => call.convolution(of),
            Op::Gather => call.gather(),
            Op::Scatter(_) => {
                let none = call.named("none");
                self.line(&none, constant(0.0, ty));
                call.scatter(&none)
            }
            Op::DynamicSlice(_) => {
                let places = self.places(call, &call.names[1]);
                call.dynamic(1, &places, &format!(", sizes = {:?}", ty.shape))
            }
            Op::DynamicUpdateSlice => {
                let places = self.places(call, &call.names[2]);
                call.dynamic(2, &places, "")
            }
            Op::AllReduce { replicas } => {
                call.collective(*replicas, "", Some(region("stablehlo.add", ty.element)))
            }
            Op::AllGather { replicas } => {
                call.collective(*replicas, "all_gather_dim = 0 : i64, ", None)
            }
            Op::ReplicaId => {
                let unsigned = call.named("unsigned");
                self.line(&unsigned, "stablehlo.replica_id : tensor<ui32>");
                format!("stablehlo.convert {unsigned} : (tensor<ui32>) -> {to}")
            }
            Op::ResidualTrain(_)
            | Op::ResidualStatistics
            | Op::ResidualGradient
            | Op::ResidualEval(_) => unreachable!("{name} is unfolded before it is printed"),
        })
    }

    /// A scalar of the result's element type, written before the instruction that needs it.
    fn constant_for(&mut self, call: &Call<'_>, what: &str, value: f64) -> String {
        let name = call.named(what);
        self.line(&name, constant(value, &Type::new(call.instruction.ty.element, [])));
        name
    }

    /// Where a part of the first axis begins: there `at`, elsewhere 0.
    fn places(&mut self, call: &Call<'_>, at: &str) -> String {
        let rank = call.instruction.ty.rank();
        let zero = call.named("zero");
        if rank > 1 {
            self.line(&zero, constant(0.0, &Type::new(Element::S32, [])));
        }
        listed(std::iter::once(at).chain(vec![&*zero; rank - 1]))
    }

    /// Rounded, the operands are converted first; the sums are f32 all the same.
    fn dot_general(&mut self, call: &Call<'_>, dot: &Dot) -> String {
        let [mut sides, mut types] =
            [call.names.clone(), call.types.iter().map(tensor).collect::<Vec<_>>()];
        let single = call.instruction.ty.element == Element::F32;
        if single && dot.rounded {
            for at in [0, 1] {
                let to = tensor(&Type::new(Element::Bf16, call.types[at].shape.clone()));
                let rounded = call.named(["left", "right"][at]);
                self.line(
                    &rounded,
                    format!("stablehlo.convert {} : ({}) -> {to}", sides[at], types[at]),
                );
                (sides[at], types[at]) = (rounded, to);
            }
        }
        let exact = if single && !dot.rounded { ", precision = [HIGHEST, HIGHEST]" } else { "" };
        let stacked = match &dot.batch {
            [a, _] if a.is_empty() => String::new(),
            [a, b] => format!(" batching_dims = {a:?} x {b:?},"),
        };
        let [a, b] = &dot.contracting;
        format!(
            "stablehlo.dot_general {},{stacked} contracting_dims = {a:?} x {b:?}{exact} : ({}) -> {}",
            listed(&sides),
            listed(&types),
            tensor(&call.instruction.ty),
        )
    }
}

/// One instruction with its operands' names and types.
struct Call<'a> {
    id: usize,
    instruction: &'a Instruction,
    names: Vec<String>,
    types: Vec<Type>,
}

impl Call<'_> {
    /// The name of a value that this instruction needs beside its operands.
    fn named(&self, what: &str) -> String {
        format!("%{what}{}", self.id)
    }

    fn operands<const N: usize>(&self) -> [&String; N] {
        std::array::from_fn(|at| &self.names[at])
    }

    /// Operands' types and the result's.
    fn signature(&self) -> String {
        let from = listed(self.types.iter().map(tensor));
        format!("({from}) -> {}", tensor(&self.instruction.ty))
    }

    /// An operation whose operands have the result's type.
    fn plain(&self, attributes: &str) -> String {
        let name = self.instruction.operation.name();
        let of = tensor(&self.instruction.ty);
        format!("stablehlo.{name} {}{attributes} : {of}", listed(&self.names))
    }

    fn typed(&self, name: &str, attributes: &str) -> String {
        format!("stablehlo.{name} {}{attributes} : {}", listed(&self.names), self.signature())
    }

    fn select(&self) -> String {
        let [which, to] = [&self.types[0], &self.instruction.ty].map(tensor);
        format!("stablehlo.select {} : {which}, {to}", listed(&self.names))
    }

    fn compare(&self, comparison: Comparison) -> String {
        let direction = match comparison {
            Comparison::Eq => "EQ",
            Comparison::Ge => "GE",
            Comparison::Gt => "GT",
            Comparison::Le => "LE",
            Comparison::Lt => "LT",
            Comparison::Ne => "NE",
        };
        let kind = match self.types[0].element {
            Element::F32 | Element::Bf16 => "FLOAT",
            Element::S32 => "SIGNED",
            Element::U8 | Element::Pred => "UNSIGNED",
        };
        let operands = listed(&self.names);
        format!("stablehlo.compare {direction}, {operands}, {kind} : {}", self.signature())
    }

    fn slice(&self, start: &[usize], limit: &[usize], stride: &[usize]) -> String {
        let ranges = (0..start.len())
            .map(|axis| format!("{}:{}:{}", start[axis], limit[axis], stride[axis]));
        format!("stablehlo.slice {} [{}] : {}", self.names[0], listed(ranges), self.signature())
    }

    fn pad(&self, zero: &str, low: &[i64], high: &[i64], interior: &[usize]) -> String {
        let Instruction { ty, .. } = self.instruction;
        format!(
            "stablehlo.pad {}, {zero}, low = {low:?}, high = {high:?}, interior = {interior:?} : \
             ({}, tensor<{}>) -> {}",
            self.names[0],
            tensor(&self.types[0]),
            ty.element,
            tensor(ty),
        )
    }

    fn reduce(&self, reduction: Reduction, axes: &[usize], start: &str) -> String {
        let Instruction { ty, .. } = self.instruction;
        format!(
            "stablehlo.reduce({} init: {start}) applies {} across dimensions = {axes:?} : \
             ({}, tensor<{}>) -> {}",
            self.names[0],
            combining(reduction, ty.element),
            tensor(&self.types[0]),
            ty.element,
            tensor(ty),
        )
    }

    fn max_pool(&self, window: &Window, start: &str) -> String {
        let Instruction { ty, .. } = self.instruction;
        format!(
            "\"stablehlo.reduce_window\"({}, {start}) <{{{}}}> ({}) : ({}, tensor<{}>) -> {}",
            self.names[0],
            attributes(window),
            region(combining(Reduction::Maximum, ty.element), ty.element),
            tensor(&self.types[0]),
            ty.element,
            tensor(ty),
        )
    }

    fn select_and_scatter(&self, window: &Window, zero: &str) -> String {
        let Instruction { ty, .. } = self.instruction;
        let element = ty.element;
        let kind = if element.is_float() { "FLOAT" } else { "SIGNED" };
        format!(
            "\"stablehlo.select_and_scatter\"({}, {zero}) <{{{}}}> ({{\n    \
             ^bb0(%a: tensor<{element}>, %b: tensor<{element}>):\n      \
             %c = stablehlo.compare GE, %a, %b, {kind} : \
             (tensor<{element}>, tensor<{element}>) -> tensor<i1>\n      \
             stablehlo.return %c : tensor<i1>\n    }}, {}) : ({}, tensor<{element}>) -> {}",
            listed(&self.names),
            attributes(window),
            region("stablehlo.add", element),
            listed(self.types.iter().map(tensor)),
            tensor(ty),
        )
    }

    fn convolution(&self, of: &Convolution) -> String {
        let (left, kernel, out) =
            (axes(&of.lhs, ["b", "f"]), axes(&of.rhs, ["o", "i"]), axes(&of.out, ["b", "f"]));
        let exact = match self.instruction.ty.element {
            Element::F32 => {
                ", precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>]"
            }
            _ => "",
        };
        format!(
            "stablehlo.convolution({}) dim_numbers = {left}x{kernel}->{out}, window = \
             {{stride = {:?}, pad = {:?}, lhs_dilate = {:?}, rhs_dilate = {:?}}} \
             {{batch_group_count = 1 : i64, feature_group_count = 1 : i64{exact}}} : {}",
            listed(&self.names),
            of.stride,
            of.padding,
            of.lhs_dilation,
            of.rhs_dilation,
            self.signature(),
        )
    }

    /// An operation on a part of the first axis, which begins at `places`; `operands` come before them.
    fn dynamic(&self, operands: usize, places: &str, attributes: &str) -> String {
        let Instruction { operation, ty, .. } = self.instruction;
        let indices = vec!["tensor<i32>".to_owned(); ty.rank()];
        let from = self.types[..operands].iter().map(tensor).chain(indices);
        format!(
            "stablehlo.{} {}, {places}{attributes} : ({}) -> {}",
            operation.name(),
            listed(&self.names[..operands]),
            listed(from),
            tensor(ty),
        )
    }

    fn gather(&self) -> String {
        let [offsets, row] = rows(&self.types[0]);
        format!(
            "\"stablehlo.gather\"({}) <{{dimension_numbers = #stablehlo.gather<\
             offset_dims = {offsets:?}, collapsed_slice_dims = [0], start_index_map = [0], \
             index_vector_dim = 1>, indices_are_sorted = false, slice_sizes = {}}}> : {}",
            listed(&self.names),
            array(&row),
            self.signature(),
        )
    }

    /// Into `none`, zeros.
    fn scatter(&self, none: &str) -> String {
        let Instruction { ty, .. } = self.instruction;
        let [windows, _] = rows(ty);
        let ([rows, places], [values, at]) =
            (self.operands(), [0, 1].map(|at| tensor(&self.types[at])));
        let to = tensor(ty);
        format!(
            "\"stablehlo.scatter\"({none}, {places}, {rows}) <{{indices_are_sorted = false, \
             scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = {windows:?}, \
             inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], \
             index_vector_dim = 1>, unique_indices = false}}> ({}) : ({to}, {at}, {values}) -> {to}",
            region("stablehlo.add", ty.element),
        )
    }

    /// An operation over all replicas.
    fn collective(&self, replicas: usize, attributes: &str, region: Option<String>) -> String {
        let name = self.instruction.operation.name();
        let region = region.map_or_else(String::new, |region| format!(" ({region})"));
        format!(
            "\"stablehlo.{name}\"({}) <{{{attributes}\
             replica_groups = dense<[{:?}]> : tensor<1x{replicas}xi64>}}>{region} : {}",
            self.names[0],
            (0..replicas).collect::<Vec<_>>(),
            self.signature(),
        )
    }
}

/// The axes behind a tensor's first, and its shape with one row.
fn rows(x: &Type) -> [Vec<usize>; 2] {
    let mut row = x.shape.clone();
    row[0] = 1;
    [(1..x.rank()).collect(), row]
}

fn listed<T: Display>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(", ")
}

fn tensor(ty: &Type) -> String {
    let lengths: String = ty.shape.iter().map(|length| format!("{length}x")).collect();
    format!("tensor<{lengths}{}>", ty.element)
}

/// `array<i64: 1, 2>`
fn array(numbers: &[usize]) -> String {
    match numbers {
        [] => "array<i64>".to_owned(),
        _ => format!("array<i64: {}>", listed(numbers)),
    }
}

fn attributes(window: &Window) -> String {
    format!(
        "padding = dense<{:?}> : tensor<{}x2xi64>, window_dimensions = {}, window_strides = {}",
        window.padding,
        window.padding.len(),
        array(&window.lengths),
        array(&window.strides),
    )
}

/// `[b, 0, 1, f]`: what each axis is, from where the batch, the features and the spatial axes are.
fn axes(places: &[usize; 4], [first, second]: [&str; 2]) -> String {
    let mut names = [""; 4];
    for (&place, name) in places.iter().zip([first, second, "0", "1"]) {
        names[place] = name;
    }
    format!("[{}]", listed(names))
}

/// What brings two elements down to one.
fn combining(reduction: Reduction, element: Element) -> &'static str {
    match (reduction, element) {
        (Reduction::Maximum, _) => "stablehlo.maximum",
        (Reduction::Sum, Element::Pred) => "stablehlo.or",
        (Reduction::Sum, _) => "stablehlo.add",
    }
}

/// A region of one operation on two scalars.
fn region(operation: &str, element: Element) -> String {
    format!(
        "{{\n    ^bb0(%a: tensor<{element}>, %b: tensor<{element}>):\n      \
         %c = {operation} %a, %b : tensor<{element}>\n      \
         stablehlo.return %c : tensor<{element}>\n    }}"
    )
}

fn constant(value: f64, ty: &Type) -> String {
    let elements = if ty.is_empty() { String::new() } else { literal(value, ty.element) };
    format!("stablehlo.constant dense<{elements}> : {}", tensor(ty))
}

/// A number as MLIR reads it back exactly.
fn literal(value: f64, element: Element) -> String {
    match element {
        Element::Pred => (value != 0.0).to_string(),
        Element::S32 | Element::U8 => format!("{}", value as i64),
        // Of a bfloat16 only the upper half is written.
        Element::Bf16 if !(value as f32).is_finite() => {
            format!("0x{:04X}", (value as f32).to_bits() >> 16)
        }
        Element::F32 if !(value as f32).is_finite() => {
            format!("0x{:08X}", (value as f32).to_bits())
        }
        Element::F32 | Element::Bf16 => {
            // The shortest digits that give the number back; MLIR wants a point among them.
            let digits = format!("{value:e}");
            match digits.split_once('e') {
                Some((mantissa, exponent)) if !mantissa.contains('.') => {
                    format!("{mantissa}.0e{exponent}")
                }
                _ => digits,
            }
        }
    }
}
