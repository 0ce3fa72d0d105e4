//! One step of a run.

use cpu_kernels::{Matrix, matmul, matmul_bf16};

use crate::buffers::{Held, with_parts};
use crate::loops::{self, Bound};
use crate::node::{Network, Product};
use crate::plan::{Action, Step};
use crate::residual::{AnyTape, Residual};
use crate::tensor::{Slice, SliceMut};
use crate::{Engine, moves, windows};

/// Does a step.
pub(crate) fn run(
    step: &Step,
    engine: &Engine,
    buffers: &mut [Held],
    tapes: &mut [Option<AnyTape>],
) {
    with_parts(buffers, &step.reads, &step.writes, |reads, writes| {
        act(&step.action, engine, reads, writes, tapes);
    });
}

/// What a step writes.
struct Writes<'a>(std::vec::IntoIter<SliceMut<'a>>);

impl<'a> Writes<'a> {
    fn next(&mut self) -> SliceMut<'a> {
        self.0.next().expect("a step writes something")
    }
}

fn act(
    action: &Action,
    engine: &Engine,
    reads: &[Slice<'_>],
    writes: Vec<SliceMut<'_>>,
    tapes: &mut [Option<AnyTape>],
) {
    let mut to = Writes(writes.into_iter());
    match action {
        Action::Loop(kernel, own) => {
            let mut reads = reads.iter();
            let leaves: Vec<Bound<'_>> = own
                .iter()
                .map(|own| match own {
                    Some(store) => Bound::Own(*store),
                    None => Bound::Read(*reads.next().expect("one for each leaf")),
                })
                .collect();
            let mut writes: Vec<SliceMut<'_>> = to.0.collect();
            let sums = writes.split_off(kernel.stores.len());
            loops::run(kernel, engine.levels().f32, &leaves, writes, sums);
        }
        Action::Copy(places) => moves::copy(reads[0], places, to.next()),
        Action::Pad(moved) => moves::pad(reads[0], moved, to.next()),
        Action::Concatenate { outer } => moves::concatenate(reads, *outer, to.next()),
        Action::Place => reads.iter().zip(to.0).for_each(|(&from, to)| moves::copy_all(from, to)),
        Action::Dot(product) => {
            multiply(product, engine, [reads[0].f32(), reads[1].f32()], to.next().f32());
        }
        Action::Gather(row) => moves::gather(reads[0], reads[1].s32(), *row, to.next()),
        Action::Scatter(row) => moves::scatter(reads[0], reads[1].s32(), *row, to.next()),
        Action::DynamicSlice(row) => {
            moves::dynamic_slice(reads[0], reads[1].s32()[0], *row, to.next());
        }
        Action::DynamicUpdate { row, in_place: true } => {
            moves::update(reads[0], reads[1].s32()[0], *row, to.next());
        }
        Action::DynamicUpdate { row, in_place: false } => {
            let mut to = to.next();
            moves::copy_all(reads[0], to.reborrow());
            moves::update(reads[1], reads[2].s32()[0], *row, to);
        }
        Action::MaxPool(window, shape) => windows::max_pool(window, shape, reads[0], to.next()),
        Action::SelectAndScatter(window, shape) => {
            windows::select_and_scatter(window, shape, reads[0], reads[1], to.next());
        }
        Action::Convolution(of, shapes) => {
            let (x, kernel) = (reads[0].f32(), reads[1].f32());
            windows::convolution(of, *shapes, x, kernel, to.next().f32());
        }
        Action::Train(network, tape) => {
            let residual = residual(network, engine, reads[0], reads[1]);
            let features = to.next().f32();
            let left = residual.train(features, to.0.next().map(SliceMut::f32));
            if let Some(tape) = tape {
                tapes[*tape] = Some(left);
            }
        }
        Action::Gradient(network, tape) => {
            let residual = residual(network, engine, reads[1], reads[2]);
            // A pass leaves one tape: for another gradient of it, it is taken again.
            let tape = tapes[*tape].take().unwrap_or_else(|| {
                let mut features = vec![0.0; reads[0].f32().len()];
                residual.train(&mut features, None)
            });
            residual.gradient(tape, reads[0].f32(), to.next().f32());
        }
        Action::Evaluate(network) => {
            let residual = residual(network, engine, reads[0], reads[1]);
            residual.evaluate(reads[2].f32(), to.next().f32());
        }
    }
}

fn residual<'a>(
    network: &'a Network,
    engine: &'a Engine,
    images: Slice<'a>,
    parameters: Slice<'a>,
) -> Residual<'a> {
    let Network { plan, batch, size } = network;
    let (images, parameters) = (images.f32(), parameters.f32());
    Residual { engine, plan, images, batch: *batch, size: *size, parameters }
}

fn multiply(product: &Product, engine: &Engine, [a, b]: [&[f32]; 2], to: &mut [f32]) {
    let &Product { stacked, size, transposed, rounded } = product;
    let [m, n, k] = size;
    let levels = engine.levels();
    if to.is_empty() || stacked == 0 {
        return;
    }
    let matrix = |numbers, side: usize| Matrix { numbers, transposed: transposed[side] };
    for (at, to) in to.chunks_mut(m * n).enumerate() {
        let a = matrix(&a[at * m * k..][..m * k], 0);
        let b = matrix(&b[at * k * n..][..k * n], 1);
        // Where bfloat16 has no instructions of its own, rounding to it would be work for nothing.
        match rounded && levels.bf16.multiplies_bf16() {
            true => matmul_bf16(levels.bf16, size, a, b, to, engine.workspace()),
            false => matmul(levels.f32, size, a, b, to, false, engine.workspace()),
        }
    }
}
