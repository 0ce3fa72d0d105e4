//! Elements that only change their places.

use rayon::prelude::*;

use crate::node::Moved;
use crate::strides::{Affine, Axis};
use crate::tensor::{Slice, SliceMut};

/// Elements of a task.
const TASK: usize = 1 << 15;
/// Side of the squares in which a matrix is turned: a line of the cache for each row.
const SQUARE: usize = 16;

/// Does the same with the elements of any type, of which operands and result are of one.
macro_rules! alike {
    ($from:expr, $to:expr, ($x:ident, $y:ident) => $body:expr) => {
        match ($from, $to) {
            (Slice::F32($x), SliceMut::F32($y)) => $body,
            (Slice::S32($x), SliceMut::S32($y)) => $body,
            (Slice::Pred($x), SliceMut::Pred($y)) => $body,
            (Slice::U8($x), SliceMut::U8($y)) => $body,
            (Slice::Bf16($x), SliceMut::Bf16($y)) => $body,
            (from, to) => unreachable!("planned as one type, found {from:?} and {to:?}"),
        }
    };
}

/// Fills `to` with elements from other places.
pub(crate) fn copy(from: Slice<'_>, places: &Affine, to: SliceMut<'_>) {
    alike!(from, to, (from, to) => copy_as(from, &places.collapsed(), to));
}

/// A plain copy.
pub(crate) fn copy_all(from: Slice<'_>, to: SliceMut<'_>) {
    alike!(from, to, (from, to) => in_parts(from, to));
}

/// Elements to other places, and zeros everywhere else.
pub(crate) fn pad(from: Slice<'_>, moved: &Moved, to: SliceMut<'_>) {
    alike!(from, to, (from, to) => {
        to.par_chunks_mut(TASK).for_each(|to| to.fill(Default::default()));
        let steps = moved.from.axes.iter().zip(&moved.to.axes);
        let axes: Vec<_> = steps.map(|(from, to)| (from.length, from.step, to.step)).collect();
        if axes.iter().all(|axis| axis.0 > 0) {
            scatter_axes(&axes, (from, moved.from.base), (to, moved.to.base));
        }
    });
}

