//! The two-dimensional transforms of Winograd's method: t·d·tᵀ of squares d, by one kernel over the filter t of a
//! side.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::filters::{Filter, SIDE, Transform};
use crate::gemm::PANEL;
use crate::level::{Kernel, Level};
use crate::simd::Vector;

/// A one-dimensional transform on vectors of channels.
pub(super) trait Side {
    /// How many numbers it reads.
    const FROM: usize;
    /// How many numbers it makes.
    const TO: usize;

    /// The transform of the first numbers, followed by zeros.
    fn apply<V: Vector>(from: [V; SIDE]) -> [V; SIDE];
}

/// The transform of a filter `F` that has the role `R`, which is one of the following.
pub(super) struct Of<R, F>(PhantomData<(R, F)>);

/// Bᵀ d: inputs to products.
pub(super) struct Inputs;
/// Aᵀ m: products to outputs.
pub(super) struct Outputs;
/// A dy: gradients of outputs to products.
pub(super) struct Gradients;
/// G g: weights to those of products.
pub(super) struct Weights;
/// Gᵀ u: gradients of products' weights to those of weights.
pub(super) struct WeightGradients;

/// The sides of the kernels that [`Transform`] is for.
pub(super) const KERNEL: usize = 3;

macro_rules! side {
    ($role:ident: $filter:ident, $from:expr => $to:expr, $apply:ident) => {
        impl<F: $filter> Side for Of<$role, F> {
            const FROM: usize = $from;
            const TO: usize = $to;

            #[inline(always)]
            fn apply<V: Vector>(from: [V; SIDE]) -> [V; SIDE] {
                F::$apply(from)
            }
        }
    };
}

side!(Inputs: Filter, F::INPUTS => F::PRODUCTS, input);
side!(Outputs: Filter, F::PRODUCTS => F::OUTPUTS, output);
side!(Gradients: Transform, F::OUTPUTS => F::PRODUCTS, gradient);
side!(Weights: Transform, KERNEL => F::WEIGHTS, weight);
side!(WeightGradients: Transform, F::WEIGHTS => KERNEL, weight_gradient);

/// How the numbers of squares lie in memory.
pub(super) trait Layout: Copy {
    /// How far the rows of a square of `side` numbers a side are from each other, and its columns.
    fn steps(self, side: usize) -> [usize; 2];
}

/// Each number of a square lies in a matrix of its own, and matrices are that far apart. That all distances are
/// multiples of one, the compiler sees too, and needs few registers for them.
#[derive(Clone, Copy)]
pub(super) struct Matrices(pub usize);

impl Layout for Matrices {
    #[inline(always)]
    fn steps(self, side: usize) -> [usize; 2] {
        [side * self.0, self.0]
    }
}

/// A square is one of 3×3 taps, [`PANEL`] numbers each, one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Taps;

impl Layout for Taps {
    #[inline(always)]
    fn steps(self, _side: usize) -> [usize; 2] {
        [KERNEL * PANEL, PANEL]
    }
}

/// The numbers of a square are neighbouring pixels, of a map whose lines and pixels are that far apart.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    pub line: usize,
    pub pixel: usize,
}

impl Layout for Pixels {
    #[inline(always)]
    fn steps(self, _side: usize) -> [usize; 2] {
        [self.line, self.pixel]
    }
}

/// How far a square's last number is from its first.
fn reach([row, column]: [usize; 2], [rows, columns]: [usize; 2]) -> usize {
    rows.saturating_sub(1) * row + columns.saturating_sub(1) * column
}

/// A square: where its channels begin, and where those of its transform do.
pub(super) struct Square<X> {
    pub from: usize,
    pub to: usize,
    /// How much of the transform is stored.
    pub extent: X,
}

/// How many rows and columns of a square are there.
pub(super) trait Extent {
    fn size(self, whole: usize) -> [usize; 2];
}

/// All rows and columns, in a way that the compiler sees.
pub(super) struct Whole;

impl Extent for Whole {
    #[inline(always)]
    fn size(self, whole: usize) -> [usize; 2] {
        [whole; 2]
    }
}

/// No more rows and columns than these.
pub(super) struct AtMost(pub [usize; 2]);

impl Extent for AtMost {
    #[inline(always)]
    fn size(self, whole: usize) -> [usize; 2] {
        self.0.map(|most| most.min(whole))
    }
}

/// Squares to transform, of `channels` channels each.
pub(super) struct Squares<'a, A, B, I> {
    pub from: (&'a [f32], A),
    pub to: (&'a mut [f32], B),
    pub channels: usize,
    pub squares: I,
}

impl<A: Layout, B: Layout, X: Extent, I: Iterator<Item = Square<X>>> Squares<'_, A, B, I> {
    /// Transforms all squares, rows and columns by `S`.
    ///
    /// # Panics
    /// If a square or its transform does not lie within its numbers.
    pub fn run<S: Side>(self, level: Level) {
        level.run(By::<S, Self>(self, PhantomData));
    }
}

/// Squares and what transforms their sides.
struct By<S, Q>(Q, PhantomData<S>);

impl<S, A, B, X, I> Kernel for By<S, Squares<'_, A, B, I>>
where
    S: Side,
    A: Layout,
    B: Layout,
    X: Extent,
    I: Iterator<Item = Square<X>>,
{
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Squares { from: (from, from_layout), to: (to, to_layout), channels, squares } = self.0;
        assert_eq!(channels % V::LANES, 0, "channels are stored in whole vectors");
        let (from_steps, to_steps) = (from_layout.steps(S::FROM), to_layout.steps(S::TO));
        let from_reach = reach(from_steps, [S::FROM; 2]) + channels;
        for square in squares {
            let size = square.extent.size(S::TO);
            assert!(square.from + from_reach <= from.len(), "a square is missing");
            let to_reach = reach(to_steps, size) + channels;
            assert!(square.to + to_reach <= to.len(), "no room for a square");
            let mut channel = 0;
            while channel < channels {
                // SAFETY: the square and its transform lie within their numbers, as was just asserted.
                unsafe {
                    let read = from.as_ptr().add(square.from + channel);
                    let write = to.as_mut_ptr().add(square.to + channel);
                    transform::<V, S>((read, from_steps), (write, to_steps), size);
                }
                channel += V::LANES;
            }
        }
    }
}

/// Transforms one square in one vector of channels, its columns first.
///
/// # Safety
/// All numbers of the square must be readable, and those of its transform that `size` says be writable.
#[inline(always)]
unsafe fn transform<V: Vector, S: Side>(
    (from, [from_row, from_column]): (*const f32, [usize; 2]),
    (to, [to_row, to_column]): (*mut f32, [usize; 2]),
    [rows, columns]: [usize; 2],
) {
    let zero = V::splat(0.0);
    // Zeroing it would take longer than a small transform.
    let mut half = [[MaybeUninit::<V>::uninit(); SIDE]; SIDE];
    for j in 0..S::FROM {
        let mut column = [zero; SIDE];
        for i in 0..S::FROM {
            // SAFETY: the caller's promise.
            column[i] = unsafe { V::load(from.add(i * from_row + j * from_column)) };
        }
        half[j] = S::apply(column).map(MaybeUninit::new);
    }
    for i in 0..rows {
        let mut row = [zero; SIDE];
        for j in 0..S::FROM {
            // SAFETY: the first `S::FROM` have been written.
            row[j] = unsafe { half[j][i].assume_init() };
        }
        let row = S::apply(row);
        for j in 0..columns {
            // SAFETY: the caller's promise.
            unsafe { row[j].store(to.add(i * to_row + j * to_column)) };
        }
    }
}
