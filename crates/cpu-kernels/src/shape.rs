//! What a convolution is: its sizes, and how its activations and weights lie in memory.

use crate::gemm::PANEL;
use crate::slab::{IMAGE_CHANNELS, Map};

/// How many channels activations store for `channels` of them: whole cache lines of f32, so that no kernel meets
/// a part of a vector. The channels added are zero.
pub const fn stored_channels(channels: usize) -> usize {
    channels.next_multiple_of(PANEL)
}

/// A square convolution with the padding that keeps the size at stride 1, and no bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// The height of the input in pixels.
    pub height: usize,
    /// The width of the input in pixels.
    pub width: usize,
    /// The number of input channels, without those that storage adds.
    pub in_channels: usize,
    /// The number of output channels, without those that storage adds.
    pub out_channels: usize,
    /// The side of the kernel in pixels, an odd number.
    pub kernel: usize,
    /// The stride in pixels, down and across.
    pub stride: usize,
    /// Whether the input is [`Input::Images`](crate::Input::Images), which have three channels.
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

    /// The height and width of the output in pixels.
    pub fn output_size(&self) -> [usize; 2] {
        [self.height, self.width].map(|size| (size - 1) / self.stride + 1)
    }

    /// How many numbers one image's input has as activations store it, unless it is [`Input::Images`](crate::Input::Images).
    pub fn input_len(&self) -> usize {
        self.input().len()
    }

    /// How many numbers one image's output has as activations store it.
    pub fn output_len(&self) -> usize {
        self.output().len()
    }

    /// How many weights there are: the size of `[out, in, kernel, kernel]`.
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
