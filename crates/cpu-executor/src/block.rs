//! What a kernel's instructions do with blocks of elements, in loops that the compiler vectorises.

use graph::{Binary, Comparison, Element, Unary};

use crate::functions;
use crate::kernel::{Access, Term};
use crate::tensor::{Slice, SliceMut};

/// Why what is written over is no operand twice.
pub(crate) const TWICE: &str = "an instruction may write over one of its operands";

/// Elements of a block: one each, or one number.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    Block(&'a [f32]),
    Number(f32),
    /// Those that are there before they are written over.
    Before,
}

#[inline(always)]
pub(crate) fn bits(x: f32) -> i32 {
    x.to_bits() as i32
}

#[inline(always)]
fn whole(x: i32) -> f32 {
    f32::from_bits(x as u32)
}

/// Elements of a leaf into a register.
#[inline(always)]
pub(crate) fn load(from: Slice<'_>, access: Access, at: usize, to: &mut [f32]) {
    match from {
        Slice::F32(x) => load_as(x, access, at, to, |x| x),
        Slice::S32(x) => load_as(x, access, at, to, whole),
        Slice::Pred(x) => load_as(x, access, at, to, |x| whole(i32::from(x))),
        Slice::U8(x) => load_as(x, access, at, to, |x| whole(i32::from(x))),
        Slice::Bf16(x) => {
            load_as(x, access, at, to, |x| f32::from_bits(u32::from(x.to_bits()) << 16));
        }
    }
}

#[inline(always)]
fn load_as<T: Copy>(
    from: &[T],
    access: Access,
    at: usize,
    to: &mut [f32],
    register: impl Fn(T) -> f32,
) {
    match access {
        Access::Same => {
            let from = &from[at..at + to.len()];
            to.iter_mut().zip(from).for_each(|(to, &x)| *to = register(x));
        }
        Access::Scalar => to.fill(register(from[0])),
        Access::Repeated { each: 1, length } => {
            let mut done = 0;
            while done < to.len() {
                let first = (at + done) % length;
                let count = (length - first).min(to.len() - done);
                let run = to[done..done + count].iter_mut();
                run.zip(&from[first..]).for_each(|(to, &x)| *to = register(x));
                done += count;
            }
        }
        Access::Repeated { each, length } => {
            let mut done = 0;
            while done < to.len() {
                let place = at + done;
                let count = (each - place % each).min(to.len() - done);
                to[done..done + count].fill(register(from[place / each % length]));
                done += count;
            }
        }
    }
}

#[inline(always)]
pub(crate) fn iota(each: usize, length: usize, element: Element, at: usize, to: &mut [f32]) {
    for (offset, to) in to.iter_mut().enumerate() {
        let number = (at + offset) / each % length;
        *to = crate::kernel::encoded(number as f64, element);
    }
}

#[inline(always)]
fn map(x: Operand<'_>, to: &mut [f32], function: impl Fn(f32) -> f32) {
    match x {
        Operand::Block(x) => to.iter_mut().zip(x).for_each(|(to, &x)| *to = function(x)),
        Operand::Number(x) => to.fill(function(x)),
        Operand::Before => to.iter_mut().for_each(|to| *to = function(*to)),
    }
}

#[inline(always)]
fn zip(a: Operand<'_>, b: Operand<'_>, to: &mut [f32], function: impl Fn(f32, f32) -> f32) {
    match (a, b) {
        (Operand::Block(a), Operand::Block(b)) => {
            to.iter_mut().zip(a).zip(b).for_each(|((to, &a), &b)| *to = function(a, b));
        }
        (Operand::Block(a), Operand::Number(b)) => {
            to.iter_mut().zip(a).for_each(|(to, &a)| *to = function(a, b));
        }
        (Operand::Number(a), Operand::Block(b)) => {
            to.iter_mut().zip(b).for_each(|(to, &b)| *to = function(a, b));
        }
        (Operand::Number(a), Operand::Number(b)) => to.fill(function(a, b)),
        (Operand::Before, Operand::Block(b)) => {
            to.iter_mut().zip(b).for_each(|(to, &b)| *to = function(*to, b));
        }
        (Operand::Before, Operand::Number(b)) => {
            to.iter_mut().for_each(|to| *to = function(*to, b));
        }
        (Operand::Block(a), Operand::Before) => {
            to.iter_mut().zip(a).for_each(|(to, &a)| *to = function(a, *to));
        }
        (Operand::Number(a), Operand::Before) => {
            to.iter_mut().for_each(|to| *to = function(a, *to));
        }
        (Operand::Before, Operand::Before) => unreachable!("{TWICE}"),
    }
}

