//! The online probe: a linear classifier that learns beside training, from features that it leaves alone.

use graph::{Element, Node, Type, concatenate};

use super::state::{Parts, StateNodes};
use crate::model::params::TensorData;
use crate::objective;
use crate::record::scalars::{PROBE_ACCURACY, PROBE_LOSS};

const HEAD: &str = "probe.head";
const VELOCITY: &str = "probe.velocity";
/// SGD's momentum, which stays as it is over the run.
const MOMENTUM: f64 = 0.9;
/// SGD's rate times the number of features. The curvature of the loss is at most half their number where each
/// has variance 1, so this step is stable whatever the network.
const RATE: f64 = 4.0;
/// Added to variances, as batch norm does.
const EPSILON: f64 = 1e-5;

/// Which classes it tells apart, and by how many features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) classes: usize,
    pub(super) dim: usize,
}

impl Probe {
    fn shape(self) -> [usize; 2] {
        [self.classes, self.dim + 1]
    }

    /// What of the state is the probe's: weights and biases, `[classes, dim + 1]`, and their velocities, all
    /// zero at first.
    pub(super) fn parts(self, parts: &mut Parts) {
        let zeros = vec![0.0; self.shape().iter().product()];
        for name in [HEAD, VELOCITY] {
            parts.whole(name, TensorData::new(zeros.clone(), self.shape()));
        }
    }

    /// One step of SGD by the cross-entropy of `features`, `[rows, dim]`, with `labels`, s32 `[rows]`, of
    /// which those without a label are -1. What is reported is of before the step, so that no image is
    /// classified by what was learned from it. No gradient reaches the features.
    pub(super) fn learn<'g>(
        self,
        features: Node<'g>,
        labels: Node<'g>,
        state: &mut StateNodes<'g>,
    ) -> [(&'static str, Node<'g>); 2] {
        let features = standardised(features.stop_gradient());
        let rows = features.shape()[0];
        let ones = features.graph().full(1.0, Type::f32([rows, 1]));
        let head = state.get(HEAD);
        let logits = concatenate(&[features, ones], 1).matmul_transposed(head);
        let known = objective::Known::of(logits, labels);
        let loss = known.cross_entropy();
        let gradient = graph::gradients(loss, &[head])[0];
        let velocity = state.get(VELOCITY) * MOMENTUM + gradient;
        state.set(HEAD, head - velocity * (RATE / self.dim as f64));
        state.set(VELOCITY, velocity);
        [(PROBE_LOSS, loss), (PROBE_ACCURACY, known.accuracy())]
    }
}

/// Features with mean 0 and variance 1 over the batch, as a batch norm without weights makes them: so a
/// probe's rate suits every network (He et al., 2022, appendix A, of masked autoencoders' probes).
fn standardised(features: Node<'_>) -> Node<'_> {
    let shape = features.shape();
    let centred = features - features.mean(&[0]).broadcast(&[1], &shape);
    let deviation = (centred.square().mean(&[0]) + EPSILON).sqrt();
    centred / deviation.broadcast(&[1], &shape)
}

/// The labels of images as a program takes them, `[views × images]`: -1 where there is none.
pub(super) fn labels(of_images: &[Option<usize>], views: usize) -> Vec<i32> {
    let labels = of_images.iter().map(|label| label.map_or(-1, |label| label as i32));
    labels.collect::<Vec<_>>().repeat(views)
}

/// The type of those.
pub(super) fn labels_type(rows: usize) -> Type {
    Type::new(Element::S32, [rows])
}
