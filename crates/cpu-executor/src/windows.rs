//! Windows that slide over all axes, and convolutions, in plain loops: networks take
//! [`residual`](crate::residual) instead.

use graph::{Convolution, Window};
use rayon::prelude::*;

use crate::strides::dense_steps;
use crate::tensor::{Slice, SliceMut};

/// Each window's greatest element.
pub(crate) fn max_pool(window: &Window, shape: &[usize], x: Slice<'_>, to: SliceMut<'_>) {
    let windows = Windows::new(window, shape);
    match (x, to) {
        (Slice::F32(x), SliceMut::F32(to)) => {
            let value = |place: Option<usize>| place.map_or(f32::NEG_INFINITY, |place| x[place]);
            fill(to, |at| value(windows.greatest(at, x)));
        }
        (Slice::Bf16(x), SliceMut::Bf16(to)) => {
            let least = half::bf16::NEG_INFINITY;
            fill(to, |at| windows.greatest(at, x).map_or(least, |place| x[place]));
        }
        (Slice::S32(x), SliceMut::S32(to)) => {
            fill(to, |at| windows.greatest(at, x).map_or(i32::MIN, |place| x[place]));
        }
        (Slice::U8(x), SliceMut::U8(to)) => {
            fill(to, |at| windows.greatest(at, x).map_or(0, |place| x[place]));
        }
        (Slice::Pred(x), SliceMut::Pred(to)) => {
            fill(to, |at| windows.greatest(at, x).is_some_and(|place| x[place]));
        }
        (x, to) => unreachable!("planned as one type, found {x:?} and {to:?}"),
    }
}

/// Each window's value added where its greatest element is.
pub(crate) fn select_and_scatter(
    window: &Window,
    shape: &[usize],
    x: Slice<'_>,
    values: Slice<'_>,
    to: SliceMut<'_>,
) {
    let windows = Windows::new(window, shape);
    match (x, values, to) {
        (Slice::F32(x), Slice::F32(values), SliceMut::F32(to)) => {
            windows.scatter(x, values, to, |a, b| a + b);
        }
        (Slice::Bf16(x), Slice::Bf16(values), SliceMut::Bf16(to)) => {
            windows.scatter(x, values, to, |a, b| a + b);
        }
        (Slice::S32(x), Slice::S32(values), SliceMut::S32(to)) => {
            windows.scatter(x, values, to, i32::wrapping_add);
        }
        (Slice::U8(x), Slice::U8(values), SliceMut::U8(to)) => {
            windows.scatter(x, values, to, u8::wrapping_add);
        }
        (Slice::Pred(x), Slice::Pred(values), SliceMut::Pred(to)) => {
            windows.scatter(x, values, to, |a, b| a | b);
        }
        (x, _, to) => unreachable!("planned as one type, found {x:?} and {to:?}"),
    }
}

fn fill<T: Send>(to: &mut [T], value: impl Fn(usize) -> T + Sync) {
    const TASK: usize = 4096;
    to.par_chunks_mut(TASK).enumerate().for_each(|(task, to)| {
        to.iter_mut().enumerate().for_each(|(at, to)| *to = value(task * TASK + at));
    });
}

struct Windows<'a> {
    window: &'a Window,
    shape: &'a [usize],
    steps: Vec<usize>,
    out_steps: Vec<usize>,
}

impl<'a> Windows<'a> {
    fn new(window: &'a Window, shape: &'a [usize]) -> Self {
        let out = |axis: usize| {
            let [before, behind] = window.padding[axis];
            (shape[axis] + before + behind - window.lengths[axis]) / window.strides[axis] + 1
        };
        let out: Vec<usize> = (0..shape.len()).map(out).collect();
        Self { window, shape, steps: dense_steps(shape), out_steps: dense_steps(&out) }
    }

    /// Where window number `at` has its greatest element, the first of equals; none where it is all
    /// padding.
    fn greatest<T: Copy + PartialOrd>(&self, at: usize, x: &[T]) -> Option<usize> {
        let mut best: Option<usize> = None;
        self.visit(0, at, 0, &mut |place| {
            // What is not equal to itself is a NaN, which is passed on.
            let is_nan = |x: T| x.partial_cmp(&x).is_none();
            let better = |best: usize| !is_nan(x[best]) && (x[place] > x[best] || is_nan(x[place]));
            if best.is_none_or(better) {
                best = Some(place);
            }
        });
        best
    }

