//! Images to features, of convolutions and element-wise operations.

use super::{BlockPlan, Plan, UnitPlan};
use crate::operation::{Convolution, Window};
use crate::{Element, Node, concatenate};

/// Added to variances before their root is taken, as PyTorch's batch norm does.
const EPSILON: f64 = 1e-5;

/// Which statistics normalise.
#[derive(Clone, Copy)]
pub(super) enum Source<'g> {
    /// The batch's own.
    Batch,
    /// Running ones, laid out as [`UnitPlan`] says.
    Running(Node<'g>),
}

/// One pass.
pub(super) struct Forward<'a, 'g> {
    pub plan: &'a Plan,
    pub parameters: Node<'g>,
    pub source: Source<'g>,
}

/// Batch norm's statistics, a number for each channel, in single precision.
pub(super) struct Statistics<'g> {
    pub mean: Node<'g>,
    /// Biased.
    pub variance: Node<'g>,
}

/// A convolution and its batch norm as they were passed.
pub(super) struct UnitTape<'g> {
    /// What the convolution read.
    pub x: Node<'g>,
    /// Its weights, in the precision in which they multiply.
    pub weight: Node<'g>,
    /// What it made.
    pub y: Node<'g>,
    pub statistics: Statistics<'g>,
    /// `y` less its mean, in single precision.
    pub centred: Node<'g>,
    /// 1/√(variance + ε)
    pub inverse: Node<'g>,
    /// `inverse` times γ.
    pub scale: Node<'g>,
    /// What batch norm made of `y`, in single precision.
    pub normalised: Node<'g>,
}

/// A block as it was passed.
pub(super) struct BlockTape<'g> {
    pub main: Vec<UnitTape<'g>>,
    pub shortcut: Option<UnitTape<'g>>,
    /// Behind the last ReLU, as stored.
    pub out: Node<'g>,
}

/// A network as it was passed.
pub(super) struct Tape<'g> {
    pub stem: UnitTape<'g>,
    /// Behind the stem's ReLU, as stored.
    pub stem_out: Node<'g>,
    /// Of the max-pool, where there is one.
    pub pooled: Option<Node<'g>>,
    pub blocks: Vec<BlockTape<'g>>,
    /// `[batch, channels]`, in single precision.
    pub features: Node<'g>,
}

impl<'g> Tape<'g> {
    /// Every unit, in the order of [`Plan::units`].
    pub(super) fn units(&self) -> impl Iterator<Item = &UnitTape<'g>> {
        let blocks = self.blocks.iter().flat_map(|b| b.main.iter().chain(&b.shortcut));
        std::iter::once(&self.stem).chain(blocks)
    }

    /// The batch's means and unbiased variances, as `plan` lays them out.
    pub(super) fn statistics(&self, plan: &Plan) -> Node<'g> {
        let pieces: Vec<Node<'g>> = self
            .units()
            .flat_map(|unit| {
                let count = samples(unit.y, plan);
                let unbiased = count as f64 / count.saturating_sub(1).max(1) as f64;
                [unit.statistics.mean, unit.statistics.variance * unbiased]
            })
            .collect();
        concatenate(&pieces, 0)
    }
}

/// The window of the max-pool behind a stem.
fn pool_window() -> Window {
    Window {
        lengths: vec![1, 3, 3, 1],
        strides: vec![1, 2, 2, 1],
        padding: vec![[0, 0], [1, 1], [1, 1], [0, 0]],
    }
}

/// How many pixels batch norm's statistics are of, over all replicas that share them.
pub(super) fn samples(y: Node<'_>, plan: &Plan) -> usize {
    let [batch, height, width, _] = y.dims();
    batch * height * width * plan.replicas
}

/// A number for each channel, repeated for each pixel of `like`.
pub(super) fn per_channel<'g>(numbers: Node<'g>, like: Node<'g>) -> Node<'g> {
    numbers.broadcast(&[3], &like.shape())
}

impl<'g> Forward<'_, 'g> {
    pub(super) fn run(&self, images: Node<'g>) -> Tape<'g> {
        let pixels = images.transpose(&[0, 2, 3, 1]).convert(self.plan.precision);
        let stem = self.unit(&self.plan.stem, pixels);
        let stem_out = self.stored(stem.normalised);
        let pooled = self.plan.max_pool.then(|| stem_out.max_pool(pool_window()));
        let mut x = pooled.unwrap_or(stem_out);
        let mut blocks = Vec::new();
        for plan in &self.plan.blocks {
            let block = self.block(plan, x);
            x = block.out;
            blocks.push(block);
        }
        let features = x.convert(Element::F32).mean(&[1, 2]);
        Tape { stem, stem_out, pooled, blocks, features }
    }

    fn block(&self, plan: &BlockPlan, x: Node<'g>) -> BlockTape<'g> {
        let shortcut = plan.shortcut.as_ref().map(|unit| self.unit(unit, x));
        let mut main: Vec<UnitTape<'g>> = Vec::new();
        for unit in &plan.main {
            let input = main.last().map_or(x, |before| self.stored(before.normalised));
            main.push(self.unit(unit, input));
        }
        let past = main.last().map_or_else(|| x.convert(Element::F32), |unit| unit.normalised);
        let beside = shortcut.as_ref().map_or_else(|| x.convert(Element::F32), |s| s.normalised);
        let out = self.stored(past + beside);
        BlockTape { main, shortcut, out }
    }

    /// ReLU, rounded to the precision in which activations are stored.
    fn stored(&self, x: Node<'g>) -> Node<'g> {
        x.relu().convert(self.plan.precision)
    }

    fn unit(&self, plan: &UnitPlan, x: Node<'g>) -> UnitTape<'g> {
        let [input, output] = plan.channels;
        let weight = self
            .parameters
            .rows(plan.weight())
            .reshape(&[output, input, plan.kernel, plan.kernel])
            .convert(self.plan.precision);
        let y = x.convolution(weight, Convolution::same(plan.kernel, plan.stride));
        let statistics = match self.source {
            Source::Batch => self.of_batch(y),
            Source::Running(running) => Statistics {
                mean: running.rows(plan.mean()),
                variance: running.rows(plan.variance()),
            },
        };
        let [gamma, beta] = [plan.gamma(), plan.beta()].map(|range| self.parameters.rows(range));
        let centred = y.convert(Element::F32) - per_channel(statistics.mean, y);
        let inverse = (statistics.variance + EPSILON).rsqrt();
        let scale = inverse * gamma;
        let normalised = centred * per_channel(scale, y) + per_channel(beta, y);
        UnitTape { x, weight, y, statistics, centred, inverse, scale, normalised }
    }

    /// Both moments in one pass over `y`, as distances from its first pixel: near the mean, little
    /// cancels between them.
    fn of_batch(&self, y: Node<'g>) -> Statistics<'g> {
        let [_, _, _, channels] = y.dims();
        let replicas = self.plan.replicas;
        let pixel = y.rows(0..1).slice(1, 0..1).slice(2, 0..1).reshape(&[channels]);
        let shift = pixel.convert(Element::F32).all_reduce(replicas) / replicas as f64;
        let distance = y.convert(Element::F32) - per_channel(shift, y);
        let count = samples(y, self.plan) as f64;
        let [first, second] = [distance, distance.square()]
            .map(|power| power.sum(&[0, 1, 2]).all_reduce(replicas) / count);
        let variance = (second - first.square()).at_least(0.0);
        Statistics { mean: shift + first, variance }
    }
}
