//! Slabs: a few images of a feature map, widened to f32 and framed with zeros, that a convolution
//! reads. The prologue fills one and applies what lies between two convolutions on the way: normalisation
//! and ReLU going forward, batch norm's gradient going back. So neither is ever stored for the whole batch.

use crate::element::Element;
use crate::epilogue::BackwardEpilogue;
use crate::level::{Kernel, Level};
use crate::norm::{GradientOf, Normalisation, block};
use crate::simd::Vector;

/// One image's feature map, `[height, width, channels]`, with the channels as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Map {
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub fn len(&self) -> usize {
        self.pixels() * self.channels
    }
}

/// A map within its frame of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub map: Map,
    /// How many rows of zeros are above the map, and columns of zeros to its left.
    pub before: usize,
    /// The height of the whole frame; what exceeds the map is zero, and rows of the map beyond it are left out.
    pub height: usize,
    /// The width of the whole frame, likewise.
    pub width: usize,
}

impl Frame {
    /// How many numbers one framed image has.
    pub fn len(&self) -> usize {
        self.height * self.width * self.map.channels
    }

    /// Where a pixel of the map lies in framed image `image`.
    pub fn at(&self, image: usize, row: usize, column: usize) -> usize {
        self.of_frame(image, row + self.before, column + self.before)
    }

    /// Where a pixel of the frame lies.
    pub(crate) fn of_frame(&self, image: usize, row: usize, column: usize) -> usize {
        ((image * self.height + row) * self.width + column) * self.map.channels
    }
}

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a, E> {
    /// Activations as they are, `[batch, height, width, stored channels]`.
    Plain(&'a [E]),
    /// The ReLU of a normalised convolution output, `[batch, height, width, stored channels]`.
    Normalised(&'a [E], &'a Normalisation),
    /// Images of three channels, `[batch, 3, height, width]`.
    Images(&'a [f32]),
}

/// The gradient that arrives at a convolution's output through its batch norm.
#[derive(Clone, Copy, Debug)]
pub struct OutputGradient<'a, E> {
    /// The loss's gradient behind batch norm and before ReLU, `[batch, height, width, stored channels]`.
    pub g: &'a [E],
    /// The convolution's output, `[batch, height, width, stored channels]`.
    pub y: &'a [E],
    /// Batch norm's gradient, which makes the gradient of `y` of `g` and `y`.
    pub through: &'a GradientOf,
}

/// What [`Conv::backward`](crate::Conv::backward) is to do with the gradient of its input.
pub struct InputGradient<'a, E> {
    /// What the gradient passes before it is stored.
    pub epilogue: BackwardEpilogue<'a, E>,
    /// Where the gradient is stored, `[batch, height, width, stored channels]`.
    pub to: &'a mut [E],
}

impl<E> InputGradient<'_, E> {
    pub(crate) fn reborrow(&mut self) -> InputGradient<'_, E>
    where
        E: Copy,
    {
        InputGradient { epilogue: self.epilogue, to: self.to }
    }
}

/// The forward prologue: fills `slab` with the framed images that start at `first` in `input`.
pub(crate) fn prologue<E: Element>(
    level: Level,
    frame: Frame,
    first: usize,
    input: Input<'_, E>,
    slab: &mut [f32],
) {
    let images = slab.len() / frame.len();
    let span = first * frame.map.len()..(first + images) * frame.map.len();
    match input {
        Input::Plain(x) => level.run(Prologue { frame, slab, source: Plain { x: &x[span] } }),
        Input::Normalised(y, norm) => {
            let source = Normalised { y: &y[span], norm };
            source.norm.assert_channels(frame.map.channels);
            level.run(Prologue { frame, slab, source });
        }
        Input::Images(images) => images_prologue(frame, first, images, slab),
    }
}

/// The backward prologue: fills `slab` with the framed gradients of the images that start at `first`.
pub(crate) fn backward_prologue<E: Element>(
    level: Level,
    frame: Frame,
    first: usize,
    gradient: OutputGradient<'_, E>,
    slab: &mut [f32],
) {
    let images = slab.len() / frame.len();
    let span = first * frame.map.len()..(first + images) * frame.map.len();
    gradient.through.assert_channels(frame.map.channels);
    let source =
        Through { g: &gradient.g[span.clone()], y: &gradient.y[span], through: gradient.through };
    level.run(Prologue { frame, slab, source });
}

/// How many channels an image is given in a slab: enough for the three colours, and whole vectors
/// of four pixels' worth.
pub(crate) const IMAGE_CHANNELS: usize = 4;

/// The forward prologue for images: from `[batch, 3 or fewer, height, width]` to pixels of [`IMAGE_CHANNELS`].
fn images_prologue(frame: Frame, first: usize, images: &[f32], slab: &mut [f32]) {
    let Map { height, width, channels } = frame.map;
    debug_assert_eq!(channels, IMAGE_CHANNELS);
    let count = slab.len() / frame.len();
    slab.fill(0.0);
    let planes = 3;
    for image in 0..count {
        for plane in 0..planes {
            for row in 0..height.min(frame.height - frame.before) {
                let start = (((first + image) * planes + plane) * height + row) * width;
                let from = &images[start..start + width.min(frame.width - frame.before)];
                let to = &mut slab[frame.at(image, row, 0) + plane..];
                for (pixel, &value) in to.iter_mut().step_by(channels).zip(from) {
                    *pixel = value;
                }
            }
        }
    }
}