/// Parts one behind the other in each of `outer` rows.
pub(crate) fn concatenate(parts: &[Slice<'_>], outer: usize, to: SliceMut<'_>) {
    let mut start = 0;
    let (row, mut to) = (to.read().len() / outer.max(1), to);
    for &part in parts {
        alike!(part, &mut to, (part, to) => {
            let len = part.len() / outer.max(1);
            if len > 0 {
                let rows = to.par_chunks_mut(row).zip(part.par_chunks(len));
                rows.for_each(|(to, part)| to[start..start + len].copy_from_slice(part));
                start += len;
            }
        });
    }
}

/// The rows, of `row` elements each, that `places` names; the nearest, where there is no such.
pub(crate) fn gather(from: Slice<'_>, places: &[i32], row: usize, to: SliceMut<'_>) {
    alike!(from, to, (from, to) => {
        let count = from.len() / row.max(1);
        if row > 0 && count > 0 {
            to.par_chunks_mut(row).zip(places).for_each(|(to, &place)| {
                let place = clamped(place, count - 1);
                to.copy_from_slice(&from[place * row..][..row]);
            });
        }
    });
}

/// Adds rows of `row` elements up in the places that `places` names; those that are none are left out.
pub(crate) fn scatter(from: Slice<'_>, places: &[i32], row: usize, to: SliceMut<'_>) {
    match (from, to) {
        (Slice::F32(from), SliceMut::F32(to)) => add_rows(from, places, row, to, |a, b| a + b),
        (Slice::S32(from), SliceMut::S32(to)) => add_rows(from, places, row, to, i32::wrapping_add),
        (Slice::U8(from), SliceMut::U8(to)) => add_rows(from, places, row, to, u8::wrapping_add),
        (Slice::Pred(from), SliceMut::Pred(to)) => add_rows(from, places, row, to, |a, b| a | b),
        (Slice::Bf16(from), SliceMut::Bf16(to)) => add_rows(from, places, row, to, |a, b| a + b),
        (from, to) => unreachable!("planned as one type, found {from:?} and {to:?}"),
    }
}

/// Rows of `row` elements from row `at` on, or the last ones.
pub(crate) fn dynamic_slice(from: Slice<'_>, at: i32, row: usize, to: SliceMut<'_>) {
    alike!(from, to, (from, to) => {
        let start = clamped(at, (from.len() - to.len()) / row.max(1)) * row;
        let len = to.len();
        in_parts(&from[start..start + len], to);
    });
}

/// `rows` of `row` elements over those from row `at` on, or over the last ones.
pub(crate) fn update(rows: Slice<'_>, at: i32, row: usize, to: SliceMut<'_>) {
    alike!(rows, to, (rows, to) => {
        let start = clamped(at, (to.len() - rows.len()) / row.max(1)) * row;
        in_parts(rows, &mut to[start..start + rows.len()]);
    });
}

fn clamped(place: i32, last: usize) -> usize {
    usize::try_from(place).unwrap_or(0).min(last)
}

fn in_parts<T: Copy + Send + Sync>(from: &[T], to: &mut [T]) {
    let parts = to.par_chunks_mut(TASK).zip(from.par_chunks(TASK));
    parts.for_each(|(to, from)| to.copy_from_slice(from));
}

fn add_rows<T: Copy + Default>(
    from: &[T],
    places: &[i32],
    row: usize,
    to: &mut [T],
    add: impl Fn(T, T) -> T,
) {
    to.fill(T::default());
    let count = to.len() / row.max(1);
    for (place, from) in places.iter().zip(from.chunks(row.max(1))) {
        if let Some(place) = usize::try_from(*place).ok().filter(|&place| place < count) {
            let to = &mut to[place * row..][..row];
            to.iter_mut().zip(from).for_each(|(to, &x)| *to = add(*to, x));
        }
    }
}

/// From places that are affine, their axes collapsed. Tasks are rows of the first axis.
fn copy_as<T: Copy + Send + Sync>(from: &[T], places: &Affine, to: &mut [T]) {
    if to.is_empty() {
        return;
    }
    let [first, rest @ ..] = &places.axes[..] else {
        return to[0] = from[places.base];
    };
    let row = to.len() / first.length;
    let many = (TASK / row).clamp(1, first.length).next_multiple_of(SQUARE);
    to.par_chunks_mut(many * row).enumerate().for_each(|(task, to)| {
        let length = to.len() / row;
        let base = places.base.wrapping_add_signed((task * many) as isize * first.step);
        let axes = [&[Axis { length, step: first.step }], rest].concat();
        copy_axes(from, base, &axes, to);
    });
}

fn copy_axes<T: Copy>(from: &[T], base: usize, axes: &[Axis], to: &mut [T]) {
    match *axes {
        [] => to[0] = from[base],
        [Axis { step: 1, .. }] => to.copy_from_slice(&from[base..base + to.len()]),
        [Axis { step: 0, .. }] => to.fill(from[base]),
        [Axis { step, .. }] => {
            for (at, to) in to.iter_mut().enumerate() {
                *to = from[base.wrapping_add_signed(at as isize * step)];
            }
        }
        [Axis { step: 1, .. }, columns] => turn(from, base, columns, to),
        [rows, ref rest @ ..] => {
            let row = to.len() / rows.length;
            for (at, to) in to.chunks_mut(row).enumerate() {
                let base = base.wrapping_add_signed(at as isize * rows.step);
                copy_axes(from, base, rest, to);
            }
        }
    }
}

/// A matrix whose rows are the other's columns, square by square.
fn turn<T: Copy>(from: &[T], base: usize, columns: Axis, to: &mut [T]) {
    let count = columns.length;
    for (stripe, to) in to.chunks_mut(SQUARE * count).enumerate() {
        let rows = to.len() / count;
        for first in (0..count).step_by(SQUARE) {
            for column in first..count.min(first + SQUARE) {
                let start = base.wrapping_add_signed(column as isize * columns.step);
                let from = &from[start + stripe * SQUARE..][..rows];
                for (row, &x) in from.iter().enumerate() {
                    to[row * count + column] = x;
                }
            }
        }
    }
}

/// Along axes of lengths and steps on either side.
fn scatter_axes<T: Copy>(
    axes: &[(usize, isize, isize)],
    (from, from_base): (&[T], usize),
    (to, to_base): (&mut [T], usize),
) {
    let Some((&(length, from_step, to_step), rest)) = axes.split_first() else {
        to[to_base] = from[from_base];
        return;
    };
    if rest.is_empty() && (from_step, to_step) == (1, 1) {
        to[to_base..to_base + length].copy_from_slice(&from[from_base..from_base + length]);
        return;
    }
    for at in 0..length as isize {
        let from = (from, from_base.wrapping_add_signed(at * from_step));
        let to = (&mut *to, to_base.wrapping_add_signed(at * to_step));
        scatter_axes(rest, from, to);
    }
}
