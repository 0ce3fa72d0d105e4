//! The norm of a gradient, and how it is bounded.

use graph::Node;

/// √Σ x², a scalar.
pub(super) fn norm(tensor: Node<'_>) -> Node<'_> {
    tensor.square().sum_all().sqrt()
}

/// A gradient scaled to a norm of `most`, a scalar, if its own is greater; as PyTorch's
/// `clip_grad_norm_`.
pub(super) fn clipped<'g>(gradient: Node<'g>, most: Node<'g>) -> Node<'g> {
    /// What PyTorch adds to the norm it divides by.
    const MARGIN: f64 = 1e-6;
    let scale = most / (norm(gradient) + MARGIN);
    gradient * scale.minimum(gradient.graph().scalar(1.0))
}
