//! Kernels at work: blocks of elements through registers, tasks cut by shape alone.

use cpu_kernels::{Level, Work};
use graph::{Element, Reduction};
use rayon::prelude::*;

use crate::block::{
    Operand, TWICE, binary, bits, compare, convert, iota, load, product, put, select, unary,
};
use crate::kernel::{Access, Function, Instruction, Kernel, Number, Source, Sum, Target};
use crate::tensor::{Slice, SliceMut};

/// Elements of a register: a few of them stay in the first-level cache.
const BLOCK: usize = 512;
/// The least elements of a task.
const TASK: usize = 1 << 14;
/// As many tasks as there are at most.
const TASKS: usize = 64;
/// Partial sums of a row.
const LANES: usize = 16;

/// Where a leaf's elements are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound<'a> {
    Read(Slice<'a>),
    /// Where this store's elements will be.
    Own(usize),
}

/// Runs a kernel: `stores` and `sums` are written, one of each in the kernel's order.
pub(crate) fn run(
    kernel: &Kernel,
    level: Level,
    leaves: &[Bound<'_>],
    stores: Vec<SliceMut<'_>>,
    sums: Vec<SliceMut<'_>>,
) {
    let numbers: Vec<f32> = kernel.numbers.iter().map(|number| number_of(number, leaves)).collect();
    let len = task_len(kernel);
    let count = kernel.space.div_ceil(len);
    let mut parts: Vec<Vec<SliceMut<'_>>> = (0..count).map(|_| vec![]).collect();
    for store in stores {
        parts.iter_mut().zip(store.chunks(len)).for_each(|(parts, part)| parts.push(part));
    }
    let task = |(at, stores): (usize, Vec<SliceMut<'_>>)| {
        let start = at * len;
        let end = kernel.space.min(start + len);
        level.do_work(Task { kernel, leaves, numbers: &numbers, start, end, stores })
    };
    let parts = parts.into_iter().enumerate();
    let found: Vec<Vec<Vec<f64>>> = match count {
        0 | 1 => parts.map(task).collect(),
        _ => parts.collect::<Vec<_>>().into_par_iter().map(task).collect(),
    };
    for (at, (sum, to)) in kernel.sums.iter().zip(sums).enumerate() {
        let parts = found.iter().enumerate().map(|(task, sums)| (task * len, &sums[at][..]));
        finish(sum, parts, to);
    }
}

fn number_of(number: &Number, leaves: &[Bound<'_>]) -> f32 {
    match *number {
        Number::Constant(number) => number,
        Number::Leaf(leaf) => {
            let Bound::Read(slice) = leaves[leaf] else {
                unreachable!("a number is not written where it is read")
            };
            let mut number = [0.0];
            load(slice, Access::Same, 0, &mut number);
            number[0]
        }
    }
}

/// Elements of a task: so many that its sums over columns are few beside them.
fn task_len(kernel: &Kernel) -> usize {
    let columns = kernel.sums.iter().map(|sum| sum.reduce.inner).filter(|&inner| inner > 1);
    let least = columns.map(|inner| 8 * inner).max().unwrap_or(0).max(TASK);
    least.max(kernel.space.div_ceil(TASKS)).next_multiple_of(BLOCK)
}

/// Adds the tasks' partial results, each with the place where its task begins, in their order.
fn finish<'a>(sum: &Sum, parts: impl Iterator<Item = (usize, &'a [f64])>, to: SliceMut<'_>) {
    let mut totals = vec![start_of(sum); to.read().len()];
    for (start, part) in parts {
        let first = first_of(sum, start);
        for (total, &number) in totals[first..].iter_mut().zip(part) {
            *total = match sum.reduce.reduction {
                Reduction::Sum => *total + number,
                Reduction::Maximum => greater(*total, number),
            };
        }
    }
    match to {
        SliceMut::F32(to) => to.iter_mut().zip(totals).for_each(|(to, x)| *to = x as f32),
        SliceMut::S32(to) => to.iter_mut().zip(totals).for_each(|(to, x)| *to = x as i64 as i32),
        SliceMut::Pred(to) => to.iter_mut().zip(totals).for_each(|(to, x)| *to = x > 0.0),
        SliceMut::U8(to) => to.iter_mut().zip(totals).for_each(|(to, x)| *to = x as i64 as u8),
        SliceMut::Bf16(to) => {
            let round = |x: f64| cpu_kernels::bf16::from_f32(x as f32);
            to.iter_mut().zip(totals).for_each(|(to, x)| *to = round(x));
        }
    }
}

