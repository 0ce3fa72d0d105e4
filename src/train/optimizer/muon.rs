//! Muon (Jordan et al., 2024), in the form in which it trains convolutional networks on CIFAR-10
//! (KellerJordan/cifar10-airbench, `airbench94_muon.py`).

use graph::{Dot, Node, concatenate};

use super::{Moving, sgd};
use crate::model::params::Entry;
use crate::train::gradients::norm;

/// a, b and c of X ← a X + (b A + c A²) X with A = X Xᵀ, which draws singular values towards 1 and ends
/// with them between 0.7 and 1.2.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// How often that is done.
const ITERATIONS: usize = 3;

/// What is added to the norm by which a matrix is divided.
const EPSILON: f64 = 1e-7;

/// Every weight moves by `lr` times its own norm, along the nearest semi-orthogonal matrix to
/// g + μ v (Nesterov's momentum; convolutions as `[out, in × height × width]`), and is brought back to
/// the norm that it had: decay would have nothing to shrink. What is a vector takes SGD's step: biases, γ
/// and β of batch norms, a weight with a single row.
///
/// That code starts its convolutions at a norm of √out and brings them back to it, to the same effect.
/// `rounded` products take bfloat16, as that code's do.
pub(super) fn step<'g>(
    moving: Moving<'_, 'g>,
    memory: &mut [Node<'g>],
    momentum: f64,
    rounded: bool,
) -> Node<'g> {
    let Moving { layout, value, gradient, lr, .. } = moving;
    let velocity = memory[0] * momentum + gradient;
    let ahead = gradient + velocity * momentum;
    let plain = sgd::step(moving, memory, momentum);
    let kept = memory[0];
    let each = layout.entries().iter().map(|entry| {
        let of = |flat: Node<'g>| flat.rows(entry.range.clone());
        if entry.is_norm_or_bias() || entry.shape[0] == 1 {
            return [of(plain), of(kept)];
        }
        let lr = if lr.shape().is_empty() { lr } else { of(lr) };
        [turned(entry, of(value), of(ahead), lr, rounded), of(velocity)]
    });
    let (after, remembered): (Vec<_>, Vec<_>) = each.map(|[a, b]| (a, b)).unzip();
    memory[0] = concatenate(&remembered, 0);
    concatenate(&after, 0)
}

/// The weight `value` turned by `lr` along `direction` made orthogonal, its norm kept; all of them flat. A
/// weight of zeros, which has no norm to keep, moves by `lr` itself.
fn turned<'g>(
    entry: &Entry,
    value: Node<'g>,
    direction: Node<'g>,
    lr: Node<'g>,
    rounded: bool,
) -> Node<'g> {
    let rows = entry.shape[0];
    let columns = entry.range.len() / rows;
    let direction = orthogonal(direction.reshape(&[rows, columns]), rounded).flatten();
    let before = norm(value);
    let (zero, one) = (before.graph().scalar(0.0), before.graph().scalar(1.0));
    let has_norm = before.gt(zero);
    let length = has_norm.select(before, one) / (rows.min(columns) as f64).sqrt();
    let moved = value - direction * length * lr;
    moved * has_norm.select(before / norm(moved).at_least(EPSILON), one)
}

/// The semi-orthogonal matrix nearest to `matrix`, `[rows, columns]`, nearly: a Newton-Schulz iteration.
fn orthogonal<'g>(matrix: Node<'g>, rounded: bool) -> Node<'g> {
    let [rows, columns] = matrix.dims();
    let wide = if rows > columns { matrix.transpose(&[1, 0]) } else { matrix };
    let product = |left: Node<'g>, right: Node<'g>, axis: usize| {
        let contracting = [vec![1], vec![axis]];
        left.dot_general(right, Dot { contracting, batch: [vec![], vec![]], rounded })
    };
    let [a, b, c] = COEFFICIENTS;
    let mut x = wide / (norm(wide) + EPSILON);
    for _ in 0..ITERATIONS {
        let square = product(x, x, 1);
        let polynomial = square * b + product(square, square, 0) * c;
        x = x * a + product(polynomial, x, 0);
    }
    if rows > columns { x.transpose(&[1, 0]) } else { x }
}
