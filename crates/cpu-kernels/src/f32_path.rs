//! The f32 path: convolutions whose arithmetic is in f32, whatever activations are stored as. They go slab by
//! slab, by implicit GEMM or by Winograd's method.

use rayon::prelude::*;

use crate::direct::Direct;
use crate::element::Element;
use crate::epilogue::{BackwardEpilogue, backward_epilogue, epilogue};
use crate::level::Level;
use crate::norm::{GradientSums, Moments};
use crate::shape::ConvShape;
use crate::slab::{Frame, Input, InputGradient, OutputGradient, backward_prologue, prologue};
use crate::winograd::{Tile, Transformed, Winograd};
use crate::workspace::{Buffer, Workspace, sum_of};

#[derive(Debug)]
enum Method {
    Direct(Direct),
    Winograd(Winograd),
}

/// The tables of one convolution.
#[derive(Debug)]
pub(crate) struct F32Path {
    shape: ConvShape,
    level: Level,
    method: Method,
    /// How many images a slab has.
    images: usize,
}

impl F32Path {
    /// The tables of a convolution by Winograd's method where there is a `tile`, else by implicit GEMM.
    pub fn new(shape: ConvShape, tile: Option<Tile>, level: Level) -> Self {
        let images = images_a_slab(&shape, tile);
        let method = match tile {
            None => Method::Direct(Direct::new(shape, images)),
            Some(tile) => Method::Winograd(Winograd::new(shape, tile, images)),
        };
        Self { shape, level, method, images }
    }

    fn frames(&self) -> [Frame; 2] {
        match &self.method {
            Method::Direct(m) => [m.x_frame(), m.dy_frame()],
            Method::Winograd(m) => [m.x_frame(), m.dy_frame()],
        }
    }

    /// As [`Conv::forward`](crate::Conv::forward).
    pub fn forward<E: Element>(
        &self,
        input: Input<'_, E>,
        weight: &[f32],
        y: &mut [E],
        workspace: &Workspace,
    ) -> Moments {
        let (level, len) = (self.level, self.shape.output_len());
        let packed = match &self.method {
            Method::Direct(m) => m.pack_forward(weight, workspace),
            Method::Winograd(m) => m.pack_forward(level, weight, workspace),
        };
        let [frame, _] = self.frames();
        let slabs = y.par_chunks_mut(self.images * len).enumerate();
        let parts: Vec<Moments> = slabs
            .map(|(slab, y)| {
                let images = y.len() / len;
                let mut x = workspace.take(images * frame.len());
                prologue(level, frame, slab * self.images, input, &mut x);
                let mut out = workspace.take(y.len());
                match &self.method {
                    Method::Direct(m) => m.forward(level, images, &x, &packed, &mut out),
                    Method::Winograd(m) => {
                        m.forward(level, images, &x, &packed, &mut out, workspace);
                    }
                }
                epilogue(level, self.shape.output().channels, &out, y)
            })
            .collect();
        Moments::combine(parts)
    }

    /// As [`Conv::backward`](crate::Conv::backward).
    pub fn backward<E: Element>(
        &self,
        input: Input<'_, E>,
        gradient: OutputGradient<'_, E>,
        weight: &[f32],
        mut wanted: Option<InputGradient<'_, E>>,
        weight_gradient: &mut [f32],
        workspace: &Workspace,
    ) -> Option<GradientSums> {
        let batch = gradient.g.len() / self.shape.output_len();
        let packed = wanted.is_some().then(|| self.pack_backward(weight, workspace));
        let task = Backward { conv: self, input, gradient, packed: packed.as_ref(), workspace };
        let (accumulator, sums) = match self.accumulator_len() <= OWN_ACCUMULATOR {
            true => task.with_own_accumulators(batch, wanted.as_mut()),
            false => task.with_one_accumulator(batch, wanted.as_mut()),
        };
        match &self.method {
            Method::Direct(m) => m.finish_weights(&accumulator, weight_gradient),
            Method::Winograd(m) => m.finish_weights(self.level, &accumulator, weight_gradient),
        }
        wanted.map(|_| GradientSums::combine(sums))
    }

    fn accumulator_len(&self) -> usize {
        match &self.method {
            Method::Direct(m) => m.accumulator_len(),
            Method::Winograd(m) => m.accumulator_len(),
        }
    }

    fn pack_backward(&self, weight: &[f32], workspace: &Workspace) -> Vec<Buffer<f32>> {
        match &self.method {
            Method::Direct(m) => m.pack_backward(weight, workspace),
            Method::Winograd(m) => vec![m.pack_backward(self.level, weight, workspace)],
        }
    }