/// What a sum or maximum of nothing is.
fn start_of(sum: &Sum) -> f64 {
    match (sum.reduce.reduction, sum.element) {
        (Reduction::Maximum, Element::F32 | Element::Bf16) => f64::NEG_INFINITY,
        (Reduction::Maximum, Element::S32) => f64::from(i32::MIN),
        _ => 0.0,
    }
}

/// The first result to which elements from place `start` on belong.
fn first_of(sum: &Sum, start: usize) -> usize {
    let inner = sum.reduce.inner;
    start / (sum.reduce.length * inner) * inner
}

#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    let greater = if a > b { a } else { b };
    if a.is_nan() { a } else { greater }
}

/// A run of elements.
struct Task<'a> {
    kernel: &'a Kernel,
    leaves: &'a [Bound<'a>],
    numbers: &'a [f32],
    start: usize,
    end: usize,
    /// This task's part of each.
    stores: Vec<SliceMut<'a>>,
}

impl Work for Task<'_> {
    /// The partial results of each sum.
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run(mut self) -> Vec<Vec<f64>> {
        let kernel = self.kernel;
        let longest = BLOCK.min(self.end - self.start);
        let mut registers = vec![vec![0.0f32; longest]; kernel.registers];
        let mut sums: Vec<Vec<f64>> = kernel.sums.iter().map(|sum| self.partial(sum)).collect();
        let mut at = self.start;
        while at < self.end {
            let count = longest.min(self.end - at);
            for instruction in &kernel.instructions {
                match instruction.to {
                    Target::Register(register) => {
                        let mut to = std::mem::take(&mut registers[register]);
                        self.step(instruction, &registers, at, &mut to[..count]);
                        registers[register] = to;
                    }
                    Target::Store(store) => {
                        let mut kept = self.take(store);
                        let from = at - self.start;
                        let to = &mut kept.reborrow().f32()[from..from + count];
                        self.step(instruction, &registers, at, to);
                        self.stores[store] = kept;
                    }
                }
            }
            for (sum, partial) in kernel.sums.iter().zip(&mut sums) {
                let x = self.operand(sum.source, &registers, at, count);
                add(sum, at, count, x, partial, first_of(sum, self.start));
            }
            self.store(&registers, at, count);
            at += count;
        }
        sums
    }
}

impl<'a> Task<'a> {
    /// A sum's results before the first element.
    #[inline(always)]
    fn partial(&self, sum: &Sum) -> Vec<f64> {
        let last = first_of(sum, self.end - 1) + sum.reduce.inner;
        vec![start_of(sum); last - first_of(sum, self.start)]
    }