/// Where a prologue takes its numbers from.
pub(crate) trait Source {
    /// What depends on the channel alone.
    type PerChannel<V: Vector>: Copy;

    /// How many numbers it has.
    fn len(&self) -> usize;
    /// # Safety
    /// `V::LANES` channels from `channel` on must exist.
    unsafe fn per_channel<V: Vector>(&self, channel: usize) -> Self::PerChannel<V>;
    /// # Safety
    /// `V::LANES` numbers from `at` on must exist.
    unsafe fn read<V: Vector>(&self, at: usize, per_channel: Self::PerChannel<V>) -> V;
}

pub(crate) struct Plain<'a, E> {
    pub x: &'a [E],
}

impl<E: Element> Source for Plain<'_, E> {
    type PerChannel<V: Vector> = ();

    fn len(&self) -> usize {
        self.x.len()
    }
    #[inline(always)]
    unsafe fn per_channel<V: Vector>(&self, _channel: usize) {}
    #[inline(always)]
    unsafe fn read<V: Vector>(&self, at: usize, (): ()) -> V {
        // SAFETY: the caller's promise.
        unsafe { E::load(self.x.as_ptr().add(at)) }
    }
}

pub(crate) struct Normalised<'a, E> {
    pub y: &'a [E],
    pub norm: &'a Normalisation,
}

impl<E: Element> Source for Normalised<'_, E> {
    type PerChannel<V: Vector> = [V; 3];

    fn len(&self) -> usize {
        self.y.len()
    }
    #[inline(always)]
    unsafe fn per_channel<V: Vector>(&self, channel: usize) -> [V; 3] {
        // SAFETY: the caller's promise; the normalisation has as many channels as the map.
        unsafe { self.norm.load(channel) }
    }
    #[inline(always)]
    unsafe fn read<V: Vector>(&self, at: usize, [mean, scale, shift]: [V; 3]) -> V {
        // SAFETY: the caller's promise.
        let y: V = unsafe { E::load(self.y.as_ptr().add(at)) };
        y.sub(mean).mul_add(scale, shift).max(V::splat(0.0))
    }
}

pub(crate) struct Through<'a, E> {
    pub g: &'a [E],
    pub y: &'a [E],
    pub through: &'a GradientOf,
}

impl<E: Element> Source for Through<'_, E> {
    type PerChannel<V: Vector> = [V; 4];

    fn len(&self) -> usize {
        self.g.len().min(self.y.len())
    }
    #[inline(always)]
    unsafe fn per_channel<V: Vector>(&self, channel: usize) -> [V; 4] {
        // SAFETY: the caller's promise; the gradient has as many channels as the map.
        unsafe { self.through.load(channel) }
    }
    #[inline(always)]
    unsafe fn read<V: Vector>(&self, at: usize, [mean, scale, slope, shift]: [V; 4]) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let g: V = E::load(self.g.as_ptr().add(at));
            let y: V = E::load(self.y.as_ptr().add(at));
            g.mul_add(scale, y.sub(mean).mul_add(slope, shift))
        }
    }
}

struct Prologue<'a, S> {
    frame: Frame,
    slab: &'a mut [f32],
    source: S,
}

impl<S: Source> Kernel for Prologue<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let Frame { map, before, height, width } = self.frame;
        let images = self.slab.len() / self.frame.len();
        assert_eq!(map.channels % V::LANES, 0, "channels are stored in whole vectors");
        assert!(images * map.len() <= self.source.len(), "the source ends before the slab");
        let rows = map.height.min(height - before);
        let columns = map.width.min(width - before);
        let line = width * map.channels;
        for image in 0..images {
            for row in 0..height {
                let start = (image * height + row) * line;
                let to = &mut self.slab[start..start + line];
                if row < before || row >= before + rows {
                    to.fill(0.0);
                    continue;
                }
                let (left, rest) = to.split_at_mut(before * map.channels);
                let (middle, right) = rest.split_at_mut(columns * map.channels);
                left.fill(0.0);
                right.fill(0.0);
                let from = (image * map.height + row - before) * map.width * map.channels;
                // SAFETY: `middle` has `columns` pixels, and the source as many from `from` on, as
                // the assertion above and `columns <= map.width` say.
                unsafe { prologue_row::<V, S>(&self.source, from, map.channels, middle) };
            }
        }
    }
}

/// # Safety
/// The source must have `to.len()` numbers from `from` on, and `to` whole pixels.
#[inline(always)]
unsafe fn prologue_row<V: Vector, S: Source>(
    source: &S,
    from: usize,
    channels: usize,
    to: &mut [f32],
) {
    let block = block(channels);
    for start in (0..to.len()).step_by(block) {
        let end = to.len().min(start + block);
        for channel in (0..channels).step_by(V::LANES) {
            // SAFETY: `channel` and `at` run over whole vectors of whole pixels.
            unsafe {
                let per_channel = source.per_channel::<V>(channel);
                let mut at = start + channel;
                while at < end {
                    source.read::<V>(from + at, per_channel).store(to.as_mut_ptr().add(at));
                    at += channels;
                }
            }
        }
    }
}