    fn accumulate(&self, operands: &Operands, accumulator: &mut [f32], onto: bool) {
        match (&self.method, operands) {
            (Method::Direct(m), Operands::Slabs(slabs)) => {
                m.accumulate(self.level, slabs, accumulator, onto);
            }
            (Method::Winograd(m), Operands::Transformed(slabs)) => {
                m.accumulate(self.level, slabs, accumulator, onto);
            }
            _ => unreachable!("operands are made by the same method"),
        }
    }
}

/// The length of a weights' gradient that is so small that every task sums one of its own, from operands that
/// are still in its second-level cache.
const OWN_ACCUMULATOR: usize = 80 * 1024;
/// Slabs that pay for a task's own accumulator.
const SLABS_A_TASK: usize = 4;
/// Accumulators at most, however large the batch.
const ACCUMULATORS: usize = 64;

/// What the weights' gradient is summed from.
enum Operands {
    Slabs(Vec<(usize, Buffer<f32>, Buffer<f32>)>),
    Transformed(Vec<Transformed>),
}

enum Operand {
    Slab((usize, Buffer<f32>, Buffer<f32>)),
    Transformed(Transformed),
}

/// One call of [`F32Path::backward`].
struct Backward<'a, E> {
    conv: &'a F32Path,
    input: Input<'a, E>,
    gradient: OutputGradient<'a, E>,
    packed: Option<&'a Vec<Buffer<f32>>>,
    workspace: &'a Workspace,
}