    #[inline(always)]
    fn operand<'b>(
        &'b self,
        source: Source,
        registers: &'b [Vec<f32>],
        at: usize,
        count: usize,
    ) -> Operand<'b> {
        match source {
            Source::Register(register) => Operand::Block(&registers[register][..count]),
            Source::Number(number) => Operand::Number(self.numbers[number]),
            Source::Leaf(leaf) => match self.leaves[leaf] {
                Bound::Read(slice) => Operand::Block(&slice.f32()[at..at + count]),
                Bound::Own(store) => self.stored(store, at, count),
            },
            Source::Store(store) => self.stored(store, at, count),
        }
    }

    /// What is in a store's place; where that is being written, what was there before.
    #[inline(always)]
    fn stored(&self, store: usize, at: usize, count: usize) -> Operand<'_> {
        let from = at - self.start;
        match self.stores[store].read().f32() {
            [] => Operand::Before,
            all => Operand::Block(&all[from..from + count]),
        }
    }

    /// A store's place, to be put back.
    #[inline(always)]
    fn take(&mut self, store: usize) -> SliceMut<'a> {
        std::mem::replace(&mut self.stores[store], SliceMut::F32(&mut []))
    }

    #[inline(always)]
    fn step(&self, instruction: &Instruction, registers: &[Vec<f32>], at: usize, to: &mut [f32]) {
        let count = to.len();
        let operand =
            |which: usize| self.operand(instruction.operands[which], registers, at, count);
        match instruction.function {
            Function::Load(leaf) => {
                let access = self.kernel.leaves[leaf].access;
                match self.leaves[leaf] {
                    Bound::Read(slice) => load(slice, access, at, to),
                    Bound::Own(store) => {
                        load(self.stores[store].read(), access, at - self.start, to);
                    }
                }
            }
            Function::Iota { each, length, element } => iota(each, length, element, at, to),
            Function::Unary(function, element) => {
                let x = operand(0);
                unary(function, element, x, to);
            }
            Function::Binary(function, element) => {
                let (a, b) = (operand(0), operand(1));
                binary(function, element, a, b, to);
            }
            Function::Product(term) => {
                let operands = [operand(0), operand(1), operand(2)];
                product(term, operands, to);
            }
            Function::Compare(comparison, element) => {
                let (a, b) = (operand(0), operand(1));
                compare(comparison, element, a, b, to);
            }
            Function::Select => {
                let (which, a, b) = (operand(0), operand(1), operand(2));
                select(which, a, b, to);
            }
            Function::Convert(types) => {
                let x = operand(0);
                convert(types, x, to);
            }
        }
    }

    #[inline(always)]
    fn store(&mut self, registers: &[Vec<f32>], at: usize, count: usize) {
        for (number, store) in self.kernel.stores.iter().enumerate() {
            if store.source == Source::Store(number) {
                continue;
            }
            let mut to = self.take(number);
            let from = at - self.start;
            let x = self.operand(store.source, registers, at, count);
            put(x, &mut to, from, count);
            self.stores[number] = to;
        }
    }
}

/// Adds a block's elements to a task's partial results.
#[inline(always)]
fn add(sum: &Sum, at: usize, count: usize, x: Operand<'_>, partial: &mut [f64], first: usize) {
    let repeated;
    let x = match x {
        Operand::Block(x) => x,
        Operand::Number(number) => {
            repeated = vec![number; count];
            &repeated[..]
        }
        Operand::Before => unreachable!("{TWICE}"),
    };
    match (sum.element.is_float(), sum.reduce.reduction) {
        (true, Reduction::Sum) => add_as(sum, at, x, partial, first, f64::from, |a, b| a + b),
        (true, Reduction::Maximum) => add_as(sum, at, x, partial, first, f64::from, greater),
        (false, Reduction::Sum) => {
            add_as(sum, at, x, partial, first, |x| f64::from(bits(x)), |a, b| a + b);
        }
        (false, Reduction::Maximum) => {
            add_as(sum, at, x, partial, first, |x| f64::from(bits(x)), greater);
        }
    }
}

#[inline(always)]
fn add_as(
    sum: &Sum,
    at: usize,
    x: &[f32],
    partial: &mut [f64],
    first: usize,
    read: impl Fn(f32) -> f64,
    join: impl Fn(f64, f64) -> f64,
) {
    let (length, inner) = (sum.reduce.length, sum.reduce.inner);
    let mut done = 0;
    while done < x.len() {
        let place = at + done;
        if inner == 1 {
            let count = (length - place % length).min(x.len() - done);
            let total = &mut partial[place / length - first];
            *total = join(*total, row(start_of(sum), &x[done..done + count], &read, &join));
            done += count;
        } else {
            let column = place % inner;
            let count = (inner - column).min(x.len() - done);
            let to = place / (length * inner) * inner + column - first;
            let to = partial[to..to + count].iter_mut();
            to.zip(&x[done..]).for_each(|(total, &x)| *total = join(*total, read(x)));
            done += count;
        }
    }
}

/// A row's elements brought down to one.
#[inline(always)]
fn row(start: f64, x: &[f32], read: &impl Fn(f32) -> f64, join: &impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [start; LANES];
    let (whole, rest) = x.as_chunks::<LANES>();
    for part in whole {
        for lane in 0..LANES {
            lanes[lane] = join(lanes[lane], read(part[lane]));
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, &x)| *lane = join(*lane, read(x)));
    lanes.into_iter().fold(start, join)
}
