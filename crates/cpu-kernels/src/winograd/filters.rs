//! The one-dimensional transforms behind Winograd's method, the matrices B, G and A of the paper written out as
//! sums of vectors.

use crate::simd::Vector;

/// The widest tile's inputs; smaller ones leave the rest of their arrays unused.
pub(super) const SIDE: usize = 9;

/// A minimal filter of one side, and its transforms of one direction on vectors of channels. What its numbers
/// count is said in [`Sizes`](super::Sizes).
pub(super) trait Filter {
    const INPUTS: usize;
    const STEP: usize;
    const PRODUCTS: usize;
    const WEIGHTS: usize;
    const OUTPUTS: usize;

    /// Bᵀ d
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE];
    /// Aᵀ m
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE];
}

/// A filter's transforms of the weights and of what their gradient is summed from.
pub(super) trait Transform: Filter {
    /// A dy
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE];
    /// G g
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE];
    /// Gᵀ u
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE];
}

/// The first numbers of a side, the rest zero.
#[inline(always)]
fn side<V: Vector, const N: usize>(numbers: [V; N]) -> [V; SIDE] {
    let mut side = [V::splat(0.0); SIDE];
    side[..N].copy_from_slice(&numbers);
    side
}

/// F(2, 3), with the points 0, ±1 and ∞.
pub(super) struct F2;
/// F(4, 3), with the points 0, ±1, ±2 and ∞.
pub(super) struct F4;

impl Filter for F2 {
    const INPUTS: usize = 4;
    const STEP: usize = 2;
    const PRODUCTS: usize = 4;
    const WEIGHTS: usize = 4;
    const OUTPUTS: usize = 2;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, ..] = d;
        side([d0.sub(d2), d1.add(d2), d2.sub(d1), d1.sub(d3)])
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, ..] = m;
        side([m0.add(m1).add(m2), m1.sub(m2).sub(m3)])
    }
}

impl Transform for F2 {
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [a, b, ..] = dy;
        side([a, a.add(b), a.sub(b), V::splat(0.0).sub(b)])
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let half = V::splat(0.5);
        let sum = a.add(c);
        side([a, sum.add(b).mul(half), sum.sub(b).mul(half), c])
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, ..] = u;
        let half = V::splat(0.5);
        let sum = u1.add(u2).mul(half);
        side([u0.add(sum), u1.sub(u2).mul(half), sum.add(u3)])
    }
}

impl Filter for F4 {
    const INPUTS: usize = 6;
    const STEP: usize = 4;
    const PRODUCTS: usize = 6;
    const WEIGHTS: usize = 6;
    const OUTPUTS: usize = 4;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, d4, d5, ..] = d;
        let (two, four, five) = (V::splat(2.0), V::splat(4.0), V::splat(5.0));
        let (a, b) = (d2.neg_mul_add(four, d4), d1.neg_mul_add(four, d3));
        let (c, e) = (d4.sub(d2), d3.sub(d1));
        side([
            d0.mul_add(four, d2.neg_mul_add(five, d4)),
            a.add(b),
            a.sub(b),
            e.mul_add(two, c),
            e.neg_mul_add(two, c),
            d1.mul_add(four, d3.neg_mul_add(five, d5)),
        ])
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, m5, ..] = m;
        let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
        let (a, b, c, d) = (m1.add(m2), m1.sub(m2), m3.add(m4), m3.sub(m4));
        side([m0.add(a).add(c), d.mul_add(two, b), c.mul_add(four, a), d.mul_add(eight, b).add(m5)])
    }
}

impl Transform for F4 {
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [y0, y1, y2, y3, ..] = dy;
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (even, odd) = (y0.add(y2), y1.add(y3));
        let (even_two, odd_two) = (y2.mul_add(four, y0), y3.mul_add(four, y1).mul(two));
        side([y0, even.add(odd), even.sub(odd), even_two.add(odd_two), even_two.sub(odd_two), y3])
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let sixth = V::splat(-1.0 / 6.0);
        let (ends, wide) = (a.add(c), c.mul_add(V::splat(4.0), a).mul(V::splat(1.0 / 24.0)));
        let middle = b.mul(V::splat(1.0 / 12.0));
        side([
            a.mul(V::splat(0.25)),
            ends.add(b).mul(sixth),
            ends.sub(b).mul(sixth),
            wide.add(middle),
            wide.sub(middle),
            c,
        ])
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, u4, u5, ..] = u;
        let sixth = V::splat(-1.0 / 6.0);
        let (a, b) = (u1.add(u2).mul(sixth), u1.sub(u2).mul(sixth));
        let (c, d) = (u3.add(u4), u3.sub(u4));
        side([
            u0.mul_add(V::splat(0.25), c.mul_add(V::splat(1.0 / 24.0), a)),
            d.mul_add(V::splat(1.0 / 12.0), b),
            c.mul_add(V::splat(1.0 / 6.0), a).add(u5),
        ])
    }
}

