//! SGD with momentum and weight decay, as PyTorch's `optim.SGD` (no dampening, no Nesterov).

use graph::Node;

use super::{Moving, Remembered};

/// v
pub(super) const STATE: [Remembered; 1] = [Remembered::Each("velocity")];

/// v ← μ v + g + w θ; θ ← θ - lr v. Velocities start at zero.
pub(super) fn step<'g>(moving: Moving<'_, 'g>, memory: &mut [Node<'g>], momentum: f64) -> Node<'g> {
    let Moving { value, gradient, decay, .. } = moving;
    along(moving, gradient + value * decay, memory, momentum)
}

/// v ← μ v + direction; θ ← θ - lr v.
pub(super) fn along<'g>(
    Moving { value, lr, .. }: Moving<'_, 'g>,
    direction: Node<'g>,
    memory: &mut [Node<'g>],
    momentum: f64,
) -> Node<'g> {
    let velocity = memory[0] * momentum + direction;
    memory[0] = velocity;
    value - velocity * lr
}
