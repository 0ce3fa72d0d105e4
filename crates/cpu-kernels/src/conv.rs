//! Convolutions over a batch: slab by slab, forward and back.

use rayon::prelude::*;

use crate::direct::Direct;
use crate::element::Element;
use crate::gemm::PANEL;
use crate::level::Level;
use crate::norm::{Arrival, GradientSums, Moments, arrive, finish};
use crate::paired::Paired;
use crate::slab::{Frame, IMAGE_CHANNELS, Input, Map, OutputGradient, fill, fill_gradient};
use crate::winograd::{Tile, Transformed, Winograd};
use crate::workspace::{Buffer, Workspace};

/// Channels as activations store them: a whole cache line of f32, so that no kernel meets a part of
/// a vector. The channels added are zero.
pub const fn stored_channels(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

/// A square convolution with the padding that keeps the size at stride 1, and no bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Of the input.
    pub height: usize,
    /// Of the input.
    pub width: usize,
    /// Before padding.
    pub in_channels: usize,
    /// Before padding.
    pub out_channels: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// In both directions.
    pub stride: usize,
    /// Whether the input is [`Input::Images`].
    pub images: bool,
}

impl ConvShape {
    pub(crate) fn padding(&self) -> usize {
        self.kernel / 2
    }

    pub(crate) fn input(&self) -> Map {
        let channels = match self.images {
            true => IMAGE_CHANNELS,
            false => stored_channels(self.in_channels),
        };
        Map { height: self.height, width: self.width, channels }
    }

    pub(crate) fn output(&self) -> Map {
        let [height, width] = self.output_size();
        Map { height, width, channels: stored_channels(self.out_channels) }
    }

    /// Height and width of the output.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height, self.width].map(|size| (size - 1) / self.stride + 1)
    }

    /// Stored numbers of one image's input, unless it is [`Input::Images`].
    pub fn input_len(&self) -> usize {
        self.input().len()
    }

    /// Stored numbers of one image's output.
    pub fn output_len(&self) -> usize {
        self.output().len()
    }

    /// Numbers of `[out, in, kernel, kernel]`.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    /// Where a weight lies in `[out, in, kernel, kernel]`; none belongs to a padding channel.
    pub(crate) fn weight_index(&self, o: usize, c: usize, tap: (usize, usize)) -> Option<usize> {
        let exists = o < self.out_channels && c < self.in_channels;
        let (r, s) = tap;
        exists.then(|| ((o * self.in_channels + c) * self.kernel + r) * self.kernel + s)
    }
}

/// How to compute a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Implicit GEMM.
    Direct,
    /// F(2×2, 3×3)
    Winograd2,
    /// F(4×4, 3×3)
    Winograd4,
    /// 4×4 outputs of stride 2.
    Winograd4Strided,
    /// Implicit GEMM of operands in bfloat16.
    Paired,
}

impl Algorithm {
    /// What is fastest for a shape and for activations stored as `E`, by measurement
    /// (docs/results/cpu.md).
    pub fn of<E: Element>(shape: &ConvShape, level: Level) -> Self {
        if E::IS_BF16 && level.multiplies_bf16() {
            return Algorithm::Paired;
        }
        let [height, width] = shape.output_size();
        match (shape.kernel, shape.stride, height.min(width)) {
            _ if shape.images => Algorithm::Direct,
            (3, 1, 0..=2) => Algorithm::Winograd2,
            (3, 1, _) => Algorithm::Winograd4,
            (3, 2, 4..) if shape.in_channels >= 128 => Algorithm::Winograd4Strided,
            (3, 2, 8..) if shape.in_channels >= 64 => Algorithm::Winograd4Strided,
            _ => Algorithm::Direct,
        }
    }

    /// Whether it can compute a shape.
    pub fn suits(self, shape: &ConvShape) -> bool {
        match self {
            Algorithm::Direct | Algorithm::Paired => true,
            _ => shape.kernel == 3 && shape.stride == self.stride() && !shape.images,
        }
    }

    fn stride(self) -> usize {
        if self == Algorithm::Winograd4Strided { 2 } else { 1 }
    }

    fn tile(self) -> Option<Tile> {
        match self {
            Algorithm::Direct | Algorithm::Paired => None,
            Algorithm::Winograd2 => Some(Tile::Two),
            Algorithm::Winograd4 => Some(Tile::Four),
            Algorithm::Winograd4Strided => Some(Tile::Strided),
        }
    }
}

#[derive(Debug)]
enum Method {
    Direct(Direct),
    Winograd(Winograd),
}

/// A convolution with its tables, good for any batch.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    level: Level,
    method: Method,
    images: usize,
    paired: Option<Box<Paired>>,
}

/// What [`Conv::backward`] is to do with the gradient of its input.
pub struct InputGradient<'a, E> {
    /// What it passes on its way.
    pub arrival: Arrival<'a, E>,
    /// Where it goes, `[batch, height, width, channels]`.
    pub to: &'a mut [E],
}

