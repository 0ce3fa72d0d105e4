//! LARS (You, Gitman and Ginsburg, 2017), as MoCo v3 and VICReg have it.

use graph::Node;

use super::{Moving, sgd};
use crate::train::gradients::norm;

/// η, the share of its own norm that a weight moves by at lr = 1: both codes' default.
const TRUST: f64 = 0.001;

/// SGD on (g + w θ) × η ‖θ‖ / ‖g + w θ‖: every weight moves in proportion to itself, whatever the
/// size of its gradient. Biases and the γ and β of batch norms take the plain step.
pub(super) fn step<'g>(moving: Moving<'_, 'g>, memory: &mut [Node<'g>], momentum: f64) -> Node<'g> {
    let Moving { layout, value, gradient, decay, .. } = moving;
    let direction = gradient + value * decay;
    let trust = layout.spread(|entry| match entry.is_norm_or_bias() {
        true => value.graph().scalar(1.0),
        false => trust_ratio([value, direction].map(|flat| flat.rows(entry.range.clone()))),
    });
    sgd::along(moving, direction * trust, memory, momentum)
}

/// η ‖θ‖ / ‖direction‖; 1 where either is 0, which has no scale to keep to.
fn trust_ratio([value, direction]: [Node<'_>; 2]) -> Node<'_> {
    let [value, direction] = [value, direction].map(norm);
    let (zero, one) = (value.graph().scalar(0.0), value.graph().scalar(1.0));
    value.gt(zero).and(direction.gt(zero)).select(value / direction * TRUST, one)
}