    fn visit(&self, axis: usize, rest: usize, place: usize, with: &mut impl FnMut(usize)) {
        if axis == self.shape.len() {
            return with(place);
        }
        let (index, rest) = (rest / self.out_steps[axis], rest % self.out_steps[axis]);
        let start = index * self.window.strides[axis];
        for offset in start..start + self.window.lengths[axis] {
            let inside = offset.checked_sub(self.window.padding[axis][0]);
            if let Some(at) = inside.filter(|&at| at < self.shape[axis]) {
                self.visit(axis + 1, rest, place + at * self.steps[axis], with);
            }
        }
    }

    fn scatter<T: Copy + PartialOrd + Default>(
        &self,
        x: &[T],
        values: &[T],
        to: &mut [T],
        add: impl Fn(T, T) -> T,
    ) {
        to.fill(T::default());
        for (at, &value) in values.iter().enumerate() {
            if let Some(place) = self.greatest(at, x) {
                to[place] = add(to[place], value);
            }
        }
    }
}

/// Images times a kernel, both f32, of the shapes given: left, right, result.
pub(crate) fn convolution(
    of: &Convolution,
    [x_shape, kernel_shape, out_shape]: [[usize; 4]; 3],
    x: &[f32],
    kernel: &[f32],
    to: &mut [f32],
) {
    let row = out_shape[1] * out_shape[2] * out_shape[3];
    if to.is_empty() {
        return;
    }
    let [x_steps, kernel_steps, out_steps] = [x_shape, kernel_shape, out_shape]
        .map(|shape| <[usize; 4]>::try_from(dense_steps(&shape)).expect("as many steps as axes"));
    // Which taps of the kernel fall on an element, for each place on a spatial axis of the result.
    let taps = [0, 1].map(|axis| taps(of, axis, [x_shape, kernel_shape, out_shape]));
    let features = x_shape[of.lhs[1]];
    let [x_step, kernel_step] = [x_steps[of.lhs[1]], kernel_steps[of.rhs[1]]];
    to.par_chunks_mut(row).enumerate().for_each(|(first, to)| {
        for (at, to) in to.iter_mut().enumerate() {
            let at = first * row + at;
            let index = |axis: usize| at / out_steps[of.out[axis]] % out_shape[of.out[axis]];
            let x_start = index(0) * x_steps[of.lhs[0]];
            let kernel_start = index(1) * kernel_steps[of.rhs[0]];
            let mut sum = 0.0f64;
            for &(row, tap_row) in &taps[0][index(2)] {
                for &(column, tap_column) in &taps[1][index(3)] {
                    let x_at = x_start + row * x_steps[of.lhs[2]] + column * x_steps[of.lhs[3]];
                    let kernel_at = kernel_start
                        + tap_row * kernel_steps[of.rhs[2]]
                        + tap_column * kernel_steps[of.rhs[3]];
                    let product = |feature: usize| {
                        f64::from(x[x_at + feature * x_step])
                            * f64::from(kernel[kernel_at + feature * kernel_step])
                    };
                    sum += (0..features).map(product).sum::<f64>();
                }
            }
            *to = sum as f32;
        }
    });
}

/// For each place of the result on a spatial axis, the pairs of an element and the tap that meets it.
fn taps(
    of: &Convolution,
    axis: usize,
    [x, kernel, out]: [[usize; 4]; 3],
) -> Vec<Vec<(usize, usize)>> {
    let length = x[of.lhs[axis + 2]];
    let meets = |place: usize, tap: usize| {
        let at =
            (place * of.stride[axis] + tap * of.rhs_dilation[axis]) as i64 - of.padding[axis][0];
        let at = usize::try_from(at).ok()?;
        let dilation = of.lhs_dilation[axis];
        (at % dilation == 0 && at / dilation < length).then_some((at / dilation, tap))
    };
    let window = kernel[of.rhs[axis + 2]];
    let of_place = |place: usize| (0..window).filter_map(|tap| meets(place, tap)).collect();
    (0..out[of.out[axis + 2]]).map(of_place).collect()
}