impl<E> InputGradient<'_, E> {
    pub(crate) fn reborrow(&mut self) -> InputGradient<'_, E>
    where
        E: Copy,
    {
        InputGradient { arrival: self.arrival, to: self.to }
    }
}

impl Conv {
    /// By the algorithm that suits the shape and activations stored as `E`.
    pub fn new<E: Element>(shape: ConvShape, level: Level) -> Self {
        Self::with(Algorithm::of::<E>(&shape, level), shape, level)
    }

    /// By the algorithm given.
    ///
    /// # Panics
    /// If the algorithm does not suit the shape, or the kernel is even.
    pub fn with(algorithm: Algorithm, shape: ConvShape, level: Level) -> Self {
        assert!(shape.kernel % 2 == 1 && shape.stride > 0, "odd kernels only");
        assert!(shape.height > 0 && shape.width > 0, "an empty image");
        assert!(algorithm.suits(&shape), "{algorithm:?} for {shape:?}");
        let images = images_a_slab(&shape, algorithm);
        let method = match algorithm.tile() {
            None => Method::Direct(Direct::new(shape, images)),
            Some(tile) => Method::Winograd(Winograd::new(shape, tile, images)),
        };
        let paired = (algorithm == Algorithm::Paired).then(|| Box::new(Paired::new(shape, level)));
        Self { shape, level, method, images, paired }
    }

    /// The convolution's shape.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    fn frames(&self) -> [Frame; 2] {
        match &self.method {
            Method::Direct(m) => [m.x_frame(), m.dy_frame()],
            Method::Winograd(m) => [m.x_frame(), m.dy_frame()],
        }
    }

    fn assert_input<E>(&self, input: &Input<'_, E>, batch: usize) {
        let (len, images) = match input {
            Input::Plain(x) => (x.len(), false),
            Input::Normalised(y, _) => (y.len(), false),
            Input::Images(x) => (x.len(), true),
        };
        assert_eq!(images, self.shape.images, "images where activations belong, or vice versa");
        let one = match images {
            true => self.shape.in_channels * self.shape.height * self.shape.width,
            false => self.shape.input_len(),
        };
        assert!(!images || self.shape.in_channels == 3, "images have three channels");
        assert_eq!(len, batch * one, "the input is of another size");
    }

    /// Outputs `[batch, height, width, channels]` into `y`, and their moments. `weight` is
    /// `[out, in, kernel, kernel]`.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape.
    pub fn forward<E: Element>(
        &self,
        input: Input<'_, E>,
        weight: &[f32],
        y: &mut [E],
        workspace: &Workspace,
    ) -> Moments {
        let (level, len) = (self.level, self.shape.output_len());
        assert_eq!(weight.len(), self.shape.weight_len(), "weights of another shape");
        assert!(y.len().is_multiple_of(len), "whole images");
        self.assert_input(&input, y.len() / len);
        if let Some(m) = &self.paired {
            return m.forward(input, weight, y, workspace);
        }
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
                fill(level, frame, slab * self.images, input, &mut x);
                let mut out = workspace.take(y.len());
                match &self.method {
                    Method::Direct(m) => m.forward(level, images, &x, &packed, &mut out),
                    Method::Winograd(m) => {
                        m.forward(level, images, &x, &packed, &mut out, workspace);
                    }
                }
                finish(level, self.shape.output().channels, &out, y)
            })
            .collect();
        Moments::combine(parts)
    }

    /// The gradient of the weights, `[out, in, kernel, kernel]`, and of the input where it is wanted; of
    /// that one, the sums for the normalisations before it.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape, or the gradient of [`Input::Images`] is wanted.
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
        assert_eq!(weight.len(), self.shape.weight_len(), "weights of another shape");
        assert_eq!(weight_gradient.len(), weight.len(), "the weights' gradient");
        assert_eq!(gradient.g.len(), batch * self.shape.output_len(), "whole images");
        assert_eq!(gradient.g.len(), gradient.y.len(), "gradient and output differ in size");
        self.assert_input(&input, batch);
        if let Some(wanted) = &wanted {
            assert!(!self.shape.images, "images receive no gradient");
            assert_eq!(wanted.to.len(), batch * self.shape.input_len(), "the input's gradient");
        }
        if let Some(m) = &self.paired {
            return m.backward(input, gradient, weight, wanted, weight_gradient, workspace);
        }
        let packed = wanted.is_some().then(|| self.pack_backward(weight, workspace));
        let task = Backward { conv: self, input, gradient, packed: packed.as_ref(), workspace };
        let (accumulator, sums) = match self.accumulator_len() <= OWN_ACCUMULATOR {
            true => task.apart(batch, wanted.as_mut()),
            false => task.together(batch, wanted.as_mut()),
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

/// Numbers of a weights' gradient so small that every task sums one of its own, from operands that
/// are still in its second-level cache.
const OWN_ACCUMULATOR: usize = 80 * 1024;
/// Slabs that pay for a task's own accumulator.
const SLABS_A_TASK: usize = 4;
/// Accumulators at most, however large the batch.
const ACCUMULATORS: usize = 64;

/// The sum of equally long parts, in their order.
fn add_up(mut parts: Vec<Buffer<f32>>) -> Buffer<f32> {
    const TASK: usize = 4096;
    let mut sum = parts.remove(0);
    sum.par_chunks_mut(TASK).enumerate().for_each(|(task, sum)| {
        for part in &parts {
            sum.iter_mut().zip(&part[task * TASK..]).for_each(|(sum, part)| *sum += part);
        }
    });
    sum
}

/// What the weights' gradient is summed from.
enum Operands {
    Slabs(Vec<(usize, Buffer<f32>, Buffer<f32>)>),
    Transformed(Vec<Transformed>),
}

enum Operand {
    Slab((usize, Buffer<f32>, Buffer<f32>)),
    Transformed(Transformed),
}

/// One call of [`Conv::backward`].
struct Backward<'a, E> {
    conv: &'a Conv,
    input: Input<'a, E>,
    gradient: OutputGradient<'a, E>,
    packed: Option<&'a Vec<Buffer<f32>>>,
    workspace: &'a Workspace,
}

