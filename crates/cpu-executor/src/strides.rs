//! Where the elements of a dense array lie in another one, axis by axis.

/// One axis: how many elements, and how far apart in the other array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub length: usize,
    pub step: isize,
}

/// Places that are affine in the indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Affine {
    pub axes: Vec<Axis>,
    /// The place of the first element.
    pub base: usize,
}

/// What such an array is besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A contiguous part from here on.
    Part(usize),
    /// A contiguous part, `length` from `offset` on, each element repeated `each` times, and all that again
    /// and again.
    Repeated { offset: usize, length: usize, each: usize },
    /// Neither.
    Other,
}

/// The steps of a dense array's axes.
pub(crate) fn dense_steps(shape: &[usize]) -> Vec<usize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis];
    }
    steps
}

impl Affine {
    /// The array itself.
    pub(crate) fn dense(shape: &[usize]) -> Self {
        let steps = dense_steps(shape).into_iter();
        let axes = shape.iter().zip(steps);
        let axes = axes.map(|(&length, step)| Axis { length, step: step as isize }).collect();
        Self { axes, base: 0 }
    }

    /// Its axes in another order.
    pub(crate) fn permuted(&self, order: &[usize]) -> Self {
        Self { axes: order.iter().map(|&axis| self.axes[axis]).collect(), base: self.base }
    }

    /// From `start` to before `limit` of every axis, in steps.
    pub(crate) fn sliced(&self, start: &[usize], limit: &[usize], stride: &[usize]) -> Self {
        let mut part = self.clone();
        for (at, axis) in part.axes.iter_mut().enumerate() {
            let length = (limit[at] - start[at]).div_ceil(stride[at]);
            if length > 0 {
                part.base = part.base.wrapping_add_signed(start[at] as isize * axis.step);
            }
            *axis = Axis { length, step: axis.step * stride[at] as isize };
        }
        part
    }

    /// These axes the other way round.
    pub(crate) fn reversed(&self, axes: &[usize]) -> Self {
        let mut turned = self.clone();
        for &at in axes {
            let axis = &mut turned.axes[at];
            let last = axis.length.saturating_sub(1) as isize * axis.step;
            turned.base = turned.base.wrapping_add_signed(last);
            axis.step = -axis.step;
        }
        turned
    }

    /// Axis i as axis `axes[i]` of `shape`, repeated where that is longer.
    pub(crate) fn broadcast(&self, axes: &[usize], shape: &[usize]) -> Self {
        let mut wide: Vec<Axis> = shape.iter().map(|&length| Axis { length, step: 0 }).collect();
        for (axis, &to) in self.axes.iter().zip(axes) {
            if axis.length == wide[to].length {
                wide[to].step = axis.step;
            }
        }
        Self { axes: wide, base: self.base }
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.length).product()
    }

    /// The same on as few axes as can be; of one element, on none.
    pub(crate) fn collapsed(&self) -> Self {
        if self.len() == 0 {
            return Self { axes: vec![Axis { length: 0, step: 1 }], base: 0 };
        }
        let mut axes: Vec<Axis> = vec![];
        for &axis in self.axes.iter().filter(|axis| axis.length != 1) {
            match axes.last_mut() {
                Some(last) if last.step == axis.step * axis.length as isize => {
                    *last = Axis { length: last.length * axis.length, step: axis.step };
                }
                _ => axes.push(axis),
            }
        }
        Self { axes, base: self.base }
    }

    /// What it is besides.
    pub(crate) fn form(&self) -> Form {
        let Affine { axes, base: offset } = self.collapsed();
        let axes: Vec<(usize, isize)> = axes.iter().map(|axis| (axis.length, axis.step)).collect();
        match axes[..] {
            [] | [(_, 1)] => Form::Part(offset),
            [(_, 0)] => Form::Repeated { offset, length: 1, each: 1 },
            [(_, 0), (length, 1)] => Form::Repeated { offset, length, each: 1 },
            [(length, 1), (each, 0)] | [(_, 0), (length, 1), (each, 0)] => {
                Form::Repeated { offset, length, each }
            }
            _ => Form::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_recognised() {
        let whole = Affine::dense(&[4, 3, 2]);
        assert_eq!(whole.form(), Form::Part(0));
        let rows = whole.sliced(&[1, 0, 0], &[3, 3, 2], &[1; 3]);
        assert_eq!(rows.form(), Form::Part(6));
        assert_eq!(whole.sliced(&[1, 1, 0], &[2, 3, 2], &[1; 3]).form(), Form::Part(8));
        assert_eq!(whole.sliced(&[0, 1, 0], &[2, 3, 2], &[1; 3]).form(), Form::Other);
        let row = Affine::dense(&[5]);
        let repeated = |each| Form::Repeated { offset: 0, length: 5, each };
        assert_eq!(row.broadcast(&[1], &[3, 5]).form(), repeated(1));
        assert_eq!(row.broadcast(&[0], &[5, 3]).form(), repeated(3));
        assert_eq!(row.broadcast(&[1], &[2, 5, 3, 4]).form(), repeated(12));
        assert_eq!(whole.permuted(&[1, 0, 2]).form(), Form::Other);
        assert_eq!(Affine::dense(&[4, 1, 2]).permuted(&[1, 0, 2]).form(), Form::Part(0));
        assert_eq!(
            row.reversed(&[0]),
            Affine { axes: vec![Axis { length: 5, step: -1 }], base: 4 }
        );
    }
}