/// Every second output. With e the inputs 0, 2, 4, 6, 8, y = F(4, 2)(e) under the outer taps (points 0,
/// ±1, 2 and ∞) plus the inputs between under the middle one.
pub(super) struct S4;
/// The backward pass of [`S4`], from the gradients of five such outputs to those of eight inputs: the even ones have met the
/// middle tap alone, the odd ones the outer two.
pub(super) struct S4Back;

/// F(4, 2) of five inputs.
#[inline(always)]
fn outer_input<V: Vector>([e0, e1, e2, e3, e4]: [V; 5]) -> [V; 5] {
    let (two, three) = (V::splat(2.0), V::splat(3.0));
    let (a, b) = (e3.sub(e1), e0.sub(e2));
    [
        b.mul_add(two, a),
        e1.mul_add(two, e2.sub(e3)),
        e2.mul_add(three, e1.neg_mul_add(two, V::splat(0.0).sub(e3))),
        a,
        e4.sub(e2).sub(a.mul(two)),
    ]
}

/// F(4, 2)'s four outputs.
#[inline(always)]
fn outer_output<V: Vector>([m0, m1, m2, m3, m4]: [V; 5]) -> [V; 4] {
    let (two, four, eight) = (V::splat(2.0), V::splat(4.0), V::splat(8.0));
    let (sum, difference) = (m1.add(m2), m1.sub(m2));
    [
        m0.add(sum).add(m3),
        m3.mul_add(two, difference),
        m3.mul_add(four, sum),
        m3.mul_add(eight, difference).add(m4),
    ]
}

impl Filter for S4 {
    const INPUTS: usize = 9;
    const STEP: usize = 8;
    const PRODUCTS: usize = 9;
    const WEIGHTS: usize = 6;
    const OUTPUTS: usize = 4;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [e0, o0, e1, o1, e2, o2, e3, o3, e4] = d;
        let [v0, v1, v2, v3, v4] = outer_input([e0, e1, e2, e3, e4]);
        [v0, v1, v2, v3, v4, o0, o1, o2, o3]
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, o0, o1, o2, o3] = m;
        let [y0, y1, y2, y3] = outer_output([m0, m1, m2, m3, m4]);
        side([y0.add(o0), y1.add(o1), y2.add(o2), y3.add(o3)])
    }
}

impl Transform for S4 {
    #[inline(always)]
    fn gradient<V: Vector>(dy: [V; SIDE]) -> [V; SIDE] {
        let [y0, y1, y2, y3, ..] = dy;
        let (two, four) = (V::splat(2.0), V::splat(4.0));
        let (even, odd) = (y0.add(y2), y1.add(y3));
        let twos = y2.mul_add(four, y0).add(y3.mul_add(four, y1).mul(two));
        [y0, even.add(odd), even.sub(odd), twos, y3, y0, y1, y2, y3]
    }
    #[inline(always)]
    fn weight<V: Vector>(g: [V; SIDE]) -> [V; SIDE] {
        let [a, b, c, ..] = g;
        let (half, sixth) = (V::splat(0.5), V::splat(1.0 / 6.0));
        let (sum, difference) = (a.add(c).mul(half), a.sub(c).mul(sixth));
        side([a.mul(half), sum, difference, c.mul_add(V::splat(2.0), a).mul(sixth), c, b])
    }
    #[inline(always)]
    fn weight_gradient<V: Vector>(u: [V; SIDE]) -> [V; SIDE] {
        let [u0, u1, u2, u3, u4, middle, ..] = u;
        let (half, sixth, third) = (V::splat(0.5), V::splat(1.0 / 6.0), V::splat(1.0 / 3.0));
        let first = u0.add(u1).mul(half).add(u2.add(u3).mul(sixth));
        let last = u3.mul_add(third, u1.mul(half)).add(u2.neg_mul_add(sixth, u4));
        side([first, middle, last])
    }
}

impl Filter for S4Back {
    const INPUTS: usize = 5;
    const STEP: usize = 4;
    const PRODUCTS: usize = 9;
    const WEIGHTS: usize = 6;
    const OUTPUTS: usize = 8;

    #[inline(always)]
    fn input<V: Vector>(d: [V; SIDE]) -> [V; SIDE] {
        let [d0, d1, d2, d3, d4, ..] = d;
        let [v0, v1, v2, v3, v4] = outer_input([d0, d1, d2, d3, d4]);
        [v0, v1, v2, v3, v4, d0, d1, d2, d3]
    }
    #[inline(always)]
    fn output<V: Vector>(m: [V; SIDE]) -> [V; SIDE] {
        let [m0, m1, m2, m3, m4, e0, e1, e2, e3] = m;
        let [o0, o1, o2, o3] = outer_output([m0, m1, m2, m3, m4]);
        side([e0, o0, e1, o1, e2, o2, e3, o3])
    }
}