impl<E: Element> Backward<'_, E> {
    /// The weights' gradient and the sums of each slab, every task by itself.
    fn apart(
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
            Some(InputGradient { arrival, to }) => {
                let tasks = to.par_chunks_mut(step * self.conv.shape.input_len()).enumerate();
                let arrival = *arrival;
                tasks.map(|(at, to)| self.accumulated(span(at), Some((arrival, to)))).collect()
            }
        };
        let (parts, sums): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        (add_up(parts), sums.into_iter().flatten().collect())
    }

    /// One task's share of [`Backward::apart`].
    fn accumulated(
        &self,
        images: std::ops::Range<usize>,
        mut wanted: Option<(Arrival<'_, E>, &mut [E])>,
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
            let wanted = wanted.as_mut().map(|(arrival, to)| {
                (*arrival, &mut to[(first - images.start) * len..][..count * len])
            });
            let (x, dy, part) = self.filled((first, count), wanted);
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

    /// The same where the weights' gradient is large: round by round, first the slabs, then the
    /// parts of the gradient.
    fn together(
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
            Some(InputGradient { arrival, to }) => {
                let len = self.conv.shape.input_len();
                let arrival = *arrival;
                to[images.start * len..images.end * len]
                    .par_chunks_mut(step * len)
                    .enumerate()
                    .map(|(at, to)| self.slab(slab(at), Some((arrival, to))))
                    .collect()
            }
        };
        let (operands, sums): (Vec<_>, Vec<_>) = results.into_iter().unzip();
        (gather(operands), sums.into_iter().flatten().collect())
    }

    fn slab(
        &self,
        (first, images): (usize, usize),
        wanted: Option<(Arrival<'_, E>, &mut [E])>,
    ) -> (Operand, Option<GradientSums>) {
        let Backward { conv, workspace, .. } = self;
        let (x, dy, sums) = self.filled((first, images), wanted);
        let operand = match &conv.method {
            Method::Direct(_) => Operand::Slab((images, x, dy)),
            Method::Winograd(m) => {
                Operand::Transformed(m.transform(conv.level, images, &x, &dy, workspace))
            }
        };
        (operand, sums)
    }

    /// The framed operands of a slab, and its gradient of the input.
    fn filled(
        &self,
        (first, images): (usize, usize),
        wanted: Option<(Arrival<'_, E>, &mut [E])>,
    ) -> (Buffer<f32>, Buffer<f32>, Option<GradientSums>) {
        let Backward { conv, workspace, .. } = self;
        let [x_frame, dy_frame] = conv.frames();
        let mut dy = workspace.take(images * dy_frame.len());
        fill_gradient(conv.level, dy_frame, first, self.gradient, &mut dy);
        let sums = wanted.map(|(arrival, to)| self.input_gradient(first, &dy, arrival, to));
        let mut x = workspace.take(images * x_frame.len());
        fill(conv.level, x_frame, first, self.input, &mut x);
        (x, dy, sums)
    }

    fn input_gradient(
        &self,
        first: usize,
        dy: &[f32],
        arrival: Arrival<'_, E>,
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
        let arrival = arrival.part(start..start + to.len());
        arrive(conv.level, conv.shape.input().channels, &dx, arrival, to)
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
fn images_a_slab(shape: &ConvShape, algorithm: Algorithm) -> usize {
    let (x, y) = (shape.input(), shape.output());
    let numbers = (x.len() + y.len()).max(1);
    let Some(tile) = algorithm.tile() else {
        return (96 * 1024 / numbers).clamp(1, 64);
    };
    let tiles = y.height.div_ceil(tile.outputs()) * y.width.div_ceil(tile.outputs());
    let by_size = 128 * 1024 / numbers;
    by_size.max(32usize.div_ceil(tiles)).clamp(1, 64)
}
