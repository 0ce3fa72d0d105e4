//! AdamW (Loshchilov and Hutter, 2019), as PyTorch's `optim.AdamW`.

use graph::Node;

use super::{Moving, Remembered};

/// ε, PyTorch's default.
const EPSILON: f64 = 1e-8;

/// m, v, and how many steps were taken.
pub(super) const STATE: [Remembered; 3] = [
    Remembered::Each("first_moment"),
    Remembered::Each("second_moment"),
    Remembered::Once("updates"),
];

/// θ ← θ - lr (m̂ / (√v̂ + ε) + w θ), with m and v the running means of g and g², and m̂ and v̂ the
/// same without the pull of their start at zero.
pub(super) fn step<'g>(
    Moving { value, gradient, lr, decay, .. }: Moving<'_, 'g>,
    memory: &mut [Node<'g>],
    betas: [f64; 2],
) -> Node<'g> {
    let first = memory[0] * betas[0] + gradient * (1.0 - betas[0]);
    let second = memory[1] * betas[1] + gradient.square() * (1.0 - betas[1]);
    let updates = memory[2] + 1.0;
    memory.copy_from_slice(&[first, second, updates]);
    // 1 - βᵗ, exact where β is near 1.
    let weight = |beta: f64| -(updates.reshape(&[]) * beta.ln()).exp_minus_one();
    let deviation = second.sqrt() / weight(betas[1]).sqrt() + EPSILON;
    let direction = first / weight(betas[0]) / deviation;
    value * (1.0 - lr * decay) - direction * lr
}