#[inline(always)]
pub(crate) fn product(term: Term, operands: [Operand<'_>; 3], to: &mut [f32]) {
    match term {
        Term::Added => zip_three(operands, to, |a, b, c| a * b + c),
        Term::Less => zip_three(operands, to, |a, b, c| a * b - c),
        Term::Taken => zip_three(operands, to, |a, b, c| c - a * b),
    }
}

/// Of three operands, of which the first is no number and the second not what is written over.
#[inline(always)]
fn zip_three([a, b, c]: [Operand<'_>; 3], to: &mut [f32], function: impl Fn(f32, f32, f32) -> f32) {
    match (a, b) {
        (Operand::Block(a), Operand::Block(b)) => match c {
            Operand::Block(c) => to
                .iter_mut()
                .zip(a)
                .zip(b)
                .zip(c)
                .for_each(|(((to, &a), &b), &c)| *to = function(a, b, c)),
            Operand::Number(c) => {
                zip(Operand::Block(a), Operand::Block(b), to, |a, b| function(a, b, c));
            }
            Operand::Before => {
                to.iter_mut().zip(a).zip(b).for_each(|((to, &a), &b)| *to = function(a, b, *to))
            }
        },
        (Operand::Before, Operand::Block(b)) => match c {
            Operand::Block(c) => {
                to.iter_mut().zip(b).zip(c).for_each(|((to, &b), &c)| *to = function(*to, b, c))
            }
            Operand::Number(c) => {
                to.iter_mut().zip(b).for_each(|(to, &b)| *to = function(*to, b, c));
            }
            Operand::Before => unreachable!("{TWICE}"),
        },
        (a, Operand::Number(b)) => zip(a, c, to, |a, c| function(a, b, c)),
        (Operand::Number(_), _) | (_, Operand::Before) => unreachable!("products are put in order"),
    }
}

/// Rounds what was computed for a narrow type.
#[inline(always)]
fn narrow(element: Element, to: &mut [f32]) {
    match element {
        Element::Bf16 => to.iter_mut().for_each(|x| *x = functions::rounded(*x)),
        Element::U8 => to.iter_mut().for_each(|x| *x = whole(bits(*x) & 0xff)),
        _ => {}
    }
}

#[inline(always)]
pub(crate) fn unary(function: Unary, element: Element, x: Operand<'_>, to: &mut [f32]) {
    match (function, element.is_float()) {
        (Unary::Abs, true) => map(x, to, f32::abs),
        (Unary::Abs, false) => map(x, to, |x| whole(bits(x).wrapping_abs())),
        (Unary::Negate, true) => map(x, to, |x| -x),
        (Unary::Negate, false) => map(x, to, |x| whole(bits(x).wrapping_neg())),
        (Unary::Sign, true) => map(x, to, functions::sign),
        (Unary::Sign, false) => map(x, to, |x| whole(bits(x).signum())),
        (Unary::Not, _) => map(x, to, |x| whole(bits(x) ^ 1)),
        (Unary::Exponential, _) => map(x, to, functions::exp),
        (Unary::ExponentialMinusOne, _) => map(x, to, f32::exp_m1),
        (Unary::Log, _) => map(x, to, functions::log),
        (Unary::LogPlusOne, _) => map(x, to, functions::log_plus_one),
        (Unary::Logistic, _) => map(x, to, functions::logistic),
        (Unary::Rsqrt, _) => map(x, to, |x| 1.0 / x.sqrt()),
        (Unary::Sqrt, _) => map(x, to, f32::sqrt),
        (Unary::Tanh, _) => map(x, to, f32::tanh),
    }
    narrow(element, to);
}

#[inline(always)]
pub(crate) fn binary(
    function: Binary,
    element: Element,
    a: Operand<'_>,
    b: Operand<'_>,
    to: &mut [f32],
) {
    match element.is_float() {
        true => binary_float(function, a, b, to),
        false => {
            zip(a, b, to, |a, b| whole(binary_whole(function, bits(a), bits(b))));
        }
    }
    narrow(element, to);
}

#[inline(always)]
fn binary_float(function: Binary, a: Operand<'_>, b: Operand<'_>, to: &mut [f32]) {
    match function {
        Binary::Add => zip(a, b, to, |a, b| a + b),
        Binary::Subtract => zip(a, b, to, |a, b| a - b),
        Binary::Multiply => zip(a, b, to, |a, b| a * b),
        Binary::Divide => zip(a, b, to, |a, b| a / b),
        Binary::Maximum => zip(a, b, to, functions::maximum),
        Binary::Minimum => zip(a, b, to, functions::minimum),
        Binary::Remainder => zip(a, b, to, |a, b| a % b),
        Binary::And | Binary::Or => unreachable!("types are checked: these are of truth values"),
    }
}

/// Integers wrap; a division by 0 gives -1 and leaves the dividend, as XLA has it.
#[inline(always)]
fn binary_whole(function: Binary, a: i32, b: i32) -> i32 {
    match function {
        Binary::Add => a.wrapping_add(b),
        Binary::Subtract => a.wrapping_sub(b),
        Binary::Multiply => a.wrapping_mul(b),
        Binary::Divide if b == 0 => -1,
        Binary::Divide => a.wrapping_div(b),
        Binary::Remainder if b == 0 => a,
        Binary::Remainder => a.wrapping_rem(b),
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        Binary::And => a & b,
        Binary::Or => a | b,
    }
}

#[inline(always)]
pub(crate) fn compare(
    comparison: Comparison,
    element: Element,
    a: Operand<'_>,
    b: Operand<'_>,
    to: &mut [f32],
) {
    match element.is_float() {
        true => compare_as(comparison, a, b, to, |x| x),
        false => compare_as(comparison, a, b, to, bits),
    }
}

#[inline(always)]
fn compare_as<T: PartialOrd>(
    comparison: Comparison,
    a: Operand<'_>,
    b: Operand<'_>,
    to: &mut [f32],
    read: impl Fn(f32) -> T,
) {
    let truth = |is: bool| whole(i32::from(is));
    match comparison {
        Comparison::Eq => zip(a, b, to, |a, b| truth(read(a) == read(b))),
        Comparison::Ne => zip(a, b, to, |a, b| truth(read(a) != read(b))),
        Comparison::Gt => zip(a, b, to, |a, b| truth(read(a) > read(b))),
        Comparison::Ge => zip(a, b, to, |a, b| truth(read(a) >= read(b))),
        Comparison::Lt => zip(a, b, to, |a, b| truth(read(a) < read(b))),
        Comparison::Le => zip(a, b, to, |a, b| truth(read(a) <= read(b))),
    }
}

#[inline(always)]
pub(crate) fn select(which: Operand<'_>, a: Operand<'_>, b: Operand<'_>, to: &mut [f32]) {
    let which = match which {
        Operand::Block(which) => which,
        Operand::Number(which) => {
            let chosen = if bits(which) != 0 { a } else { b };
            return map(chosen, to, |x| x);
        }
        Operand::Before => unreachable!("{TWICE}"),
    };
    let pick = |which: f32, a: f32, b: f32| if bits(which) != 0 { a } else { b };
    let to = to.iter_mut().zip(which);
    match (a, b) {
        (Operand::Block(a), Operand::Block(b)) => {
            to.zip(a).zip(b).for_each(|(((to, &w), &a), &b)| *to = pick(w, a, b));
        }
        (Operand::Block(a), Operand::Number(b)) => {
            to.zip(a).for_each(|((to, &w), &a)| *to = pick(w, a, b));
        }
        (Operand::Number(a), Operand::Block(b)) => {
            to.zip(b).for_each(|((to, &w), &b)| *to = pick(w, a, b));
        }
        (Operand::Number(a), Operand::Number(b)) => {
            to.for_each(|(to, &w)| *to = pick(w, a, b));
        }
        (Operand::Before, _) | (_, Operand::Before) => unreachable!("{TWICE}"),
    }
}

#[inline(always)]
pub(crate) fn convert([from, element]: [Element; 2], x: Operand<'_>, to: &mut [f32]) {
    let truth = |is: bool| whole(i32::from(is));
    match (from.is_float(), element) {
        (true, Element::F32 | Element::Bf16) => map(x, to, |x| x),
        (true, Element::S32) => map(x, to, |x| whole(x as i32)),
        (true, Element::U8) => map(x, to, |x| whole(i32::from(x as u8))),
        (true, Element::Pred) => map(x, to, |x| truth(x != 0.0)),
        (false, Element::F32 | Element::Bf16) => map(x, to, |x| bits(x) as f32),
        (false, Element::Pred) => map(x, to, |x| truth(bits(x) != 0)),
        (false, Element::S32 | Element::U8) => map(x, to, |x| x),
    }
    narrow(element, to);
}

/// Elements of a register to where they are kept.
#[inline(always)]
pub(crate) fn put(x: Operand<'_>, to: &mut SliceMut<'_>, from: usize, count: usize) {
    let range = from..from + count;
    match to {
        SliceMut::F32(to) => map(x, &mut to[range], |x| x),
        SliceMut::S32(to) => put_as(x, &mut to[range], bits),
        SliceMut::Pred(to) => put_as(x, &mut to[range], |x| bits(x) != 0),
        SliceMut::U8(to) => put_as(x, &mut to[range], |x| bits(x) as u8),
        SliceMut::Bf16(to) => {
            put_as(x, &mut to[range], |x| cpu_kernels::bf16::from_bits((x.to_bits() >> 16) as u16))
        }
    }
}

#[inline(always)]
fn put_as<T: Copy>(x: Operand<'_>, to: &mut [T], read: impl Fn(f32) -> T) {
    match x {
        Operand::Block(x) => to.iter_mut().zip(x).for_each(|(to, &x)| *to = read(x)),
        Operand::Number(x) => to.fill(read(x)),
        Operand::Before => unreachable!("{TWICE}"),
    }
}
