//! Images to features.

use std::sync::Arc;

use cpu_kernels::{
    Buffer, Conv, ConvShape, Element, Input, MaxPool, Moments, Normalisation, Shortcut, average,
    join,
};

use graph::{BlockPlan, Plan, UnitPlan};

use crate::Engine;

/// What a unit leaves for the way back.
#[derive(Debug)]
pub(super) struct UnitTape<E: Element> {
    pub conv: Arc<Conv>,
    /// The convolution's output, before batch norm.
    pub y: Buffer<E>,
    pub norm: Normalisation,
}

/// What a block leaves for the way back.
#[derive(Debug)]
pub(super) struct BlockTape<E: Element> {
    pub main: Vec<UnitTape<E>>,
    pub shortcut: Option<UnitTape<E>>,
    pub out: Buffer<E>,
}

/// What a max-pool leaves for the way back.
#[derive(Debug)]
pub(super) struct PoolTape {
    pub shape: MaxPool,
    /// Where each maximum was, `[batch, height, width, channels]`.
    pub winners: Vec<u32>,
}

/// What a stem leaves for the way back.
#[derive(Debug)]
pub(super) struct StemTape<E: Element> {
    pub unit: UnitTape<E>,
    pub pool: Option<PoolTape>,
    /// After ReLU, and the max-pool where there is one.
    pub out: Buffer<E>,
}

/// What a network leaves for the way back.
#[derive(Debug)]
pub(super) struct Tape<E: Element> {
    pub stem: StemTape<E>,
    pub blocks: Vec<BlockTape<E>>,
}

/// Images `[batch, 3, height, width]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Images<'a> {
    pub data: &'a [f32],
    pub batch: usize,
    pub size: [usize; 2],
}

/// Which statistics normalise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statistics<'a> {
    /// The batch's own.
    Batch,
    /// Running ones, laid out as [`UnitPlan`] says.
    Running(&'a [f32]),
}

/// One pass.
pub(super) struct Forward<'a> {
    pub engine: &'a Engine,
    pub plan: &'a Plan,
    pub parameters: &'a [f32],
    pub statistics: Statistics<'a>,
}

/// What comes out of a pass.
pub(super) struct Outcome<E: Element> {
    /// `[batch, channels]`
    pub features: Vec<f32>,
    /// The batch's means and unbiased variances, laid out as [`UnitPlan`] says.
    pub statistics: Vec<f32>,
    pub tape: Tape<E>,
}

impl Forward<'_> {
    pub(super) fn run<E: Element>(&self, images: Images<'_>) -> Outcome<E> {
        let mut statistics = vec![0.0; self.plan.statistics()];
        let (stem, mut size) = self.stem(images, &mut statistics);
        let mut blocks: Vec<BlockTape<E>> = vec![];
        for plan in &self.plan.blocks {
            let x = blocks.last().map_or(&stem.out, |block| &block.out);
            let (block, out_size) = self.block(plan, size, x, images, &mut statistics);
            blocks.push(block);
            size = out_size;
        }
        let last = blocks.last().map_or(&stem.out, |block| &block.out);
        let features =
            average(self.engine.level::<E>(), last, size[0] * size[1], self.plan.features());
        Outcome { features, statistics, tape: Tape { stem, blocks } }
    }

    /// Images to what the first block reads, and its height and width.
    fn stem<E: Element>(
        &self,
        images: Images<'_>,
        statistics: &mut [f32],
    ) -> (StemTape<E>, [usize; 2]) {
        let plan = &self.plan.stem;
        let shape = unit_shape(plan, images.size, true);
        let unit = self.unit(plan, shape, Input::Images(images.data), images, statistics);
        let out = self.join(&unit, Shortcut::None);
        let size @ [height, width] = shape.output_size();
        if !self.plan.max_pool {
            return (StemTape { unit, pool: None, out }, size);
        }
        let pool = MaxPool { height, width, channels: shape.out_channels };
        let (out, winners) = self.max_pool(pool, &out, images.batch);
        (StemTape { unit, pool: Some(PoolTape { shape: pool, winners }), out }, pool.output_size())
    }

    /// The maxima, and where they were.
    fn max_pool<E: Element>(&self, pool: MaxPool, x: &[E], batch: usize) -> (Buffer<E>, Vec<u32>) {
        let len = batch * pool.output_len();
        let (mut out, mut winners) = (self.engine.workspace().take(len), vec![0; len]);
        pool.forward(x, &mut out, &mut winners);
        (out, winners)
    }

    fn block<E: Element>(
        &self,
        plan: &BlockPlan,
        mut size: [usize; 2],
        x: &[E],
        images: Images<'_>,
        statistics: &mut [f32],
    ) -> (BlockTape<E>, [usize; 2]) {
        let shortcut = plan.shortcut.as_ref().map(|unit| {
            let shape = unit_shape(unit, size, false);
            self.unit(unit, shape, Input::Plain(x), images, statistics)
        });
        let mut main: Vec<UnitTape<E>> = vec![];
        for unit in &plan.main {
            let shape = unit_shape(unit, size, false);
            let input = match main.last() {
                Some(before) => Input::Normalised(&before.y, &before.norm),
                None => Input::Plain(x),
            };
            let tape = self.unit(unit, shape, input, images, statistics);
            size = shape.output_size();
            main.push(tape);
        }
        let added = match &shortcut {
            Some(unit) => Shortcut::Projection(&unit.y, &unit.norm),
            None => Shortcut::Identity(x),
        };
        let last = main.last().expect("a block has at least one convolution");
        let out = self.join(last, added);
        (BlockTape { main, shortcut, out }, size)
    }

    fn unit<E: Element>(
        &self,
        plan: &UnitPlan,
        shape: ConvShape,
        input: Input<'_, E>,
        images: Images<'_>,
        statistics: &mut [f32],
    ) -> UnitTape<E> {
        let workspace = self.engine.workspace();
        let conv = self.engine.conv::<E>(shape);
        let mut y = workspace.take(images.batch * shape.output_len());
        let weight = &self.parameters[plan.weight()];
        let moments = conv.forward(input, weight, &mut y, workspace);
        let gamma = &self.parameters[plan.gamma()];
        let beta = &self.parameters[plan.beta()];
        let norm = match self.statistics {
            Statistics::Batch => Normalisation::of_batch(&moments, gamma, beta),
            Statistics::Running(running) => Normalisation::of_running(
                &running[plan.mean()],
                &running[plan.variance()],
                gamma,
                beta,
            ),
        };
        record(plan, &moments, statistics);
        UnitTape { conv, y, norm }
    }

    fn join<E: Element>(&self, unit: &UnitTape<E>, added: Shortcut<'_, E>) -> Buffer<E> {
        let mut out = self.engine.workspace().take(unit.y.len());
        join(self.engine.level::<E>(), &unit.y, &unit.norm, added, &mut out);
        out
    }
}

fn unit_shape(unit: &UnitPlan, [height, width]: [usize; 2], images: bool) -> ConvShape {
    let [in_channels, out_channels] = unit.channels;
    let (kernel, stride) = (unit.kernel, unit.stride);
    ConvShape { height, width, in_channels, out_channels, kernel, stride, images }
}

fn record(plan: &UnitPlan, moments: &Moments, statistics: &mut [f32]) {
    for (c, (mean, variance)) in plan.mean().zip(plan.variance()).enumerate() {
        statistics[mean] = moments.mean[c] as f32;
        statistics[variance] = moments.unbiased_variance(c) as f32;
    }
}