impl<E: Element> Backward<'_, E> {
    /// The weights' gradient and the sums of each slab, where the gradient is so small that every task has an
    /// accumulator of its own.
    fn with_own_accumulators(
        &self,
        batch: usize,
        wanted: Option<&mut InputGradient<'_, E>>,
    ) -> (Buffer<f32>, Vec<GradientSums>) {
        let slabs = batch.div_ceil(self.conv.images);
        let step = self.conv.images * slabs.div_ceil(ACCUMULATORS).max(SLABS_A_TASK);
        let span = |at: usize| at * step..batch.min((at + 1) * step);
        let results: Vec<(Buffer<f32>, Vec<GradientSums>)> = match wanted {
            None => {
                let tasks = (0..batch.div_ceil(step).max(1)).into_par_iter();
                tasks.map(|at| self.accumulated(span(at), None)).collect()
            }
            Some(InputGradient { epilogue, to }) => {
                let tasks = to.par_chunks_mut(step * self.conv.shape.input_len()).enumerate();
                let epilogue = *epilogue;
                tasks.map(|(at, to)| self.accumulated(span(at), Some((epilogue, to)))).collect()
            }
        };
        let (parts, sums): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        (sum_of(parts), sums.into_iter().flatten().collect())
    }

    /// The weights' gradient and the sums of one task's images.
    fn accumulated(
        &self,
        images: std::ops::Range<usize>,
        mut wanted: Option<(BackwardEpilogue<'_, E>, &mut [E])>,
    ) -> (Buffer<f32>, Vec<GradientSums>) {
        let Backward { conv, workspace, .. } = self;
        let mut accumulator = workspace.take(conv.accumulator_len());
        if images.is_empty() {
            accumulator.fill(0.0);
        }
        let mut sums = vec![];
        let len = conv.shape.input_len();
        for first in images.clone().step_by(conv.images) {
            let count = conv.images.min(images.end - first);
            let wanted = wanted.as_mut().map(|(epilogue, to)| {
                (*epilogue, &mut to[(first - images.start) * len..][..count * len])
            });
            let (x, dy, part) = self.framed_operands((first, count), wanted);
            sums.extend(part);
            let onto = first > images.start;
            match &conv.method {
                Method::Direct(m) => {
                    m.accumulate_slab(conv.level, &(count, x, dy), &mut accumulator, onto);
                }
                Method::Winograd(m) => {
                    let slab = (count, &x[..], &dy[..]);
                    m.accumulate_slab(conv.level, slab, &mut accumulator, onto, workspace);
                }
            }
        }
        (accumulator, sums)
    }

    /// The weights' gradient and the sums of each slab, where the gradient is large and there is one
    /// accumulator: round by round, first the slabs, then the parts of the gradient.
    fn with_one_accumulator(
        &self,
        batch: usize,
        mut wanted: Option<&mut InputGradient<'_, E>>,
    ) -> (Buffer<f32>, Vec<GradientSums>) {
        let mut accumulator = self.workspace.take(self.conv.accumulator_len());
        if batch == 0 {
            accumulator.fill(0.0);
        }
        let round = self.conv.images * (2 * rayon::current_num_threads()).max(4);
        let mut sums = vec![];
        for first in (0..batch).step_by(round) {
            let images = first..batch.min(first + round);
            let (operands, part) = self.slabs(images, wanted.as_deref_mut());
            sums.extend(part);
            self.conv.accumulate(&operands, &mut accumulator, first > 0);
        }
        (accumulator, sums)
    }

    /// The slabs of `images`: their gradients of the input, and what the weights' gradient needs.
    fn slabs(
        &self,
        images: std::ops::Range<usize>,
        wanted: Option<&mut InputGradient<'_, E>>,
    ) -> (Operands, Vec<GradientSums>) {
        let step = self.conv.images;
        let slab = |at: usize| {
            let first = images.start + at * step;
            (first, step.min(images.end - first))
        };
        let count = images.len().div_ceil(step);
        let results: Vec<(Operand, Option<GradientSums>)> = match wanted {
            None => (0..count).into_par_iter().map(|at| self.slab(slab(at), None)).collect(),
            Some(InputGradient { epilogue, to }) => {
                let len = self.conv.shape.input_len();
                let epilogue = *epilogue;
                to[images.start * len..images.end * len]
                    .par_chunks_mut(step * len)
                    .enumerate()
                    .map(|(at, to)| self.slab(slab(at), Some((epilogue, to))))
                    .collect()
            }
        };
        let (operands, sums): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        (gather(operands), sums.into_iter().flatten().collect())
    }

    fn slab(
        &self,
        (first, images): (usize, usize),
        wanted: Option<(BackwardEpilogue<'_, E>, &mut [E])>,
    ) -> (Operand, Option<GradientSums>) {
        let Backward { conv, workspace, .. } = self;
        let (x, dy, sums) = self.framed_operands((first, images), wanted);
        let operand = match &conv.method {
            Method::Direct(_) => Operand::Slab((images, x, dy)),
            Method::Winograd(m) => {
                Operand::Transformed(m.transform(conv.level, images, &x, &dy, workspace))
            }
        };
        (operand, sums)
    }

    /// The framed operands of a slab, and its gradient of the input.
    fn framed_operands(
        &self,
        (first, images): (usize, usize),
        wanted: Option<(BackwardEpilogue<'_, E>, &mut [E])>,
    ) -> (Buffer<f32>, Buffer<f32>, Option<GradientSums>) {
        let Backward { conv, workspace, .. } = self;
        let [x_frame, dy_frame] = conv.frames();
        let mut dy = workspace.take(images * dy_frame.len());
        backward_prologue(conv.level, dy_frame, first, self.gradient, &mut dy);
        let sums = wanted.map(|(epilogue, to)| self.input_gradient(first, &dy, epilogue, to));
        let mut x = workspace.take(images * x_frame.len());
        prologue(conv.level, x_frame, first, self.input, &mut x);
        (x, dy, sums)
    }

    fn input_gradient(
        &self,
        first: usize,
        dy: &[f32],
        epilogue: BackwardEpilogue<'_, E>,
        to: &mut [E],
    ) -> GradientSums {
        let Backward { conv, workspace, .. } = self;
        let images = to.len() / conv.shape.input_len();
        let packed = self.packed.expect("packed where the input's gradient is wanted");
        let mut dx = workspace.take(to.len());
        match &conv.method {
            Method::Direct(m) => m.backward_data(conv.level, images, dy, packed, &mut dx),
            Method::Winograd(m) => {
                m.backward_data(conv.level, images, dy, &packed[0], &mut dx, workspace);
            }
        }
        let start = first * conv.shape.input_len();
        let epilogue = epilogue.part(start..start + to.len());
        backward_epilogue(conv.level, conv.shape.input().channels, &dx, epilogue, to)
    }
}

fn gather(operands: Vec<Operand>) -> Operands {
    let (mut slabs, mut transformed) = (vec![], vec![]);
    for operand in operands {
        match operand {
            Operand::Slab(slab) => slabs.push(slab),
            Operand::Transformed(slab) => transformed.push(slab),
        }
    }
    match transformed.is_empty() {
        true => Operands::Slabs(slabs),
        false => Operands::Transformed(transformed),
    }
}

/// Images whose framed maps, or for Winograd's method their tiles, make a task of some hundred
/// microseconds that stays near the processor. Depends on the shape alone: the statistics are taken
/// slab by slab, and the same bytes must come out whatever the number of threads.
fn images_a_slab(shape: &ConvShape, tile: Option<Tile>) -> usize {
    let (x, y) = (shape.input(), shape.output());
    let numbers = (x.len() + y.len()).max(1);
    let Some(tile) = tile else {
        return (96 * 1024 / numbers).clamp(1, 64);
    };
    let tiles = y.height.div_ceil(tile.outputs()) * y.width.div_ceil(tile.outputs());
    let by_size = 128 * 1024 / numbers;
    by_size.max(32usize.div_ceil(tiles)).clamp(1, 64)
}
